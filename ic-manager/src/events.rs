// SPDX-License-Identifier: BSD-2-Clause
//! News: what an IC is told about others, and watches.
//!
//! The records themselves wait in the list of the one who is to be told (an
//! ended session, a dead IC), so there is no queue that could overflow, and an
//! index is not used again before the other side has read that it is free.

use xos_protocol::manager::{Event, WATCH_BADGE};
use xos_protocol::{Error, IcId, IcState, Result, Subject};

use crate::Manager;
use crate::arena::judge;
use crate::bond::{self, Kind as BondKind};
use crate::ic;
use crate::ledger::Cost;
use crate::machine::{At, Machine, Rights};
use crate::pool;
use crate::table::Link;

impl Manager<'_> {
    /// The next thing that happened to what the caller has to do with.
    pub(crate) fn next_event(&mut self, caller: u32) -> Event {
        if let Some(bond) = self
            .bonds
            .first(bond::chain::FACED, self.ics[caller].closings)
        {
            self.forget_session(bond);
            return Event::Closed(bond);
        }
        if let Some(dead) = self
            .ics
            .first(ic::chain::CREATED, self.ics[caller].obituaries)
        {
            let id = self.ics[dead].id;
            self.forget_dead(caller, dead);
            return Event::Died(id);
        }
        Event::None
    }

    /// The creator has read of an IC's death, or will never.
    pub(crate) fn forget_dead(&mut self, creator: u32, dead: u32) {
        let mut list = self.ics[creator].obituaries;
        self.ics.remove(ic::chain::CREATED, &mut list, dead);
        self.ics[creator].obituaries = list;
        self.ics[creator].account.refund(Cost::UNIT);
        self.ics.release(dead);
    }

    /// Has a notification signalled when an IC ends; with [`Subject::Myself`], at every event for the caller.
    pub(crate) fn watch<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        subject: Subject,
        place: u64,
    ) -> Result<()> {
        let target = self.visible(caller, subject)?;
        let place = u32::try_from(place).map_err(|_| Error::BadSlot)?;
        let source = match place {
            0 if self.ics[caller].domain => None,
            0 => return Err(Error::BadSlot),
            place => {
                let object = self.object(caller, place).ok_or(Error::BadCapability)?;
                if self.bonds[object].kind != BondKind::Notification {
                    return Err(Error::BadCapability);
                }
                Some(pool::bond(object))
            }
        };
        let watch = self.new_bond(caller)?;
        if let Some(source) = source {
            let to = At::pool(pool::bond(watch));
            if let Err(refusal) = m.mint(At::pool(source), to, Rights::Send, WATCH_BADGE) {
                self.bonds.release(watch);
                self.ics[caller].account.refund(Cost::UNIT);
                return Err(judge(m, "minting a watch", refusal, Error::Kernel));
            }
        }
        let row = &mut self.bonds[watch];
        row.kind = BondKind::Watch;
        row.holder = Link::to(caller);
        row.facing = Link::to(target);
        row.place = place as u16;
        self.bonds
            .append(bond::chain::HELD, &mut self.ics[caller].held, watch);
        self.bonds
            .append(bond::chain::FACED, &mut self.ics[target].faced, watch);
        if target == caller {
            let old = core::mem::replace(&mut self.ics[caller].bell, Link::to(watch));
            if let Some(old) = old.get() {
                self.end_watch(m, old, false);
            }
        } else if self.ics[target].state == IcState::Dead {
            self.end_watch(m, watch, true);
        }
        Ok(())
    }

    /// Ends a watch; `fire` says whether what was watched for has happened.
    pub(crate) fn end_watch<M: Machine>(&mut self, m: &mut M, watch: u32, fire: bool) {
        let slot = pool::bond(watch);
        let row = self.bonds[watch];
        if let Some(holder) = row.holder.get() {
            match row.place {
                _ if !fire => {}
                0 => self.tell(m, holder),
                _ => m.signal(slot),
            }
            if self.ics[holder].bell.is(watch) {
                self.ics[holder].bell = Link::NONE;
            }
            self.bonds
                .remove(bond::chain::HELD, &mut self.ics[holder].held, watch);
            self.ics[holder].account.refund(Cost::UNIT);
        }
        if let Some(facing) = row.facing.get() {
            self.bonds
                .remove(bond::chain::FACED, &mut self.ics[facing].faced, watch);
        }
        self.delete(m, At::pool(slot));
        self.bonds.release(watch);
    }

    /// An IC has ended by itself and is only kept to be asked how.
    pub(crate) fn ended<M: Machine>(&mut self, m: &mut M, caller: u32, id: IcId) -> Result<()> {
        let index = self.created_by(caller, id)?;
        self.ics[index].state = IcState::Dead;
        self.release(m, index);
        Ok(())
    }
}
