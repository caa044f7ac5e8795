// SPDX-License-Identifier: BSD-2-Clause
//! Pages of the gate ([`legacy_posix::gate`]): one with its code, which every program maps, and one for each
//! address space with the places of its threads. Programs read them, the server writes to them here.

use alloc::vec::Vec;
use core::ptr;

use legacy_posix::gate::{INSTRUCTIONS, Place, WORDS};
use legacy_posix::{Errno, PAGE, Result};
use xos::protocol::Subject;
use xos::protocol::manager::{Payer, RegionCreate, Rights, Share};

/// Where the first page is mapped here; nobody else puts anything there.
const BASE: usize = 0x5800_0000_0000;
/// Pages of a region.
const STEP: u32 = 64;
/// Pages of the first one: who needs little takes little.
const FIRST: u32 = 8;
/// Root slots of the nodes with the frames, one for each region.
pub const FIRST_PLACE: u32 = 128;
/// Regions at most.
pub const STEPS: u32 = 16;

/// A page with places.
#[derive(Clone, Copy)]
pub struct GatePage(u32);

impl GatePage {
    /// Where its frame's capability lies: root slot of the node, and index.
    pub const fn frame(self) -> (u32, u32) {
        (FIRST_PLACE + self.0 / STEP, self.0 % STEP)
    }

    fn address(self, index: usize) -> *mut u64 {
        ((BASE + self.0 as usize * PAGE) as *mut u64).wrapping_add(index * WORDS)
    }

    /// Writes to a place.
    pub fn put(self, index: usize, place: Place) {
        let to = self.address(index);
        // SAFETY: the page is mapped, nobody else writes to it, and there are so many places in it.
        unsafe {
            to.write_volatile(place.rax);
            to.add(1).write_volatile(place.rip);
            to.add(2).write_volatile(place.rsp);
        }
    }

    /// Reads a place.
    pub fn get(self, index: usize) -> Place {
        let from = self.address(index);
        // SAFETY: as above.
        unsafe {
            Place {
                rax: from.read_volatile(),
                rip: from.add(1).read_volatile(),
                rsp: from.add(2).read_volatile(),
            }
        }
    }
}

/// The pages that there are, numbered as if all regions were as large. The first is the one with the code.
pub struct Gates {
    made: u32,
    free: Vec<u32>,
}

impl Gates {
    /// None.
    pub const fn new() -> Self {
        Self {
            made: 0,
            free: Vec::new(),
        }
    }

    /// Where the frame with the code is, and a page for places.
    pub fn take(&mut self) -> Result<((u32, u32), GatePage)> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let page = self.free.pop().ok_or(Errno::NOMEM)?;
        Ok((GatePage(0).frame(), GatePage(page)))
    }

    /// A page is not mapped any more. Its places are empty.
    pub fn give(&mut self, page: GatePage) {
        self.free.push(page.0);
    }

    fn grow(&mut self) -> Result<()> {
        if self.made == STEPS * STEP {
            return Err(Errno::NOMEM);
        }
        let first = GatePage(self.made);
        let pages = if self.made == 0 { FIRST } else { STEP };
        let manager = xos::manager();
        let region = manager
            .region_create(&RegionCreate {
                payer: Payer::Myself,
                pages,
                large: false,
                place: first.frame().0,
            })
            .map_err(|_| Errno::NOMEM)?;
        let shared = manager.share(&Share {
            region,
            target: Subject::Myself,
            address: first.address(0) as u64,
            rights: Rights::RW,
        });
        if shared.is_err() {
            let _ = manager.region_destroy(region);
            return Err(Errno::NOMEM);
        }
        self.free.extend((self.made..self.made + pages).rev());
        if self.made == 0 {
            self.free.pop();
            let code = first.address(0).cast::<u8>();
            // SAFETY: the page was mapped just now, for nobody else.
            unsafe { ptr::copy_nonoverlapping(INSTRUCTIONS.as_ptr(), code, INSTRUCTIONS.len()) };
        }
        self.made += STEP;
        Ok(())
    }
}
