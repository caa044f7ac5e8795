// SPDX-License-Identifier: BSD-2-Clause
//! Destroying ICs, and cleaning up after boot domains that crashed.
//!
//! An IC goes in this order:
//!
//! 1. what depends on it (ICs within it, ICs it created, ICs and regions it pays
//!    for), so that nothing ever refers to what is gone;
//! 2. everything that was handed out on its account: sessions, shares, watches,
//!    its handles; from here on its badges and its index mean nothing to anyone;
//! 3. whoever waits for an answer of its executions, if it serves others, is
//!    answered by them: they are made to run a few instructions elsewhere, and to use the reply
//!    capabilities that the IC said it keeps;
//! 4. its arena: the chunks are revoked, here if they are small and by the reaper
//!    if not;
//! 5. its budget goes back to its payer, and its creator is told.
//!
//! Steps 1 and 2 are done before the request is answered. Nothing in any step
//! depends on what the IC, its factory or anybody else did to their own copies.
//! Each step costs in proportion to what the IC itself had.

use xos_protocol::supervisor::boot;
use xos_protocol::{Error, IcId, IcState, Result};

use crate::Manager;
use crate::bond::{self, Kind as BondKind};
use crate::create::NO_ASID;
use crate::ic::{self, Phase};
use crate::ledger::Cost;
use crate::machine::{At, Kept, Machine, Step};
use crate::pool::{self, Part};
use crate::region;
use crate::table::Link;

/// Arenas of at most this many pages are revoked at once. Revoking takes 230 to 510 instructions per
/// object; so this bounds what one request costs all others at about the time slice of one of them,
/// even if the arena is full of the smallest objects.
pub const INLINE_PAGES: u32 = 64;

/// Reaper tags of regions; those of ICs are below.
const REGION_TAG: u32 = 1 << 16;
/// Steps of one job at most: the parts node, two per chunk, and the end.
const MAX_STEPS: usize = 3 + 2 * crate::arena::CHUNKS;
/// Chunks from this size on are zeroed by the reaper, not by whoever gets them next.
const CLEAN_BITS: u8 = 18;

impl Manager<'_> {
    /// Destroys an IC that the caller answers for. Answers whether its memory is back already.
    ///
    /// A boot domain cannot be destroyed, but the supervisor can have it crash: what it had goes as after
    /// any crash of its own, and it is started again.
    pub(crate) fn destroy<M: Machine>(&mut self, m: &mut M, caller: u32, id: IcId) -> Result<bool> {
        if self.ics[caller].supervisor && self.known(id).is_ok_and(|index| self.ics[index].domain) {
            return self.bring_down(m, id.index()).map(|()| false);
        }
        let index = self.subordinate(caller, id)?;
        self.ics[index].quiet = self.ics[index].creator.is(caller);
        self.end(m, index);
        // Released, or read by nobody yet; what is still dying is the reaper's.
        let back = self.ics[index].id != id || self.ics[index].phase != Phase::Dying;
        if !back {
            self.ics[index].quiet = false;
        }
        Ok(back)
    }

    fn bring_down<M: Machine>(&mut self, m: &mut M, domain: u32) -> Result<()> {
        if self.ics[domain].crashed {
            return Err(Error::BadState);
        }
        // The manager's own execution is the one that the kernel refuses to write to: it is running.
        m.crash(pool::domain(domain, boot::DOMAIN_TCB))
            .map_err(|_| Error::NotAllowed)
    }

    /// A half-made IC: nobody has heard of it.
    pub(crate) fn abandon<M: Machine>(&mut self, m: &mut M, index: u32) {
        self.ics[index].quiet = true;
        self.condemn(index);
        self.cut_off(m, index);
        self.reclaim(m, index);
    }

    /// Ends an IC and all that depends on it, the dependents first.
    fn end<M: Machine>(&mut self, m: &mut M, root: u32) {
        self.condemn(root);
        let mut at = root;
        loop {
            if let Some(dependent) = self.dependent(at) {
                self.condemn(dependent);
                self.ics[dependent].back = Link::to(at);
                at = dependent;
                continue;
            }
            let back = self.ics[at].back;
            self.take_apart(m, at);
            match back.get() {
                Some(back) if at != root => at = back,
                _ => return,
            }
        }
    }

    /// An IC that must go before `index` does.
    fn dependent(&self, index: u32) -> Option<u32> {
        let ic = &self.ics[index];
        self.ics
            .first(ic::chain::HOSTED, ic.hosted)
            .or_else(|| self.ics.first(ic::chain::PAID, ic.paid))
            .or_else(|| {
                let heirs = ic.domain && self.registry.has_successor(index);
                if heirs {
                    None
                } else {
                    self.ics.first(ic::chain::CREATED, ic.created)
                }
            })
    }

    /// From here on an IC's id names nothing, and nobody depends on it.
    fn condemn(&mut self, index: u32) {
        let ic = &mut self.ics[index];
        ic.phase = Phase::Dying;
        ic.state = IcState::Dead;
        ic.back = Link::NONE;
        let (creator, payer, host) = (ic.creator, ic.payer, ic.host);
        if let Some(creator) = creator.get() {
            let (mut from, mut to) = (self.ics[creator].created, self.ics[creator].departing);
            self.ics.remove(ic::chain::CREATED, &mut from, index);
            self.ics.append(ic::chain::CREATED, &mut to, index);
            (self.ics[creator].created, self.ics[creator].departing) = (from, to);
        }
        if let Some(payer) = payer.get() {
            let (mut from, mut to) = (self.ics[payer].paid, self.ics[payer].leaving);
            self.ics.remove(ic::chain::PAID, &mut from, index);
            self.ics.append(ic::chain::PAID, &mut to, index);
            (self.ics[payer].paid, self.ics[payer].leaving) = (from, to);
        }
        if let Some(host) = host.get() {
            let mut list = self.ics[host].hosted;
            self.ics.remove(ic::chain::HOSTED, &mut list, index);
            self.ics[host].hosted = list;
        }
    }

    /// Steps 2 to 4, for an IC on which nothing depends any more.
    fn take_apart<M: Machine>(&mut self, m: &mut M, index: u32) {
        // What is gone when this request is answered need not be stopped before: whatever it tries
        // meanwhile, it loses one capability after another.
        let stays = self.ics[index].arena.pages() > INLINE_PAGES;
        // One that ended may be at it already, and goes when it is done.
        let answers = self.ics[index].answers || self.stop(m, index, stays);
        self.cut_off(m, index);
        if !answers {
            self.dissolve(m, index);
        } else if self.ics.first(ic::chain::ANSWERING, self.answering) == Some(index) {
            self.answer_next(m);
        }
    }

    /// Stops an execution that stays for a while. If others may wait for its answer, it gets in the queue to
    /// give it, and that is what is answered.
    fn stop<M: Machine>(&mut self, m: &mut M, index: u32, stays: bool) -> bool {
        let execution = pool::ic(index, Part::Execution);
        let serves = self.ics[self.home(index)].serves;
        if (serves || stays)
            && let Err(refusal) = m.suspend(execution)
        {
            m.defect("stopping an execution", refusal);
        }
        if !serves {
            return false;
        }
        // Nobody else may hold it while it executes on our behalf.
        if let Err(refusal) = m.revoke(execution) {
            m.defect("taking back an execution", refusal);
            return false;
        }
        // The same of its CSpace, if it executes in that.
        if self.ics[index].kept.1 != 0
            && let Err(refusal) = m.revoke(pool::ic(index, Part::CSpace))
        {
            m.defect("taking back a CSpace", refusal);
            return false;
        }
        self.ics
            .append(ic::chain::ANSWERING, &mut self.answering, index);
        self.ics[index].answers = true;
        true
    }

    /// An IC has ended by itself and is only kept to be asked how. What depends on it ends now, and who
    /// waits for it is answered now: nobody knows when it will be asked.
    pub(crate) fn release<M: Machine>(&mut self, m: &mut M, index: u32) {
        while let Some(dependent) = self.dependent(index) {
            self.end(m, dependent);
        }
        let answers = self.ics[index].answers || self.stop(m, index, true);
        self.end_bonds(m, index, false);
        while let Some(region) = self
            .regions
            .first(region::chain::OWNED, self.ics[index].regions)
        {
            self.region_end(m, region, false);
        }
        self.end_bought(m, index);
        if !self.ics[index].service.as_str().is_empty() {
            let units = self.registry.remove(index);
            self.ics[index].account.refund(Cost { pages: 0, units });
            self.ics[index].service = xos_protocol::Name::EMPTY;
        }
        if answers && self.ics.first(ic::chain::ANSWERING, self.answering) == Some(index) {
            self.answer_next(m);
        }
    }

    /// Step 2: whatever was handed out.
    fn cut_off<M: Machine>(&mut self, m: &mut M, index: u32) {
        self.end_bonds(m, index, false);
        while let Some(region) = self
            .regions
            .first(region::chain::OWNED, self.ics[index].regions)
        {
            self.region_end(m, region, false);
        }
        self.end_bought(m, index);
        while let Some(dead) = self
            .ics
            .first(ic::chain::CREATED, self.ics[index].obituaries)
        {
            self.forget_dead(index, dead);
        }
        // Nobody will be told of those whose memory is still coming back.
        while let Some(dying) = self
            .ics
            .first(ic::chain::CREATED, self.ics[index].departing)
        {
            let mut list = self.ics[index].departing;
            self.ics.remove(ic::chain::CREATED, &mut list, dying);
            self.ics[index].departing = list;
            self.ics[index].account.refund(Cost::UNIT);
            self.ics[dying].creator = Link::NONE;
        }
        if !self.ics[index].service.as_str().is_empty() {
            let units = self.registry.remove(index);
            self.ics[index].account.refund(Cost { pages: 0, units });
        }
        for part in [Part::Handle, Part::Itself, Part::Session] {
            if self.ics[index].minted & 1 << part as u32 != 0 {
                let slot = pool::ic(index, part);
                self.withdraw(m, slot);
                if self.ics[index].names[part as usize - Part::Handle as usize] == 0 {
                    self.delete(m, At::pool(slot));
                }
            }
        }
    }

    /// Ends all bonds of an IC: what it holds, what faces it (but its clients' if `keep_clients`), its
    /// objects, what it has not read of.
    fn end_bonds<M: Machine>(&mut self, m: &mut M, index: u32, keep_clients: bool) {
        while let Some(bond) = self.bonds.first(bond::chain::HELD, self.ics[index].held) {
            match self.bonds[bond].kind {
                BondKind::Watch => self.end_watch(m, bond, false),
                BondKind::Declared => self.end_declared(bond),
                _ if self.bonds[bond].closed => self.leave_client(bond),
                _ => {
                    self.end_session(m, bond, false);
                    self.leave_client(bond);
                }
            }
        }
        let mut next = self.bonds.first(bond::chain::FACED, self.ics[index].faced);
        while let Some(bond) = next {
            next = self
                .bonds
                .after(bond::chain::FACED, self.ics[index].faced, bond);
            match self.bonds[bond].kind {
                BondKind::Watch => self.end_watch(m, bond, true),
                BondKind::Share => self.end_share(m, bond),
                BondKind::Declared => self.end_declared(bond),
                BondKind::Session if keep_clients => {}
                _ => self.end_session(m, bond, true),
            }
        }
        while let Some(bond) = self
            .bonds
            .first(bond::chain::FACED, self.ics[index].closings)
        {
            self.forget_session(bond);
        }
        while let Some(bond) = self.bonds.first(bond::chain::HELD, self.ics[index].objects) {
            // What was handed out from it has gone with its bonds; its copies go with the arena or here.
            if let Err(refusal) = m.revoke(pool::bond(bond)) {
                m.defect("revoking an object", refusal);
            }
            self.delete(m, At::pool(pool::bond(bond)));
            self.bonds
                .remove(bond::chain::HELD, &mut self.ics[index].objects, bond);
            self.bonds.release(bond);
            self.ics[index].account.refund(Cost::UNIT);
        }
    }

    /// Ends the regions that an IC pays for but does not own. Those that are going already stay in the
    /// list until their memory is back.
    fn end_bought<M: Machine>(&mut self, m: &mut M, index: u32) {
        let mut next = self
            .regions
            .first(region::chain::BOUGHT, self.ics[index].bought);
        while let Some(region) = next {
            next = self
                .regions
                .after(region::chain::BOUGHT, self.ics[index].bought, region);
            if self.regions[region].phase == Phase::Alive {
                self.region_end(m, region, false);
            }
        }
    }

    /// Step 3: the first of those that wait for it.
    fn answer_next<M: Machine>(&mut self, m: &mut M) {
        while let Some(index) = self.ics.first(ic::chain::ANSWERING, self.answering) {
            let execution = pool::ic(index, Part::Execution);
            let (first, count) = self.ics[index].kept;
            let asked = if count == 0 {
                m.answer_caller(execution)
            } else {
                let kept = Kept {
                    cspace: pool::ic(index, Part::CSpace),
                    radix: self.ics[index].cspace_radix.into(),
                    first: first.into(),
                    count: count.into(),
                };
                m.answer_kept(execution, &kept)
            };
            match asked {
                Ok(()) => return,
                Err(refusal) => {
                    m.defect("answering for the dead", refusal);
                    self.leave_queue(m, index);
                }
            }
        }
    }

    /// It has answered whom it could. If it is dying, this was what its memory was needed for.
    fn leave_queue<M: Machine>(&mut self, m: &mut M, index: u32) {
        self.ics
            .remove(ic::chain::ANSWERING, &mut self.answering, index);
        self.ics[index].answers = false;
        if self.ics[index].phase == Phase::Dying {
            self.dissolve(m, index);
        }
    }

    /// The execution that was made to answer its caller has done so.
    pub fn answered<M: Machine>(&mut self, m: &mut M) {
        if let Some(index) = self.ics.first(ic::chain::ANSWERING, self.answering) {
            self.leave_queue(m, index);
            self.answer_next(m);
        }
    }

    /// Step 4.
    fn dissolve<M: Machine>(&mut self, m: &mut M, index: u32) {
        if self.ics[index].arena.pages() <= INLINE_PAGES {
            self.reclaim(m, index);
        } else if !self.reap_ic(m, index) {
            self.ics.append(ic::chain::HOSTED, &mut self.waiting, index);
        }
    }

    fn reclaim<M: Machine>(&mut self, m: &mut M, index: u32) {
        let pages = self.ics[index].arena.pages();
        self.ics[index].arena.reclaim(m, &mut self.memory);
        self.gone(m, index, pages);
    }

    /// Hands an arena to the reaper; `false` when its queue is full.
    fn reap_ic<M: Machine>(&mut self, m: &mut M, index: u32) -> bool {
        let mut steps = heapless::Vec::<Step, MAX_STEPS>::new();
        // What its factory mapped in its address space is unmapped while it still has its ASID: between
        // the steps that ASID may be given to another, where the same frames may be mapped. The factory has the
        // capabilities in the parts node, and in nodes that it made of the untyped pieces; the address space itself is
        // in the first chunk, which goes last.
        let parts = pool::ic(index, Part::Parts);
        let _ = steps.push(Step::Revoke(parts));
        let _ = steps.push(Step::Delete(parts));
        self.chunk_steps(self.ics[index].arena.chunks().rev(), &mut steps);
        let _ = steps.push(Step::Done(index));
        m.reap(&steps)
    }

    /// As [`Manager::reap_ic`], for a region.
    pub(crate) fn reap_region<M: Machine>(&mut self, m: &mut M, index: u32) -> bool {
        let mut steps = heapless::Vec::<Step, MAX_STEPS>::new();
        self.chunk_steps(self.regions[index].arena.chunks(), &mut steps);
        let _ = steps.push(Step::Done(REGION_TAG | index));
        m.reap(&steps)
    }

    fn chunk_steps(
        &self,
        chunks: impl Iterator<Item = u32>,
        steps: &mut heapless::Vec<Step, MAX_STEPS>,
    ) {
        for chunk in chunks {
            let slot = self.memory.slot(chunk);
            let _ = steps.push(Step::Revoke(slot));
            if self.memory.bits(chunk) >= CLEAN_BITS {
                let _ = steps.push(Step::Clean(slot));
            }
        }
    }

    /// The reaper is done with a job.
    pub fn reaped<M: Machine>(&mut self, m: &mut M, tag: u32) {
        let index = tag & (REGION_TAG - 1);
        if tag & REGION_TAG != 0 {
            if self
                .regions
                .get(index)
                .is_some_and(|r| r.phase == Phase::Dying)
            {
                let pages = self.regions[index].arena.pages();
                self.regions[index].arena.release(&mut self.memory);
                self.region_gone(m, index, pages);
            }
        } else if self
            .ics
            .get(index)
            .is_some_and(|ic| ic.phase == Phase::Dying)
        {
            let pages = self.ics[index].arena.pages();
            self.ics[index].arena.release(&mut self.memory);
            self.gone(m, index, pages);
        }
        while let Some(next) = self.ics.first(ic::chain::HOSTED, self.waiting) {
            if !self.reap_ic(m, next) {
                break;
            }
            self.ics.remove(ic::chain::HOSTED, &mut self.waiting, next);
        }
    }

    fn gone<M: Machine>(&mut self, m: &mut M, index: u32, pages: u32) {
        self.ics[index].account.refund(Cost::pages(pages));
        for asid_pool in [self.ics[index].asid_pool, self.ics[index].stage_pool] {
            if asid_pool != NO_ASID {
                self.asids.release(asid_pool);
            }
        }
        self.ics[index].emptied = true;
        self.settle(m, index);
    }

    /// Step 5, for an IC and then for those who only waited for it: once nothing that it pays for is
    /// left, its budget goes back, and its creator is told.
    pub(crate) fn settle<M: Machine>(&mut self, m: &mut M, index: u32) {
        let mut next = Some(index);
        while let Some(index) = next {
            let ic = &self.ics[index];
            let paid_off = ic.leaving.is_empty() && ic.bought.is_empty() && ic.paid.is_empty();
            if ic.phase != Phase::Dying || !ic.emptied || !paid_off {
                return;
            }
            let (creator, payer, account) = (ic.creator, ic.payer, ic.account);
            if let Some(payer) = payer.get() {
                self.ics[payer].account.close(account);
                let mut list = self.ics[payer].leaving;
                self.ics.remove(ic::chain::PAID, &mut list, index);
                self.ics[payer].leaving = list;
            }
            next = payer.get();
            match creator.get() {
                None => self.ics.release(index),
                Some(creator) => self.report(m, creator, index),
            }
        }
    }

    /// Tells a creator that an IC is gone, if it wants to know.
    fn report<M: Machine>(&mut self, m: &mut M, creator: u32, index: u32) {
        let (mut departing, mut obituaries) =
            (self.ics[creator].departing, self.ics[creator].obituaries);
        self.ics.remove(ic::chain::CREATED, &mut departing, index);
        self.ics.append(ic::chain::CREATED, &mut obituaries, index);
        (self.ics[creator].departing, self.ics[creator].obituaries) = (departing, obituaries);
        self.ics[index].phase = Phase::Unread;
        if self.ics[index].quiet || self.ics[creator].crashed {
            self.forget_dead(creator, index);
            self.settle_crash(m, creator);
        } else {
            self.tell(m, creator);
        }
    }

    /// The supervisor says that boot domains crashed.
    pub fn crashed<M: Machine>(&mut self, m: &mut M) {
        while let Some(domain) = m.next_crash() {
            if self.ics.get(domain).is_some_and(|ic| ic.domain) {
                self.clean_up(m, domain);
            } else {
                m.disposed(domain);
            }
        }
    }

    /// Ends everything that a crashed domain had, but not the domain: it is about to be restarted.
    fn clean_up<M: Machine>(&mut self, m: &mut M, domain: u32) {
        let heirs = self.registry.has_successor(domain);
        self.ics[domain].crashed = true;
        while let Some(dependent) = self.dependent(domain) {
            self.end(m, dependent);
        }
        while let Some(dead) = self
            .ics
            .first(ic::chain::CREATED, self.ics[domain].obituaries)
        {
            self.forget_dead(domain, dead);
        }
        // A successor inherits its clients, and the regions of its ICs along with these.
        self.end_bonds(m, domain, heirs);
        if !heirs {
            while let Some(region) = self
                .regions
                .first(region::chain::OWNED, self.ics[domain].regions)
            {
                self.region_end(m, region, false);
            }
            self.end_bought(m, domain);
        }
        let units = self.registry.withdraw(domain);
        let pages = self.ics[domain].arena.pages();
        self.ics[domain].arena.reclaim(m, &mut self.memory);
        self.ics[domain].account.refund(Cost { pages, units });
        self.ics[domain].tables = 0;
        self.ics[domain].cleaned = true;
        self.settle_crash(m, domain);
    }

    /// Once the last of a crashed domain's ICs is gone, it may be restarted: under a new id.
    fn settle_crash<M: Machine>(&mut self, m: &mut M, domain: u32) {
        if !self.ics[domain].cleaned || !self.ics[domain].departing.is_empty() {
            return;
        }
        let serial = self.next_serial();
        let ic = &mut self.ics[domain];
        (ic.crashed, ic.cleaned) = (false, false);
        ic.id = IcId::new(serial, domain).unwrap_or(IcId::NONE);
        m.disposed(domain);
    }
}

/// Suspending and resuming.
impl Manager<'_> {
    /// Stops an IC's execution.
    pub(crate) fn suspend<M: Machine>(&mut self, m: &mut M, caller: u32, id: IcId) -> Result<()> {
        let index = self.subordinate(caller, id)?;
        if !matches!(
            self.ics[index].state,
            IcState::Ready | IcState::Running | IcState::Suspended
        ) {
            return Err(Error::BadState);
        }
        m.suspend(pool::ic(index, Part::Execution))
            .map_err(|refusal| {
                m.defect("stopping an execution", refusal);
                Error::Kernel
            })?;
        self.ics[index].state = IcState::Suspended;
        Ok(())
    }

    /// Lets an IC's execution go on. The first time, only its creator can: it knows when it is composed.
    pub(crate) fn resume<M: Machine>(&mut self, m: &mut M, caller: u32, id: IcId) -> Result<()> {
        let index = self.subordinate(caller, id)?;
        let ic = &self.ics[index];
        let allowed = match ic.state {
            IcState::New | IcState::Ready => ic.creator.is(caller),
            IcState::Running | IcState::Suspended => true,
            IcState::Dead => false,
        };
        if !allowed {
            return Err(Error::BadState);
        }
        m.resume(pool::ic(index, Part::Execution))
            .map_err(|refusal| {
                m.defect("resuming an execution", refusal);
                Error::Kernel
            })?;
        self.ics[index].state = IcState::Running;
        Ok(())
    }
}
