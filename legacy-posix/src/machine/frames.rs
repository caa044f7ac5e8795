// SPDX-License-Identifier: BSD-2-Clause
//! The pool of frames: regions of the server's budget, which the manager maps in its address space, a frame
//! where its number says.

use alloc::vec::Vec;
use core::ops::Range;
use core::ptr;

use legacy_posix::pages::Claim;
use legacy_posix::{Errno, PAGE, Page, Pages, Result};
use xos::protocol::Subject;
use xos::protocol::manager::{Payer, RegionCreate, Rights, Share};

use crate::kernel::places_of_frames;

/// Where the first frame is mapped; nobody else puts anything there.
const BASE: usize = 0x6000_0000_0000;
/// Frames of a node.
const NODE: u32 = 256;
/// Frames that one page table maps: regions begin at multiples, each with tables of its own.
const TABLE: u32 = 512;
/// Frames of a region at most.
const STEP: u32 = 1024;
/// Frames of the first region: who needs little takes little. All have a multiple of it.
const FIRST: u32 = 64;
/// Of the budget, one part of so many is left for ICs, and for what the manager takes for mapping frames.
const FOR_ICS: u64 = 4;
/// Pages that are left for them of a small budget, up to half of it: a few programs have to run.
const FEW_ICS: u64 = 160;

/// Numbers of frames end where root slots do.
fn end() -> u32 {
    places_of_frames().len() as u32 * NODE
}

/// The pool.
pub struct Frames {
    /// How many hold each frame. Numbers between two regions are of no frame.
    holders: Vec<u32>,
    free: Vec<u32>,
    /// Frames that were made and never used: they are zero.
    fresh: Vec<Range<u32>>,
    /// Frames that were made.
    made: u32,
    /// Frames that there may be.
    most: u32,
    /// Pages of the budget that are for ICs.
    for_ics: u32,
    /// For whom frames are taken.
    claim: Claim,
}

/// The capability of a frame: root slot of its node, and index.
pub fn place(page: Page) -> (u32, u32) {
    (places_of_frames().start + page.0 / NODE, page.0 % NODE)
}

impl Frames {
    /// A pool without frames, as large as the budget allows that also has to pay for so many bytes which the
    /// server may come to need itself.
    pub fn new(own: usize) -> xos::Result<Self> {
        let budget = xos::manager()
            .budget(Subject::Myself)
            .map_err(|why| xos::Error::new(xos::Tried::Manager, why))?;
        let left = budget.quota.saturating_sub(budget.spent);
        let left = left.saturating_sub((own / PAGE) as u64);
        let for_ics = (left / FOR_ICS).max(FEW_ICS.min(left / 2));
        let most = (left - for_ics).min(u64::from(end() - STEP));
        let most = most as u32 / FIRST * FIRST;
        Ok(Self {
            holders: Vec::new(),
            free: Vec::new(),
            fresh: Vec::new(),
            made: 0,
            most,
            for_ics: for_ics as u32,
            claim: Claim::First,
        })
    }

    /// Pages of the budget that never become frames: address spaces are made of them.
    pub const fn for_ics(&self) -> u32 {
        self.for_ics
    }

    fn address(page: Page) -> *mut u8 {
        (BASE + page.0 as usize * PAGE) as *mut u8
    }

    /// The bytes from `offset` to `offset + length` of a frame that is in use.
    fn bytes(&self, page: Page, offset: usize, length: usize) -> *mut u8 {
        assert!(self.holders[page.0 as usize] != 0 && offset + length <= PAGE);
        // SAFETY: within the frame, which is mapped.
        unsafe { Self::address(page).add(offset) }
    }

    /// Frames that were made and are not in use.
    fn unused(&self) -> u32 {
        let fresh = self.fresh.iter().map(ExactSizeIterator::len).sum::<usize>();
        (fresh + self.free.len()) as u32
    }

    /// Makes more frames: about as many as there are.
    fn grow(&mut self) -> Result<()> {
        let first = (self.holders.len() as u32).next_multiple_of(TABLE);
        let wanted = self.made.clamp(FIRST, STEP).min(self.most - self.made);
        let mut count = wanted / FIRST * FIRST;
        while count != 0 && first + count <= end() {
            if Self::add(first, count).is_ok() {
                self.holders.resize((first + count) as usize, 0);
                self.fresh.push(first..first + count);
                self.made += count;
                return Ok(());
            }
            // There may be room for fewer.
            count = count / 2 / FIRST * FIRST;
        }
        Err(Errno::NOMEM)
    }

    /// Makes a region of frames, and maps it where their numbers say.
    fn add(first: u32, pages: u32) -> xos::protocol::Result<()> {
        let manager = xos::manager();
        let region = manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages,
            large: false,
            place: places_of_frames().start + first / NODE,
        })?;
        let shared = manager.share(&Share {
            region,
            target: Subject::Myself,
            address: Self::address(Page(first)) as u64,
            rights: Rights::RW,
        });
        if shared.is_err() {
            let _ = manager.region_destroy(region);
        }
        shared
    }

    /// A frame whose contents are anything, or zeroes: which.
    fn take(&mut self) -> Result<(Page, bool)> {
        // What is kept back is there, not promised: by then others may have used up the budget.
        let kept_back = self.claim.kept_back(self.most as usize) as u32;
        while kept_back != 0 && self.unused() <= kept_back {
            self.grow()?;
        }
        let (number, zero) = match self.free.pop() {
            Some(number) => (number, false),
            None => (self.take_fresh()?, true),
        };
        self.holders[number as usize] = 1;
        Ok((Page(number), zero))
    }

    fn take_fresh(&mut self) -> Result<u32> {
        loop {
            match self.fresh.last_mut().map(Iterator::next) {
                Some(Some(number)) => return Ok(number),
                Some(None) => {
                    self.fresh.pop();
                }
                None => self.grow()?,
            }
        }
    }
}

impl Pages for Frames {
    fn allocate(&mut self) -> Result<Page> {
        let (page, zero) = self.take()?;
        if !zero {
            self.zero(page, 0, PAGE);
        }
        Ok(page)
    }

    fn duplicate(&mut self, page: Page) -> Result<Page> {
        let (copy, _) = self.take()?;
        self.copy(page, 0, copy, 0, PAGE);
        Ok(copy)
    }

    fn hold(&mut self, page: Page) {
        self.holders[page.0 as usize] += 1;
    }

    fn release(&mut self, page: Page) {
        let holders = &mut self.holders[page.0 as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page.0);
        }
    }

    fn holders(&self, page: Page) -> u32 {
        self.holders[page.0 as usize]
    }

    fn read(&self, page: Page, offset: usize, into: &mut [u8]) {
        let from = self.bytes(page, offset, into.len());
        // SAFETY: the range is in a frame; a program that maps it too does not run meanwhile, or changes
        // bytes that are copied once and trusted by nobody.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
    }

    fn write(&mut self, page: Page, offset: usize, from: &[u8]) {
        let to = self.bytes(page, offset, from.len());
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }

    fn zero(&mut self, page: Page, offset: usize, length: usize) {
        let to = self.bytes(page, offset, length);
        if (offset | length).is_multiple_of(8) {
            // SAFETY: as above; words, since an emulator counts each step of filling.
            unsafe { ptr::write_bytes(to.cast::<u64>(), 0, length / 8) }
        } else {
            // SAFETY: as above.
            unsafe { ptr::write_bytes(to, 0, length) }
        }
    }

    fn copy(&mut self, from: Page, offset: usize, to: Page, to_offset: usize, length: usize) {
        let from = self.bytes(from, offset, length);
        let to = self.bytes(to, to_offset, length);
        // SAFETY: both ranges are in frames; they may overlap.
        unsafe { ptr::copy(from, to, length) }
    }

    fn available(&self) -> (usize, usize) {
        let left = self.most - self.made + self.unused();
        let kept_back = Claim::Any.kept_back(self.most as usize);
        (
            (left as usize).saturating_sub(kept_back),
            self.most as usize,
        )
    }

    fn serve(&mut self, claim: Claim) {
        self.claim = claim;
    }
}
