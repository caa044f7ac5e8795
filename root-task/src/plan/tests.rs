// SPDX-License-Identifier: BSD-2-Clause
//! Plans are carried out on a model of the kernel that knows its rules about memory and slots.

use super::*;
use crate::objects::LARGE_PAGE_BITS;
use crate::objects::tests::SIZES;
use crate::testing::{self, channel, end};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use xos_image::{IoPorts, Irq, LARGE_PAGE_SIZE, MANAGER_NAME, Map, PAGE_SIZE, Region, Segment};

const IRQ_CONTROL: usize = 4;
const ASID_CONTROL: usize = 5;
const ASID_POOL: usize = 6;
const CNODE: (usize, u32) = (2, 16);
const FIRST_UNTYPED: usize = 20;
const IMAGE: usize = 200;
const IMAGE_FRAMES: usize = 4000;
/// Beyond all memory of the model, so that it can be told apart.
const IMAGE_PADDR: u64 = 1 << 40;

fn ram(paddr: u64, bits: u32) -> Untyped {
    Untyped {
        paddr,
        bits,
        device: false,
    }
}

/// A little machine: memory from 1 MiB to 64 MiB, devices in the last 16 MiB below 4 GiB.
fn untypeds() -> Vec<Untyped> {
    vec![
        ram(1 << 20, 20),
        ram(1 << 21, 21),
        ram(1 << 22, 22),
        ram(1 << 23, 23),
        ram(1 << 24, 24),
        ram(1 << 25, 25),
        Untyped {
            paddr: 0xff00_0000,
            bits: 24,
            device: true,
        },
    ]
}

fn machine(untypeds: &[Untyped]) -> Machine<'_> {
    Machine {
        untypeds,
        first_untyped: FIRST_UNTYPED,
        empty: IMAGE + IMAGE_FRAMES..1 << 16,
        first_blob: IMAGE + 100,
        stub: IMAGE + 1,
        cnode: CNODE,
        irq_control: IRQ_CONTROL,
        asid_control: ASID_CONTROL,
        asid_pool: ASID_POOL,
        sizes: SIZES,
    }
}

/// A capability in the root task's CNode.
#[derive(Clone, Copy, Debug)]
struct Cap {
    object: Object,
    paddr: u64,
    device: bool,
    /// For an untyped: bytes used.
    used: u64,
}

/// The kernel's rules, as far as a plan can break them.
struct Kernel {
    slots: BTreeMap<usize, Cap>,
    /// Contents of other CNodes, by the slot of their capability.
    nodes: BTreeMap<(usize, u64), usize>,
    mapped: BTreeSet<usize>,
}

impl Kernel {
    fn new(untypeds: &[Untyped]) -> Self {
        let mut slots = BTreeMap::new();
        for (index, untyped) in untypeds.iter().enumerate() {
            let object = Object::Untyped { bits: untyped.bits };
            let cap = Cap {
                object,
                paddr: untyped.paddr,
                device: untyped.device,
                used: 0,
            };
            slots.insert(FIRST_UNTYPED + index, cap);
        }
        for index in 0..IMAGE_FRAMES {
            let cap = Cap {
                object: Object::Frame { bits: PAGE_BITS },
                paddr: IMAGE_PADDR + ((index as u64) << PAGE_BITS),
                device: false,
                used: 0,
            };
            slots.insert(IMAGE + index, cap);
        }
        Self {
            slots,
            nodes: BTreeMap::new(),
            mapped: BTreeSet::new(),
        }
    }

    fn put(&mut self, slot: usize, cap: Cap) {
        assert!(slot < 1 << CNODE.1, "slot {slot} does not exist");
        assert!(
            self.slots.insert(slot, cap).is_none(),
            "slot {slot} is full"
        );
    }

    fn retype(&mut self, retype: &Retype) {
        let bits = retype.object.bits(&SIZES);
        let from = self.slots[&retype.from];
        let Object::Untyped { bits: size } = from.object else {
            panic!("{from:?} is no untyped")
        };
        assert!(
            !from.device || matches!(retype.object, Object::Frame { .. } | Object::Untyped { .. }),
            "objects in device memory"
        );
        let start = from.used.next_multiple_of(1 << bits);
        let end = start + ((retype.count as u64) << bits);
        assert!(end <= 1 << size, "untyped {from:?} exhausted");
        self.slots.get_mut(&retype.from).unwrap().used = end;
        for index in 0..retype.count {
            let cap = Cap {
                object: retype.object,
                paddr: from.paddr + start + ((index as u64) << bits),
                device: from.device,
                used: 0,
            };
            self.put(retype.first + index, cap);
        }
    }

    fn grant(&mut self, grant: &Grant) {
        let Place {
            cnode,
            radix,
            index,
        } = grant.to;
        assert!(index < 1 << radix);
        let known = grant.source == ASID_POOL || self.slots.contains_key(&grant.source);
        assert!(known, "nothing in slot {}", grant.source);
        if cnode == CNODE.0 {
            let cap = self.slots[&grant.source];
            return self.put(index as usize, cap);
        }
        assert_eq!(self.slots[&cnode].object, Object::CNode { radix });
        let before = self.nodes.insert((cnode, index), grant.source);
        assert_eq!(before, None, "slot {index} of node {cnode} is full");
    }

    /// Maps a domain, and gives the physical memory that it sees.
    fn map(&mut self, domain: &DomainPlan) -> Vec<(u64, Cap)> {
        let mut seen = Vec::new();
        let mut tables = BTreeSet::new();
        for (table, slot) in &domain.tables {
            assert_eq!(self.slots[slot].object, Object::Table(table.level));
            assert!(tables.insert((table.level, table.vaddr)));
        }
        for run in &domain.runs {
            for page in 0..run.span.pages {
                let vaddr = run.span.vaddr + (page << run.span.page_bits);
                let slot = run.first + page as usize;
                let cap = self.slots[&slot];
                let bits = run.span.page_bits;
                assert_eq!(cap.object, Object::Frame { bits });
                assert!(self.mapped.insert(slot), "frame {slot} is mapped twice");
                for level in Level::ALL {
                    if level.span_bits() > bits {
                        let table = vaddr >> level.span_bits() << level.span_bits();
                        assert!(tables.contains(&(level, table)), "{level:?} for {vaddr:#x}");
                    }
                }
                seen.push((vaddr, cap));
            }
        }
        seen
    }
}

/// Does all that the plan says, up to the start. Gives what each domain sees.
fn carry_out(plan: &Plan, untypeds: &[Untyped]) -> (Kernel, Vec<Vec<(u64, Cap)>>) {
    let mut kernel = Kernel::new(untypeds);
    for retype in &plan.retypes {
        kernel.retype(retype);
    }
    for domain in &plan.domains {
        domain
            .retypes
            .iter()
            .for_each(|retype| kernel.retype(retype));
    }
    for copies in &plan.copies {
        for index in 0..copies.count {
            let cap = kernel.slots[&(copies.from + index)];
            kernel.put(copies.to + index, cap);
        }
    }
    let mut seen = Vec::new();
    for domain in &plan.domains {
        for irq in &domain.irqs {
            // Made of no memory.
            let cap = Cap {
                object: Object::Notification,
                paddr: u64::MAX,
                device: false,
                used: 0,
            };
            kernel.put(irq.handler, cap);
            kernel.grant(&irq.notification);
        }
        assert_eq!(kernel.slots[&domain.objects.vspace].object, Object::Pml4);
        assert_eq!(kernel.slots[&domain.objects.tcb].object, Object::Tcb);
        seen.push(kernel.map(domain));
        assert!(kernel.mapped.contains(&domain.ipc_buffer));
    }
    for domain in &plan.domains {
        domain.grants.iter().for_each(|grant| kernel.grant(grant));
    }
    if let Some(handover) = &plan.handover {
        handover.grants.iter().for_each(|grant| kernel.grant(grant));
    }
    let page_table = kernel.slots[&plan.own.window[1]].object;
    assert_eq!(page_table, Object::Table(Level::PageTable));
    assert!(!kernel.slots.contains_key(&plan.own.scratch));
    (kernel, seen)
}

fn plan(system: &SystemImage) -> Result<Plan, PlanError> {
    let untypeds = untypeds();
    Plan::new(system, &machine(&untypeds))
}

#[derive(Clone, Debug)]
struct RegionSpec {
    pages: u64,
    large: bool,
    phys: bool,
    blob: bool,
    /// Who maps it, and whether to write.
    maps: Vec<(usize, bool)>,
}

fn region_spec() -> impl Strategy<Value = RegionSpec> {
    (
        1u64..20,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        any::<bool>(),
        prop::collection::btree_map(0..5usize, any::<bool>(), 0..4),
    )
        .prop_map(|(pages, large, phys, blob, maps)| RegionSpec {
            pages: if large { 1 + pages / 16 } else { pages },
            large,
            phys: phys && !large,
            blob: blob && !phys,
            maps: maps.into_iter().collect(),
        })
}

/// Systems of up to five domains, with or without a manager, that an image could hold.
fn any_system() -> impl Strategy<Value = SystemImage> {
    (
        1..6usize,
        any::<bool>(),
        prop::collection::vec(region_spec(), 0..6),
        prop::collection::vec((0..5usize, 0..5usize, any::<bool>(), any::<bool>()), 0..8),
        prop::collection::vec((0..5usize, 0u64..40, any::<bool>()), 0..5),
    )
        .prop_map(|(count, managed, regions, channels, segments)| {
            let names = ["a", "b", if managed { MANAGER_NAME } else { "c" }, "d", "e"];
            let mut system = testing::system(&names[..count]);
            let mut phys = 0xff00_0000;
            for (index, spec) in regions.into_iter().enumerate() {
                let page_size = if spec.large {
                    LARGE_PAGE_SIZE
                } else {
                    PAGE_SIZE
                };
                let size = spec.pages * page_size;
                system.regions.push(Region {
                    name: format!("region{index}"),
                    size,
                    page_size,
                    phys: spec.phys.then_some(phys),
                    prefill: spec.blob.then_some(Blob {
                        page: 0,
                        len: size / 2 + 1,
                    }),
                });
                phys += size + 3 * PAGE_SIZE;
                for (domain, write) in spec.maps.into_iter().filter(|(d, _)| *d < count) {
                    system.domains[domain].maps.push(Map {
                        region: index as u16,
                        vaddr: 0x1_0000_0000 + ((index as u64) << 31),
                        access: Access::new(write, false),
                        cached: true,
                    });
                }
            }
            for (domain, pages, write) in segments.into_iter().filter(|(d, ..)| *d < count) {
                let segments = &mut system.domains[domain].segments;
                let last = segments.last().unwrap();
                segments.push(Segment {
                    vaddr: last.vaddr + last.mem_size,
                    mem_size: (pages + 1) * PAGE_SIZE,
                    access: Access::new(write, false),
                    data: (pages > 0).then(|| Blob {
                        page: 50,
                        len: pages * PAGE_SIZE - 7,
                    }),
                });
            }
            for (index, (a, b, pp, irq)) in channels.into_iter().enumerate() {
                let id = index as u8;
                if a < count && b < count && a != b {
                    let mut channel = channel(end(a as u16, id), end(b as u16, id));
                    channel.a.pp = pp;
                    system.channels.push(channel);
                } else if a < count && irq {
                    let source = IrqSource::Msi {
                        bus: 0,
                        device: 0,
                        function: 0,
                        handle: 0,
                    };
                    let vector = id;
                    system.domains[a].irqs.push(Irq { id, vector, source });
                    system.domains[a].io_ports.push(IoPorts {
                        id,
                        first: 1,
                        last: 2,
                    });
                }
            }
            system
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The model's assertions are the claim: the kernel refuses nothing of a plan.
    #[test]
    fn a_plan_can_be_carried_out(system in any_system()) {
        let plan = plan(&system).unwrap();
        carry_out(&plan, &untypeds());
    }

    #[test]
    fn writable_memory_is_shared_only_through_regions(system in any_system()) {
        let plan = plan(&system).unwrap();
        let (_, seen) = carry_out(&plan, &untypeds());
        let mut writers = BTreeMap::<u64, BTreeSet<usize>>::new();
        let mut readers = BTreeMap::<u64, BTreeSet<usize>>::new();
        for (index, (domain, pages)) in plan.domains.iter().zip(&seen).enumerate() {
            for (vaddr, cap) in pages {
                let run = domain.runs.iter().find(|run| (run.span.vaddr..run.span.end()).contains(vaddr)).unwrap();
                // Regions of these systems lie above 4 GiB, what the builder adds far above.
                let in_region = (0x1_0000_0000..0x10_0000_0000).contains(vaddr);
                if !in_region && run.access.write() {
                    writers.entry(cap.paddr).or_default().insert(index);
                }
                readers.entry(cap.paddr).or_default().insert(index);
            }
        }
        for (paddr, writers) in writers {
            prop_assert_eq!(&readers[&paddr], &writers);
            prop_assert_eq!(writers.len(), 1);
        }
    }

    #[test]
    fn the_payload_is_never_written(system in any_system()) {
        let plan = plan(&system).unwrap();
        let (_, seen) = carry_out(&plan, &untypeds());
        for (domain, pages) in plan.domains.iter().zip(seen) {
            for (vaddr, cap) in pages {
                let run = domain.runs.iter().find(|run| (run.span.vaddr..run.span.end()).contains(&vaddr)).unwrap();
                prop_assert!(cap.paddr < IMAGE_PADDR || !run.access.write());
            }
        }
    }

    #[test]
    fn regions_are_one_memory_in_all_who_map_them_and_lie_where_described(system in any_system()) {
        let plan = plan(&system).unwrap();
        let (_, seen) = carry_out(&plan, &untypeds());
        for (index, region) in system.regions.iter().enumerate() {
            let mut first: Option<Vec<u64>> = None;
            for (domain, pages) in system.domains.iter().zip(&seen) {
                let Some(map) = domain.maps.iter().find(|map| usize::from(map.region) == index) else { continue };
                let range = map.vaddr..map.vaddr + region.size;
                let mine: BTreeMap<_, _> = pages.iter().filter(|(vaddr, _)| range.contains(vaddr)).map(|(vaddr, cap)| (*vaddr, cap.paddr)).collect();
                let mine: Vec<_> = mine.into_values().collect();
                prop_assert_eq!(mine.len() as u64, region.size / region.page_size);
                if let Some(phys) = region.phys {
                    let wanted: Vec<_> = (phys..phys + region.size).step_by(PAGE_SIZE as usize).collect();
                    prop_assert_eq!(&mine, &wanted);
                }
                prop_assert!(first.is_none() || first.as_ref() == Some(&mine));
                first = Some(mine);
            }
        }
    }

    /// What is destroyed with the arena is made again from it, in the same slots.
    #[test]
    fn a_domain_can_be_built_again(system in any_system(), victim in 0..5usize) {
        let plan = plan(&system).unwrap();
        let Some(domain) = plan.domains.get(victim) else { return Ok(()) };
        let (mut kernel, before) = carry_out(&plan, &untypeds());
        let arena = kernel.slots[&domain.arena];
        let end = arena.paddr + (1 << domain.arena_bits);
        let dead: BTreeSet<_> = kernel.slots.iter()
            .filter(|(slot, cap)| **slot != domain.arena && (arena.paddr..end).contains(&cap.paddr))
            .map(|(slot, _)| *slot)
            .collect();
        kernel.slots.retain(|slot, _| !dead.contains(slot));
        kernel.mapped.retain(|slot| !dead.contains(slot));
        kernel.nodes.retain(|(node, _), source| !dead.contains(node) && !dead.contains(source));
        kernel.slots.get_mut(&domain.arena).unwrap().used = 0;
        for run in domain.runs.iter().filter(|run| run.outlives) {
            for page in 0..run.span.pages as usize {
                prop_assert!(kernel.mapped.remove(&(run.first + page)));
            }
        }
        domain.retypes.iter().for_each(|retype| kernel.retype(retype));
        let after = kernel.map(domain);
        for ((vaddr, old), (_, new)) in before[victim].iter().zip(&after) {
            prop_assert_eq!(old.paddr, new.paddr, "at {:#x}", vaddr);
        }
        domain.grants.iter().for_each(|grant| kernel.grant(grant));
    }

    #[test]
    fn the_manager_gets_all_memory_that_nobody_else_has(system in any_system()) {
        let plan = plan(&system).unwrap();
        let (kernel, _) = carry_out(&plan, &untypeds());
        let Some(handover) = &plan.handover else { return Ok(()) };
        let mut given = 0;
        for untyped in &handover.boot.untypeds {
            given += 1u64 << untyped.size_bits;
        }
        for (slot, _) in &handover.moves[2..] {
            prop_assert_eq!(kernel.slots[slot].used, 0);
        }
        let taken: u64 = plan.domains.iter().map(|domain| 1u64 << domain.arena_bits).sum();
        let from: BTreeSet<_> = plan.retypes.iter().filter(|retype| !matches!(retype.object, Object::Untyped { .. })).map(|retype| retype.from).collect();
        let shared: u64 = from.iter().map(|slot| 1u64 << kernel.slots[slot].object.bits(&SIZES)).sum();
        let all: u64 = untypeds().iter().map(|untyped| 1u64 << untyped.bits).sum();
        prop_assert_eq!(given + taken + shared, all);
    }
}

#[test]
fn the_manager_is_told_what_it_finds_where() {
    let mut system = testing::system(&["a", MANAGER_NAME]);
    system.channels.push(channel(end(0, 9), end(1, 4)));
    let plan = plan(&system).unwrap();
    let (kernel, _) = carry_out(&plan, &untypeds());
    let handover = plan.handover.as_ref().unwrap();
    let pool = plan.domains[1].objects.pool.unwrap();
    let objects = plan.domains[0].objects;
    let in_pool = |index: u32| kernel.nodes.get(&(pool, index.into())).copied();
    assert_eq!(in_pool(boot::DOMAIN_TCB), Some(objects.tcb));
    assert_eq!(in_pool(boot::DOMAIN_CSPACE), Some(objects.root));
    assert_eq!(in_pool(boot::DOMAIN_VSPACE), Some(objects.vspace));
    assert_eq!(in_pool(boot::DOMAIN_ENDPOINT), objects.endpoint);
    assert_eq!(
        in_pool(boot::DOMAIN_NOTIFICATION),
        Some(objects.notification)
    );
    let manager = plan.domains[1].objects;
    assert_eq!(in_pool(8 + boot::DOMAIN_TCB), Some(manager.tcb));
    assert_eq!(in_pool(8 + boot::DOMAIN_NOTIFICATION), None);
    assert_eq!(in_pool(boot::SUPERVISOR), Some(plan.own.supervisor));
    let told = &handover.boot.domains[0];
    assert_eq!(
        (told.name.as_str(), told.channel, told.serves),
        ("a", Some(4), true)
    );
    assert_eq!(told.pages, 1 << (plan.domains[0].arena_bits - 12));
    for (index, untyped) in handover.boot.untypeds.iter().enumerate() {
        let (slot, place) = handover.moves[2 + index];
        assert_eq!(place.index, u64::from(boot::FIRST_UNTYPED) + index as u64);
        assert_eq!(kernel.slots[&slot].paddr, untyped.paddr);
        assert_eq!(
            kernel.slots[&slot].object,
            Object::Untyped {
                bits: untyped.size_bits.into()
            }
        );
    }
}

#[test]
fn a_domain_that_does_not_fit_is_named() {
    let mut system = testing::system(&["small", "large"]);
    system.domains[1].segments[0].mem_size = 40 << 20;
    assert_eq!(
        plan(&system),
        Err(PlanError::DomainMemory {
            domain: "large".into(),
            bits: 26
        })
    );
}

fn with_region(region: Region) -> SystemImage {
    let mut system = testing::system(&["a"]);
    system.regions.push(region);
    system.domains[0].maps.push(Map {
        region: 0,
        vaddr: 0x1_0000_0000,
        access: Access::ReadWrite,
        cached: true,
    });
    system
}

#[test]
fn physical_memory_that_is_not_there_is_named() {
    let system = with_region(Region {
        name: "device".into(),
        size: 2 * PAGE_SIZE,
        page_size: PAGE_SIZE,
        phys: Some(0xfeff_f000),
        prefill: None,
    });
    assert_eq!(
        plan(&system),
        Err(PlanError::RegionAddress {
            region: "device".into(),
            paddr: 0xfeff_f000
        })
    );
}

#[test]
fn a_region_beyond_all_slots_is_refused_without_counting_its_pages() {
    let system = with_region(Region {
        name: "huge".into(),
        size: 1 << 46,
        page_size: PAGE_SIZE,
        phys: Some(0),
        prefill: None,
    });
    assert!(matches!(plan(&system), Err(PlanError::Slots { .. })));
}

#[test]
fn a_region_larger_than_memory_is_refused() {
    let system = with_region(Region {
        name: "big".into(),
        size: 64 << 20,
        page_size: LARGE_PAGE_SIZE,
        phys: None,
        prefill: None,
    });
    assert_eq!(
        plan(&system),
        Err(PlanError::RegionMemory {
            region: "big".into(),
            size: 64 << 20
        })
    );
}

#[test]
fn memory_at_a_wanted_address_is_kept_from_the_arenas() {
    // The smallest piece, which an arena would be cut from.
    let system = with_region(Region {
        name: "buffer".into(),
        size: 1 << 20,
        page_size: PAGE_SIZE,
        phys: Some(1 << 20),
        prefill: None,
    });
    assert!(plan(&system).is_ok());
}

#[test]
fn a_manager_that_maps_its_own_start_information_is_refused() {
    let mut system = with_region(Region {
        name: "region".into(),
        size: PAGE_SIZE,
        page_size: PAGE_SIZE,
        phys: None,
        prefill: None,
    });
    system.domains[0].name = MANAGER_NAME.into();
    system.domains[0].maps[0].vaddr = boot::INFO_VADDR + 3 * PAGE_SIZE;
    assert_eq!(plan(&system), Err(PlanError::InfoOverlap));
}

#[test]
fn thread_and_address_space_are_destroyed_before_frames() {
    let plan = plan(&testing::system(&["a"])).unwrap();
    let objects: Vec<_> = plan.domains[0].retypes.iter().map(|r| r.object).collect();
    assert_eq!(objects[objects.len() - 2..], [Object::Pml4, Object::Tcb]);
}

#[test]
fn an_address_is_found_in_its_frame() {
    let system = with_region(Region {
        name: "region".into(),
        size: 2 * LARGE_PAGE_SIZE,
        page_size: LARGE_PAGE_SIZE,
        phys: None,
        prefill: None,
    });
    let plan = plan(&system).unwrap();
    let domain = &plan.domains[0];
    let run = domain
        .runs
        .iter()
        .find(|run| run.span.page_bits == LARGE_PAGE_BITS)
        .unwrap();
    assert_eq!(
        domain.frame_at(0x1_0020_0123),
        Some((run.first + 1, 0x123, LARGE_PAGE_SIZE))
    );
    assert_eq!(domain.frame_at(0x1_0040_0000), None);
}
