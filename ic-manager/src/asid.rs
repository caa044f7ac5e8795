// SPDX-License-Identifier: BSD-2-Clause
//! ASID pools: what tells address spaces apart.
//!
//! The kernel looks for a free ASID by walking a pool from its beginning, so
//! address spaces are spread evenly over all pools. The pools are made once, at
//! the start: they belong to no IC, and what is free then is what is free for
//! ever after all ICs are gone.

use xos_protocol::{Error, Result};

use crate::machine::{Machine, Refusal};
use crate::pool::{self, ASID_POOLS};
use crate::untyped::Untypeds;

/// Bytes of a pool as a power of two (seL4_ASIDPoolBits).
const POOL_BITS: u8 = 12;
/// Address spaces per pool.
const PER_POOL: u16 = 512;

/// How full the pools are.
#[derive(Clone, Copy, Default, Debug)]
pub struct Asids {
    used: [u16; ASID_POOLS],
    pools: u8,
}

impl Asids {
    /// Makes all pools. The first exists, and the kernel's and root task's own address spaces and
    /// those of `domains` boot domains are in it.
    pub fn start<M: Machine>(&mut self, m: &mut M, memory: &mut Untypeds, domains: usize) {
        self.used[0] = 2 + domains as u16;
        self.pools = 1;
        while (self.pools as usize) < ASID_POOLS {
            let Ok(block) = memory.allocate(m, POOL_BITS) else {
                return;
            };
            let to = pool::asid_pool(self.pools as usize);
            if m.make_asid_pool(memory.slot(block), to).is_err() {
                memory.free(block);
                return;
            }
            self.pools += 1;
        }
    }

    /// Gives a VSpace an ASID; answers from which pool.
    ///
    /// # Errors
    /// [`Error::TableFull`] when all pools are full.
    pub fn assign<M: Machine>(&mut self, m: &mut M, vspace: u32) -> Result<u8> {
        loop {
            let (i, used) = (0..self.pools)
                .map(|i| (i, self.used[i as usize]))
                .min_by_key(|(_, used)| *used)
                .ok_or(Error::TableFull)?;
            if used >= PER_POOL {
                return Err(Error::TableFull);
            }
            match m.assign_asid(pool::asid_pool(i as usize), vspace) {
                Ok(()) => {
                    self.used[i as usize] += 1;
                    return Ok(i);
                }
                // Fuller than we know: the root task's address spaces are in the first one.
                Err(Refusal::Occupied) => self.used[i as usize] = PER_POOL,
                Err(refusal) => {
                    m.defect("assigning an address space id", refusal);
                    return Err(Error::Kernel);
                }
            }
        }
    }

    /// The VSpace that got an ASID from this pool is gone.
    pub fn release(&mut self, pool: u8) {
        self.used[pool as usize] -= 1;
    }
}
