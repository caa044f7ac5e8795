// SPDX-License-Identifier: BSD-2-Clause
//! The manager: its tables, and the questions that all operations ask of them.

use xos_protocol::manager::{Consent, Payer, SECOND_STAGE};
use xos_protocol::supervisor::{BootChannel, BootMap, boot};
use xos_protocol::{Error, IcId, Result, Subject, slots};

use crate::asid::Asids;
use crate::bond::{Bond, Kind as BondKind};
use crate::create::NO_ASID;
use crate::ic::{Ic, Phase};
use crate::machine::{At, Machine, Root, Slot};
use crate::pool::{self, Part};
use crate::region::Region;
use crate::registry::Registry;
use crate::table::{Link, List, Table};
use crate::untyped::{Block, Untypeds};

/// Channel ids at the manager's end.
pub const CHANNELS: usize = 64;

/// The memory of the tables: all records vacant. How long each part is limits how many there can be.
pub struct Storage<'a> {
    /// ICs, boot domains included; at most [`pool::MAX_ICS`].
    pub ics: &'a mut [Ic],
    /// Regions; at most [`pool::MAX_REGIONS`].
    pub regions: &'a mut [Region],
    /// Bonds; at most [`pool::MAX_BONDS`].
    pub bonds: &'a mut [Bond],
    /// Blocks of untyped memory; at most [`crate::untyped::BLOCKS`].
    pub blocks: &'a mut [Block],
}

/// Everything that the manager knows.
///
/// Invariants, which hold between any two requests:
/// * the slots of a record that is vacant are empty, but for badged endpoints of which no copy is anywhere
///   ([`Ic::names`]);
/// * an account's `spent` is the pages and units of everything that names it as payer;
/// * an id that was given out names the same IC or region for ever, or nothing;
/// * whatever an IC or region is made of derives from the chunks of its arena.
pub struct Manager<'a> {
    pub(crate) ics: Table<'a, Ic>,
    pub(crate) regions: Table<'a, Region>,
    pub(crate) bonds: Table<'a, Bond>,
    pub(crate) memory: Untypeds<'a>,
    pub(crate) registry: Registry,
    pub(crate) asids: Asids,
    pub(crate) channels: [Link; CHANNELS],
    /// What boot domains can say to each other by the root task's doing: for the graph.
    pub(crate) boot_channels: heapless::Vec<BootChannel, { boot::MAX_CHANNELS }>,
    pub(crate) boot_maps: heapless::Vec<BootMap, { boot::MAX_MAPS }>,
    /// The endpoint that the manager itself receives from.
    pub(crate) endpoint: Slot,
    /// Dead ICs whose callers are being answered; the first one's at this moment.
    pub(crate) answering: List,
    /// Dying ICs for which the reaper's queue had no room.
    pub(crate) waiting: List,
    serial: u64,
}

impl<'a> Manager<'a> {
    /// A manager of nothing; [`Manager::start`] gives it the machine.
    pub fn new(storage: Storage<'a>) -> Self {
        assert!(storage.ics.len() <= pool::MAX_ICS);
        assert!(storage.regions.len() <= pool::MAX_REGIONS);
        assert!(storage.bonds.len() <= pool::MAX_BONDS);
        Self {
            ics: Table::new(storage.ics),
            regions: Table::new(storage.regions),
            bonds: Table::new(storage.bonds),
            memory: Untypeds::new(storage.blocks),
            registry: Registry::default(),
            asids: Asids::default(),
            channels: [Link::NONE; CHANNELS],
            boot_channels: heapless::Vec::new(),
            boot_maps: heapless::Vec::new(),
            endpoint: 0,
            answering: List::EMPTY,
            waiting: List::EMPTY,
            serial: 0,
        }
    }

    /// The next serial number: never the same twice. (2^51 of them last for 71 years at a million a second.)
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    // Who and what.

    /// The IC with this id, alive.
    pub(crate) fn known(&self, id: IcId) -> Result<u32> {
        match self.ics.get(id.index()) {
            Some(ic) if ic.id == id && ic.phase == Phase::Alive => Ok(id.index()),
            _ => Err(Error::Gone),
        }
    }

    /// The client of a session on `server`: the session and the client.
    pub(crate) fn client(&self, server: u32, session: u32) -> Result<(u32, u32)> {
        let bond = self.bonds.get(session).ok_or(Error::Gone)?;
        if bond.kind != BondKind::Session || bond.closed || !bond.facing.is(server) {
            return Err(Error::Gone);
        }
        Ok((session, bond.holder.get().ok_or(Error::Gone)?))
    }

    /// The other end of a session or connection of the caller's: the bond, who that is, and what it
    /// consented to.
    pub(crate) fn other_end(&self, caller: u32, session: u32) -> Result<(u32, u32, Consent)> {
        let bond = self.bonds.get(session).ok_or(Error::Gone)?;
        if !matches!(bond.kind, BondKind::Session | BondKind::Connection) || bond.closed {
            return Err(Error::Gone);
        }
        let (other, consent) = if bond.facing.is(caller) {
            (bond.holder, bond.consent)
        } else if bond.holder.is(caller) {
            (bond.facing, bond.offer)
        } else {
            // Not to be told apart from one that never was.
            return Err(Error::Gone);
        };
        Ok((session, other.get().ok_or(Error::Gone)?, consent))
    }

    /// Whose budget a request draws on.
    pub(crate) fn payer(&self, caller: u32, payer: Payer) -> Result<u32> {
        match payer {
            Payer::Myself => Ok(caller),
            Payer::Client(session) => self.client(caller, session).map(|(_, client)| client),
            Payer::PayerOf(index) => {
                let ic = self.ics.get(index).ok_or(Error::Gone)?;
                if ic.phase != Phase::Alive || !ic.creator.is(caller) {
                    return Err(Error::Gone);
                }
                ic.payer.get().ok_or(Error::Gone)
            }
        }
    }

    /// Whether `caller` may look at an IC and end it: as creator, payer or supervisor.
    pub(crate) fn answers_for(&self, caller: u32, index: u32) -> bool {
        let ic = &self.ics[index];
        ic.creator.is(caller) || ic.payer.is(caller) || self.ics[caller].supervisor
    }

    /// An IC that the caller created.
    pub(crate) fn created_by(&self, caller: u32, id: IcId) -> Result<u32> {
        let index = self.known(id)?;
        if self.ics[index].creator.is(caller) {
            Ok(index)
        } else {
            Err(Error::NotAllowed)
        }
    }

    /// An IC that the caller answers for, and that is not a boot domain.
    pub(crate) fn subordinate(&self, caller: u32, id: IcId) -> Result<u32> {
        let index = self.known(id)?;
        if self.answers_for(caller, index) && !self.ics[index].domain {
            Ok(index)
        } else {
            Err(Error::NotAllowed)
        }
    }

    /// Whom a question is about, if the caller may ask it.
    pub(crate) fn visible(&self, caller: u32, subject: Subject) -> Result<u32> {
        match subject {
            Subject::Myself => Ok(caller),
            Subject::Client(session) => self.client(caller, session).map(|(_, client)| client),
            Subject::Ic(id) => {
                let index = self.known(id)?;
                if index == caller || self.answers_for(caller, index) {
                    Ok(index)
                } else {
                    Err(Error::NotAllowed)
                }
            }
        }
    }

    /// To whom something is to be done: oneself, an IC that one created or pays for, or the other end of a
    /// session who consented.
    pub(crate) fn target(
        &self,
        caller: u32,
        subject: Subject,
        consented: impl Fn(Consent) -> bool,
    ) -> Result<u32> {
        match subject {
            Subject::Myself => Ok(caller),
            Subject::Ic(id) => {
                let index = self.known(id)?;
                let ic = &self.ics[index];
                if index == caller || ic.creator.is(caller) || ic.payer.is(caller) {
                    Ok(index)
                } else {
                    Err(Error::NotAllowed)
                }
            }
            Subject::Client(session) => {
                let (_, other, consent) = self.other_end(caller, session)?;
                if consented(consent) {
                    Ok(other)
                } else {
                    Err(Error::NoConsent)
                }
            }
        }
    }

    // Where.

    /// The IC whose CSpace and VSpace an IC executes in.
    pub(crate) fn home(&self, index: u32) -> u32 {
        self.ics[index].host.get().unwrap_or(index)
    }

    pub(crate) fn cspace(&self, home: u32) -> Slot {
        if self.ics[home].domain {
            pool::domain(home, boot::DOMAIN_CSPACE)
        } else {
            pool::ic(home, Part::CSpace)
        }
    }

    pub(crate) fn vspace(&self, home: u32) -> Slot {
        if self.ics[home].domain {
            pool::domain(home, boot::DOMAIN_VSPACE)
        } else {
            pool::ic(home, Part::VSpace)
        }
    }

    /// What a region is mapped into at an address as requests say it, and the address there.
    pub(crate) fn root_at(&self, home: u32, address: u64) -> Result<(Root, u64)> {
        if address & SECOND_STAGE == 0 {
            return Ok((Root::VSpace(self.vspace(home)), address));
        }
        match self.ics[home].stage_pool {
            NO_ASID => Err(Error::BadAddress),
            _ => Ok((
                Root::SecondStage(pool::ic(home, Part::Node)),
                address & !SECOND_STAGE,
            )),
        }
    }

    /// A root slot of an IC's CSpace that a caller named.
    pub(crate) fn root_slot(&self, home: u32, slot: u32) -> Result<At> {
        let radix = self.ics[home].cspace_radix as u32;
        if slot == slots::ic::NULL || slot >> radix != 0 {
            return Err(Error::BadSlot);
        }
        Ok(At::node(self.cspace(home), slot, radix))
    }

    // Small things that many do.

    /// Deletes a capability; that cannot fail.
    pub(crate) fn delete<M: Machine>(&self, m: &mut M, at: At) {
        if let Err(refusal) = m.delete(at) {
            m.defect("deleting a capability", refusal);
        }
    }

    /// Ends everything that was handed out from a badged endpoint in the pool, and the endpoint.
    pub(crate) fn sever<M: Machine>(&self, m: &mut M, slot: Slot) {
        self.withdraw(m, slot);
        self.delete(m, At::pool(slot));
    }

    /// Ends everything that was handed out from a badged endpoint in the pool, so that its badge can
    /// be used again.
    ///
    /// The copies go first: whoever is then woken from a queued send finds its capability gone, and
    /// cannot queue again.
    pub(crate) fn withdraw<M: Machine>(&self, m: &mut M, slot: Slot) {
        if let Err(refusal) = m.revoke(slot) {
            m.defect("revoking a session", refusal);
        }
        // Refused when the endpoint went before its badged copy; nobody is queued then.
        let _ = m.cancel_badged_sends(slot);
    }

    /// Tells an IC that there are events for it.
    pub(crate) fn tell<M: Machine>(&self, m: &mut M, index: u32) {
        if self.ics[index].domain {
            m.signal(pool::domain(index, boot::DOMAIN_NOTIFICATION));
        }
        if let Some(bell) = self.ics[index].bell.get() {
            m.signal(pool::bond(bell));
        }
    }
}
