// SPDX-License-Identifier: BSD-2-Clause
//! Callers that are answered later.

use xos_client::Slots;
use xos_protocol::wire::MAX_WORDS;
use xos_protocol::{Error, Result};

use crate::Reply;

/// Reply capabilities in slots: the kernel's side of [`Deferred`].
pub trait SavedReplies {
    /// Puts the right to answer the current caller into the empty slot `slot`.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses.
    fn save(&mut self, slot: u32) -> Result<()>;

    /// Answers through that slot, which is empty afterwards, with at most 120 words. A caller that has died is no error: nobody
    /// is there to be answered.
    fn answer(&mut self, slot: u32, label: u64, words: &[u64]);
}

/// The right and the duty to answer one caller.
///
/// It is used up by [`Deferred::answer`], so nobody is answered twice. One that is dropped leaves its
/// caller waiting, and its place taken, for as long as the server lives.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "its caller waits until it is answered"]
pub struct Token(u8);

/// Callers that a server can keep at most: the slots of its replies node.
pub(crate) const MAX: u32 = 256;

/// Keeps callers that have to wait.
///
/// The capabilities lie where the supervisor, or for a server in an IC the manager, knows of them: should the
/// server die, they are all answered with [`Error::ServerDied`].
pub struct Deferred<'a> {
    slots: &'a mut Slots,
    replies: &'a mut dyn SavedReplies,
    /// Whether there is a caller that can be kept: not after a notification, and once at most.
    caller: bool,
}

impl<'a> Deferred<'a> {
    pub(crate) fn new(
        slots: &'a mut Slots,
        replies: &'a mut dyn SavedReplies,
        caller: bool,
    ) -> Self {
        Self {
            slots,
            replies,
            caller,
        }
    }

    /// Keeps the current caller; [`Outcome::Deferred`](crate::Outcome::Deferred) must follow.
    ///
    /// # Errors
    /// [`Error::TableFull`] when too many are waiting already: the current caller is the one to be told.
    /// [`Error::BadState`] when there is no caller to keep.
    pub fn keep(&mut self) -> Result<Token> {
        if !self.caller {
            return Err(Error::BadState);
        }
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        match self.replies.save(slot) {
            Ok(()) => {
                self.caller = false;
                Ok(Token(slot as u8))
            }
            Err(error) => {
                self.slots.give(slot);
                Err(error)
            }
        }
    }

    /// Answers a caller.
    pub fn answer(&mut self, token: Token, reply: &Reply) {
        self.send(token, reply.label(), reply.words());
    }

    /// Answers a caller with these words, or refuses.
    pub fn answer_with(&mut self, token: Token, result: Result<&[u64]>) {
        match result {
            Ok(words) => self.send(token, 0, &words[..words.len().min(MAX_WORDS)]),
            Err(error) => self.send(token, error.label(), &[]),
        }
    }

    fn send(&mut self, token: Token, label: u64, words: &[u64]) {
        let slot = token.0.into();
        self.replies.answer(slot, label, words);
        self.slots.give(slot);
    }

    /// Whether there is a caller that has not been kept.
    pub(crate) fn has_caller(&self) -> bool {
        self.caller
    }

    /// How many more can be kept.
    pub fn available(&self) -> u32 {
        self.slots.available()
    }

    /// Whether no more can be kept.
    pub fn is_full(&self) -> bool {
        self.slots.is_empty()
    }
}
