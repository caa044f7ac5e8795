// SPDX-License-Identifier: BSD-2-Clause
//! Sessions, connections, objects of one's own, and names.
//!
//! Every capability handed out here is a copy of one in the pool, so that all
//! copies, wherever they went, go when the bond ends. Capabilities are minted
//! only from endpoints that the manager itself made or was given at the start:
//! what lies in a slot of somebody's CSpace is never trusted to be an endpoint,
//! the slot is only the name under which it was made.

use xos_protocol::manager::{
    Connect, Consent, NOTIFY_BITS, ObjectKind, Open, Pass, Register, ServiceKind, Successor,
};
use xos_protocol::{Badge, Error, IcId, Result, Who, slots};

use crate::Manager;
use crate::arena::judge;
use crate::bond::{self, Kind as BondKind};
use crate::ic::Phase;
use crate::ledger::Cost;
use crate::machine::{At, Kind, Machine, POOL, Rights, Slot};
use crate::pool::{self, Part};
use crate::registry::Entry;
use crate::table::Link;

/// Sessions of a server that may have ended without its having read of it. A server that does not
/// keep up gets no new clients, so that the unread ones cannot fill the table.
pub const MAX_UNREAD: u16 = 256;

impl Manager<'_> {
    /// A session of the caller with what is registered under a name.
    pub(crate) fn open<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: Open,
    ) -> Result<(u32, IcId)> {
        let entry = self.registry.look_up(&args.name)?;
        let server = entry.server;
        if self.ics[server].unread >= MAX_UNREAD {
            return Err(Error::TableFull);
        }
        let to = self.root_slot(caller, args.slot)?;
        let bond = self.new_bond(caller)?;
        let row = &mut self.bonds[bond];
        row.kind = BondKind::Session;
        row.consent = args.consent;
        row.source = entry.endpoint;
        self.tie(bond, caller, server);
        let badge = badge(Who::Session(bond));
        if let Err(error) = self.hand_out(m, entry.endpoint, pool::bond(bond), to, badge) {
            self.forget_session(bond);
            return Err(error);
        }
        Ok((bond, self.ics[server].id))
    }

    /// Gives a badged copy of an endpoint or notification of the caller to another IC.
    pub(crate) fn connect<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: Connect,
    ) -> Result<u32> {
        let (source, notification) = match args.source {
            0 => (self.endpoint_of(caller)?, false),
            place => {
                let object = self.object(caller, place).ok_or(Error::BadCapability)?;
                let notification = self.bonds[object].kind == BondKind::Notification;
                (pool::bond(object), notification)
            }
        };
        let target = self.target(caller, args.target, |c: Consent| c.connect)?;
        let target = self.home(target);
        if self.ics[caller].unread >= MAX_UNREAD {
            return Err(Error::TableFull);
        }
        let to = self.root_slot(target, args.slot)?;
        let bond = self.new_bond(caller)?;
        self.bonds[bond].kind = BondKind::Connection;
        self.bonds[bond].source = source;
        self.tie(bond, target, caller);
        let badge = badge_of(bond, notification);
        if let Err(error) = self.hand_out(m, source, pool::bond(bond), to, badge) {
            self.forget_session(bond);
            return Err(error);
        }
        Ok(bond)
    }

    /// Gives another IC a session of its own with the server of one of the caller's.
    pub(crate) fn pass<M: Machine>(&mut self, m: &mut M, caller: u32, args: Pass) -> Result<u32> {
        let (session, server, _) = self.other_end(caller, args.session)?;
        let source = self.bonds[session].source;
        if !self.bonds[session].holder.is(caller) {
            return Err(Error::NotAllowed);
        }
        let target = self.target(caller, args.target, |c: Consent| c.connect)?;
        let target = self.home(target);
        if self.ics[server].unread >= MAX_UNREAD {
            return Err(Error::TableFull);
        }
        let to = self.root_slot(target, args.slot)?;
        let bond = self.new_bond(target)?;
        self.bonds[bond].kind = BondKind::Session;
        self.bonds[bond].source = source;
        self.tie(bond, target, server);
        let badge = badge_of(bond, self.is_notification(source));
        if let Err(error) = self.hand_out(m, source, pool::bond(bond), to, badge) {
            self.forget_session(bond);
            return Err(error);
        }
        Ok(bond)
    }

    /// Whether a pool slot that sessions are minted from holds a notification.
    fn is_notification(&self, source: Slot) -> bool {
        source
            .checked_sub(pool::bond(0))
            .and_then(|index| self.bonds.get(index))
            .is_some_and(|bond| bond.kind == BondKind::Notification)
    }

    /// What the caller lets the other end of a session do to it.
    pub(crate) fn agree(&mut self, caller: u32, session: u64, consent: Consent) -> Result<()> {
        let session = u32::try_from(session).map_err(|_| Error::Gone)?;
        let (bond, ..) = self.other_end(caller, session)?;
        let row = &mut self.bonds[bond];
        if row.holder.is(caller) {
            row.consent = consent;
        }
        if row.facing.is(caller) {
            row.offer = consent;
        }
        Ok(())
    }

    /// Where the caller keeps reply capabilities.
    pub(crate) fn keep(&mut self, caller: u32, first: u64, count: u64) -> Result<()> {
        let ic = &self.ics[caller];
        if ic.domain || ic.host != Link::NONE {
            // The supervisor knows where a boot domain has them; an IC within another has no CSpace.
            return Err(Error::NotSupported);
        }
        let room = 1u64 << ic.cspace_radix;
        let end = first.checked_add(count).ok_or(Error::BadSlot)?;
        if count != 0 && (first < slots::ic::FIRST_FREE as u64 || end > room) {
            return Err(Error::BadSlot);
        }
        self.ics[caller].kept = if count == 0 {
            (0, 0)
        } else {
            (first as u16, count as u16)
        };
        Ok(())
    }

    /// Has the caller's execution receive what is signalled through a notification of its own.
    pub(crate) fn bind<M: Machine>(&mut self, m: &mut M, caller: u32, place: u64) -> Result<()> {
        let place = u32::try_from(place).map_err(|_| Error::BadSlot)?;
        let object = self.object(caller, place).ok_or(Error::BadCapability)?;
        if self.bonds[object].kind != BondKind::Notification || self.ics[caller].domain {
            return Err(Error::BadCapability);
        }
        m.bind(pool::ic(caller, Part::Execution), pool::bond(object))
            // One that has a notification bound is refused another: that is no defect.
            .map_err(|_| Error::BadState)
    }

    /// Ends a session or connection of which the caller is one end, or the supervisor any.
    pub(crate) fn close<M: Machine>(&mut self, m: &mut M, caller: u32, session: u64) -> Result<()> {
        let index = u32::try_from(session).map_err(|_| Error::Gone)?;
        let bond = self.bonds.get(index).ok_or(Error::Gone)?;
        let by_server = bond.facing.is(caller);
        if !matches!(bond.kind, BondKind::Session | BondKind::Connection) || bond.closed {
            return Err(Error::Gone);
        }
        if !by_server && !bond.holder.is(caller) && !self.ics[caller].supervisor {
            // Not to be told apart from one that never was.
            return Err(Error::Gone);
        }
        self.end_session(m, index, by_server);
        Ok(())
    }

    /// Makes an object from the caller's arena, or gives the one that was made in that slot again.
    pub(crate) fn make<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        kind: ObjectKind,
        place: u64,
    ) -> Result<()> {
        let place = u32::try_from(place).map_err(|_| Error::BadSlot)?;
        let to = self.root_slot(caller, place)?;
        let (bond_kind, object_kind) = match kind {
            ObjectKind::Endpoint => (BondKind::Endpoint, Kind::Endpoint),
            ObjectKind::Notification => (BondKind::Notification, Kind::Notification),
        };
        if let Some(object) = self.object(caller, place) {
            if self.bonds[object].kind != bond_kind {
                return Err(Error::BadState);
            }
            return m
                .copy(At::pool(pool::bond(object)), to, Rights::All)
                .map_err(|r| judge(m, "giving an object again", r, Error::BadSlot));
        }
        let bond = self.new_bond(caller)?;
        let slot = pool::bond(bond);
        let ic = &mut self.ics[caller];
        let made = ic.arena.carve(
            m,
            &mut self.memory,
            &mut ic.account,
            object_kind,
            At::whole(POOL),
            slot,
            1,
            Error::Kernel,
        );
        let outcome = made.and_then(|()| {
            m.copy(At::pool(slot), to, Rights::All)
                .map_err(|r| judge(m, "giving an object", r, Error::BadSlot))
        });
        if let Err(error) = outcome {
            self.delete(m, At::pool(slot));
            self.bonds.release(bond);
            self.ics[caller].account.refund(Cost::UNIT);
            return Err(error);
        }
        let row = &mut self.bonds[bond];
        row.kind = bond_kind;
        row.holder = Link::to(caller);
        row.place = place as u16;
        self.bonds
            .append(bond::chain::HELD, &mut self.ics[caller].objects, bond);
        self.ics[caller].serves |= bond_kind == BondKind::Endpoint;
        Ok(())
    }

    /// Makes the caller's endpoint known under a name.
    pub(crate) fn register(&mut self, caller: u32, args: Register) -> Result<()> {
        let domain = self.ics[caller].domain;
        let endpoint = match args.endpoint {
            0 => self.endpoint_of(caller)?,
            place => {
                let object = self.object(caller, place).ok_or(Error::BadCapability)?;
                if self.bonds[object].kind != BondKind::Endpoint {
                    return Err(Error::BadCapability);
                }
                pool::bond(object)
            }
        };
        if args.successor == Successor::SameName && !domain {
            // The handles of its ICs are minted from its endpoint, which dies with it.
            return Err(Error::NotSupported);
        }
        self.registry.available(&args.name, caller)?;
        self.ics[caller].account.charge(Cost::UNIT)?;
        self.registry.insert(Entry {
            name: args.name,
            server: caller,
            present: true,
            endpoint,
            kind: args.kind,
            successor: args.successor,
        });
        let ic = &mut self.ics[caller];
        if ic.endpoint == 0 {
            ic.endpoint = endpoint;
        }
        if ic.service.as_str().is_empty() || args.kind == ServiceKind::Factory {
            ic.service = args.name;
        }
        Ok(())
    }

    /// The endpoint from which what an IC serves is minted.
    pub(crate) fn endpoint_of(&self, index: u32) -> Result<Slot> {
        match self.ics[index].endpoint {
            0 => Err(Error::BadState),
            slot => Ok(slot),
        }
    }

    /// The object that was made for an IC in this root slot.
    pub(crate) fn object(&self, index: u32, place: u32) -> Option<u32> {
        let list = self.ics[index].objects;
        let mut next = self.bonds.first(bond::chain::HELD, list);
        while let Some(object) = next {
            if self.bonds[object].place as u32 == place {
                return Some(object);
            }
            next = self.bonds.after(bond::chain::HELD, list, object);
        }
        None
    }

    /// Claims a bond that `payer` pays for.
    pub(crate) fn new_bond(&mut self, payer: u32) -> Result<u32> {
        self.ics[payer].account.charge(Cost::UNIT)?;
        self.bonds.claim().ok_or_else(|| {
            self.ics[payer].account.refund(Cost::UNIT);
            Error::TableFull
        })
    }

    pub(crate) fn tie(&mut self, bond: u32, holder: u32, facing: u32) {
        self.bonds[bond].holder = Link::to(holder);
        self.bonds[bond].facing = Link::to(facing);
        self.bonds
            .append(bond::chain::HELD, &mut self.ics[holder].held, bond);
        self.bonds
            .append(bond::chain::FACED, &mut self.ics[facing].faced, bond);
    }

    /// Mints a badged capability into the pool and copies it, for sending only, to where it is to be used.
    pub(crate) fn hand_out<M: Machine>(
        &self,
        m: &mut M,
        endpoint: Slot,
        slot: Slot,
        to: At,
        badge: u64,
    ) -> Result<()> {
        m.mint(At::pool(endpoint), At::pool(slot), Rights::All, badge)
            .map_err(|r| judge(m, "minting a session", r, Error::Kernel))?;
        m.copy(At::pool(slot), to, Rights::Send).map_err(|refusal| {
            self.delete(m, At::pool(slot));
            judge(m, "handing out a session", refusal, Error::BadSlot)
        })
    }

    /// Ends a session or connection. Its server is told, unless it asked for it or is going itself.
    pub(crate) fn end_session<M: Machine>(&mut self, m: &mut M, bond: u32, by_server: bool) {
        self.sever(m, pool::bond(bond));
        let row = self.bonds[bond];
        let server = row
            .facing
            .get()
            .filter(|s| self.ics[*s].phase == Phase::Alive && !by_server);
        let Some(server) = server else {
            return self.forget_session(bond);
        };
        self.bonds[bond].closed = true;
        self.bonds
            .remove(bond::chain::FACED, &mut self.ics[server].faced, bond);
        self.bonds
            .append(bond::chain::FACED, &mut self.ics[server].closings, bond);
        self.ics[server].unread += 1;
        self.tell(m, server);
    }

    /// Takes a session or connection from its client's list. What the client paid for it is back.
    pub(crate) fn leave_client(&mut self, bond: u32) {
        let Some(client) = core::mem::take(&mut self.bonds[bond].holder).get() else {
            return;
        };
        self.bonds
            .remove(bond::chain::HELD, &mut self.ics[client].held, bond);
        if self.bonds[bond].kind == BondKind::Session {
            self.ics[client].account.refund(Cost::UNIT);
        }
    }

    /// Nothing is left of a session or connection.
    pub(crate) fn forget_session(&mut self, bond: u32) {
        self.leave_client(bond);
        let row = self.bonds[bond];
        if let Some(server) = row.facing.get() {
            let ic = &mut self.ics[server];
            if row.closed {
                self.bonds
                    .remove(bond::chain::FACED, &mut ic.closings, bond);
                ic.unread -= 1;
            } else {
                self.bonds.remove(bond::chain::FACED, &mut ic.faced, bond);
            }
            if row.kind == BondKind::Connection {
                ic.account.refund(Cost::UNIT);
            }
        }
        self.bonds.release(bond);
    }
}

/// The badge of a session or connection: of an endpoint, or a bit of a notification.
fn badge_of(bond: u32, notification: bool) -> u64 {
    if notification {
        1 << (bond % NOTIFY_BITS)
    } else {
        badge(Who::Session(bond))
    }
}

/// A badge's word. Indices are those of tables, which are far smaller than what a badge holds.
pub(crate) fn badge(who: Who) -> u64 {
    Badge::new(who).map_or(0, Badge::word)
}

const _: () = assert!(pool::MAX_BONDS as u32 <= xos_protocol::badge::MAX_INDEX);
const _: () = assert!(slots::ic::NULL == 0);
