// SPDX-License-Identifier: BSD-2-Clause
//! From a message to an answer.
//!
//! Who asks is in the badge, what is asked in the label; the words are decoded
//! by the protocol library, which accepts any. Nothing here trusts a message
//! beyond that.

use xos_protocol::manager::{
    Connect, Consent, Create, CreateWithin, Created, Declare, Grow, ObjectKind, Op, Open, Pass,
    RegionCreate, Register, Share,
};
use xos_protocol::wire::{self, Words};
use xos_protocol::{Badge, Error, IcId, IcState, Name, RegionId, Result, Subject, Who};

use crate::Manager;
use crate::ic::Phase;
use crate::machine::Machine;

/// Words that travel in registers.
pub const REGISTERS: usize = 4;

/// What is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// 0, or an [`Error`]'s.
    pub label: u64,
    /// Words; those beyond the registers are in the buffer that was passed.
    pub length: usize,
    /// The first words.
    pub registers: [u64; REGISTERS],
}

impl Reply {
    /// Success, with these words.
    pub const fn ok(length: usize, registers: [u64; REGISTERS]) -> Self {
        Self {
            label: 0,
            length,
            registers,
        }
    }

    /// A refusal.
    pub const fn refused(error: Error) -> Self {
        Self {
            label: error.label(),
            length: 0,
            registers: [0; REGISTERS],
        }
    }

    const EMPTY: Self = Self::ok(0, [0; REGISTERS]);

    const fn one(word: u64) -> Self {
        Self::ok(1, [word, 0, 0, 0])
    }

    const fn two(words: [u64; 2]) -> Self {
        Self::ok(2, [words[0], words[1], 0, 0])
    }

    /// A structure, encoded into the buffer.
    fn long<T: serde::Serialize>(value: &T, words: &mut Words) -> Result<Self> {
        let length = wire::encode(value, words)?;
        let mut registers = [0; REGISTERS];
        registers.copy_from_slice(&words[..REGISTERS]);
        Ok(Self::ok(length, registers))
    }
}

impl Manager<'_> {
    /// The answer to the smallest request, if this is one: its caller's id. It has the shortest path, since
    /// it is what latency is measured by.
    #[inline]
    pub fn ping(&self, badge: Badge, label: u64) -> Option<u64> {
        if label != Op::Ping.label() {
            return None;
        }
        self.caller(badge)
            .ok()
            .map(|caller| self.ics[caller].id.word())
    }

    /// Answers a request: its badge, label, number of words, and the first of them.
    ///
    /// Total: any request gives an answer. `words` is scratch space, and afterwards the words of a
    /// reply that is longer than the registers.
    #[inline]
    pub fn serve<M: Machine>(
        &mut self,
        m: &mut M,
        badge: Badge,
        label: u64,
        length: usize,
        registers: [u64; REGISTERS],
        words: &mut Words,
    ) -> Reply {
        let mut sent = [0; REGISTERS];
        let count = length.min(REGISTERS);
        sent[..count].copy_from_slice(&registers[..count]);
        self.answer(m, badge, label, sent, words)
            .unwrap_or_else(Reply::refused)
    }

    /// The IC that a badge says is speaking.
    #[inline]
    fn caller(&self, badge: Badge) -> Result<u32> {
        match badge.who() {
            Who::Itself(index) => match self.ics.get(index) {
                Some(ic) if ic.phase == Phase::Alive => Ok(index),
                _ => Err(Error::Gone),
            },
            Who::Channel(id) => self
                .channels
                .get(id as usize)
                .and_then(|link| link.get())
                .ok_or(Error::NotAllowed),
            _ => Err(Error::NotAllowed),
        }
    }

    #[inline(never)]
    fn answer<M: Machine>(
        &mut self,
        m: &mut M,
        badge: Badge,
        label: u64,
        args: [u64; REGISTERS],
        words: &mut Words,
    ) -> Result<Reply> {
        let caller = self.caller(badge)?;
        let op = Op::from_label(label)?;
        let [a, b, c, d] = args;
        let ic = IcId::from_word(a);
        let subject = Subject::from_word(a);
        let done = |()| Reply::EMPTY;
        let made = |created: Created| Reply::two(created.words());
        match op {
            Op::Ping => Ok(Reply::one(self.ics[caller].id.word())),
            Op::Create => {
                let created = self.create(m, caller, Create::from_words(args)?)?;
                let name = Create::name(args);
                if name != Name::EMPTY {
                    self.annotate(caller, created.id, name)?;
                }
                Ok(made(created))
            }
            Op::CreateWithin => self
                .create_within(m, caller, CreateWithin::from_words(args)?)
                .map(made),
            Op::Grow => self.grow(m, caller, Grow::from_words(args)?).map(made),
            Op::Destroy => self
                .destroy(m, caller, ic)
                .map(|back| Reply::one(back as u64)),
            Op::Suspend => self.suspend(m, caller, ic).map(done),
            Op::Resume => self.resume(m, caller, ic).map(done),
            Op::Stat => Reply::long(&self.stat(caller, subject)?, words),
            Op::List => Reply::long(&self.list(caller, a), words),
            Op::Watch => self.watch(m, caller, subject, b).map(done),
            Op::Annotate => self
                .annotate(caller, ic, Name::from_words([b, c, d]))
                .map(done),
            Op::RegionCreate => self
                .region_create(m, caller, RegionCreate::from_words(args)?)
                .map(|id| Reply::one(id.word())),
            Op::RegionResize => self
                .region_resize(m, caller, RegionId::from_word(a), b, c)
                .map(done),
            Op::RegionDestroy => self
                .region_destroy(m, caller, RegionId::from_word(a))
                .map(done),
            Op::Share => self.share(m, caller, Share::from_words(args)?).map(done),
            Op::Unshare => self
                .unshare(m, caller, RegionId::from_word(a), Subject::from_word(b))
                .map(done),
            Op::Connect => self
                .connect(m, caller, Connect::from_words(args)?)
                .map(|session| Reply::one(session as u64)),
            Op::Close => self.close(m, caller, a).map(done),
            Op::Make => self.make(m, caller, ObjectKind::from_word(a)?, b).map(done),
            Op::Register => self.register(caller, Register::from_words(args)?).map(done),
            Op::Open => self
                .open(m, caller, Open::from_words(args)?)
                .map(|(session, server)| Reply::two([session as u64, server.word()])),
            Op::Services => Reply::long(&self.services(a), words),
            Op::Graph => Reply::long(&self.graph(caller, a), words),
            Op::NextEvent => Ok(Reply::two(self.next_event(caller).words())),
            Op::Budget => self
                .budget(caller, subject)
                .map(|b| Reply::ok(3, [b.quota, b.spent, b.ics_left, 0])),
            Op::Free => self
                .free_for(caller)
                .map(|f| Reply::ok(4, [f.bytes, f.slots, f.ics, f.sessions])),
            Op::PowerOff if self.ics[caller].supervisor => {
                m.power_off(a);
                Ok(Reply::EMPTY)
            }
            Op::Empower if self.ics[caller].supervisor => {
                let index = self.known(ic)?;
                self.ics[index].supervisor = true;
                Ok(Reply::EMPTY)
            }
            Op::PowerOff | Op::Empower => Err(Error::NotAllowed),
            Op::Ended => self.ended(m, caller, ic).map(done),
            Op::Keep => self.keep(caller, a, b).map(done),
            Op::Bind => self.bind(m, caller, a).map(done),
            Op::Agree => self.agree(caller, a, Consent::from_bits(b)?).map(done),
            Op::Pass => self
                .pass(m, caller, Pass::from_words(args)?)
                .map(|session| Reply::one(session as u64)),
            Op::SecondStage => self.second_stage(m, caller, ic, b).map(done),
            Op::Raise => self.raise(caller, ic, b).map(done),
            Op::Declare => self.declare(caller, Declare::from_words(args)?).map(done),
        }
    }

    /// An IC that the caller created is called this in lists. It is composed then.
    fn annotate(&mut self, caller: u32, id: IcId, name: Name) -> Result<()> {
        let index = self.created_by(caller, id)?;
        let ic = &mut self.ics[index];
        ic.name = name;
        if ic.state == IcState::New {
            ic.state = IcState::Ready;
        }
        Ok(())
    }
}
