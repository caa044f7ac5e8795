// SPDX-License-Identifier: BSD-2-Clause
//! The loop of a factory: what all factories have in common.

use xos_client::{Manager, Port};
use xos_protocol::factory::{Entry as Start, HandleOp, SelfOp, SessionOp, Spec, When};
use xos_protocol::manager::{Event, Payer, Register, ServiceKind, Successor};
use xos_protocol::slots::DOMAIN_ROOT_RADIX;
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Error, ExitStatus, IcId, Name, Result, Who};

use super::table::{Entry, State, Table};
use super::{Factory, Fate, Maker, Member, Shares};
use crate::{Deferred, Outcome, Reply, Request, Server, Space, faults};

/// Words of a request that counts as short.
const SHORT: usize = 16;

/// A [`Factory`] as a [`Server`], with at most `N` ICs at a time.
///
/// `N` root slots of the CSpace, from [`Space::first_place`] on, are its own, for parts nodes. Of these, and of the
/// callers that can be kept, nobody can have all ([`Shares`]).
pub struct FactoryServer<F: Factory, const N: usize, P = sel4::cap::Endpoint> {
    members: Members<F, N, P>,
    callers: Shares,
}

/// All but the count of callers, which changes while they are answered.
struct Members<F: Factory, const N: usize, P> {
    factory: F,
    manager: Manager<P>,
    space: Space,
    ics: Table<F::Ic, N>,
    shares: Shares,
}

/// An IC of a table, for its factory.
fn member<I, const N: usize>(
    ics: &mut Table<I, N>,
    space: Space,
    place: u32,
) -> Result<Member<'_, I>> {
    let entry = ics.get(place).ok_or(Error::Gone)?;
    Ok(Member {
        id: entry.id,
        parts: space.node(place),
        client: entry.client,
        state: entry.state,
        data: entry.data.as_mut().ok_or(Error::Gone)?,
    })
}

impl<F: Factory, const N: usize, P: Port + Copy> FactoryServer<F, N, P> {
    /// A factory without ICs.
    ///
    /// # Panics
    /// If so many do not fit into the CSpace: in a constant, which is where it is, at compile time.
    pub const fn new(factory: F, manager: Manager<P>, space: Space) -> Self {
        assert!(N <= space.max_places() as usize);
        Self {
            members: Members {
                factory,
                manager,
                space,
                ics: Table::new(space.first_place()),
                shares: Shares::new(),
            },
            callers: Shares::new(),
        }
    }

    /// Makes it known under a name, from the domain's input endpoint.
    ///
    /// # Errors
    /// The manager's.
    pub fn register(&self, name: &str, successor: Successor) -> Result<()> {
        self.register_at(0, name, successor)
    }

    /// Makes it known under a name, from the endpoint that was made in root slot `endpoint` of the CSpace.
    ///
    /// # Errors
    /// The manager's.
    pub fn register_at(&self, endpoint: u32, name: &str, successor: Successor) -> Result<()> {
        self.members.manager.register(&Register {
            name: Name::new(name),
            endpoint,
            kind: ServiceKind::Factory,
            successor,
        })
    }

    /// The factory.
    pub fn factory(&mut self) -> &mut F {
        &mut self.members.factory
    }

    /// The CSpace that its ICs' parts nodes lie in.
    pub const fn space(&self) -> Space {
        self.members.space
    }

    /// How many more ICs fit.
    pub fn available(&self) -> u32 {
        self.members.ics.available()
    }
}

impl<F: Factory, const N: usize, P: Port + Copy> Members<F, N, P> {
    /// The place of the IC that a badge means.
    fn place(&self, index: u32) -> Result<u32> {
        self.ics.place_of(index).ok_or(Error::Gone)
    }

    /// Calls `f` with the factory and one of its ICs.
    fn with<R>(&mut self, place: u32, f: impl FnOnce(&mut F, Member<'_, F::Ic>) -> R) -> Result<R> {
        let member = member(&mut self.ics, self.space, place)?;
        Ok(f(&mut self.factory, member))
    }

    fn state(&mut self, place: u32) -> Result<&mut State> {
        Ok(&mut self.ics.get(place).ok_or(Error::Gone)?.state)
    }

    // Making.

    fn make(
        &mut self,
        (payer, client): (Payer, u32),
        handle: u64,
        state: State,
        deferred: &mut Deferred<'_>,
        make: impl FnOnce(&mut F, &mut Table<F::Ic, N>, &mut Maker<'_>) -> Result<F::Ic>,
    ) -> Result<[u64; 1]> {
        if handle == 0 || handle >> DOMAIN_ROOT_RADIX != 0 {
            return Err(Error::BadSlot);
        }
        let place = self.ics.take_place().ok_or(Error::TableFull)?;
        let manager = Manager::new(*self.manager.port());
        let mut maker = Maker::new(
            &manager,
            self.space,
            (&mut self.shares, N as u32),
            payer,
            client,
            handle as u32,
            place,
        );
        let result = make(&mut self.factory, &mut self.ics, &mut maker);
        let (within, counted) = (maker.is_within(), maker.counted());
        let Some(id) = maker.made() else {
            self.ics.give_place(place);
            // A factory that says that it made one and has not is wrong.
            return result.and(Err(Error::Kernel));
        };
        // The index may be that of an IC that died a moment ago, of which we have not been told yet.
        if let Some(old) = self.ics.place_of(id.index()) {
            self.finish(old, ExitStatus::Killed, deferred);
        }
        let (data, state, result) = match result {
            Ok(data) => (Some(data), state, Ok([id.word()])),
            Err(error) => (None, State::Ended(ExitStatus::Killed), Err(error)),
        };
        let failed = data.is_none();
        self.ics.insert(
            place,
            Entry {
                id,
                client,
                counted,
                within,
                state,
                waiters: heapless::Vec::new(),
                stands: false,
                freezer: None,
                model: IcId::NONE,
                clones: 0,
                data,
            },
        );
        if failed {
            // The client is told why it could not be made; there is nothing to add.
            let _ = self.destroy(place, ExitStatus::Killed, deferred);
        }
        result
    }

    // Ending.

    /// The IC has ended by itself or been killed, and stands still.
    fn end(&mut self, place: u32, status: ExitStatus, deferred: &mut Deferred<'_>) {
        let _ = self.with(place, |factory, ic| factory.ended(ic, status));
        self.release(place, status, deferred);
        self.answer_freezer(place, Err(Error::BadState), deferred);
        let Some(entry) = self.ics.get(place) else {
            return;
        };
        if entry.waiters.is_empty() {
            let frozen = entry.state == State::Frozen;
            entry.state = State::Ended(status);
            if !frozen {
                // Should it be gone already, its event is on the way.
                let _ = self.manager.ended(entry.id);
            }
        } else {
            // Who waits is told of an error by this very call.
            let _ = self.destroy(place, status, deferred);
        }
    }

    /// Has the manager reclaim the IC. Should it refuse, who waits is told, and the IC stays as one that
    /// has ended.
    fn destroy(
        &mut self,
        place: u32,
        status: ExitStatus,
        deferred: &mut Deferred<'_>,
    ) -> Result<()> {
        let entry = self.ics.get(place).ok_or(Error::Gone)?;
        match self.manager.destroy(entry.id) {
            // Gone: it died before we asked.
            Ok(true) | Err(Error::Gone) => self.finish(place, status, deferred),
            // The reaper is at it: an event follows.
            Ok(false) => entry.state = State::Going(status),
            Err(error) => {
                entry.state = State::Ended(status);
                for waiter in core::mem::take(&mut entry.waiters) {
                    deferred.answer_with(waiter, Err(error));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Has the factory answer the callers that it keeps because of an IC.
    fn release(&mut self, place: u32, status: ExitStatus, deferred: &mut Deferred<'_>) {
        if let Some(entry) = self.ics.get(place)
            && let Some(data) = &mut entry.data
        {
            self.factory.release(entry.id, data, status, deferred);
        }
    }

    /// The IC is gone: answers who waited, and forgets it.
    fn finish(&mut self, place: u32, status: ExitStatus, deferred: &mut Deferred<'_>) {
        self.end_clones(place, deferred);
        self.answer_freezer(place, Err(Error::Gone), deferred);
        self.release(place, status, deferred);
        let Some(entry) = self.ics.remove(place) else {
            return;
        };
        if let Some(payer) = entry.counted {
            self.shares.give(payer);
        }
        if let Some(model) = self.ics.place_of(entry.model.index())
            && let Some(model) = self.ics.get(model)
            && model.id == entry.model
        {
            model.clones -= 1;
        }
        for waiter in entry.waiters {
            deferred.answer_with(waiter, Ok(&status.words()));
        }
        if let Some(data) = entry.data {
            self.factory.gone(entry.id, data);
        }
    }

    /// What its clones have of it is gone with it, so they end: before its place can be another's.
    fn end_clones(&mut self, place: u32, deferred: &mut Deferred<'_>) {
        let Some(Entry {
            id, clones: 1.., ..
        }) = self.ics.get(place)
        else {
            return;
        };
        let id = *id;
        for clone in self.ics.places() {
            match self.ics.get(clone) {
                Some(entry) if entry.model == id => entry.model = IcId::NONE,
                _ => continue,
            }
            if let Ok(State::Ended(_) | State::Going(_)) = self.state(clone) {
                continue;
            }
            let _ = self.halt(clone);
            self.end(clone, ExitStatus::Killed, deferred);
        }
    }

    /// Stops an IC.
    fn halt(&mut self, place: u32) -> Result<()> {
        let id = self.ics.get(place).ok_or(Error::Gone)?.id;
        self.manager.suspend(id)
    }

    fn died(&mut self, id: IcId, deferred: &mut Deferred<'_>) {
        let Some(place) = self.ics.place_of(id.index()) else {
            return;
        };
        let Some(entry) = self.ics.get(place) else {
            return;
        };
        if entry.id != id {
            return;
        }
        let status = match entry.state {
            State::Going(status) | State::Ended(status) => status,
            _ => ExitStatus::Killed,
        };
        self.finish(place, status, deferred);
    }

    /// Asks the manager what happened, until it has no more to say.
    fn drain(&mut self, deferred: &mut Deferred<'_>) {
        loop {
            match self.manager.next_event() {
                Ok(Event::Died(id)) => self.died(id, deferred),
                Ok(Event::Closed(client)) => self.factory.closed(client),
                Ok(Event::None) | Err(_) => return,
            }
        }
    }

    // Requests.

    fn create(
        &mut self,
        client: u32,
        handle: u64,
        spec: &[u8],
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let spec = match postcard::take_from_bytes::<Spec<'_>>(spec) {
            Ok((spec, rest)) if rest.len() < 8 => spec,
            _ => return reply.error(Error::Malformed),
        };
        let payer = (Payer::Client(client), client);
        let made = self.make(
            payer,
            handle,
            State::Ready,
            deferred,
            |factory, _, maker| factory.create(maker, &spec),
        );
        reply.result(made)
    }

    fn asked_by_client(
        &mut self,
        client: u32,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        match SessionOp::from_label(request.label()) {
            Ok(SessionOp::Describe) => reply.encode(&self.factory.describe()),
            Ok(SessionOp::Create) => {
                // Most specifications are short, and a large buffer is dear to prepare.
                if request.words().len() <= SHORT {
                    let mut buffer = [0; 8 * SHORT];
                    for (bytes, word) in buffer.chunks_exact_mut(8).zip(request.words()) {
                        bytes.copy_from_slice(&word.to_le_bytes());
                    }
                    let len = 8 * request.words().len();
                    let bytes = buffer.get(8..len).unwrap_or_default();
                    self.create(client, request.word(0), bytes, reply, deferred)
                } else {
                    let mut buffer = [0; MAX_BYTES];
                    let bytes = request.bytes(1, &mut buffer);
                    self.create(client, request.word(0), bytes, reply, deferred)
                }
            }
            Ok(SessionOp::Spawn) => {
                let entry = match Start::from_words(request.registers()) {
                    Ok(entry) => entry,
                    Err(error) => return reply.error(error),
                };
                let handle = entry.handle.into();
                let payer = (Payer::Client(client), client);
                let made = self.make(
                    payer,
                    handle,
                    State::Running,
                    deferred,
                    |factory, _, maker| factory.spawn(maker, &entry),
                );
                reply.result(made)
            }
            Err(error) => reply.error(error),
        }
    }

    fn asked_by_holder(
        &mut self,
        place: u32,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let op = HandleOp::from_label(request.label())?;
        let state = *self.state(place)?;
        match (op, state) {
            (HandleOp::Stat, _) => {
                let id = self.ics.get(place).ok_or(Error::Gone)?.id;
                return Ok(reply.ok(&[state.told() as u64, id.word()]));
            }
            (HandleOp::Wait, _) => return self.wait(place, state, reply, deferred),
            (HandleOp::Snapshot | HandleOp::Clone, _) if !F::CLONES => {
                return Err(Error::NotSupported);
            }
            // What has ended stays as it is; killing it again is no error.
            (HandleOp::Kill, State::Ended(_) | State::Going(_)) => {}
            (HandleOp::Invoke, State::Ended(_)) if F::OUTLIVES => {
                return self.invoke(place, request, reply, deferred);
            }
            (_, State::Ended(_) | State::Going(_)) => return Err(Error::BadState),
            // It stands still.
            (HandleOp::Kill, State::Frozen) => self.end(place, ExitStatus::Killed, deferred),
            (HandleOp::Kill, _) => {
                // Gone: its event is on the way, and ends it as killed.
                self.halt(place)?;
                self.end(place, ExitStatus::Killed, deferred);
            }
            (HandleOp::Start, State::Ready) => {
                self.with(place, |factory, ic| factory.start(ic))??;
                *self.state(place)? = State::Running;
            }
            (HandleOp::Suspend, State::Running) => {
                self.halt(place)?;
                *self.state(place)? = State::Suspended;
            }
            (HandleOp::Resume, State::Suspended) => {
                let id = self.ics.get(place).ok_or(Error::Gone)?.id;
                self.manager.resume(id)?;
                *self.state(place)? = State::Running;
            }
            (HandleOp::Start | HandleOp::Suspend | HandleOp::Resume, _) => {
                return Err(Error::BadState);
            }
            (HandleOp::Invoke, _) => return self.invoke(place, request, reply, deferred),
            (HandleOp::Snapshot, State::Running | State::Suspended) => {
                let entry = self.ics.get(place).ok_or(Error::Gone)?;
                if When::from_word(request.word(0))? == When::Stands && !entry.stands {
                    if entry.freezer.is_some() {
                        return Err(Error::TableFull);
                    }
                    entry.freezer = Some(deferred.keep()?);
                    return Ok(Outcome::Deferred);
                }
                self.snapshot(place, state)?;
            }
            (HandleOp::Clone, State::Frozen) => {
                let made = self.clone(place, request.word(0), deferred)?;
                return Ok(reply.ok(&made));
            }
            (HandleOp::Snapshot | HandleOp::Clone, _) => return Err(Error::BadState),
        }
        Ok(reply.ok(&[]))
    }

    /// Freezes an IC. For the manager it has ended: nobody can let it go on, and nothing but its memory
    /// is kept.
    fn snapshot(&mut self, place: u32, state: State) -> Result<()> {
        if state == State::Running {
            self.halt(place)?;
        }
        let frozen = self.with(place, |factory, ic| factory.snapshot(ic))?;
        let id = self.ics.get(place).ok_or(Error::Gone)?.id;
        if let Err(error) = frozen {
            if state == State::Running {
                self.manager.resume(id)?;
            }
            return Err(error);
        }
        self.manager.ended(id)?;
        *self.state(place)? = State::Frozen;
        Ok(())
    }

    /// An IC says that it stands. It is not answered, and so it does.
    fn stands(
        &mut self,
        place: u32,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let state = *self.state(place)?;
        let entry = self.ics.get(place).ok_or(Error::Gone)?;
        if entry.model != IcId::NONE {
            return Ok(reply.ok(&[]));
        }
        entry.stands = true;
        if entry.freezer.is_some() {
            let frozen = self.snapshot(place, state);
            self.answer_freezer(place, frozen, deferred);
        }
        Ok(Outcome::NoReply)
    }

    fn answer_freezer(&mut self, place: u32, with: Result<()>, deferred: &mut Deferred<'_>) {
        if let Some(entry) = self.ics.get(place)
            && let Some(freezer) = entry.freezer.take()
        {
            deferred.answer_with(freezer, with.map(|()| &[][..]));
        }
    }

    /// Makes a clone of a frozen IC, on the budget of whoever pays for that one.
    fn clone(&mut self, place: u32, handle: u64, deferred: &mut Deferred<'_>) -> Result<[u64; 1]> {
        let model = self.ics.get(place).ok_or(Error::Gone)?;
        let id = model.id;
        let payer = (Payer::PayerOf(id.index()), model.client);
        let space = self.space;
        let made = self.make(
            payer,
            handle,
            State::Ready,
            deferred,
            |factory, ics, maker| factory.clone(maker, member(ics, space, place)?),
        )?;
        let clone = self.place(IcId::from_word(made[0]).index())?;
        match self.ics.get(place) {
            Some(model) if model.id == id => model.clones += 1,
            _ => {
                // It died a moment ago, and was found out by its clone's having got its index.
                self.destroy(clone, ExitStatus::Killed, deferred)?;
                return Err(Error::Gone);
            }
        }
        self.ics.get(clone).ok_or(Error::Gone)?.model = id;
        Ok(made)
    }

    fn invoke(
        &mut self,
        place: u32,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        self.with(place, |factory, ic| {
            factory.invoke(ic, request, reply, deferred)
        })
    }

    /// Somebody asks how an IC ended. If it has, it is destroyed, and the caller answered when its memory
    /// is back.
    fn wait(
        &mut self,
        place: u32,
        state: State,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        // Before anything is destroyed: the status must not be lost.
        if deferred.is_full() {
            return Err(Error::TableFull);
        }
        if let State::Ended(status) = state {
            self.destroy(place, status, deferred)?;
            if self.ics.get(place).is_none() {
                return Ok(reply.ok(&status.words()));
            }
        }
        let waiters = &mut self.ics.get(place).ok_or(Error::Gone)?.waiters;
        if waiters.is_full() {
            return Err(Error::TableFull);
        }
        // There is room: nothing comes back.
        let _ = waiters.push(deferred.keep()?);
        Ok(Outcome::Deferred)
    }

    fn asked_by_ic(
        &mut self,
        place: u32,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Result<Outcome> {
        let state = *self.state(place)?;
        let fault = faults::read(&request);
        match state {
            State::Running | State::Suspended => {}
            // Whatever is answered to a fault lets who made it go on, and it would only make it again.
            _ if fault.is_some() && !self.is_within(place) => return Ok(Outcome::NoReply),
            // It stands still, so this is somebody else who has its capability: within one CSpace all do.
            State::Frozen | State::Ended(_) | State::Going(_) => return Err(Error::Gone),
            State::Ready => return Err(Error::BadState),
        }
        if let Some(fault) = fault {
            return Ok(
                match self.with(place, |factory, ic| factory.fault(ic, &fault))? {
                    Fate::Retry => reply.ok(&[]),
                    Fate::GoesOn => Outcome::NoReply,
                    Fate::Ends(status) => {
                        self.end(place, status, deferred);
                        Outcome::NoReply
                    }
                },
            );
        }
        match SelfOp::from_label(request.label()) {
            Ok(SelfOp::Exit) if F::EXITS => {
                let code = request.word(0) as u32 as i32;
                self.end(place, ExitStatus::Code(code), deferred);
                Ok(Outcome::NoReply)
            }
            Ok(SelfOp::Arguments) => {
                let (address, bytes) = self.with(place, |factory, ic| factory.arguments(ic))??;
                Ok(reply.ok(&[address, bytes]))
            }
            Ok(SelfOp::Stand) if F::CLONES => self.stands(place, reply, deferred),
            Ok(SelfOp::Touch) => {
                let (address, code) = (request.word(0), request.word(1));
                self.with(place, |factory, ic| factory.touched(ic, address, code))??;
                Ok(reply.ok(&[]))
            }
            _ => self.with(place, |factory, ic| {
                factory.asked(ic, request, reply, deferred)
            }),
        }
    }

    /// Whether it is in its creator's CSpace, with all others there.
    fn is_within(&mut self, place: u32) -> bool {
        self.ics.get(place).is_some_and(|entry| entry.within)
    }

    /// Which IC a message is about.
    fn about(&mut self, index: u32) -> Option<About> {
        let place = self.ics.place_of(index)?;
        let entry = self.ics.get(place)?;
        Some(About {
            place,
            charged: entry.counted,
            within: entry.within,
        })
    }
}

/// The IC that a message is about.
struct About {
    place: u32,
    /// At whose charge somebody is kept who waits for it: of the one who pays for it.
    charged: Option<u32>,
    within: bool,
}

impl<F: Factory, const N: usize, P: Port + Copy> Server for FactoryServer<F, N, P> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let Self { members, callers } = self;
        let about = match who {
            Who::Handle(index) | Who::Itself(index) => members.about(index),
            _ => None,
        };
        let charged = about.as_ref().and_then(|about| about.charged);
        let deferred = &mut deferred.counted(callers, charged);
        let outcome = match (who, about) {
            (Who::Session(client), _) => {
                Ok(members.asked_by_client(client, request, reply, deferred))
            }
            // Within one CSpace the IC itself and the holder of its handle cannot be told apart by the badge.
            (Who::Handle(_), Some(About { place, within, .. }))
                if !within || HandleOp::from_label(request.label()).is_ok() =>
            {
                members.asked_by_holder(place, request, reply, deferred)
            }
            (Who::Handle(_) | Who::Itself(_), Some(About { place, .. })) => {
                members.asked_by_ic(place, request, reply, deferred)
            }
            (Who::Handle(_) | Who::Itself(_), None) => Err(Error::Gone),
            (Who::Channel(_) | Who::Notified(_), _) => Err(Error::NotAllowed),
        };
        let outcome = outcome.unwrap_or_else(|error| reply.error(error));
        members.factory.settle(deferred);
        outcome
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        let Self { members, callers } = self;
        let deferred = &mut deferred.counted(callers, None);
        let bell = members.space.bell();
        if bits & bell != 0 {
            members.drain(deferred);
        }
        if bits & !bell != 0 {
            members.factory.notified(bits & !bell, deferred);
        }
        members.factory.settle(deferred);
    }
}
