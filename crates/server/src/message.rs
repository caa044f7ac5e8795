// SPDX-License-Identifier: BSD-2-Clause
//! Requests and replies.

use serde::{Serialize, de::DeserializeOwned};
use xos_protocol::wire::{self, MAX_BYTES, MAX_WORDS, Words};
use xos_protocol::{Error, Result};

use crate::Outcome;

/// A request as it was received: a copy that no later message and no kernel invocation overwrites.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    label: u64,
    words: &'a [u64],
}

impl<'a> Request<'a> {
    /// A request with this label and these words.
    pub const fn new(label: u64, words: &'a [u64]) -> Self {
        Self { label, words }
    }

    /// The label.
    pub const fn label(&self) -> u64 {
        self.label
    }

    /// All words.
    pub const fn words(&self) -> &'a [u64] {
        self.words
    }

    /// Word `i`; 0 beyond the end of the message.
    pub fn word(&self, i: usize) -> u64 {
        self.words.get(i).copied().unwrap_or(0)
    }

    /// The words that travel in registers, 0 beyond the end of the message: what the packed requests of
    /// the protocol are read from.
    pub fn registers(&self) -> [u64; 4] {
        core::array::from_fn(|i| self.word(i))
    }

    /// The structure that begins at word `from`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none.
    pub fn decode<T: DeserializeOwned>(&self, from: usize) -> Result<T> {
        wire::decode(self.words.get(from..).ok_or(Error::Malformed)?)
    }

    /// The bytes of the words from word `from` on, copied to `buffer` (for structures that borrow from
    /// it): a multiple of eight of them, the last ones padding.
    pub fn bytes<'b>(&self, from: usize, buffer: &'b mut [u8; MAX_BYTES]) -> &'b [u8] {
        wire::get_bytes(self.words.get(from..).unwrap_or(&[]), buffer)
    }

    /// `count` bytes that begin at word `from`, copied to `buffer`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the message is not as long.
    pub fn counted_bytes<'b>(
        &self,
        from: usize,
        count: u64,
        buffer: &'b mut [u8; MAX_BYTES],
    ) -> Result<&'b mut [u8]> {
        let len = self.bytes(from, buffer).len();
        let count = usize::try_from(count).map_err(|_| Error::Malformed)?;
        buffer[..len].get_mut(..count).ok_or(Error::Malformed)
    }
}

/// A reply under construction. The methods that complete it give [`Outcome::Reply`], so that a server can
/// end with them.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) label: u64,
    pub(crate) len: usize,
    pub(crate) words: Words,
}

impl Reply {
    /// An empty reply: success without words.
    pub const fn new() -> Self {
        Self {
            label: 0,
            len: 0,
            words: [0; MAX_WORDS],
        }
    }

    /// Success with these words (at most 120; what is beyond is cut off).
    #[inline]
    pub fn ok(&mut self, words: &[u64]) -> Outcome {
        let len = words.len().min(MAX_WORDS);
        self.label = 0;
        self.len = len;
        self.words[..len].copy_from_slice(&words[..len]);
        Outcome::Reply
    }

    /// A refusal. It has no words, which is how a client tells it from a refusal of the kernel's.
    #[inline]
    pub fn error(&mut self, error: Error) -> Outcome {
        self.label = error.label();
        self.len = 0;
        Outcome::Reply
    }

    /// Success with the words of `Ok`, or the refusal of `Err`.
    #[inline]
    pub fn result(&mut self, result: Result<impl AsRef<[u64]>>) -> Outcome {
        match result {
            Ok(words) => self.ok(words.as_ref()),
            Err(error) => self.error(error),
        }
    }

    /// Success without words, or the refusal of `Err`.
    #[inline]
    pub fn done(&mut self, result: Result<()>) -> Outcome {
        self.result(result.map(|()| []))
    }

    /// Success with a structure, or, if it is too long for a message, [`Error::Malformed`].
    pub fn encode<T: Serialize>(&mut self, value: &T) -> Outcome {
        match wire::encode(value, &mut self.words) {
            Ok(len) => {
                self.label = 0;
                self.len = len;
                Outcome::Reply
            }
            Err(error) => self.error(error),
        }
    }

    /// Success with a count in word 0 and so many bytes behind it, or, if they are too many for a message,
    /// [`Error::Malformed`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.words[0] = bytes.len() as u64;
        match wire::put_bytes(&mut self.words[1..], bytes) {
            Ok(used) => {
                self.label = 0;
                self.len = 1 + used;
                Outcome::Reply
            }
            Err(error) => self.error(error),
        }
    }

    /// The label: 0 for success.
    pub const fn label(&self) -> u64 {
        self.label
    }

    /// The words.
    pub fn words(&self) -> &[u64] {
        &self.words[..self.len]
    }

    /// The words that travel in registers; those beyond the reply's length are not zeroed, since nobody
    /// receives them: the sender's own registers hold nothing of others.
    pub(crate) const fn registers(&self) -> [u64; 4] {
        [self.words[0], self.words[1], self.words[2], self.words[3]]
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}
