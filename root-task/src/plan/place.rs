// SPDX-License-Identifier: BSD-2-Clause
//! Memory and slots for everything.

use alloc::vec::Vec;
use core::ops::Range;
use xos_image::SystemImage;

use super::{DomainPlan, Machine, PlanError, Retype, Sketch};
use crate::cspace::{self, Objects, Role};
use crate::layout::Backing;
use crate::memory::{Memory, Owner, Piece, Shortage};
use crate::objects::{Level, Object, PAGE_BITS, arena_bits};

/// Slots, given out in ascending order. Those that are not there are counted too.
pub(super) struct Slots {
    next: usize,
    end: usize,
    start: usize,
}

impl Slots {
    pub(super) fn new(empty: &Range<usize>) -> Self {
        Self {
            next: empty.start,
            end: empty.end,
            start: empty.start,
        }
    }

    pub(super) fn take(&mut self, count: usize) -> usize {
        let first = self.next;
        self.next += count;
        first
    }

    /// # Errors
    /// [`PlanError::Slots`], if more were taken than there are.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        if self.next <= self.end {
            return Ok(());
        }
        Err(PlanError::Slots {
            needed: (self.next - self.start) as u64,
            available: (self.end - self.start) as u64,
        })
    }
}

/// Divides the memory: what has to lie somewhere first, then the largest first.
pub(super) fn divide(
    system: &SystemImage,
    backings: &[Backing],
    sketches: &[Sketch],
    shared: &[(Object, u64)],
    machine: &Machine<'_>,
) -> Result<Vec<Piece>, PlanError> {
    let mut memory = Memory::new(machine.untypeds);
    let regions = || {
        let used = system.regions.iter().zip(backings).enumerate();
        used.filter(|(_, (_, backing))| backing.fresh > 0)
    };
    for (index, (region, _)) in regions() {
        if let Some(start) = region.phys {
            memory
                .take_range(start..start + region.size, Owner::Region(index))
                .map_err(|error| PlanError::RegionAddress {
                    region: region.name.clone(),
                    paddr: match error {
                        Shortage::NotThere { paddr } => paddr,
                        Shortage::Exhausted { .. } => start,
                    },
                })?;
        }
    }
    let mut arenas: Vec<_> = sketches.iter().enumerate().collect();
    arenas.sort_by_key(|(_, sketch)| core::cmp::Reverse(sketch.arena_bits));
    for (index, sketch) in arenas {
        let bits = sketch.arena_bits;
        memory
            .take(bits, Owner::Domain(index))
            .map_err(|_| PlanError::DomainMemory {
                domain: system.domains[index].name.clone(),
                bits,
            })?;
    }
    let mut anywhere: Vec<_> = regions()
        .filter(|(_, (region, _))| region.phys.is_none())
        .collect();
    anywhere.sort_by_key(|(_, (region, _))| core::cmp::Reverse(region.page_size));
    for (index, (region, backing)) in anywhere {
        let page_bits = region.page_size.trailing_zeros();
        let size = backing.fresh << page_bits;
        memory
            .take_scattered(size, page_bits, Owner::Region(index))
            .map_err(|_| PlanError::RegionMemory {
                region: region.name.clone(),
                size,
            })?;
    }
    arena_bits(shared.iter().copied(), &machine.sizes)
        .and_then(|bits| memory.take(bits, Owner::System).ok())
        .ok_or(PlanError::SystemMemory)?;
    Ok(memory.into_pieces())
}

/// Pieces of memory with their slots.
pub(super) struct Pieces(pub(super) Vec<(Piece, usize)>);

impl Pieces {
    /// Slots and sizes of the pieces of an owner, by ascending address.
    pub(super) fn of(&self, owner: Owner) -> impl Iterator<Item = (usize, u32)> {
        self.0
            .iter()
            .filter(move |(piece, _)| piece.owner == Some(owner))
            .map(|(piece, slot)| (*slot, piece.bits))
    }
}

/// Gives every piece a slot, and cuts the untypeds that are divided.
pub(super) fn cut(
    pieces: &[Piece],
    machine: &Machine<'_>,
    slots: &mut Slots,
    retypes: &mut Vec<Retype>,
) -> Pieces {
    let mut placed = Vec::with_capacity(pieces.len());
    for of_one in pieces.chunk_by(|a, b| a.untyped == b.untyped) {
        let from = machine.first_untyped + of_one[0].untyped;
        if let [whole] = of_one {
            placed.push((*whole, from));
            continue;
        }
        for alike in of_one.chunk_by(|a, b| a.bits == b.bits) {
            let first = slots.take(alike.len());
            retypes.push(Retype {
                from,
                object: Object::Untyped {
                    bits: alike[0].bits,
                },
                first,
                count: alike.len(),
            });
            placed.extend(alike.iter().copied().zip(first..));
        }
    }
    Pieces(placed)
}

pub(super) fn place_shared(
    shared: &[(Object, u64)],
    roles: &[Role],
    pieces: &Pieces,
    slots: &mut Slots,
    retypes: &mut Vec<Retype>,
) -> ([usize; 2], usize, Vec<Objects>) {
    let (from, _) = pieces.of(Owner::System).next().unwrap_or_default();
    let made = make(shared, from, slots);
    let first = |object| {
        made.iter()
            .find(|retype| retype.object == object)
            .map_or(0, |retype| retype.first)
    };
    let window = [Level::PageDirectory, Level::PageTable].map(|level| first(Object::Table(level)));
    let mut replies = first(Object::CNode {
        radix: cspace::REPLIES_RADIX,
    });
    let mut notification = first(Object::Notification);
    let supervisor = first(Object::Endpoint);
    let mut endpoint = supervisor + 1;
    let next = |slot: &mut usize| {
        *slot += 1;
        *slot - 1
    };
    let objects = roles
        .iter()
        .map(|role| Objects {
            notification: next(&mut notification),
            endpoint: role.serves.then(|| next(&mut endpoint)),
            replies: role.composes().then(|| next(&mut replies)),
            ..Objects::default()
        })
        .collect();
    retypes.extend(made);
    (window, supervisor, objects)
}

/// The slot of each region's first frame.
pub(super) fn place_regions(
    system: &SystemImage,
    backings: &[Backing],
    pieces: &Pieces,
    slots: &mut Slots,
    retypes: &mut Vec<Retype>,
) -> Vec<usize> {
    let place = |(index, (region, backing)): (usize, (&xos_image::Region, &Backing))| {
        let start = slots.take(backing.fresh as usize);
        let page_bits = region.page_size.trailing_zeros();
        let mut first = start;
        for (from, bits) in pieces.of(Owner::Region(index)) {
            let count = 1 << (bits - page_bits);
            retypes.push(Retype {
                from,
                object: Object::Frame { bits: page_bits },
                first,
                count,
            });
            first += count;
        }
        start
    };
    let regions = system.regions.iter().zip(backings).enumerate();
    regions.map(place).collect()
}

/// Makes objects one after another.
pub(super) fn make(objects: &[(Object, u64)], from: usize, slots: &mut Slots) -> Vec<Retype> {
    objects
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(object, count)| Retype {
            from,
            object: *object,
            first: slots.take(*count as usize),
            count: *count as usize,
        })
        .collect()
}

/// The slot of the first frame in an arena.
pub(super) fn frame_of(retypes: &[Retype]) -> usize {
    let frames = Object::Frame { bits: PAGE_BITS };
    retypes
        .iter()
        .find(|retype| retype.object == frames)
        .map_or(0, |retype| retype.first)
}

pub(super) fn place_domain(
    sketch: &Sketch,
    arena: usize,
    objects: &mut Objects,
    slots: &mut Slots,
) -> DomainPlan {
    let retypes = make(&sketch.objects, arena, slots);
    let mut tables = Vec::new();
    let mut nodes = Vec::new();
    for retype in &retypes {
        match retype.object {
            Object::CNode { .. } => nodes.push(retype.first),
            Object::Pml4 => objects.vspace = retype.first,
            Object::Tcb => objects.tcb = retype.first,
            Object::Table(level) => {
                let of_level = sketch.tables.iter().filter(|table| table.level == level);
                tables.extend(of_level.copied().zip(retype.first..));
            }
            _ => {}
        }
    }
    tables.sort_unstable_by_key(|(table, _)| *table);
    // In the order of the sketch.
    let mut nodes = nodes.into_iter().rev();
    objects.node = nodes.next().unwrap_or_default();
    objects.root = nodes.next().unwrap_or_default();
    objects.pool = nodes.next();
    DomainPlan {
        arena,
        arena_bits: sketch.arena_bits,
        retypes,
        objects: Objects::default(),
        root_guard: 0,
        ipc_buffer: 0,
        tables,
        runs: Vec::new(),
        grants: Vec::new(),
        io_ports: Vec::new(),
        irqs: Vec::new(),
        supervised: false,
    }
}
