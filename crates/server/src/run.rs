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

    /// Answers the last caller.
    fn reply(&mut self, reply: &Reply);
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

    /// Answers the last caller if that is due: for a loop that ends.
    pub fn finish<K: Kernel>(&mut self, kernel: &mut K) {
        if core::mem::take(&mut self.replies) {
            kernel.reply(&self.reply);
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
        let mut caller = false;
        self.replies = match received.badge.who() {
            Who::Notified(bits) => {
                let mut deferred = Deferred::new(&mut self.slots, kernel, &mut caller);
                server.notified(bits, &mut deferred);
                false
            }
            who => {
                let request =
                    Request::new(received.label, &self.words[..received.len.min(MAX_WORDS)]);
                caller = true;
                let mut deferred = Deferred::new(&mut self.slots, kernel, &mut caller);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;
    use crate::fake::{Bench, Came};
    use proptest::prelude::*;
    use std::vec::Vec;

    const ECHO: u64 = 1;
    const WAIT: u64 = 2;
    const WAKE: u64 = 3;
    const END: u64 = 4;
    const FORGET: u64 = 5;

    /// Says back what it hears, and lets callers wait for each other.
    #[derive(Default)]
    struct Toy {
        waiting: Vec<Token>,
        bits: u64,
    }

    impl Server for Toy {
        fn call(
            &mut self,
            _who: Who,
            request: Request<'_>,
            reply: &mut Reply,
            deferred: &mut Deferred<'_>,
        ) -> Outcome {
            match request.label() {
                ECHO => reply.ok(request.words()),
                WAIT => match deferred.keep() {
                    Ok(token) => {
                        assert_eq!(deferred.keep().err(), Some(Error::BadState));
                        self.waiting.push(token);
                        Outcome::Deferred
                    }
                    Err(error) => reply.error(error),
                },
                WAKE => {
                    for token in self.waiting.drain(..) {
                        deferred.answer_with(token, Ok(request.words()));
                    }
                    reply.ok(&[])
                }
                END => Outcome::NoReply,
                FORGET => Outcome::Deferred,
                _ => reply.error(Error::NoSuchOperation),
            }
        }

        fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
            assert_eq!(deferred.keep().err(), Some(Error::BadState));
            self.bits |= bits;
        }
    }

    const CLIENT: Who = Who::Session(7);

    proptest! {
        #[test]
        fn every_word_of_a_message_and_no_other_arrives(words in proptest::collection::vec(any::<u64>(), 0..=MAX_WORDS)) {
            let mut bench = Bench::new(Toy::default(), 4);
            prop_assert_eq!(bench.call(CLIENT, ECHO, &words), Came::Answer(Ok(words.clone())));
            let mut registers = [0; 4];
            let len = words.len().min(4);
            registers[..len].copy_from_slice(&words[..len]);
            prop_assert_eq!(Request::new(ECHO, &words).registers(), registers);
        }
    }

    #[test]
    fn a_caller_that_was_kept_is_answered_once_and_its_slot_is_free_again() {
        let mut bench = Bench::new(Toy::default(), 1);
        for round in 0..3 {
            let Came::Kept(slot) = bench.call(CLIENT, WAIT, &[]) else {
                panic!("answered at once");
            };
            assert_eq!(
                bench.call(CLIENT, WAKE, &[round]),
                Came::Answer(Ok(Vec::new()))
            );
            assert_eq!(bench.answers(), [(slot, Ok(Vec::from([round])))]);
        }
    }

    #[test]
    fn one_caller_too_many_is_told_so_and_the_others_still_wait() {
        let mut bench = Bench::new(Toy::default(), 2);
        for _ in 0..2 {
            assert!(matches!(bench.call(CLIENT, WAIT, &[]), Came::Kept(_)));
        }
        assert_eq!(
            bench.call(CLIENT, WAIT, &[]),
            Came::Answer(Err(Error::TableFull))
        );
        assert_eq!(bench.kept(), 2);
    }

    #[test]
    fn who_says_that_it_ends_gets_no_reply() {
        let mut bench = Bench::new(Toy::default(), 1);
        assert_eq!(bench.call(Who::Itself(3), END, &[]), Came::Nothing);
    }

    #[test]
    fn a_caller_that_was_to_be_kept_and_was_not_is_told_of_it() {
        let mut bench = Bench::new(Toy::default(), 1);
        assert_eq!(
            bench.call(CLIENT, FORGET, &[]),
            Came::Answer(Err(Error::Kernel))
        );
    }

    #[test]
    fn notifications_arrive_by_their_bits_and_answer_nobody() {
        let mut bench = Bench::new(Toy::default(), 1);
        bench.notify(0b101);
        assert_eq!(bench.server.bits, 0b101);
    }

    #[test]
    fn a_badge_is_all_that_says_who_calls() {
        struct Namer;
        impl Server for Namer {
            fn call(
                &mut self,
                who: Who,
                _: Request<'_>,
                reply: &mut Reply,
                _: &mut Deferred<'_>,
            ) -> Outcome {
                reply.ok(&[Badge::new(who).map_or(0, Badge::word)])
            }
        }
        let mut bench = Bench::new(Namer, 0);
        for who in [
            Who::Channel(3),
            Who::Session(9),
            Who::Handle(4000),
            Who::Itself(1),
        ] {
            let word = Badge::new(who).unwrap().word();
            assert_eq!(bench.call(who, 0, &[]), Came::Answer(Ok(Vec::from([word]))));
        }
    }
}
