// SPDX-License-Identifier: BSD-2-Clause
//! Looking: lists, single ICs, the graph, budgets.
//!
//! Long answers come in pages. A cursor is a position in a table, so what
//! changes between two pages may be missed or seen twice, but nothing else is
//! affected. A page looks at a bounded number of records.

use xos_protocol::manager::{
    Budget, Declare, Edge, EdgeKind, EdgePage, Free, IcInfo, IcPage, ObjectKind, ServiceInfo,
    ServicePage,
};
use xos_protocol::{Error, IcId, Name, Result, Subject};

use crate::Manager;
use crate::bond::{self, Kind as BondKind};
use crate::ic::Phase;
use crate::ledger::Cost;
use crate::pool::IC_SLOTS;
use crate::table::Link;

/// Records that one page looks at.
const GLANCES: u32 = 2048;
/// Edges that one IC can give rise to by its own record.
const OWN_EDGES: usize = 3;
/// Cursors of the graph from here on are positions in the table of bonds.
const BONDS: u64 = 1 << 32;
/// And from here on in the table of regions.
const REGIONS: u64 = 1 << 33;
/// And from here on in the list of channels from boot.
const CHANNELS: u64 = 1 << 34;
/// And from here on in the list of regions that are mapped from boot.
const MAPS: u64 = 1 << 35;
/// Edges of those in a page: each has a name in it, which takes the room of two.
const MAPS_IN_A_PAGE: usize = 12;

impl Manager<'_> {
    /// One IC.
    pub(crate) fn stat(&self, caller: u32, subject: Subject) -> Result<IcInfo> {
        self.visible(caller, subject).map(|index| self.info(index))
    }

    fn id_of(&self, link: Link) -> IcId {
        link.get().map_or(IcId::NONE, |index| self.ics[index].id)
    }

    fn info(&self, index: u32) -> IcInfo {
        let ic = &self.ics[index];
        IcInfo {
            id: ic.id,
            creator: self.id_of(ic.creator),
            payer: self.id_of(ic.payer),
            within: self.id_of(ic.host),
            kind: match ic.creator.get() {
                Some(creator) => self.ics[creator].service,
                None if ic.domain => Name::new("domain"),
                None => Name::EMPTY,
            },
            name: ic.name,
            state: ic.state,
            arena: ic.boot_pages + ic.arena.pages(),
            quota: ic.account.quota().pages,
            spent: ic.account.spent().pages,
        }
    }

    fn sees(&self, caller: u32, index: u32) -> bool {
        index == caller || self.answers_for(caller, index)
    }

    /// The ICs that the caller may see.
    pub(crate) fn list(&self, caller: u32, cursor: u64) -> IcPage {
        let mut page = IcPage::default();
        let end = self.ics.end();
        let start = u32::try_from(cursor).unwrap_or(end);
        for index in start..end {
            if page.ics.is_full() || index - start == GLANCES {
                page.next = index as u64;
                break;
            }
            if self.ics[index].phase == Phase::Alive && self.sees(caller, index) {
                let _ = page.ics.push(self.info(index));
            }
        }
        page
    }

    /// What is registered.
    pub(crate) fn services(&self, cursor: u64) -> ServicePage {
        let mut page = ServicePage::default();
        let start = usize::try_from(cursor).unwrap_or(usize::MAX);
        for (position, entry) in self.registry.iter_from(start) {
            if page.services.is_full() {
                page.next = position as u64;
                break;
            }
            let server = self.ics[entry.server].id;
            let _ = page.services.push(ServiceInfo {
                name: entry.name,
                kind: entry.kind,
                server,
            });
        }
        page
    }

    /// What the manager enforces between ICs that the caller may see.
    pub(crate) fn graph(&self, caller: u32, cursor: u64) -> EdgePage {
        let mut page = EdgePage::default();
        let mut glances = 0..GLANCES;
        if cursor < BONDS {
            for index in cursor as u32..self.ics.end() {
                let room = page.edges.capacity() - page.edges.len();
                if room < OWN_EDGES || glances.next().is_none() {
                    page.next = index as u64;
                    return page;
                }
                self.own_edges(caller, index, &mut page);
            }
        }
        if cursor < REGIONS {
            let start = u32::try_from(cursor.saturating_sub(BONDS)).unwrap_or(u32::MAX);
            for index in start..self.bonds.end() {
                if page.edges.is_full() || glances.next().is_none() {
                    page.next = BONDS + index as u64;
                    return page;
                }
                if let Some(edge) = self.bond_edge(caller, index) {
                    let _ = page.edges.push(edge);
                }
            }
        }
        if cursor < CHANNELS {
            let start = u32::try_from(cursor.saturating_sub(REGIONS)).unwrap_or(u32::MAX);
            for index in start..self.regions.end() {
                if page.edges.is_full() || glances.next().is_none() {
                    page.next = REGIONS + index as u64;
                    return page;
                }
                if let Some(edge) = self.region_edge(caller, index) {
                    let _ = page.edges.push(edge);
                }
            }
        }
        if cursor < MAPS {
            let start = usize::try_from(cursor.saturating_sub(CHANNELS)).unwrap_or(usize::MAX);
            for (index, channel) in self.boot_channels.iter().enumerate().skip(start) {
                if page.edges.is_full() {
                    page.next = CHANNELS + index as u64;
                    return page;
                }
                let (from, to) = (channel.from.into(), channel.to.into());
                // Domains are the first ICs, in the same order.
                if let Some(edge) = self.edge(caller, from, to, EdgeKind::Channel(channel.calls)) {
                    let _ = page.edges.push(edge);
                }
            }
        }
        let start = usize::try_from(cursor.saturating_sub(MAPS)).unwrap_or(usize::MAX);
        for (index, map) in self.boot_maps.iter().enumerate().skip(start) {
            if page.edges.len() >= MAPS_IN_A_PAGE {
                page.next = MAPS + index as u64;
                return page;
            }
            let domain = map.domain.into();
            let kind = EdgeKind::Maps(map.region, map.pages, map.rights);
            if let Some(edge) = self.edge(caller, domain, domain, kind) {
                let _ = page.edges.push(edge);
            }
        }
        page
    }

    fn region_edge(&self, caller: u32, index: u32) -> Option<Edge> {
        let region = &self.regions[index];
        if region.phase != Phase::Alive {
            return None;
        }
        let (from, to) = (region.owner.get()?, region.payer.get()?);
        let pages = (region.frames() as u64 * region.frame_bytes()) >> 12;
        let kind = EdgeKind::Region(region.id, pages as u32);
        self.edge(caller, from, to, kind)
    }

    fn edge(&self, caller: u32, from: u32, to: u32, kind: EdgeKind) -> Option<Edge> {
        let visible = self.sees(caller, from) || self.sees(caller, to);
        visible.then(|| Edge {
            from: self.ics[from].id,
            to: self.ics[to].id,
            kind,
        })
    }

    /// What a factory says that one of its ICs has to do with another.
    pub(crate) fn declare(&mut self, caller: u32, args: Declare) -> Result<()> {
        let end = |subject| match subject {
            Subject::Myself => Err(Error::NotAllowed),
            Subject::Ic(id) => self.created_by(caller, id).map(|index| (index, true)),
            Subject::Client(session) => {
                (self.client(caller, session)).map(|(_, client)| (client, false))
            }
        };
        let ((from, first), (to, second)) = (end(args.from)?, end(args.to)?);
        if !first && !second {
            return Err(Error::NotAllowed);
        }
        let mut next = self.bonds.first(bond::chain::HELD, self.ics[from].held);
        let known = loop {
            let Some(index) = next else { break None };
            let row = &self.bonds[index];
            let same = row.kind == BondKind::Declared && row.relation == args.relation;
            if same && row.facing.is(to) && row.by.is(caller) {
                break Some(index);
            }
            next = (self.bonds).after(bond::chain::HELD, self.ics[from].held, index);
        };
        match (known, args.holds) {
            (Some(known), false) => self.end_declared(known),
            (None, true) => {
                let bond = self.new_bond(caller)?;
                let row = &mut self.bonds[bond];
                row.kind = BondKind::Declared;
                row.relation = args.relation;
                row.by = Link::to(caller);
                self.tie(bond, from, to);
            }
            _ => {}
        }
        Ok(())
    }

    /// What was declared holds no more.
    pub(crate) fn end_declared(&mut self, bond: u32) {
        let row = self.bonds[bond];
        if let Some(holder) = row.holder.get() {
            (self.bonds).remove(bond::chain::HELD, &mut self.ics[holder].held, bond);
        }
        if let Some(facing) = row.facing.get() {
            (self.bonds).remove(bond::chain::FACED, &mut self.ics[facing].faced, bond);
        }
        if let Some(by) = row.by.get() {
            self.ics[by].account.refund(Cost::UNIT);
        }
        self.bonds.release(bond);
    }

    fn own_edges(&self, caller: u32, index: u32, page: &mut EdgePage) {
        let ic = &self.ics[index];
        if ic.phase != Phase::Alive || !self.sees(caller, index) {
            return;
        }
        let here = ic.id;
        let edges = [
            (ic.creator, EdgeKind::Created),
            (ic.payer, EdgeKind::Pays),
            (ic.host, EdgeKind::Within),
        ];
        for (other, kind) in edges {
            if other != Link::NONE {
                let other = self.id_of(other);
                let (from, to) = if kind == EdgeKind::Within {
                    (here, other)
                } else {
                    (other, here)
                };
                let _ = page.edges.push(Edge { from, to, kind });
            }
        }
    }

    fn bond_edge(&self, caller: u32, index: u32) -> Option<Edge> {
        let bond = &self.bonds[index];
        let (from, to, kind) = match bond.kind {
            BondKind::Session | BondKind::Connection if !bond.closed => {
                let kind = if bond.kind == BondKind::Session {
                    EdgeKind::Session(index)
                } else {
                    EdgeKind::Connection(index)
                };
                (bond.holder.get()?, bond.facing.get()?, kind)
            }
            BondKind::Declared => (
                bond.holder.get()?,
                bond.facing.get()?,
                EdgeKind::Declared(bond.relation),
            ),
            BondKind::Endpoint | BondKind::Notification => {
                let holder = bond.holder.get()?;
                let kind = match bond.kind {
                    BondKind::Endpoint => ObjectKind::Endpoint,
                    _ => ObjectKind::Notification,
                };
                (holder, holder, EdgeKind::Object(kind))
            }
            BondKind::Share => {
                let region = &self.regions[bond.holder.get()?];
                let kind = EdgeKind::Share(region.id, bond.rights);
                (region.owner.get()?, bond.facing.get()?, kind)
            }
            _ => return None,
        };
        self.edge(caller, from, to, kind)
    }

    /// What an IC may spend, and has spent.
    pub(crate) fn budget(&self, caller: u32, subject: Subject) -> Result<Budget> {
        let account = &self.ics[self.visible(caller, subject)?].account;
        Ok(Budget {
            quota: account.quota().pages as u64,
            spent: account.spent().pages as u64,
            ics_left: account.left().units as u64,
        })
    }

    /// What the manager has left.
    pub(crate) fn free_for(&self, caller: u32) -> Result<Free> {
        if self.ics[caller].supervisor {
            Ok(self.free())
        } else {
            Err(Error::NotAllowed)
        }
    }

    /// What is left: memory that is not handed out, and the slots of all vacant records.
    pub fn free(&self) -> Free {
        Free {
            bytes: self.memory.free_bytes(),
            slots: self.ics.left() as u64 * IC_SLOTS as u64
                + self.regions.left() as u64
                + self.bonds.left() as u64,
            ics: self.ics.live() as u64,
            sessions: self.bonds.live() as u64,
        }
    }
}
