// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces of programs: ICs that are composed of their parts here.
//!
//! An IC's parts node has 256 slots. The first ones are the manager's; the others are for what is made
//! of the IC's own memory (paging structures, further executions) and for copies of frames that are
//! mapped in it. When they are used up, the IC gets another node of 256.
//!
//! An IC that is not needed any more is kept for the next process: what costs most of making one, the
//! objects themselves, is saved.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::ops::Range;

use legacy_posix::gate::{self, Place};
use legacy_posix::kernel::Execution;
use legacy_posix::mm::{Slot, Space as SpaceId};
use legacy_posix::pages::Claim;
use legacy_posix::{Errno, Page, Result};
use sel4::cap::{Endpoint, Tcb};
use sel4::{
    CNodeCapData, CPtr, Cap, CapRights, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86,
    VmAttributes, cap, cap_type,
};
use xos::protocol::manager::{Create, Grow, PAGE, Payer};
use xos::protocol::slots::{NODE_BITS, leaf, node_guard, parts};
use xos::protocol::{IcId, Name};

use crate::frames;
use crate::gates::{self, GatePage, Gates};
use crate::kernel::{badge_of, own, places_of_frames};

/// Root slots of nodes of ICs.
const FIRST_NODE: u32 = gates::FIRST_PLACE + gates::STEPS;
/// Root slot that is empty between any two calls.
const STAGING: u32 = 127;
/// Radix of a node.
const RADIX: u32 = 8;
const SLOTS: u32 = 1 << RADIX;
/// Radix of an IC's CSpace: room for the faults of a few threads.
const FAULTS_RADIX: u32 = 4;
/// The first slot in it that is ours.
const FIRST_FAULT: u32 = 4;
/// Pages of untyped memory that an IC begins with: paging structures of a small program.
const FIRST_PAGES: u32 = 16;
/// Pages of the parts themselves.
const PARTS_PAGES: u32 = 4;
/// Pages that an IC may take at most, of a small budget and of a large one: one that maps more than there is room
/// for has what it maps exchanged.
const MOST_PAGES: Range<u32> = 64..256;
/// Such a part of what pays for all, if that is more than the least and less than the most.
const PART: u32 = 16;
/// Pages by which an IC grows at least: a node and what it may have to be aligned by.
const LEAST_GROWTH: u32 = 4;
/// Slots of the first node for memory that an IC grows by.
const GROWTHS: u32 = 12;
/// The same priority as apps and this server.
const PRIORITY: u64 = 100;
/// ICs that are kept.
const MAX_KEPT: usize = 16;
/// One that has become larger is not kept: the next program has the rest of its pages only.
const MAX_KEPT_PAGES: u32 = 32;

/// 256 slots.
struct Node {
    place: u32,
    /// Slots with something that stays.
    fixed: [u64; 4],
    /// Slots with a frame.
    frames: [u64; 4],
}

impl Node {
    fn free(&self) -> Option<u32> {
        (0..4).find_map(|i| {
            let free = !(self.fixed[i] | self.frames[i]);
            (free != 0).then(|| i as u32 * 64 + free.trailing_zeros())
        })
    }
}

fn set(bits: &mut [u64; 4], index: u32) {
    bits[index as usize / 64] |= 1 << (index % 64);
}

fn clear(bits: &mut [u64; 4], index: u32) {
    bits[index as usize / 64] &= !(1 << (index % 64));
}

struct IcRecord {
    id: IcId,
    nodes: Vec<Node>,
    /// The piece of untyped memory that is being used up, by its slot in the parts node.
    untyped: Option<u32>,
    /// Slots of the first node that are left for further pieces.
    growths: Range<u32>,
    /// Pages that it has got, its parts included.
    pages: u32,
    /// Executions that stand still and are nobody's.
    idle: Vec<Execution>,
    /// Executions that it has.
    executions: Vec<Execution>,
    /// Fault capabilities that were made for it.
    faults: u32,
    /// The node with those that its CSpace has no room for: where it lies.
    more_faults: (u32, u32),
    /// The page with the places of its executions in the gate, unless there was no memory for it.
    gate: Option<GatePage>,
}

struct ExecutionRecord {
    space: u32,
    /// CPtr of the TCB.
    tcb: u64,
    /// The page that its place in the gate is in, and which place that is.
    gate: Option<(GatePage, usize)>,
}

/// All address spaces.
pub struct Spaces {
    endpoint: Endpoint,
    ics: Vec<Option<IcRecord>>,
    free_ics: Vec<u32>,
    kept: Vec<u32>,
    executions: Vec<Option<ExecutionRecord>>,
    free_executions: Vec<u32>,
    free_nodes: Vec<u32>,
    next_node: u32,
    gates: Gates,
    /// Pages of all ICs but those that are kept, and that there may be.
    used: u32,
    pages: u32,
    /// Pages that an IC may take at most.
    most_pages: u32,
    /// For whom they grow.
    claim: Claim,
}

impl Spaces {
    /// None; faults go to `endpoint`, and so many pages pay for all.
    pub fn new(endpoint: Endpoint, pages: u32) -> Self {
        let most_pages = (pages / PART).clamp(MOST_PAGES.start, MOST_PAGES.end);
        Self {
            endpoint,
            most_pages,
            claim: Claim::First,
            ics: Vec::new(),
            free_ics: Vec::new(),
            kept: Vec::new(),
            executions: Vec::new(),
            free_executions: Vec::new(),
            free_nodes: Vec::new(),
            next_node: 0,
            gates: Gates::new(),
            used: 0,
            pages,
        }
    }

    /// Address spaces that can still be made, and that there can be, if all stay small.
    pub const fn count(&self) -> (usize, usize) {
        const EACH: u32 = PARTS_PAGES + FIRST_PAGES;
        let left = self.pages.saturating_sub(self.used);
        ((left / EACH) as usize, (self.pages / EACH) as usize)
    }

    /// For whom they grow from now on.
    pub const fn serve(&mut self, claim: Claim) {
        self.claim = claim;
    }

    fn ic(&mut self, space: SpaceId) -> Result<&mut IcRecord> {
        let record = self.ics.get_mut(space.0 as usize);
        record.and_then(Option::as_mut).ok_or(Errno::NOMEM)
    }

    fn take_node(&mut self) -> Result<u32> {
        if let Some(place) = self.free_nodes.pop() {
            return Ok(place);
        }
        if FIRST_NODE + self.next_node == places_of_frames().start {
            return Err(Errno::NOMEM);
        }
        self.next_node += 1;
        Ok(FIRST_NODE + self.next_node - 1)
    }

    /// An address space with nothing in it.
    pub fn create(&mut self) -> Result<SpaceId> {
        if let Some(kept) = self.kept.pop() {
            let space = SpaceId(kept);
            self.used += self.ic(space)?.pages;
            return Ok(space);
        }
        if self.used + PARTS_PAGES + FIRST_PAGES > self.pages {
            return Err(Errno::AGAIN);
        }
        let place = self.take_node()?;
        let made = xos::manager().create(&Create {
            payer: Payer::Myself,
            place,
            handle: 0,
            session: false,
            memory: FIRST_PAGES,
            // What it costs so far; it is raised when it grows.
            quota: 0,
            ics: 0,
            parts_radix: RADIX,
            cspace_radix: FAULTS_RADIX,
        });
        let created = match made {
            Ok(created) => created,
            Err(_) => {
                self.free_nodes.push(place);
                return Err(Errno::AGAIN);
            }
        };
        let _ = xos::manager().annotate(created.id, Name::new("linux"));
        let mut first = Node {
            place,
            fixed: [0; 4],
            frames: [0; 4],
        };
        let growths = parts::FIRST_FREE..parts::FIRST_FREE + GROWTHS;
        for slot in 0..growths.end {
            set(&mut first.fixed, slot);
        }
        let record = IcRecord {
            id: created.id,
            nodes: alloc::vec![first],
            untyped: Some(created.first),
            growths,
            pages: PARTS_PAGES + FIRST_PAGES,
            idle: Vec::new(),
            executions: Vec::new(),
            faults: 0,
            more_faults: (0, 0),
            gate: None,
        };
        let number = match self.free_ics.pop() {
            Some(number) => {
                self.ics[number as usize] = Some(record);
                number
            }
            None => {
                self.ics.push(Some(record));
                self.ics.len() as u32 - 1
            }
        };
        self.used += PARTS_PAGES + FIRST_PAGES;
        let space = SpaceId(number);
        let _ = self.make_gate(space);
        Ok(space)
    }

    /// Maps the gate. Without it, whoever executes there takes the longer way back from a call.
    fn make_gate(&mut self, space: SpaceId) -> Result<()> {
        let (code, page) = self.gates.take()?;
        let made = self
            .map_fixed(space, gate::CODE, code)
            .and_then(|()| self.map_fixed(space, gate::PLACES, page.frame()));
        match made {
            Ok(()) => self.ic(space)?.gate = Some(page),
            Err(_) => self.gates.give(page),
        }
        made
    }

    /// Maps a frame of the server's own for as long as the IC lives.
    fn map_fixed(&mut self, space: SpaceId, address: u64, frame: (u32, u32)) -> Result<()> {
        let slot = self.map_frame(space, address, frame, false)?;
        let (node, index) = place_of(slot);
        let node = &mut self.ic(space)?.nodes[node];
        clear(&mut node.frames, index);
        set(&mut node.fixed, index);
        Ok(())
    }

    /// Takes everything that is mapped out of an address space, and keeps it or lets it go.
    pub fn end(&mut self, space: SpaceId) {
        let Some(record) = self.ics.get_mut(space.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        self.used -= record.pages;
        if self.kept.len() < MAX_KEPT && record.pages <= MAX_KEPT_PAGES {
            for node in &mut record.nodes {
                for (i, word) in node.frames.iter_mut().enumerate() {
                    while *word != 0 {
                        let index = i as u32 * 64 + word.trailing_zeros();
                        *word &= *word - 1;
                        let _ = own().node(node.place).slot(index).delete();
                    }
                }
            }
            self.kept.push(space.0);
            return;
        }
        self.destroy(space);
    }

    /// Lets go of an IC.
    fn destroy(&mut self, space: SpaceId) {
        let Some(record) = self.ics[space.0 as usize].take() else {
            return;
        };
        for execution in record.executions {
            self.executions[execution.0 as usize] = None;
            self.free_executions.push(execution.0);
        }
        if let Some(page) = record.gate {
            self.gates.give(page);
        }
        let _ = xos::manager().destroy(record.id);
        for (i, node) in record.nodes.iter().enumerate() {
            if i != 0 {
                // Its object is gone with the IC; so is what was in the slot.
                let _ = own().slot(node.place).delete();
            }
            self.free_nodes.push(node.place);
        }
        self.free_ics.push(space.0);
    }

    /// A free slot of an IC: which of its nodes, and which slot.
    fn slot(&mut self, space: SpaceId) -> Result<(usize, u32)> {
        let record = self.ic(space)?;
        let free = record.nodes.iter().enumerate().rev();
        let free = free.filter_map(|(i, node)| Some((i, node.free()?))).next();
        if let Some(free) = free {
            return Ok(free);
        }
        self.add_node(space)?;
        let last = self.ic(space)?.nodes.len() - 1;
        Ok((last, 0))
    }

    /// One more node.
    fn add_node(&mut self, space: SpaceId) -> Result<()> {
        let place = self.take_node()?;
        let made = self.retype(space, |untyped| {
            let blueprint = ObjectBlueprint::CNode {
                size_bits: RADIX as usize,
            };
            untyped.untyped_retype(&blueprint, &root(), STAGING as usize, 1)
        });
        let moved = made.and_then(|()| {
            let guard = CNodeCapData::skip((node_guard(RADIX) >> 2) as usize).into_word();
            own()
                .slot(place)
                .mutate(&own().slot(STAGING), guard)
                .map_err(|_| Errno::NOMEM)
        });
        if let Err(error) = moved {
            self.free_nodes.push(place);
            return Err(error);
        }
        self.ic(space)?.nodes.push(Node {
            place,
            fixed: [0; 4],
            frames: [0; 4],
        });
        Ok(())
    }

    /// Makes an object of an IC's memory, of which there may have to be more.
    fn retype(
        &mut self,
        space: SpaceId,
        make: impl Fn(cap::Untyped) -> sel4::Result<()>,
    ) -> Result<()> {
        loop {
            let record = self.ic(space)?;
            let parts = own().node(record.nodes[0].place);
            if let Some(untyped) = record.untyped {
                match make(parts.cap(untyped)) {
                    Ok(()) => return Ok(()),
                    Err(sel4::Error::NotEnoughMemory) => {}
                    Err(_) => return Err(Errno::NOMEM),
                }
            }
            self.grow(space)?;
        }
    }

    /// Gets an IC more memory: a quarter of what it has, or as much of that as there is.
    fn grow(&mut self, space: SpaceId) -> Result<()> {
        let (most, kept_back) = (
            self.most_pages,
            self.claim.kept_back_spaces(self.pages as usize),
        );
        // Who may not make another one any more has some left for those that there are.
        let left = self.pages.saturating_sub(self.used + kept_back as u32 / 2);
        let record = self.ic(space)?;
        let slot = record.growths.next().ok_or(Errno::NOMEM)?;
        let mut pages = (record.pages / 4).next_power_of_two().max(LEAST_GROWTH);
        while pages > left.min(most.saturating_sub(record.pages)) {
            pages /= 2;
        }
        let (id, mut created) = (record.id, Err(Errno::NOMEM));
        while pages >= LEAST_GROWTH && created.is_err() {
            created = self.grow_by(&Grow { id, pages, slot });
            if created.is_err() {
                pages /= 2;
            }
        }
        let record = self.ic(space)?;
        let Ok(first) = created else {
            record.growths.start = slot;
            return Err(Errno::NOMEM);
        };
        record.untyped = Some(first);
        record.pages += pages;
        self.used += pages;
        Ok(())
    }

    /// Asks for memory, and for what it costs if that is more than the IC may cost so far. Gives its slot.
    fn grow_by(&mut self, grow: &Grow) -> Result<u32> {
        use xos::protocol::Error::OverBudget;
        let manager = xos::manager();
        loop {
            let created = match manager.grow(grow) {
                Err(OverBudget) => {
                    let raised = manager.raise(grow.id, grow.pages);
                    raised.and_then(|()| manager.grow(grow))
                }
                created => created,
            };
            match created {
                Ok(created) => return Ok(created.first),
                // What is kept for later is wanted now.
                Err(OverBudget) if let Some(kept) = self.kept.pop() => self.destroy(SpaceId(kept)),
                Err(_) => return Err(Errno::NOMEM),
            }
        }
    }

    /// Makes an object in a slot of its own. Gives its CPtr's node and index.
    fn make(&mut self, space: SpaceId, blueprint: ObjectBlueprint) -> Result<(u32, u32)> {
        let (node, index) = self.slot(space)?;
        let place = self.ic(space)?.nodes[node].place;
        // Nobody else may get the slot when memory is needed first.
        set(&mut self.ic(space)?.nodes[node].fixed, index);
        let made = self.retype(space, |untyped| {
            untyped.untyped_retype(&blueprint, &own().slot(place), index as usize, 1)
        });
        if let Err(error) = made {
            clear(&mut self.ic(space)?.nodes[node].fixed, index);
            return Err(error);
        }
        Ok((place, index))
    }

    /// Maps a frame.
    pub fn map(
        &mut self,
        space: SpaceId,
        address: u64,
        page: Page,
        writable: bool,
    ) -> Result<Slot> {
        self.map_frame(space, address, frames::place(page), writable)
    }

    /// Maps what is in that node of the server's, at that index.
    fn map_frame(
        &mut self,
        space: SpaceId,
        address: u64,
        (from, at): (u32, u32),
        writable: bool,
    ) -> Result<Slot> {
        let (node, index) = self.slot(space)?;
        let record = self.ic(space)?;
        let vspace = own().node(record.nodes[0].place).vspace();
        let parts = own().node(record.nodes[node].place);
        let rights = rights(writable);
        // The copy itself has all rights: a page may become writable later.
        parts
            .slot(index)
            .copy(&own().node(from).slot(at), CapRights::read_write())
            .map_err(|_| Errno::NOMEM)?;
        set(&mut record.nodes[node].frames, index);
        let frame: cap::Granule = parts.cap(index);
        let address = address as usize;
        loop {
            match frame.frame_map(vspace, address, rights, VmAttributes::DEFAULT) {
                Ok(()) => {
                    let number = node as u32 * SLOTS + index + 1;
                    return NonZeroU32::new(number).map(Slot).ok_or(Errno::NOMEM);
                }
                Err(sel4::Error::FailedLookup) if self.add_table(space, address, 0).is_ok() => {}
                Err(_) => {
                    let _ = parts.slot(index).delete();
                    clear(&mut self.ic(space)?.nodes[node].frames, index);
                    return Err(Errno::NOMEM);
                }
            }
        }
    }

    /// Adds the paging structure of a level (0 is the lowest) for an address, and those above it.
    fn add_table(&mut self, space: SpaceId, address: usize, level: u32) -> Result<()> {
        let blueprint = match level {
            0 => ObjectBlueprintX86::PageTable,
            1 => ObjectBlueprintX86::PageDirectory,
            2 => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
            _ => return Err(Errno::NOMEM),
        };
        let (place, index) = self.make(space, blueprint.into())?;
        let vspace = own().node(self.ic(space)?.nodes[0].place).vspace();
        let node = own().node(place);
        let map = || {
            let attributes = VmAttributes::DEFAULT;
            match level {
                0 => node
                    .cap::<cap_type::PageTable>(index)
                    .page_table_map(vspace, address, attributes),
                1 => node
                    .cap::<cap_type::PageDirectory>(index)
                    .page_directory_map(vspace, address, attributes),
                _ => node
                    .cap::<cap_type::PDPT>(index)
                    .pdpt_map(vspace, address, attributes),
            }
        };
        match map() {
            Err(sel4::Error::FailedLookup) => {
                self.add_table(space, address, level + 1)?;
                map().map_err(|_| Errno::NOMEM)
            }
            outcome => outcome.map_err(|_| Errno::NOMEM),
        }
    }

    /// Changes whether a frame's mapping is writable.
    pub fn protect(&mut self, space: SpaceId, slot: Slot, writable: bool) {
        let Ok(record) = self.ic(space) else {
            return;
        };
        let (node, index) = place_of(slot);
        let Some(parts) = record.nodes.get(node).map(|node| own().node(node.place)) else {
            return;
        };
        let vspace = own().node(record.nodes[0].place).vspace();
        let frame: cap::Granule = parts.cap(index);
        let _ = frame.frame_remap(vspace, rights(writable), VmAttributes::DEFAULT);
    }

    /// Unmaps a frame.
    pub fn unmap(&mut self, space: SpaceId, slot: Slot) {
        let Ok(record) = self.ic(space) else {
            return;
        };
        let (node, index) = place_of(slot);
        if let Some(node) = record.nodes.get_mut(node) {
            let _ = own().node(node.place).slot(index).delete();
            clear(&mut node.frames, index);
        }
    }

    /// The TCB of an execution.
    pub fn tcb(&self, execution: Execution) -> Option<Tcb> {
        let record = self.executions.get(execution.0 as usize)?.as_ref()?;
        Some(Cap::from_bits(record.tcb))
    }

    /// The place of an execution in the gate, if it has one.
    pub fn gate(&self, execution: Execution) -> Option<(GatePage, usize)> {
        self.executions.get(execution.0 as usize)?.as_ref()?.gate
    }

    /// An execution that stands still.
    pub fn create_execution(&mut self, space: SpaceId) -> Result<Execution> {
        if let Some(execution) = self.ic(space)?.idle.pop() {
            return Ok(execution);
        }
        let number = match self.free_executions.last() {
            Some(number) => *number,
            None => self.executions.len() as u32,
        };
        let execution = Execution(number);
        let first = self.ic(space)?.executions.is_empty();
        let (place, index) = if first {
            (self.ic(space)?.nodes[0].place, parts::EXECUTION)
        } else {
            self.make(space, ObjectBlueprint::Tcb)?
        };
        let (cspace, radix, slot) = self.fault_slot(space)?;
        let minted = cspace
            .absolute_cptr_from_bits_with_depth(slot.into(), radix as usize)
            .mint(
                &own().slot((self.endpoint.bits() >> NODE_BITS) as u32),
                // To report faults, and to be answered. Not to receive.
                CapRights::new(true, true, false, true),
                badge_of(execution),
            );
        minted.map_err(|_| Errno::AGAIN)?;
        let vspace = own().node(self.ic(space)?.nodes[0].place).vspace();
        let tcb: Tcb = own().node(place).cap(index);
        tcb.tcb_configure_with_priority(
            CPtr::from_bits(leaf(slot)),
            0,
            PRIORITY,
            cspace,
            CNodeCapData::skip((64 - NODE_BITS - radix) as usize),
            vspace,
            0,
            Cap::from_bits(0),
        )
        .map_err(|_| Errno::AGAIN)?;
        let ic = self.ic(space)?;
        let index = ic.executions.len();
        let gate = ic.gate.filter(|_| index < gate::COUNT);
        let record = Some(ExecutionRecord {
            space: space.0,
            tcb: tcb.bits(),
            gate: gate.map(|page| (page, index)),
        });
        if self.free_executions.pop().is_some() {
            self.executions[number as usize] = record;
        } else {
            self.executions.push(record);
        }
        self.ic(space)?.executions.push(execution);
        Ok(execution)
    }

    /// A free slot for the fault capability of one more execution: the CSpace, its radix, the slot.
    fn fault_slot(&mut self, space: SpaceId) -> Result<(cap::CNode, u32, u32)> {
        const FIRST: u32 = (1 << FAULTS_RADIX) - FIRST_FAULT;
        /// Radix of further CSpaces, which have nothing else in them. Slot 0 stays empty.
        const MORE_RADIX: u32 = 5;
        const MORE: u32 = (1 << MORE_RADIX) - 1;
        let record = self.ic(space)?;
        let used = record.faults;
        let parts = own().node(record.nodes[0].place);
        if used < FIRST {
            let cspace = parts.cspace();
            self.ic(space)?.faults += 1;
            return Ok((cspace, FAULTS_RADIX, FIRST_FAULT + used));
        }
        let within = (used - FIRST) % MORE;
        if within == 0 {
            let blueprint = ObjectBlueprint::CNode {
                size_bits: MORE_RADIX as usize,
            };
            let made = self.make(space, blueprint)?;
            self.ic(space)?.more_faults = made;
        }
        let record = self.ic(space)?;
        record.faults += 1;
        let (place, index) = record.more_faults;
        Ok((own().node(place).cap(index), MORE_RADIX, 1 + within))
    }

    /// Stops an execution; it is kept for the next thread of its address space.
    pub fn end_execution(&mut self, execution: Execution) {
        let Some(Some(record)) = self.executions.get(execution.0 as usize) else {
            return;
        };
        let tcb: Tcb = Cap::from_bits(record.tcb);
        let _ = tcb.tcb_suspend();
        if let Some((page, index)) = record.gate {
            // The next thread there may be another program's.
            page.put(index, Place::default());
        }
        let space = SpaceId(record.space);
        if let Ok(ic) = self.ic(space) {
            ic.idle.push(execution);
        }
    }
}

fn place_of(slot: Slot) -> (usize, u32) {
    let number = slot.0.get() - 1;
    ((number / SLOTS) as usize, number % SLOTS)
}

const fn rights(writable: bool) -> CapRights {
    if writable {
        CapRights::read_write()
    } else {
        CapRights::read_only()
    }
}

/// The program's own root CNode, to make objects in.
fn root() -> sel4::AbsoluteCPtr {
    own().node_of_root()
}

const _: () = assert!(PAGE == 4096);
