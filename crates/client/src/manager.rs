// SPDX-License-Identifier: BSD-2-Clause
//! The IC manager, as its clients see it.

use heapless::Vec;
use serde::de::DeserializeOwned;
use xos_protocol::manager::{
    Budget, Connect, Consent, Create, CreateWithin, Created, Declare, EdgePage, Event, Free, Grow,
    IcInfo, IcPage, ObjectKind, Op, Open, Pass, RegionCreate, Register, ServicePage, Share,
};
use xos_protocol::wire::{self, MAX_WORDS};
use xos_protocol::{Error, IcId, Name, RegionId, Result, Subject};

use crate::{Answer, Port};

/// A session that [`Manager::open`] began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its index, for [`Manager::close`].
    pub index: u32,
    /// Who serves it.
    pub server: IcId,
}

/// A session on the IC manager. What it may ask is a property of the session.
#[derive(Clone, Copy, Debug)]
pub struct Manager<P = sel4::cap::Endpoint>(P);

impl<P: Port> Manager<P> {
    /// The manager behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// The port.
    pub const fn port(&self) -> &P {
        &self.0
    }

    #[inline]
    fn ask<const N: usize>(&self, op: Op, words: [u64; N]) -> Result<Answer> {
        const { assert!(N <= 4) };
        let all = core::array::from_fn(|i| words.get(i).copied().unwrap_or(0));
        self.0.call(op.label(), all, N)
    }

    fn fetch<T: DeserializeOwned>(&self, op: Op, word: u64) -> Result<T> {
        let mut message = [0; MAX_WORDS];
        message[0] = word;
        let len = self.0.exchange(op.label(), &mut message, 1)?;
        wire::decode(&message[..len]).map_err(|_| Error::Unknown)
    }

    fn created(answer: Answer) -> Result<Created> {
        let [id, pieces, ..] = answer.at_least(2)?;
        Created::from_words([id, pieces]).map_err(|_| Error::Unknown)
    }

    /// [`Op::Ping`]: who the caller is.
    #[inline]
    pub fn ping(&self) -> Result<IcId> {
        let [id, ..] = self.ask(Op::Ping, [])?.at_least(1)?;
        Ok(IcId::from_word(id))
    }

    /// [`Op::Create`].
    pub fn create(&self, args: &Create) -> Result<Created> {
        Self::created(self.ask(Op::Create, args.words())?)
    }

    /// [`Op::Create`], and [`Op::Annotate`]: in one message if the name is short.
    pub fn create_named(&self, args: &Create, name: Name) -> Result<Created> {
        match args.named(name) {
            Some(words) => Self::created(self.ask(Op::Create, words)?),
            None => {
                let created = self.create(args)?;
                // What it is called in lists matters to nobody's life.
                let _ = self.annotate(created.id, name);
                Ok(created)
            }
        }
    }

    /// [`Op::CreateWithin`].
    pub fn create_within(&self, args: &CreateWithin) -> Result<Created> {
        Self::created(self.ask(Op::CreateWithin, args.words())?)
    }

    /// [`Op::Grow`].
    pub fn grow(&self, args: &Grow) -> Result<Created> {
        Self::created(self.ask(Op::Grow, args.words())?)
    }

    /// [`Op::Raise`].
    pub fn raise(&self, id: IcId, pages: u32) -> Result<()> {
        self.ask(Op::Raise, [id.word(), pages.into()]).map(drop)
    }

    /// [`Op::Destroy`]. Gives whether its memory is back already; if not, an [`Event::Died`] follows.
    pub fn destroy(&self, id: IcId) -> Result<bool> {
        let [done, ..] = self.ask(Op::Destroy, [id.word()])?.words;
        Ok(done == 1)
    }

    /// [`Op::Suspend`].
    pub fn suspend(&self, id: IcId) -> Result<()> {
        self.ask(Op::Suspend, [id.word()]).map(drop)
    }

    /// [`Op::Resume`].
    pub fn resume(&self, id: IcId) -> Result<()> {
        self.ask(Op::Resume, [id.word()]).map(drop)
    }

    /// [`Op::Ended`].
    pub fn ended(&self, id: IcId) -> Result<()> {
        self.ask(Op::Ended, [id.word()]).map(drop)
    }

    /// [`Op::Stat`].
    pub fn stat(&self, subject: Subject) -> Result<IcInfo> {
        self.fetch(Op::Stat, subject.word())
    }

    /// [`Op::List`]: the page at `cursor`, which is 0 for the first.
    pub fn list(&self, cursor: u64) -> Result<IcPage> {
        self.fetch(Op::List, cursor)
    }

    /// [`Op::Services`]: the page at `cursor`, which is 0 for the first.
    pub fn services(&self, cursor: u64) -> Result<ServicePage> {
        self.fetch(Op::Services, cursor)
    }

    /// [`Op::Graph`]: the page at `cursor`, which is 0 for the first.
    pub fn graph(&self, cursor: u64) -> Result<EdgePage> {
        self.fetch(Op::Graph, cursor)
    }

    /// [`Op::Watch`]. `slot` is a root slot of the caller with a notification, or 0 for the channel of a boot domain.
    pub fn watch(&self, subject: Subject, slot: u32) -> Result<()> {
        self.ask(Op::Watch, [subject.word(), slot.into()]).map(drop)
    }

    /// [`Op::Annotate`].
    pub fn annotate(&self, id: IcId, name: Name) -> Result<()> {
        let [a, b, c] = name.words();
        self.ask(Op::Annotate, [id.word(), a, b, c]).map(drop)
    }

    /// [`Op::RegionCreate`].
    pub fn region_create(&self, args: &RegionCreate) -> Result<RegionId> {
        let [id, ..] = self.ask(Op::RegionCreate, args.words())?.at_least(1)?;
        Ok(RegionId::from_word(id))
    }

    /// [`Op::RegionResize`]. `place` is where nodes with the new frames go, as in
    /// [`RegionCreate::place`], or 0.
    pub fn region_resize(&self, region: RegionId, pages: u32, place: u32) -> Result<()> {
        let words = [region.word(), pages.into(), place.into()];
        self.ask(Op::RegionResize, words).map(drop)
    }

    /// [`Op::RegionDestroy`].
    pub fn region_destroy(&self, region: RegionId) -> Result<()> {
        self.ask(Op::RegionDestroy, [region.word()]).map(drop)
    }

    /// [`Op::Share`].
    pub fn share(&self, args: &Share) -> Result<()> {
        self.ask(Op::Share, args.words()).map(drop)
    }

    /// [`Op::Unshare`].
    pub fn unshare(&self, region: RegionId, target: Subject) -> Result<()> {
        self.ask(Op::Unshare, [region.word(), target.word()])
            .map(drop)
    }

    /// [`Op::Connect`]. Gives the index of the session, which is also in the badge of its messages.
    pub fn connect(&self, args: &Connect) -> Result<u32> {
        let [session, ..] = self.ask(Op::Connect, args.words())?.at_least(1)?;
        Ok(session as u32)
    }

    /// [`Op::Agree`].
    pub fn agree(&self, session: u32, consent: Consent) -> Result<()> {
        self.ask(Op::Agree, [session.into(), consent.bits()])
            .map(drop)
    }

    /// [`Op::Pass`]. Gives the index of the new session.
    pub fn pass(&self, args: &Pass) -> Result<u32> {
        let [session, ..] = self.ask(Op::Pass, args.words())?.at_least(1)?;
        Ok(session as u32)
    }

    /// [`Op::SecondStage`].
    pub fn second_stage(&self, id: IcId, slot: u32) -> Result<()> {
        self.ask(Op::SecondStage, [id.word(), slot.into()])
            .map(drop)
    }

    /// [`Op::Declare`].
    pub fn declare(&self, args: &Declare) -> Result<()> {
        self.ask(Op::Declare, args.words()).map(drop)
    }

    /// [`Op::Keep`].
    pub fn keep(&self, first: u32, count: u32) -> Result<()> {
        self.ask(Op::Keep, [first.into(), count.into()]).map(drop)
    }

    /// [`Op::Bind`].
    pub fn bind(&self, slot: u32) -> Result<()> {
        self.ask(Op::Bind, [slot.into()]).map(drop)
    }

    /// [`Op::Close`].
    pub fn close(&self, session: u32) -> Result<()> {
        self.ask(Op::Close, [session.into()]).map(drop)
    }

    /// [`Op::Make`]: an object from the caller's own arena in an empty root slot of its CSpace.
    pub fn make(&self, kind: ObjectKind, slot: u32) -> Result<()> {
        self.ask(Op::Make, [kind as u64, slot.into()]).map(drop)
    }

    /// [`Op::Register`].
    pub fn register(&self, args: &Register) -> Result<()> {
        self.ask(Op::Register, args.words()).map(drop)
    }

    /// [`Op::Open`].
    pub fn open(&self, args: &Open) -> Result<Session> {
        let [index, server, ..] = self.ask(Op::Open, args.words())?.at_least(2)?;
        Ok(Session {
            index: index as u32,
            server: IcId::from_word(server),
        })
    }

    /// [`Op::NextEvent`].
    pub fn next_event(&self) -> Result<Event> {
        let [kind, detail, ..] = self.ask(Op::NextEvent, [])?.words;
        Event::from_words([kind, detail]).map_err(|_| Error::Unknown)
    }

    /// The clients of this server whose sessions were closed, one by one as the manager tells it: what a
    /// server that makes no ICs takes when the manager rings.
    pub fn closed_sessions(&self) -> impl Iterator<Item = u32> {
        let event = || self.next_event().ok().filter(|event| *event != Event::None);
        core::iter::from_fn(event).filter_map(|event| match event {
            Event::Closed(session) => Some(session),
            _ => None,
        })
    }

    /// [`Op::Budget`].
    pub fn budget(&self, subject: Subject) -> Result<Budget> {
        let [quota, spent, ics_left, _] = self.ask(Op::Budget, [subject.word()])?.at_least(3)?;
        Ok(Budget {
            quota,
            spent,
            ics_left,
        })
    }

    /// [`Op::Free`].
    pub fn free(&self) -> Result<Free> {
        let [bytes, slots, ics, sessions] = self.ask(Op::Free, [])?.at_least(4)?;
        Ok(Free {
            bytes,
            slots,
            ics,
            sessions,
        })
    }

    /// [`Op::Empower`].
    pub fn empower(&self, id: IcId) -> Result<()> {
        self.ask(Op::Empower, [id.word()]).map(drop)
    }

    /// [`Op::PowerOff`]. Comes back only with a refusal.
    pub fn power_off(&self, code: u32) -> Error {
        match self.ask(Op::PowerOff, [code.into()]) {
            Ok(_) => Error::Unknown,
            Err(error) => error,
        }
    }

    /// Calls `f` with every IC that this session may see, by [`Op::List`] page by page.
    pub fn each_ic(&self, mut f: impl FnMut(&IcInfo)) -> Result<()> {
        Self::each(|cursor| {
            let page = self.list(cursor)?;
            page.ics.iter().for_each(&mut f);
            Ok(page.next)
        })
    }

    /// The registered names, by [`Op::Services`] page by page: at most `N`, the rest is left out.
    pub fn all_services<const N: usize>(
        &self,
    ) -> Result<Vec<xos_protocol::manager::ServiceInfo, N>> {
        let mut all = Vec::new();
        Self::each(|cursor| {
            let page = self.services(cursor)?;
            for service in page.services {
                let _ = all.push(service);
            }
            Ok(page.next)
        })?;
        Ok(all)
    }

    /// Calls `f` with every edge that this session may see, by [`Op::Graph`] page by page.
    pub fn each_edge(&self, mut f: impl FnMut(&xos_protocol::manager::Edge)) -> Result<()> {
        Self::each(|cursor| {
            let page = self.graph(cursor)?;
            page.edges.iter().for_each(&mut f);
            Ok(page.next)
        })
    }

    /// Follows cursors from 0 until 0. One that does not grow would never end: that is [`Error::Unknown`].
    fn each(mut page: impl FnMut(u64) -> Result<u64>) -> Result<()> {
        let mut cursor = 0;
        loop {
            match page(cursor)? {
                0 => return Ok(()),
                next if next > cursor => cursor = next,
                _ => return Err(Error::Unknown),
            }
        }
    }
}
