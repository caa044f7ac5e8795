// SPDX-License-Identifier: BSD-2-Clause
//! How a request reaches its server.

use sel4::MessageInfo;
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Error, Result};

/// A short reply, as it came in registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The first words; those beyond [`len`](Self::len) are 0.
    pub words: [u64; 4],
    /// Words that the reply has in all.
    pub len: usize,
}

impl Answer {
    /// Fails with [`Error::Unknown`] unless the reply has at least `len` words.
    pub fn at_least(self, len: usize) -> Result<[u64; 4]> {
        if self.len < len {
            Err(Error::Unknown)
        } else {
            Ok(self.words)
        }
    }
}

/// Something that takes requests and gives replies: an endpoint capability, or a model of a server.
pub trait Port {
    /// Sends the first `len` (at most 4) of `words` and waits for the reply, all in registers.
    ///
    /// # Errors
    /// What the server answered; [`Error::Gone`] when there is no capability any more.
    fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer>;

    /// Sends the first `len` of `message` and waits for the reply, which replaces it. Gives the length
    /// of the reply.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize>;
}

impl<P: Port + ?Sized> Port for &P {
    fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer> {
        (**self).call(label, words, len)
    }

    fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize> {
        (**self).exchange(label, message, len)
    }
}

/// What a reply's label and length say.
///
/// A server's refusal has no words. The kernel's own refusal to invoke what is in the slot (an empty one
/// after a revocation, for one) has: it says which capability it means (`seL4_InvalidCapability`). Its
/// label would otherwise be taken for one of ours.
fn verdict(label: u64, len: usize) -> Result<()> {
    if label != 0 && len != 0 {
        return Err(Error::Gone);
    }
    Error::from_label(label)
}

impl Port for sel4::cap::Endpoint {
    #[inline]
    fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer> {
        let reply = self.call_with_mrs(MessageInfo::new(label, 0, 0, len), words);
        let len = reply.info.length();
        verdict(reply.info.label(), len)?;
        let mut words = reply.msg;
        for word in words.iter_mut().skip(len) {
            *word = 0;
        }
        Ok(Answer { words, len })
    }

    fn exchange(&self, label: u64, message: &mut Words, len: usize) -> Result<usize> {
        let len = len.min(MAX_WORDS);
        sel4::with_ipc_buffer_mut(|buffer| {
            buffer.msg_regs_mut()[..len].copy_from_slice(&message[..len]);
            let reply = self
                .with(&mut *buffer)
                .call(MessageInfo::new(label, 0, 0, len));
            let len = reply.length().min(MAX_WORDS);
            verdict(reply.label(), len)?;
            message[..len].copy_from_slice(&buffer.msg_regs()[..len]);
            Ok(len)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_refusal_is_not_taken_for_a_servers() {
        // seL4_InvalidCapability is 2, as Error::Malformed is; the kernel adds which capability it means.
        assert_eq!(verdict(2, 1), Err(Error::Gone));
        assert_eq!(verdict(2, 0), Err(Error::Malformed));
        assert_eq!(verdict(0, 4), Ok(()));
    }

    #[test]
    fn a_reply_that_is_too_short_is_an_error() {
        let answer = Answer {
            words: [0; 4],
            len: 1,
        };
        assert_eq!(answer.at_least(2), Err(Error::Unknown));
        assert!(answer.at_least(1).is_ok());
    }
}
