// SPDX-License-Identifier: BSD-2-Clause
//! The loop, apart from the kernel.

use xos_client::Slots;
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Badge, Error, Who};

use crate::deferred::{self, SavedReplies};
use crate::{Deferred, Reply, Request};

/// What becomes of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It gets the reply that was built.
    Reply,
    /// It has been [kept](Deferred::keep), to be answered later.
    Deferred,
    /// It gets none, ever: an IC that said that it ends, or whose fault is its last.
    NoReply,
}

/// A server: what is between a request and its reply.
pub trait Server {
    /// A request. `who` is the only thing that says who asks; everything in `request` may be a lie.
    ///
    /// A fault message of the kernel's arrives here too, from the IC that made it, with a label from 1
    /// to 5 ([`faults`](crate::faults)); an empty reply lets the IC go on.
    ///
    /// It must not block: whoever calls next waits as long.
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome;

    /// Notifications: a bit for each channel or interrupt that has one.
    fn notified(&mut self, _bits: u64, _deferred: &mut Deferred<'_>) {}
}

/// What was received, beside its words.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Who sent it.
    pub badge: Badge,
    /// Its label.
    pub label: u64,
    /// How many words it has.
    pub len: usize,
}

/// What the loop needs of a kernel.
pub trait Kernel: SavedReplies {
    /// Answers the last caller, if there is a reply, and waits for the next message, whose words it
    /// writes to `words`.
    fn next(&mut self, reply: Option<&Reply>, words: &mut Words) -> Received;
}

/// The state of a loop between two messages.
pub struct Loop {
    words: Words,
    reply: Reply,
    replies: bool,
    slots: Slots,
}

impl Loop {
    /// A loop that can keep so many callers (at most 256).
    pub const fn new(callers: u32) -> Self {
        let callers = if callers > deferred::MAX {
            deferred::MAX
        } else {
            callers
        };
        Self {
            words: [0; MAX_WORDS],
            reply: Reply::new(),
            replies: false,
            slots: Slots::new(0, callers),
        }
    }

    /// Answers the last caller if that is due, receives one message, and has the server see to it.
    #[inline]
    pub fn turn<K: Kernel, S: Server>(&mut self, kernel: &mut K, server: &mut S) {
        let reply = if self.replies {
            Some(&self.reply)
        } else {
            None
        };
        let received = kernel.next(reply, &mut self.words);
        self.replies = match received.badge.who() {
            Who::Notified(bits) => {
                server.notified(bits, &mut Deferred::new(&mut self.slots, kernel, false));
                false
            }
            who => {
                let request =
                    Request::new(received.label, &self.words[..received.len.min(MAX_WORDS)]);
                let mut deferred = Deferred::new(&mut self.slots, kernel, true);
                self.reply.label = 0;
                self.reply.len = 0;
                let outcome = server.call(who, request, &mut self.reply, &mut deferred);
                match (outcome, deferred.has_caller()) {
                    (Outcome::Reply, true) => true,
                    (Outcome::Reply | Outcome::Deferred, false) | (Outcome::NoReply, _) => false,
                    // Nobody was kept: to say nothing would let the caller wait for ever.
                    (Outcome::Deferred, true) => {
                        let _ = self.reply.error(Error::Kernel);
                        true
                    }
                }
            }
        };
    }
}
