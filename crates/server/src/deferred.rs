// SPDX-License-Identifier: BSD-2-Clause
//! Callers that are answered later.

use xos_client::Slots;
use xos_protocol::wire::MAX_WORDS;
use xos_protocol::{Error, Result};

use crate::Reply;
use crate::factory::Shares;

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
pub struct Token {
    slot: u8,
    charged: Option<u16>,
}

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
    caller: &'a mut bool,
    /// Of whom each payer may have a part.
    shares: Option<&'a mut Shares>,
    /// The payer, by its index, at whose charge callers are kept.
    charged: Option<u16>,
}

impl<'a> Deferred<'a> {
    pub(crate) fn new(
        slots: &'a mut Slots,
        replies: &'a mut dyn SavedReplies,
        caller: &'a mut bool,
    ) -> Self {
        Self {
            slots,
            replies,
            caller,
            shares: None,
            charged: None,
        }
    }

    /// The same callers, counted by payer: who is kept from now on is at the charge of this one, an index. From the
    /// first message on, all that one server keeps have to be counted by the same shares.
    pub(crate) fn counted<'b>(
        &'b mut self,
        shares: &'b mut Shares,
        payer: Option<u32>,
    ) -> Deferred<'b> {
        Deferred {
            slots: self.slots,
            replies: self.replies,
            caller: self.caller,
            shares: Some(shares),
            charged: payer.map(|payer| payer as u16),
        }
    }

    /// Keeps the current caller; [`Outcome::Deferred`](crate::Outcome::Deferred) must follow.
    ///
    /// # Errors
    /// [`Error::TableFull`] when too many are waiting already, in all or at the charge of one payer: the current
    /// caller is the one to be told. [`Error::BadState`] when there is no caller to keep.
    pub fn keep(&mut self) -> Result<Token> {
        if !*self.caller {
            return Err(Error::BadState);
        }
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        let token = Token {
            slot: slot as u8,
            charged: self.charged,
        };
        let shared = match (&mut self.shares, self.charged) {
            (Some(shares), Some(payer)) => shares.take(payer.into(), self.slots.len()),
            _ => true,
        };
        if !shared {
            self.slots.give(slot);
            return Err(Error::TableFull);
        }
        match self.replies.save(slot) {
            Ok(()) => {
                *self.caller = false;
                Ok(token)
            }
            Err(error) => {
                self.give(&token);
                Err(error)
            }
        }
    }

    fn give(&mut self, token: &Token) {
        self.slots.give(token.slot.into());
        if let (Some(shares), Some(payer)) = (&mut self.shares, token.charged) {
            shares.give(payer.into());
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
        self.replies.answer(token.slot.into(), label, words);
        self.give(&token);
    }

    /// Whether there is a caller that has not been kept.
    pub(crate) fn has_caller(&self) -> bool {
        *self.caller
    }

    /// Whether no more can be kept, in all or at this charge.
    pub fn is_full(&self) -> bool {
        let shared = match (&self.shares, self.charged) {
            (Some(shares), Some(payer)) => shares.has_more_for(payer.into(), self.slots.len()),
            _ => true,
        };
        self.slots.is_empty() || !shared
    }
}
