// SPDX-License-Identifier: BSD-2-Clause
//! Regions: memory with an arena of its own, mapped by any number of ICs and part of none.
//!
//! The original capabilities of the frames lie in nodes that nobody but the
//! manager can reach. Whoever made the region may get copies, in nodes that the
//! manager places into its CSpace, to map where it pleases; all of them go when
//! the region goes, since all derive from its arena.

use xos_protocol::manager::{PAGE, RegionCreate};
use xos_protocol::{Error, RegionId, Result, slots};

use crate::Manager;
use crate::arena::{Arena, judge, pieces};
use crate::ic::Phase;
use crate::ledger::Cost;
use crate::machine::{At, Kind, Machine, POOL, Rights};
use crate::pool;
use crate::table::{Link, Links, List, Record};
use crate::untyped::MIN_BITS;

/// Times that a region can get memory.
pub const STEPS: usize = 8;
/// Radix of the node that holds the nodes with the frames of each step.
const INDEX_RADIX: u32 = 3;
/// Frames that one request makes at most, so that no request keeps the manager for long.
pub const MAX_STEP: u32 = 4096;
/// Small frames per large one.
const PER_LARGE: u32 = 512;
/// Objects that one invocation makes at most (CONFIG_RETYPE_FAN_OUT_LIMIT).
pub const FAN_OUT: u32 = 256;

/// Chains of a region's links.
pub mod chain {
    /// In [`crate::ic::Ic::regions`] of its owner.
    pub const OWNED: usize = 0;
    /// In [`crate::ic::Ic::bought`] of its payer.
    pub const BOUGHT: usize = 1;
}

/// Frames that were made together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Step {
    /// How many.
    pub frames: u32,
    /// Radix of the node with them.
    pub radix: u8,
}

/// The record of a region.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Its id.
    pub id: RegionId,
    /// How far it is gone; `Dying` while its memory is being taken back.
    pub phase: Phase,
    /// Whether its frames are 2 MiB large.
    pub large: bool,
    /// Who made it and decides about it.
    pub owner: Link,
    /// Who pays for it.
    pub payer: Link,
    /// Who maps it at the owner's wish.
    pub shares: List,
    /// Steps taken.
    pub count: u8,
    /// Its frames.
    pub steps: [Step; STEPS],
    /// What it is made of.
    pub arena: Arena,
    links: [Links; 2],
}

impl Record for Region {
    const VACANT: Self = Self {
        id: RegionId::NONE,
        phase: Phase::Vacant,
        large: false,
        owner: Link::NONE,
        payer: Link::NONE,
        shares: List::EMPTY,
        count: 0,
        steps: [Step {
            frames: 0,
            radix: 0,
        }; STEPS],
        arena: Arena::EMPTY,
        links: [Links::NONE; 2],
    };
    fn links(&mut self, chain: usize) -> &mut Links {
        &mut self.links[chain]
    }
    fn links_of(&self, chain: usize) -> &Links {
        &self.links[chain]
    }
}

impl Region {
    /// Its frames, all steps together.
    pub fn frames(&self) -> u32 {
        self.steps.iter().map(|s| s.frames).sum()
    }

    /// Its frames, and how they are made.
    pub fn frame_kind(&self) -> Kind {
        if self.large {
            Kind::LargeFrame
        } else {
            Kind::Frame
        }
    }

    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> u64 {
        if self.large {
            PAGE * PER_LARGE as u64
        } else {
            PAGE
        }
    }

    /// Small pages per frame.
    fn pages_per_frame(&self) -> u32 {
        if self.large { PER_LARGE } else { 1 }
    }
}

/// Where the original of a frame lies.
pub fn frame_at(region: u32, step: usize, radix: u8, frame: u32) -> At {
    At::node(pool::region(region), step as u32, INDEX_RADIX).below(frame, radix as u32)
}

/// The smallest radix of a node with room for `count` capabilities.
pub fn radix_for(count: u32) -> u8 {
    count.next_power_of_two().trailing_zeros().max(1) as u8
}

impl Manager<'_> {
    /// Makes a region.
    pub(crate) fn region_create<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        args: RegionCreate,
    ) -> Result<RegionId> {
        let payer = self.payer(caller, args.payer)?;
        let frames = if args.large {
            args.pages / PER_LARGE
        } else {
            args.pages
        };
        if frames > MAX_STEP {
            return Err(Error::NoMemory);
        }
        self.ics[payer].account.charge(Cost::UNIT)?;
        let Some(index) = self.regions.claim() else {
            self.ics[payer].account.refund(Cost::UNIT);
            return Err(Error::TableFull);
        };
        let serial = self.next_serial();
        let region = &mut self.regions[index];
        region.id = RegionId::new(serial, index).ok_or(Error::TableFull)?;
        region.phase = Phase::Alive;
        region.large = args.large;
        region.owner = Link::to(caller);
        region.payer = Link::to(payer);
        let id = region.id;
        self.regions
            .append(chain::OWNED, &mut self.ics[caller].regions, index);
        self.regions
            .append(chain::BOUGHT, &mut self.ics[payer].bought, index);
        match self.region_step(m, index, caller, frames, args.place) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.region_end(m, index, true);
                Err(error)
            }
        }
    }

    /// Grows a region to `pages`; the new frames' nodes go to `place`, as when it was made.
    pub(crate) fn region_resize<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        id: RegionId,
        pages: u64,
        place: u64,
    ) -> Result<()> {
        let index = self.own_region(caller, id)?;
        let region = &self.regions[index];
        let (have, unit) = (region.frames(), region.pages_per_frame() as u64);
        if !pages.is_multiple_of(unit) || place >= 1 << 12 {
            return Err(Error::Malformed);
        }
        let wanted = (pages / unit)
            .checked_sub(have as u64)
            .ok_or(Error::NotSupported)?;
        match u32::try_from(wanted) {
            Ok(0) => Ok(()),
            Ok(frames) if frames <= MAX_STEP => {
                self.region_step(m, index, caller, frames, place as u32)
            }
            _ => Err(Error::NoMemory),
        }
    }

    /// Takes a region back from everybody.
    pub(crate) fn region_destroy<M: Machine>(
        &mut self,
        m: &mut M,
        caller: u32,
        id: RegionId,
    ) -> Result<()> {
        let index = self.own_region(caller, id)?;
        self.region_end(m, index, false);
        Ok(())
    }

    /// A region that is alive.
    pub(crate) fn region(&self, id: RegionId) -> Result<u32> {
        match self.regions.get(id.index()) {
            Some(region) if region.id == id && region.phase == Phase::Alive => Ok(id.index()),
            _ => Err(Error::Gone),
        }
    }

    /// A region that is alive and the caller's.
    pub(crate) fn own_region(&self, caller: u32, id: RegionId) -> Result<u32> {
        let index = self.region(id)?;
        if self.regions[index].owner.is(caller) {
            Ok(index)
        } else {
            Err(Error::NotAllowed)
        }
    }

    /// Adds frames, and gives the owner copies of them. What was made before stays as it was if this fails.
    fn region_step<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        owner: u32,
        frames: u32,
        place: u32,
    ) -> Result<()> {
        let nodes = frames.div_ceil(FAN_OUT);
        if place != 0 {
            for node in 0..nodes {
                self.root_slot(owner, place + node)?;
            }
        }
        let step = self.regions[index].count as usize;
        if step == STEPS {
            return Err(Error::TableFull);
        }
        let radix = radix_for(frames);
        let payer = self.regions[index].payer.get().ok_or(Error::Gone)?;
        let sizes = pieces::<4>(frames * self.regions[index].pages_per_frame());
        let pages: u64 = sizes.iter().map(|bits| 1u64 << (bits - MIN_BITS)).sum();
        if pages > self.ics[payer].account.left().pages as u64 {
            return Err(Error::OverBudget);
        }
        let region = &mut self.regions[index];
        let account = &mut self.ics[payer].account;
        let memory = &mut self.memory;
        if step == 0 {
            let kind = Kind::Node(INDEX_RADIX as u8);
            let slot = pool::region(index);
            region.arena.carve(
                m,
                memory,
                account,
                kind,
                At::whole(POOL),
                slot,
                1,
                Error::Kernel,
            )?;
        }
        // From here on the step exists, so that what a failure leaves behind is known and not reused.
        region.count += 1;
        region.steps[step].radix = radix;
        let kind = Kind::Node(radix);
        let index_node = At::whole(pool::region(index));
        region.arena.carve(
            m,
            memory,
            account,
            kind,
            index_node,
            step as u32,
            1,
            Error::Kernel,
        )?;

        let frame = region.frame_kind();
        let frame_bits = M::bits(frame);
        let node = At::node(pool::region(index), step as u32, INDEX_RADIX);
        let mut made = 0;
        for bits in sizes {
            let chunk = region
                .arena
                .extend(m, memory, account, bits.max(frame_bits))?;
            let mut room = 1u32 << (memory.bits(chunk) - frame_bits);
            while room > 0 && made < frames {
                let count = room.min(frames - made).min(FAN_OUT);
                m.retype(memory.slot(chunk), frame, node, made, count)
                    .map_err(|refusal| judge(m, "making frames", refusal, Error::Kernel))?;
                (made, room) = (made + count, room - count);
            }
        }
        if place != 0 {
            self.give_copies(m, index, step, frames, owner, place)?;
        }
        self.regions[index].steps[step].frames = frames;
        Ok(())
    }

    /// Places nodes with copies of a step's frames into its owner's CSpace.
    ///
    /// Each node is filled where nobody else sees it, and only then handed out: the path to it never
    /// leads through something that the owner could exchange.
    fn give_copies<M: Machine>(
        &mut self,
        m: &mut M,
        index: u32,
        step: usize,
        frames: u32,
        owner: u32,
        place: u32,
    ) -> Result<()> {
        let radix = self.regions[index].steps[step].radix;
        let payer = self.regions[index].payer.get().ok_or(Error::Gone)?;
        let scratch = pool::scratch(0);
        for (n, first) in (0..frames).step_by(FAN_OUT as usize).enumerate() {
            let count = (frames - first).min(FAN_OUT);
            let node_radix = radix_for(count);
            self.regions[index].arena.carve(
                m,
                &mut self.memory,
                &mut self.ics[payer].account,
                Kind::Node(node_radix),
                At::whole(POOL),
                scratch,
                1,
                Error::Kernel,
            )?;
            let to = self.root_slot(owner, place + n as u32)?;
            let mut outcome = (0..count).try_for_each(|i| {
                let from = frame_at(index, step, radix, first + i);
                m.copy(from, At::node(scratch, i, node_radix as u32), Rights::All)
                    .map_err(|refusal| judge(m, "copying a frame", refusal, Error::Kernel))
            });
            if outcome.is_ok() {
                let guard = slots::node_guard(node_radix as u32);
                outcome = m
                    .mint(At::pool(scratch), to, Rights::All, guard)
                    .map_err(|refusal| judge(m, "placing frames", refusal, Error::BadSlot));
            }
            // The node lives on in the owner's CSpace; or, if that failed, ends here with all that is in it.
            self.delete(m, At::pool(scratch));
            outcome?;
        }
        Ok(())
    }

    /// Ends a region: from here on nobody maps it. Its memory is back at once, or when the reaper is done.
    pub(crate) fn region_end<M: Machine>(&mut self, m: &mut M, index: u32, at_once: bool) {
        while let Some(share) = self
            .bonds
            .first(crate::bond::chain::HELD, self.regions[index].shares)
        {
            self.end_share(m, share);
        }
        self.regions[index].phase = Phase::Dying;
        if let Some(owner) = self.regions[index].owner.get() {
            self.regions
                .remove(chain::OWNED, &mut self.ics[owner].regions, index);
            self.regions[index].owner = Link::NONE;
        }
        let pages = self.regions[index].arena.pages();
        if at_once || pages <= crate::destroy::INLINE_PAGES || !self.reap_region(m, index) {
            self.regions[index].arena.reclaim(m, &mut self.memory);
            self.region_gone(m, index, pages);
        }
    }

    /// All memory of a region is back.
    pub(crate) fn region_gone<M: Machine>(&mut self, m: &mut M, index: u32, pages: u32) {
        let payer = self.regions[index].payer.get();
        if let Some(payer) = payer {
            self.ics[payer].account.refund(Cost { pages, units: 1 });
            self.regions
                .remove(chain::BOUGHT, &mut self.ics[payer].bought, index);
        }
        self.regions.release(index);
        if let Some(payer) = payer {
            self.settle(m, payer);
        }
    }
}
