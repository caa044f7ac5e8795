// SPDX-License-Identifier: BSD-2-Clause
//! The invariants, looked at from outside: the manager's books against each
//! other, and against what the kernel really holds.

use std::collections::HashMap;

use xos_protocol::supervisor::boot;
use xos_protocol::{Badge, Who};

use super::kernel::{Cap, Object};
use super::{MEMORY_BASE, POOL_BASE, World};
use crate::arena::Arena;
use crate::bond::Kind as BondKind;
use crate::ic::Phase;
use crate::ledger::Cost;
use crate::pool::{self, Part};
use crate::untyped::MIN_BITS;

impl World {
    /// Panics unless every invariant holds.
    pub fn check(&self) {
        self.check_budgets();
        self.check_memory();
        self.check_slots();
        self.check_badges();
        for root in self.m.kernel.address_spaces() {
            self.m.kernel.reachable(root);
        }
    }

    /// The invariants that hold even when the kernel refuses what it cannot refuse: everything is
    /// accounted for, no memory is in two places (the model itself watches that).
    pub fn check_books(&self) {
        self.check_budgets();
        self.check_memory();
    }

    fn check_budgets(&self) {
        let manager = &self.manager;
        let mut expected: HashMap<u32, Cost> = HashMap::new();
        let mut add = |who: Option<u32>, pages: u32, units: u32| {
            if let Some(who) = who {
                let cost = expected.entry(who).or_default();
                cost.pages += pages;
                cost.units += units;
            }
        };
        for i in 0..manager.ics.end() {
            let ic = &manager.ics[i];
            match ic.phase {
                Phase::Vacant => continue,
                Phase::Unread => {
                    add(ic.creator.get(), 0, 1);
                    continue;
                }
                Phase::Alive | Phase::Dying => {}
            }
            add(Some(i), ic.boot_pages + ic.arena.pages(), 0);
            let quota = ic.account.quota();
            add(ic.payer.get(), quota.pages, quota.units + 1);
            add(ic.creator.get(), 0, 1);
            let names = manager
                .registry
                .iter_from(0)
                .filter(|(_, e)| e.server == i)
                .count();
            add(Some(i), 0, names as u32);
        }
        for i in 0..manager.regions.end() {
            let region = &manager.regions[i];
            if region.phase != Phase::Vacant {
                add(region.payer.get(), region.arena.pages(), 1);
            }
        }
        for i in 0..manager.bonds.end() {
            let bond = &manager.bonds[i];
            match bond.kind {
                BondKind::Vacant => {}
                BondKind::Connection => add(bond.facing.get(), 0, 1),
                BondKind::Share => {
                    let region = &manager.regions[bond.holder.get().unwrap()];
                    let bits = manager.memory.bits(bond.chunk.get().unwrap());
                    add(region.payer.get(), 1 << (bits - MIN_BITS), 1);
                }
                BondKind::Declared => add(bond.by.get(), 0, 1),
                _ => add(bond.holder.get(), 0, 1),
            }
        }
        for i in 0..manager.ics.end() {
            let ic = &manager.ics[i];
            if matches!(ic.phase, Phase::Alive | Phase::Dying) {
                let expected = expected.get(&i).copied().unwrap_or_default();
                // A dying IC whose arena is gone has been credited already.
                assert_eq!(
                    ic.account.spent(),
                    expected,
                    "account of IC {i} ({:?})",
                    ic.phase
                );
                assert!(expected.pages <= ic.account.quota().pages);
                assert!(expected.units <= ic.account.quota().units);
            }
        }
    }

    fn check_memory(&self) {
        let manager = &self.manager;
        let chunks =
            |arena: &Arena| -> u64 { arena.chunks().map(|c| 1u64 << manager.memory.bits(c)).sum() };
        let mut used = manager.memory.withheld_bytes();
        used += (boot::DOMAIN_SLOTS as u64 - 1) << MIN_BITS; // seven ASID pools
        used += (0..manager.ics.end())
            .map(|i| chunks(&manager.ics[i].arena))
            .sum::<u64>();
        used += (0..manager.regions.end())
            .map(|i| chunks(&manager.regions[i].arena))
            .sum::<u64>();
        for i in 0..manager.bonds.end() {
            if let Some(chunk) = manager.bonds[i].chunk.get() {
                used += 1 << manager.memory.bits(chunk);
            }
        }
        assert_eq!(
            manager.memory.free_bytes() + used,
            self.m.total,
            "memory is lost or doubled"
        );
    }

    fn empty(&self, slot: u32, what: &str) {
        let cap = self.m.pool(slot);
        assert!(cap.is_none(), "slot {slot} ({what}) holds {cap:x?}");
    }

    fn check_slots(&self) {
        let manager = &self.manager;
        for i in 0..manager.ics.end() {
            let ic = &manager.ics[i];
            if matches!(ic.phase, Phase::Vacant | Phase::Unread) {
                for part in 0..pool::IC_SLOTS {
                    let slot = pool::ic(i, Part::Execution) + part;
                    if !self.is_kept(slot) {
                        self.empty(slot, "a vacant IC's");
                    }
                }
            } else if ic.phase == Phase::Alive && !ic.domain {
                let tcb = self.m.pool(pool::ic(i, Part::Execution));
                assert!(matches!(tcb, Some(Cap::Tcb { .. })), "{tcb:?}");
                if ic.host.get().is_none() {
                    let cspace = self.m.pool(pool::ic(i, Part::CSpace));
                    let radix = ic.cspace_radix;
                    assert!(
                        matches!(cspace, Some(Cap::Node { radix: r, guard: 0, .. }) if r == radix)
                    );
                    let vspace = self.m.pool(pool::ic(i, Part::VSpace));
                    assert!(matches!(vspace, Some(Cap::VSpace { asid: Some(_), .. })));
                }
            }
        }
        for i in 0..manager.regions.end() {
            if manager.regions[i].phase == Phase::Vacant {
                self.empty(pool::region(i), "a vacant region's");
            }
        }
        for i in 0..manager.bonds.end() {
            let bond = &manager.bonds[i];
            if bond.kind == BondKind::Vacant || bond.closed {
                self.empty(pool::bond(i), "a vacant bond's");
            }
        }
        for i in 0..pool::SCRATCH_SLOTS {
            self.empty(pool::scratch(i), "scratch");
        }
        manager.memory.check(|slot| match self.m.pool(slot) {
            None => None,
            Some(Cap::Untyped { bits, .. }) => {
                let id = self.m.kernel.at((POOL_BASE, slot)).unwrap();
                Some((bits, self.m.kernel.childless(id)))
            }
            Some(other) => panic!("an untyped's slot {slot} holds {other:x?}"),
        });
    }

    /// Whether this is the slot of a badged endpoint that may outlive its IC.
    fn is_kept(&self, slot: u32) -> bool {
        let parts = [Part::Handle, Part::Itself, Part::Session];
        (0..self.manager.ics.end()).any(|i| {
            let kept = self.manager.ics[i].names;
            (parts.iter().zip(kept)).any(|(part, kept)| kept != 0 && pool::ic(i, *part) == slot)
        })
    }

    /// No badge of a boot domain's endpoint outlives what it stands for, in a slot that anyone else can
    /// name or in a queue.
    fn check_badges(&self) {
        let known = |badge: u64, to: u64| {
            let manager = &self.manager;
            match Badge::from_word(badge).who() {
                Who::Session(i) => {
                    let bond = &manager.bonds[i];
                    matches!(bond.kind, BondKind::Session | BondKind::Connection) && !bond.closed
                }
                Who::Handle(i) | Who::Itself(i) => manager.ics[i].phase == Phase::Alive,
                _ => {
                    panic!("badge {badge:#x} on {to:#x}")
                }
            }
        };
        for cte in self.m.kernel.all() {
            if let Cap::Endpoint { base, badge, .. } = cte.cap
                && base < MEMORY_BASE
                && badge != 0
            {
                let kept = matches!(cte.home, (POOL_BASE, slot) if self.is_kept(slot));
                assert!(
                    kept || known(badge, base),
                    "badge {badge:#x} in {:x?} is stale",
                    cte.home
                );
            }
        }
        for (base, object) in &self.m.kernel.objects {
            if let Object::Endpoint(queue) = object
                && *base < MEMORY_BASE
            {
                assert!(
                    queue.iter().all(|b| known(*b, *base)),
                    "a stale badge is queued"
                );
            }
        }
    }
}
