// SPDX-License-Identifier: BSD-2-Clause
//! The allocator of untyped memory, against the kernel's own view of it.

use proptest::prelude::*;
use xos_protocol::Error;
use xos_protocol::supervisor::boot;

use crate::machine::{At, Kind, Machine, POOL};
use crate::model::Model;
use crate::model::kernel::Cap;
use crate::table::Record;
use crate::untyped::{Block, MIN_BITS, Untypeds, reclaim};

struct Memory {
    m: Model,
    memory: Untypeds<'static>,
    roots: Vec<(u64, u8)>,
    /// Pages in use.
    used: std::collections::HashSet<u64>,
}

impl Memory {
    fn new(untypeds: &[u8], pairs: usize) -> Self {
        let (m, boot) = Model::new(&[], untypeds);
        let rows = boot::MAX_UNTYPEDS + 2 * pairs;
        let mut memory = Untypeds::new(Box::leak(vec![Block::VACANT; rows].into()));
        let mut roots = Vec::new();
        for untyped in &boot.untypeds {
            memory.adopt(untyped.size_bits, false).unwrap();
            roots.push((untyped.paddr, untyped.size_bits));
        }
        Self {
            m,
            memory,
            roots,
            used: Default::default(),
        }
    }

    fn range(&self, block: u32) -> std::ops::Range<u64> {
        match self.m.pool(self.memory.slot(block)) {
            Some(Cap::Untyped { base, bits, .. }) => {
                assert_eq!(bits, self.memory.bits(block));
                base >> MIN_BITS..(base + (1 << bits)) >> MIN_BITS
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether an aligned piece of that size is free, in whatever halves.
    fn exists(&self, bits: u8) -> bool {
        let pages = 1u64 << (bits - MIN_BITS);
        self.roots
            .iter()
            .filter(|(_, size)| *size >= bits)
            .any(|(base, size)| {
                let first = base >> MIN_BITS;
                (first..first + (1 << (size - MIN_BITS)))
                    .step_by(pages as usize)
                    .any(|at| (at..at + pages).all(|page| !self.used.contains(&page)))
            })
    }

    fn allocate(&mut self, bits: u8) -> Result<u32, Error> {
        let block = self.memory.allocate(&mut self.m, bits)?;
        // Leave something in it, as its user would.
        let slot = self.memory.slot(block);
        let scratch = crate::pool::scratch(0);
        self.m
            .retype(slot, Kind::Endpoint, At::whole(POOL), scratch, 1)
            .unwrap();
        for page in self.range(block) {
            assert!(self.used.insert(page), "handed out twice");
        }
        Ok(block)
    }

    fn free(&mut self, block: u32) {
        for page in self.range(block) {
            assert!(self.used.remove(&page));
        }
        reclaim(&mut self.memory, &mut self.m, block);
    }

    fn check(&self) {
        self.memory.check(|slot| match self.m.pool(slot) {
            None => None,
            Some(Cap::Untyped { bits, .. }) => {
                let id = self.m.kernel.at((0x100_0000, slot)).unwrap();
                Some((bits, self.m.kernel.childless(id)))
            }
            other => panic!("{other:?}"),
        });
        let total: u64 = self.roots.iter().map(|(_, bits)| 1u64 << bits).sum();
        let used = (self.used.len() as u64) << MIN_BITS;
        assert_eq!(self.memory.free_bytes() + used, total);
    }
}

proptest! {
    #[test]
    fn blocks_never_overlap_and_are_refused_only_if_none_exists(
        steps in prop::collection::vec((12u8..19, any::<prop::sample::Index>(), 0u8..5), 1..150)
    ) {
        let mut memory = Memory::new(&[18, 16, 14, 12], 200);
        let mut live = Vec::new();
        for (bits, which, kind) in steps {
            if kind < 3 || live.is_empty() {
                let exists = memory.exists(bits);
                match memory.allocate(bits) {
                    Ok(block) => {
                        prop_assert!(exists);
                        live.push(block);
                        memory.m.kernel.delete((0x100_0000, crate::pool::scratch(0)));
                    }
                    Err(error) => prop_assert_eq!((error, exists), (Error::NoMemory, false)),
                }
            } else {
                let block = live.swap_remove(which.index(live.len()));
                memory.free(block);
            }
            memory.check();
        }
        for block in live {
            memory.free(block);
        }
        memory.check();
        for bits in [18, 16, 14, 12] {
            prop_assert!(memory.memory.allocate(&mut memory.m, bits).is_ok(), "{} is not whole", bits);
        }
    }

    #[test]
    fn a_refusal_of_the_kernel_loses_nothing(
        steps in prop::collection::vec((12u8..17, 0u32..6), 1..60)
    ) {
        let mut memory = Memory::new(&[17], 100);
        let mut live = Vec::new();
        for (bits, fail_in) in steps {
            memory.m.fail_in = Some(fail_in);
            let block = memory.memory.allocate(&mut memory.m, bits);
            memory.m.fail_in = None;
            match block {
                Ok(block) => {
                    let range = memory.range(block);
                    memory.used.extend(range);
                    live.push(block);
                }
                Err(Error::NoMemory) => live.drain(..).for_each(|block| memory.free(block)),
                Err(error) => prop_assert_eq!(error, Error::Kernel),
            }
            memory.check();
        }
    }

    #[test]
    fn when_slots_run_out_halves_are_merged(
        sizes in prop::collection::vec(12u8..15, 1..40)
    ) {
        let mut memory = Memory::new(&[15, 15], 7);
        for bits in sizes {
            match memory.memory.allocate(&mut memory.m, bits) {
                Ok(block) => memory.memory.free(block),
                Err(error) => prop_assert!(false, "{:?}", error),
            }
            memory.check();
        }
    }
}

#[test]
fn a_freed_block_is_reused_before_another_is_carved() {
    let mut memory = Memory::new(&[20], 100);
    let block = memory.memory.allocate(&mut memory.m, 14).unwrap();
    memory.memory.free(block);
    let calls = memory.m.calls;
    assert_eq!(memory.memory.allocate(&mut memory.m, 14), Ok(block));
    assert_eq!(memory.m.calls, calls);
}

#[test]
fn nothing_is_zeroed_that_was_not_used() {
    let mut memory = Memory::new(&[24], 1000);
    for _ in 0..100 {
        let block = memory.allocate(16).unwrap();
        memory
            .m
            .kernel
            .delete((0x100_0000, crate::pool::scratch(0)));
        memory.free(block);
    }
    assert!(
        memory.m.kernel.zeroed <= 100 * 16,
        "{}",
        memory.m.kernel.zeroed
    );
}
