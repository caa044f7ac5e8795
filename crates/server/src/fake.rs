// SPDX-License-Identifier: BSD-2-Clause
//! A server on the host: requests are method calls, and time stands still in between.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec;
use std::vec::Vec;

use xos_client::{Answer, Port};
use xos_protocol::manager::{Create, CreateWithin, Created, Event, Grow, Op, PAGE, Payer};
use xos_protocol::wire::{MAX_WORDS, Words};
use xos_protocol::{Badge, Error, IcId, RegionId, Result, Who};

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
    saved: BTreeSet<u32>,
    answers: Vec<(u32, Told)>,
}

fn told(label: u64, words: &[u64]) -> Told {
    Error::from_label(label).map(|()| words.to_vec())
}

impl SavedReplies for Fake {
    fn save(&mut self, slot: u32) -> Result<()> {
        assert!(core::mem::take(&mut self.caller), "no caller to save");
        assert!(self.saved.insert(slot), "slot in use");
        self.kept = Some(slot);
        Ok(())
    }

    fn answer(&mut self, slot: u32, label: u64, words: &[u64]) {
        assert!(self.saved.remove(&slot), "nobody in that slot");
        self.answers.push((slot, told(label, words)));
    }
}

impl Kernel for Fake {
    fn next(&mut self, reply: Option<&Reply>, words: &mut Words) -> Received {
        if let Some(reply) = reply {
            self.reply(reply);
        }
        // Receiving again drops the right to answer.
        self.caller = false;
        let (badge, label, given) = self.next.take().expect("a message to receive");
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

    fn reply(&mut self, reply: &Reply) {
        assert!(core::mem::take(&mut self.caller), "a reply to nobody");
        self.answer = Some(told(reply.label(), reply.words()));
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
        self.state.finish(&mut self.kernel);
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

/// A manager that makes ICs out of nothing: what a [`FactoryServer`](crate::factory::FactoryServer) under
/// test asks. Use it as a port: `Manager::new(&fake)`.
#[derive(Default)]
pub struct FakeManager {
    state: RefCell<ManagerState>,
}

#[derive(Default)]
struct ManagerState {
    serial: u64,
    ics: BTreeMap<u32, IcId>,
    reaping: BTreeMap<u32, IcId>,
    events: VecDeque<Event>,
    reaper: bool,
    refusal: Option<(Op, Error)>,
    payers: BTreeMap<u32, u32>,
    asked: Vec<(Op, Vec<u64>)>,
}

impl FakeManager {
    /// Whether [`Op::Destroy`] is done by a reaper from now on: see [`reap`](Self::reap).
    pub fn set_reaper(&self, on: bool) {
        self.state.borrow_mut().reaper = on;
    }

    /// Which IC pays, by its index, for what is made for the client of a session; 0 for those that are not said.
    pub fn set_payer(&self, session: u32, payer: u32) {
        self.state.borrow_mut().payers.insert(session, payer);
    }

    /// Refuses the next request of this kind.
    pub fn refuse(&self, op: Op, error: Error) {
        self.state.borrow_mut().refusal = Some((op, error));
    }

    /// The reaper is done with everything.
    pub fn reap(&self) {
        let mut state = self.state.borrow_mut();
        while let Some((_, id)) = state.reaping.pop_first() {
            state.events.push_back(Event::Died(id));
        }
    }

    /// An IC dies without the factory's doing.
    pub fn kill(&self, id: IcId) {
        let mut state = self.state.borrow_mut();
        assert_eq!(state.ics.remove(&id.index()), Some(id), "no such IC");
        state.events.push_back(Event::Died(id));
    }

    /// A client's session ends.
    pub fn close(&self, session: u32) {
        self.state
            .borrow_mut()
            .events
            .push_back(Event::Closed(session));
    }

    /// The ICs that are alive.
    pub fn alive(&self) -> Vec<IcId> {
        self.state.borrow().ics.values().copied().collect()
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<(Op, Vec<u64>)> {
        core::mem::take(&mut self.state.borrow_mut().asked)
    }
}

impl ManagerState {
    fn create(&mut self, payer: u32) -> Result<Vec<u64>> {
        let index = (0..4096)
            .find(|i| !self.ics.contains_key(i) && !self.reaping.contains_key(i))
            .ok_or(Error::TableFull)?;
        self.serial += 1;
        let id = IcId::new(self.serial, index).expect("a small serial number");
        self.ics.insert(index, id);
        let created = Created {
            id,
            first: xos_protocol::slots::parts::FIRST_UNTYPED,
            payer,
            pieces: heapless::Vec::new(),
        };
        Ok(created.words().to_vec())
    }

    fn payer(&self, session: u32) -> u32 {
        self.payers.get(&session).copied().unwrap_or(0)
    }

    fn alive(&self, id: IcId) -> Result<()> {
        match self.ics.get(&id.index()) {
            Some(alive) if *alive == id => Ok(()),
            _ => Err(Error::Gone),
        }
    }

    fn answer(&mut self, op: Op, words: &[u64]) -> Result<Vec<u64>> {
        self.asked.push((op, words.to_vec()));
        if let Some((refused, error)) = self.refusal
            && refused == op
        {
            self.refusal = None;
            return Err(error);
        }
        let id = IcId::from_word(words.first().copied().unwrap_or(0));
        match op {
            Op::Create => {
                let words = words.first_chunk().ok_or(Error::Malformed)?;
                let payer = match Create::from_words(*words)?.payer {
                    Payer::Client(session) => self.payer(session),
                    _ => 0,
                };
                self.create(payer)
            }
            Op::CreateWithin => {
                let words = words.first_chunk().ok_or(Error::Malformed)?;
                let host = CreateWithin::from_words(*words)?.host;
                self.create(self.payer(host))
            }
            Op::Grow => {
                let words = words.first_chunk().ok_or(Error::Malformed)?;
                let Grow { id, pages, slot } = Grow::from_words(*words)?;
                self.alive(id)?;
                let bits = PAGE.ilog2() + pages.next_power_of_two().ilog2();
                let created = Created {
                    id,
                    first: slot,
                    payer: 0,
                    pieces: core::iter::once(bits as u8).collect(),
                };
                Ok(created.words().to_vec())
            }
            Op::Destroy => {
                self.alive(id)?;
                self.ics.remove(&id.index());
                if self.reaper {
                    self.reaping.insert(id.index(), id);
                }
                Ok(vec![u64::from(!self.reaper)])
            }
            Op::Suspend | Op::Resume | Op::Ended | Op::Annotate | Op::SecondStage => {
                self.alive(id).map(|()| Vec::new())
            }
            Op::NextEvent => {
                let event = self.events.pop_front().unwrap_or(Event::None);
                Ok(event.words().to_vec())
            }
            Op::RegionCreate => {
                self.serial += 1;
                let index = (self.serial % 4096) as u32;
                let region = RegionId::new(self.serial, index).expect("a small serial number");
                Ok(vec![region.word()])
            }
            Op::Register | Op::RegionDestroy | Op::Share | Op::Unshare => Ok(Vec::new()),
            _ => Err(Error::NoSuchOperation),
        }
    }
}

impl Port for FakeManager {
    fn call(&self, label: u64, words: [u64; 4], len: usize) -> Result<Answer> {
        let op = Op::from_label(label)?;
        let told = self.state.borrow_mut().answer(op, &words[..len])?;
        let mut words = [0; 4];
        words[..told.len()].copy_from_slice(&told);
        Ok(Answer {
            words,
            len: told.len(),
        })
    }

    fn exchange(&self, _label: u64, _message: &mut Words, _len: usize) -> Result<usize> {
        Err(Error::NoSuchOperation)
    }
}
