// SPDX-License-Identifier: BSD-2-Clause
//! A server on the host: requests are method calls, and time stands still in between.

use std::collections::BTreeMap;
use std::vec::Vec;

use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Badge, Error, Result, Who};

use crate::run::Loop;
use crate::{Kernel, Received, Reply, SavedReplies, Server};

/// What a caller was told.
pub type Told = Result<Vec<u64>>;

/// What came of a request when the server went on to receive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Came {
    /// It was answered.
    Answer(Told),
    /// It was kept, in this slot: see [`Bench::answers`].
    Kept(u32),
    /// It will never be answered.
    Nothing,
}

#[derive(Default)]
struct Fake {
    next: Option<(u64, u64, Vec<u64>)>,
    answer: Option<Told>,
    caller: bool,
    kept: Option<u32>,
    saved: BTreeMap<u32, ()>,
    answers: Vec<(u32, Told)>,
}

fn told(reply: &Reply) -> Told {
    Error::from_label(reply.label()).map(|()| reply.words().to_vec())
}

impl SavedReplies for Fake {
    fn save(&mut self, slot: u32) -> Result<()> {
        assert!(core::mem::take(&mut self.caller), "no caller to save");
        assert!(self.saved.insert(slot, ()).is_none(), "slot in use");
        self.kept = Some(slot);
        Ok(())
    }

    fn answer(&mut self, slot: u32, reply: &Reply) {
        assert!(self.saved.remove(&slot).is_some(), "nobody in that slot");
        self.answers.push((slot, told(reply)));
    }
}

impl Kernel for Fake {
    fn next(&mut self, reply: Option<&Reply>, words: &mut Words) -> Received {
        if let Some(reply) = reply {
            assert!(core::mem::take(&mut self.caller), "a reply to nobody");
            self.answer = Some(told(reply));
        }
        // Receiving again drops the right to answer.
        self.caller = false;
        let Some((badge, label, given)) = self.next.take() else {
            // Nothing to do: the server sees a notification without a bit.
            return Received {
                badge: Badge::from_word(0),
                label: 0,
                len: 0,
            };
        };
        // What a message is too short for is left as it happens to be in the registers.
        *words = [0xdead_beef; MAX_WORDS];
        words[..given.len()].copy_from_slice(&given);
        self.caller = badge & xos_protocol::badge::CALL != 0;
        Received {
            badge: Badge::from_word(badge),
            label,
            len: given.len(),
        }
    }
}

/// A server under test.
pub struct Bench<S> {
    /// The server.
    pub server: S,
    state: Loop,
    kernel: Fake,
}

impl<S: Server> Bench<S> {
    /// A server that has just begun to receive, and can keep so many callers.
    pub fn new(server: S, callers: u32) -> Self {
        Self {
            server,
            state: Loop::new(callers),
            kernel: Fake::default(),
        }
    }

    /// A request of up to 120 words.
    pub fn call(&mut self, who: Who, label: u64, words: &[u64]) -> Came {
        let badge = Badge::new(who)
            .expect("an index that a badge can carry")
            .word();
        self.kernel.next = Some((badge, label, words.to_vec()));
        self.kernel.kept = None;
        self.kernel.answer = None;
        self.state.turn(&mut self.kernel, &mut self.server);
        let kept = self.kernel.kept.take();
        // The server replies when it receives the next time.
        self.state.turn(&mut self.kernel, &mut self.server);
        match (self.kernel.answer.take(), kept) {
            (Some(answer), None) => Came::Answer(answer),
            (None, Some(slot)) => Came::Kept(slot),
            (None, None) => Came::Nothing,
            (Some(_), Some(_)) => panic!("kept and answered"),
        }
    }

    /// Notifications: a bit for each.
    pub fn notify(&mut self, bits: u64) {
        let badge = Badge::new(Who::Notified(bits)).expect("bits of notifications");
        self.kernel.next = Some((badge.word(), 0, Vec::new()));
        self.state.turn(&mut self.kernel, &mut self.server);
    }

    /// What kept callers were told since the last time, by slot.
    pub fn answers(&mut self) -> Vec<(u32, Told)> {
        core::mem::take(&mut self.kernel.answers)
    }

    /// How many callers are kept.
    pub fn kept(&self) -> usize {
        self.kernel.saved.len()
    }
}
