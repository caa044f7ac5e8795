// SPDX-License-Identifier: BSD-2-Clause
//! The whole plan: every object of a system, its memory, its slot, its mappings.
//!
//! A plan is made before the first kernel call, from the description and from what the kernel gave.
//! What does not fit is therefore found, and said, before anything exists; and starting a domain
//! again is carrying out its part of the plan again.
//!
//! Slots are the root task's own, in its one CNode. Objects that are made one after another have
//! slots one after another, so that the kernel makes hundreds of them in one call.

mod handover;
mod place;
#[cfg(test)]
mod tests;

use alloc::{string::String, vec::Vec};
use core::ops::Range;
use xos_image::{Access, Blob, IrqSource, SystemImage};
use xos_protocol::supervisor::boot;

use crate::cspace::{self, Domains, Grant, IoPortGrant, NODE_RADIX, Objects, Place, Rights, Role};
use crate::layout::{self, Backing, Fill, Part, Source};
use crate::memory::{Owner, Untyped};
use crate::objects::{Level, Object, PAGE_BITS, Sizes, arena_bits};
use crate::space::{Span, Table, tables};
use handover::hand_over;
use place::{Slots, cut, divide, frame_of, place_domain, place_regions, place_shared};

/// What the kernel gave to the root task, by slots of its CNode.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// Untyped memory.
    pub untypeds: &'a [Untyped],
    /// Slot of the first of them; the others follow.
    pub first_untyped: usize,
    /// Empty slots.
    pub empty: Range<usize>,
    /// The frame of the payload's first blob; the others follow.
    pub first_blob: usize,
    /// The frame with the reply stub.
    pub stub: usize,
    /// The CNode itself, and its radix.
    pub cnode: (usize, u32),
    /// Control over interrupts.
    pub irq_control: usize,
    /// Control over address space identifiers.
    pub asid_control: usize,
    /// A pool of them.
    pub asid_pool: usize,
    /// Sizes of this kernel's objects.
    pub sizes: Sizes,
}

/// Why a system cannot be built on this machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// No memory is left for a domain.
    #[error("domain {domain} needs {} KiB of contiguous memory, and no such piece is left; give the machine more memory", 1u64 << .bits >> 10)]
    DomainMemory {
        /// Its name.
        domain: String,
        /// Binary logarithm of the bytes it needs.
        bits: u32,
    },
    /// A domain is larger than any machine.
    #[error(
        "domain {domain} needs more memory than can be addressed; its image or stack is too large"
    )]
    DomainSize {
        /// Its name.
        domain: String,
    },
    /// No memory is left for a region.
    #[error(
        "there is no memory left for region {region} of {size} bytes; give the machine more memory"
    )]
    RegionMemory {
        /// Its name.
        region: String,
        /// Bytes.
        size: u64,
    },
    /// A region's physical memory is not available.
    #[error(
        "region {region}: physical address {paddr:#x} is not there, or belongs to the kernel or to the boot image; correct phys_addr"
    )]
    RegionAddress {
        /// Its name.
        region: String,
        /// The first address that is not available.
        paddr: u64,
    },
    /// No memory is left for what belongs to nobody in particular.
    #[error(
        "there is no memory left for endpoints and notifications; give the machine more memory"
    )]
    SystemMemory,
    /// Too many objects.
    #[error(
        "the system needs {needed} capability slots and the root task has {available}; use large pages, or fewer of them"
    )]
    Slots {
        /// Slots that it needs.
        needed: u64,
        /// Slots that there are.
        available: u64,
    },
    /// The manager maps something where its start information goes.
    #[error(
        "ic_manager maps something at {:#x}, where its start information goes",
        boot::INFO_VADDR
    )]
    InfoOverlap,
}

/// Objects of one kind, made one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retype {
    /// What they are made from.
    pub from: usize,
    /// What they are.
    pub object: Object,
    /// The slot of the first; the others follow.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// Capabilities of the root task that it copies for itself: a frame is mapped once with each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copies {
    /// The slot of the first original; the others follow.
    pub from: usize,
    /// The slot of the first copy; the others follow.
    pub to: usize,
    /// How many.
    pub count: usize,
}

/// Contents that are written into a region once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionFill {
    /// What.
    pub blob: Blob,
    /// The region's first frame; the others follow.
    pub first: usize,
    /// Binary logarithm of their size.
    pub page_bits: u32,
}

/// Pages that are mapped one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where.
    pub span: Span,
    /// What the domain may do there.
    pub access: Access,
    /// Whether the processor may cache it.
    pub cached: bool,
    /// The slot of the first frame; the others follow.
    pub first: usize,
    /// What is written there before.
    pub fill: Fill,
    /// Whether the frames are other than of the domain's arena, so that they must be unmapped before
    /// the domain is built again.
    pub outlives: bool,
}

/// An interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrqPlan {
    /// Where it comes from.
    pub source: IrqSource,
    /// Its vector, counted from the kernel's first user vector.
    pub vector: u8,
    /// The slot of its handler.
    pub handler: usize,
    /// The badged notification that the handler is given; made of its domain's.
    pub notification: Grant,
}

/// A domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainPlan {
    /// The untyped that all objects of the domain are made from.
    pub arena: usize,
    /// Binary logarithm of its size.
    pub arena_bits: u32,
    /// Its objects, in the order in which they are made: what the kernel should destroy first, last.
    pub retypes: Vec<Retype>,
    /// Their slots, and those of what outlives it.
    pub objects: Objects,
    /// Bits of its root CNode's guard, which are zero.
    pub root_guard: u32,
    /// The slot of its IPC buffer's frame.
    pub ipc_buffer: usize,
    /// Paging structures, in the order in which they are mapped, with their slots.
    pub tables: Vec<(Table, usize)>,
    /// What is mapped.
    pub runs: Vec<Run>,
    /// What it holds, and what the manager holds of it.
    pub grants: Vec<Grant>,
    /// I/O ports that it holds.
    pub io_ports: Vec<IoPortGrant>,
    /// Its interrupts.
    pub irqs: Vec<IrqPlan>,
    /// Whether the root task hears of its faults: it has no parent.
    pub supervised: bool,
}

/// What becomes the manager's for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// What it is told.
    pub boot: boot::ManagerBoot,
    /// Copies that it gets.
    pub grants: Vec<Grant>,
    /// What it gets and the root task loses: slots and where they go.
    pub moves: Vec<(usize, Place)>,
    /// The slot of what signals it.
    pub signal: usize,
}

/// What the root task needs besides, by slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// The endpoint on which it supervises.
    pub supervisor: usize,
    /// A page directory and a page table for its window.
    pub window: [usize; 2],
    /// An empty slot.
    pub scratch: usize,
}

/// The plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What is made once, in this order: pieces of untypeds, then what they are for.
    pub retypes: Vec<Retype>,
    /// Copies of frames.
    pub copies: Vec<Copies>,
    /// Contents of regions.
    pub fills: Vec<RegionFill>,
    /// The domains, in the order of the description.
    pub domains: Vec<DomainPlan>,
    /// For the manager, if there is one.
    pub handover: Option<Handover>,
    /// For the root task.
    pub own: Own,
}

/// A domain before it has memory and slots.
struct Sketch {
    parts: Vec<Part>,
    tables: Vec<Table>,
    /// In the order of [`DomainPlan::retypes`].
    objects: Vec<(Object, u64)>,
    arena_bits: u32,
}

impl Plan {
    /// Plans a system.
    ///
    /// # Errors
    /// [`PlanError`], if it does not fit on this machine.
    pub fn new(system: &SystemImage, machine: &Machine<'_>) -> Result<Self, PlanError> {
        let roles = Role::of_all(system);
        let backings = Backing::of_all(system);
        bound(system, machine)?;
        let sketches = (0..system.domains.len())
            .map(|index| sketch(system, index, &roles[index], &backings, &machine.sizes))
            .collect::<Result<Vec<_>, _>>()?;
        let shared = shared_objects(&roles);

        let pieces = divide(system, &backings, &sketches, &shared, machine)?;
        let mut slots = Slots::new(&machine.empty);
        let mut retypes = Vec::new();
        let pieces = cut(&pieces, machine, &mut slots, &mut retypes);
        slots.check()?;

        // What outlives the domains.
        let (window, supervisor, mut objects) =
            place_shared(&shared, &roles, &pieces, &mut slots, &mut retypes);
        let frames = place_regions(system, &backings, &pieces, &mut slots, &mut retypes);
        let mut fills = Vec::new();
        for ((backing, first), region) in backings.iter().zip(&frames).zip(&system.regions) {
            if let (Some(blob), 1..) = (backing.fill, backing.fresh) {
                fills.push(RegionFill {
                    blob,
                    first: *first,
                    page_bits: region.page_size.trailing_zeros(),
                });
            }
        }

        // The domains' own objects; then, when all slots are known, what they hold of each other.
        let mut copies = Vec::new();
        let mut mapped = alloc::vec![false; system.regions.len()];
        let mut domains = Vec::new();
        for (index, sketch) in sketches.iter().enumerate() {
            let arena = pieces.of(Owner::Domain(index)).next();
            let (arena, _) = arena.unwrap_or_default();
            let mut domain = place_domain(sketch, arena, &mut objects[index], &mut slots);
            let mut arena_frame = frame_of(&domain.retypes);
            for part in &sketch.parts {
                let count = part.span.pages as usize;
                let mut copy = |from| {
                    let to = slots.take(count);
                    copies.push(Copies { from, to, count });
                    to
                };
                let first = match part.source {
                    Source::Arena => {
                        arena_frame += count;
                        arena_frame - count
                    }
                    Source::Payload(blob) => copy(machine.first_blob + blob.page as usize),
                    Source::Stub => copy(machine.stub),
                    // The first mapping is made with the originals.
                    Source::Region(region) if !core::mem::replace(&mut mapped[region], true) => {
                        frames[region]
                    }
                    Source::Region(region) => copy(frames[region]),
                };
                if part.fill == Fill::IpcBuffer {
                    domain.ipc_buffer = first;
                }
                domain.runs.push(Run {
                    span: part.span,
                    access: part.access,
                    cached: part.cached,
                    first,
                    fill: part.fill,
                    outlives: part.source != Source::Arena,
                });
            }
            domain.root_guard = roles[index].root_guard();
            domain.supervised = system.domains[index].parent.is_none();
            domains.push(domain);
        }
        let all = Domains {
            system,
            roles: &roles,
            objects: &objects,
            supervisor,
            asid_pool: machine.asid_pool,
        };
        for (index, domain) in domains.iter_mut().enumerate() {
            domain.objects = objects[index];
            for irq in &system.domains[index].irqs {
                let (handler, badged) = (slots.take(1), slots.take(1));
                domain.irqs.push(IrqPlan {
                    source: irq.source,
                    vector: irq.vector,
                    handler,
                    notification: own_copy(
                        machine,
                        badged,
                        objects[index].notification,
                        Rights::SIGNAL,
                        1 << irq.id,
                    ),
                });
            }
            let handlers: Vec<_> = domain.irqs.iter().map(|irq| irq.handler).collect();
            domain.grants = all.held(index, &handlers);
            domain.io_ports = all.io_ports(index);
        }

        let own = Own {
            supervisor,
            window,
            scratch: slots.take(1),
        };
        let handover = hand_over(&all, machine, &pieces, &mut domains, &mut slots);
        slots.check()?;
        Ok(Self {
            retypes,
            copies,
            fills,
            domains,
            handover,
            own,
        })
    }

    /// Domains that the root task supervises and starts.
    pub fn supervised(&self) -> impl Iterator<Item = usize> {
        self.domains
            .iter()
            .enumerate()
            .filter(|(_, domain)| domain.supervised)
            .map(|(index, _)| index)
    }
}

impl DomainPlan {
    /// The frame that is mapped at an address, and where in it the address lies: slot, offset, bytes
    /// of the frame.
    pub fn frame_at(&self, vaddr: u64) -> Option<(usize, u64, u64)> {
        let run = self
            .runs
            .iter()
            .find(|run| (run.span.vaddr..run.span.end()).contains(&vaddr))?;
        let offset = vaddr - run.span.vaddr;
        let size = 1 << run.span.page_bits;
        let slot = run.first + (offset >> run.span.page_bits) as usize;
        Some((slot, offset & (size - 1), size))
    }
}

/// A capability that the root task makes for itself.
fn own_copy(machine: &Machine<'_>, slot: usize, source: usize, rights: Rights, data: u64) -> Grant {
    let (cnode, radix) = machine.cnode;
    Grant {
        to: Place {
            cnode,
            radix,
            index: slot as u64,
        },
        source,
        rights,
        data,
    }
}

/// Refuses what needs more slots than there are before anything is counted page by page.
fn bound(system: &SystemImage, machine: &Machine<'_>) -> Result<(), PlanError> {
    let maps = system.domains.iter().flat_map(|domain| &domain.maps);
    let regions = maps.map(|map| &system.regions[usize::from(map.region)]);
    let segments = system.domains.iter().flat_map(|domain| &domain.segments);
    let needed = regions
        .map(|region| region.size / region.page_size)
        .chain(segments.map(|segment| segment.mem_size >> PAGE_BITS))
        .fold(0, u64::saturating_add);
    let available = machine.empty.len() as u64;
    if needed > available {
        return Err(PlanError::Slots { needed, available });
    }
    Ok(())
}

fn sketch(
    system: &SystemImage,
    index: usize,
    role: &Role,
    backings: &[Backing],
    sizes: &Sizes,
) -> Result<Sketch, PlanError> {
    let parts = layout::parts(system, index, backings);
    let info = boot::INFO_VADDR..boot::INFO_VADDR + (boot::INFO_PAGES << PAGE_BITS);
    let overlaps = parts.iter().any(|part| {
        part.fill != Fill::ManagerBoot && part.span.vaddr < info.end && info.start < part.span.end()
    });
    if role.manager && overlaps {
        return Err(PlanError::InfoOverlap);
    }
    let tables = tables(parts.iter().map(|part| part.span));
    let frames = parts
        .iter()
        .filter(|part| part.source == Source::Arena)
        .map(|part| part.span.pages)
        .sum();
    let of_level = |level| {
        let count = tables.iter().filter(|table| table.level == level).count();
        (Object::Table(level), count as u64)
    };
    let mut objects = Vec::new();
    // Large objects first, so that none leaves a gap before the next; thread and address space last,
    // so that they are destroyed first and frames need not be unmapped one by one.
    if role.manager {
        objects.push((
            Object::CNode {
                radix: boot::POOL_RADIX,
            },
            1,
        ));
    }
    objects.extend([
        (
            Object::CNode {
                radix: role.root_radix(),
            },
            1,
        ),
        (Object::CNode { radix: NODE_RADIX }, 1),
        (Object::Frame { bits: PAGE_BITS }, frames),
        of_level(Level::PageTable),
        of_level(Level::PageDirectory),
        of_level(Level::Pdpt),
        (Object::Pml4, 1),
        (Object::Tcb, 1),
    ]);
    let arena_bits = arena_bits(objects.iter().copied(), sizes);
    let arena_bits = arena_bits.ok_or_else(|| PlanError::DomainSize {
        domain: system.domains[index].name.clone(),
    })?;
    Ok(Sketch {
        parts,
        tables,
        objects,
        arena_bits,
    })
}

/// What outlives the domains, large objects first.
fn shared_objects(roles: &[Role]) -> Vec<(Object, u64)> {
    let count = |of: fn(&Role) -> bool| roles.iter().filter(|role| of(role)).count() as u64;
    alloc::vec![
        (
            Object::CNode {
                radix: cspace::REPLIES_RADIX,
            },
            count(Role::composes),
        ),
        (Object::Table(Level::PageDirectory), 1),
        (Object::Table(Level::PageTable), 1),
        (Object::Notification, roles.len() as u64),
        (Object::Endpoint, 1 + count(|role| role.serves)),
    ]
}
