// SPDX-License-Identifier: BSD-2-Clause
//! Sharing: mapping a region into an IC, and taking it back from that one alone.
//!
//! The one who maps it never holds a capability to the memory: the copies and
//! the page tables they are mapped with are the manager's, made from a chunk
//! that belongs to the share. So a share is taken back by revoking that chunk,
//! whatever its target did meanwhile, and nobody else notices.

use xos_protocol::manager::{Consent, Rights as Access, Share, USER_END};
use xos_protocol::{Error, RegionId, Result, Subject};

use crate::Manager;
use crate::arena::{bits_for, judge, pages_of};
use crate::bond::{self, Kind as BondKind};
use crate::ic::Phase;
use crate::ledger::Cost;
use crate::machine::{At, Cap, Kind, Level, Machine, Outcome, POOL, Refusal, Rights, Root};
use crate::pool::{self, Part};
use crate::region::{FAN_OUT, STEPS, frame_at, radix_for};
use crate::table::Link;
use crate::untyped::reclaim;

/// Frames of a share at most, so that no request keeps the manager for long.
pub const MAX_FRAMES: u32 = 4096;
/// Bytes that one table of frames spans.
const SPAN: u64 = 1 << 21;

/// What a share consists of, by the index in its node: the frames, then the tables.
#[derive(Clone, Copy)]
struct Shape {
    frames: u32,
    tables: u32,
    radix: u8,
}

impl Manager<'_> {
    /// Maps a region of the caller into another IC.
    pub(crate) fn share<M: Machine>(&mut self, m: &mut M, caller: u32, args: Share) -> Result<()> {
        let region = self.own_region(caller, args.region)?;
        let target = self.target(caller, args.target, |c: Consent| c.share)?;
        let target = self.home(target);
        let (root, address) = self.root_at(target, args.address)?;
        let shape = self.shape(region)?;
        let bytes = shape.frames as u64 * self.regions[region].frame_bytes();
        if address.checked_add(bytes).is_none_or(|end| end > USER_END) {
            return Err(Error::BadAddress);
        }
        let payer = self.regions[region].payer.get().ok_or(Error::Gone)?;

        let node_bytes = 1u64 << M::bits(Kind::Node(shape.radix));
        let table_bits = M::bits(root.table(Level::Frames));
        let tables = (shape.tables as u64) << table_bits;
        let bits = bits_for(node_bytes.next_multiple_of(1 << table_bits) + tables);
        let cost = Cost {
            pages: pages_of(bits)?,
            units: 1,
        };
        self.ics[payer].account.charge(cost)?;
        let chunk = match self.memory.allocate(m, bits) {
            Ok(chunk) => chunk,
            Err(error) => {
                self.ics[payer].account.refund(cost);
                return Err(error);
            }
        };
        let Some(bond) = self.bonds.claim() else {
            self.memory.free(chunk);
            self.ics[payer].account.refund(cost);
            return Err(Error::TableFull);
        };
        let row = &mut self.bonds[bond];
        row.kind = BondKind::Share;
        row.holder = Link::to(region);
        row.facing = Link::to(target);
        row.rights = args.rights;
        row.chunk = Link::to(chunk);
        self.bonds
            .append(bond::chain::HELD, &mut self.regions[region].shares, bond);
        self.bonds
            .append(bond::chain::FACED, &mut self.ics[target].faced, bond);
        let outcome = self.map_share(m, bond, shape, (root, address), args.rights);
        m.hide();
        if outcome.is_err() {
            self.end_share(m, bond);
        }
        outcome
    }

    /// Takes a region back from an IC: one of the caller's, or any from the caller; the supervisor takes
    /// all from all.
    pub(crate) fn unshare<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        region: RegionId,
        target: Subject,
    ) -> Result<()> {
        let own = self.own_region(caller, region);
        let region = self.region(region)?;
        let target = match target {
            Subject::Ic(id) if self.ics[caller].supervisor => self.known(id)?,
            Subject::Myself => caller,
            _ => {
                own?;
                self.target(caller, target, |_| true)?
            }
        };
        let target = self.home(target);
        let mut found = Err(Error::NotFound);
        let list = self.regions[region].shares;
        let mut next = self.bonds.first(bond::chain::HELD, list);
        while let Some(share) = next {
            next = self
                .bonds
                .after(bond::chain::HELD, self.regions[region].shares, share);
            if self.bonds[share].facing.is(target) {
                self.end_share(m, share);
                found = Ok(());
            }
        }
        found
    }

    /// Ends a share: its mappings are gone, its memory is back.
    pub(crate) fn end_share<M: Machine>(&mut self, m: &mut M, share: u32) {
        let row = self.bonds[share];
        let Some(region) = row.holder.get() else {
            return;
        };
        if self.regions[region].large {
            // Frames that are mapped without a table of the share's own. Their capabilities go below,
            // which unmaps them; but not in every release of the kernel.
            let frames = self.regions[region].frames();
            let radix = radix_for(frames);
            if m.show(At::pool(pool::bond(share)), radix).is_ok() {
                (0..frames).for_each(|i| m.unmap_frame(Cap::Shown(i)));
            }
            m.hide();
        }
        if let Some(chunk) = row.chunk.get() {
            let cost = pages_of(self.memory.bits(chunk)).unwrap_or(0);
            reclaim(&mut self.memory, m, chunk);
            if let Some(payer) = self.regions[region].payer.get() {
                self.ics[payer].account.refund(Cost {
                    pages: cost,
                    units: 1,
                });
            }
        }
        self.bonds
            .remove(bond::chain::HELD, &mut self.regions[region].shares, share);
        if let Some(target) = row.facing.get() {
            self.bonds
                .remove(bond::chain::FACED, &mut self.ics[target].faced, share);
        }
        self.bonds.release(share);
    }

    fn shape(&self, region: u32) -> Result<Shape> {
        let row = &self.regions[region];
        let frames = row.frames();
        if frames > MAX_FRAMES {
            return Err(Error::NoMemory);
        }
        let tables = if row.large {
            0
        } else {
            (frames as u64 * row.frame_bytes()).div_ceil(SPAN) as u32
        };
        Ok(Shape {
            frames,
            tables,
            radix: radix_for(frames + tables),
        })
    }

    fn map_share<M: Machine>(
        &mut self,
        m: &mut M,
        share: u32,
        shape: Shape,
        (root, address): (Root, u64),
        access: Access,
    ) -> Result<()> {
        let row = self.bonds[share];
        let (Some(region), Some(target), Some(chunk)) =
            (row.holder.get(), row.facing.get(), row.chunk.get())
        else {
            return Err(Error::Gone);
        };
        let node = pool::bond(share);
        let untyped = self.memory.slot(chunk);
        let radix = shape.radix as u32;
        let ours = |m: &mut M, refusal| judge(m, "sharing a region", refusal, Error::Kernel);
        // The tables are made after the node, so that revoking removes them, and with them all
        // mappings at once, before it comes to the frames.
        m.retype(untyped, Kind::Node(shape.radix), At::whole(POOL), node, 1)
            .map_err(|r| ours(m, r))?;
        for first in (0..shape.tables).step_by(FAN_OUT as usize) {
            let count = (shape.tables - first).min(FAN_OUT);
            let kind = root.table(Level::Frames);
            m.retype(untyped, kind, At::whole(node), shape.frames + first, count)
                .map_err(|r| ours(m, r))?;
        }
        let rights = if access.write {
            Rights::All
        } else {
            Rights::Read
        };
        let mut to = 0;
        for step in 0..STEPS {
            let made = self.regions[region].steps[step];
            for frame in 0..made.frames {
                let from = frame_at(region, step, made.radix, frame);
                m.copy(from, At::node(node, to, radix), rights)
                    .map_err(|r| ours(m, r))?;
                to += 1;
            }
        }
        m.show(At::pool(node), shape.radix)
            .map_err(|r| ours(m, r))?;
        for table in 0..shape.tables {
            let cap = Cap::Shown(shape.frames + table);
            self.map_below(
                m,
                (target, root),
                Level::Frames,
                address + table as u64 * SPAN,
                |m, root, at| m.map_table(cap, Level::Frames, root, at),
            )?;
        }
        let bytes = self.regions[region].frame_bytes();
        for frame in 0..shape.frames {
            let at = address + frame as u64 * bytes;
            let map = |m: &mut M, root, at| m.map_frame(Cap::Shown(frame), root, at, access.write);
            if self.regions[region].large {
                self.map_below(m, (target, root), Level::Frames, at, map)?;
            } else {
                map(m, root, at).map_err(|r| judge(m, "mapping a frame", r, Error::BadAddress))?;
            }
        }
        Ok(())
    }

    /// Maps something at `level` below a root of an IC's, and first what is missing above it, from
    /// the arena of that IC and at its expense.
    pub(crate) fn map_below<M: Machine>(
        &mut self,
        m: &mut M,
        (target, root): (u32, Root),
        level: Level,
        address: u64,
        map: impl Fn(&mut M, Root, u64) -> Outcome,
    ) -> Result<()> {
        match map(m, root, address) {
            Err(Refusal::Missing) => {}
            other => {
                return other.map_err(|r| judge(m, "mapping", r, Error::BadAddress));
            }
        }
        let above = match level {
            Level::Frames => Level::Tables,
            Level::Tables => Level::Directories,
            Level::Directories => return Err(Error::BadAddress),
        };
        self.add_table(m, (target, root), above, address)?;
        map(m, root, address).map_err(|r| judge(m, "mapping", r, Error::BadAddress))
    }

    /// Makes a paging structure below a root of an IC's and maps it.
    fn add_table<M: Machine>(
        &mut self,
        m: &mut M,
        (target, root): (u32, Root),
        level: Level,
        address: u64,
    ) -> Result<()> {
        let ic = &mut self.ics[target];
        let taken = ic.tables;
        if ic.phase != Phase::Alive || taken as u32 == pool::TABLES {
            return Err(Error::TableFull);
        }
        let slot = pool::ic(target, Part::Tables) + taken as u32;
        ic.arena.carve(
            m,
            &mut self.memory,
            &mut ic.account,
            root.table(level),
            At::whole(POOL),
            slot,
            1,
            Error::Kernel,
        )?;
        // Counted before it is mapped: mapping it may take another one above it, and another slot.
        ic.tables += 1;
        let outcome = self.map_below(m, (target, root), level, address, |m, root, at| {
            m.map_table(Cap::Pool(slot), level, root, at)
        });
        if outcome.is_err() {
            self.delete(m, At::pool(slot));
            let ic = &mut self.ics[target];
            if ic.tables == taken + 1 {
                ic.tables = taken;
            }
        }
        outcome
    }
}
