// SPDX-License-Identifier: BSD-2-Clause
//! A window in the root task's own address space, through which it writes frames before they are
//! mapped in domains, and reads a dead domain's memory. One frame at a time.

use core::slice;

use sel4::init_thread::slot;
use sel4::{CapRights, VmAttributes, cap_type};
use xos_root_task::objects::{LARGE_PAGE_BITS, PAGE_BITS};
use xos_root_task::plan::Own;

use super::kernel::{Doing, Result, cap_in, own};

/// Beyond every root task's image, which the kernel places below; below the first 512 GiB, whose
/// page-directory-pointer table the image has.
const VADDR: usize = 256 << 30;
/// Where a large frame is mapped: in the next entry of the same page directory.
const LARGE_VADDR: usize = VADDR + (1 << LARGE_PAGE_BITS);

/// The window.
pub struct Window {
    scratch: usize,
}

impl Window {
    /// Maps the window's own paging structures.
    pub fn new(plan: &Own) -> Result<Self> {
        let [directory, table] = plan.window;
        let vspace = slot::VSPACE.cap();
        cap_in::<cap_type::PageDirectory>(directory)
            .page_directory_map(vspace, VADDR, VmAttributes::default())
            .doing("map a page directory", directory)?;
        cap_in::<cap_type::PageTable>(table)
            .page_table_map(vspace, VADDR, VmAttributes::default())
            .doing("map a page table", table)?;
        Ok(Self {
            scratch: plan.scratch,
        })
    }

    /// Writes a frame that is mapped nowhere.
    pub fn write(&mut self, frame: usize, bits: u32, write: impl FnOnce(&mut [u8])) -> Result {
        self.map(frame, bits, CapRights::read_write())?;
        // SAFETY: these addresses are mapped to the frame and to nothing else, and `self` is
        // borrowed exclusively until they are unmapped. No other thread runs while this one does.
        write(unsafe { slice::from_raw_parts_mut(vaddr(bits) as *mut u8, 1 << bits) });
        unmap(frame)
    }

    /// Reads a frame that may be mapped, by a copy of its capability.
    pub fn read(&mut self, frame: usize, bits: u32, read: impl FnOnce(&[u8])) -> Result {
        let scratch = own(self.scratch);
        scratch
            .copy(&own(frame), CapRights::all())
            .doing("copy a frame's capability", frame)?;
        let mapped = self.map(self.scratch, bits, CapRights::read_only());
        if mapped.is_ok() {
            // SAFETY: as above; nothing that shares the frame runs meanwhile.
            read(unsafe { slice::from_raw_parts(vaddr(bits) as *const u8, 1 << bits) });
            unmap(self.scratch)?;
        }
        scratch
            .delete()
            .doing("delete a frame's capability", self.scratch)?;
        mapped
    }

    fn map(&mut self, frame: usize, bits: u32, rights: CapRights) -> Result {
        cap_in::<cap_type::UnspecifiedPage>(frame)
            .frame_map(
                slot::VSPACE.cap(),
                vaddr(bits),
                rights,
                VmAttributes::default(),
            )
            .doing("map a frame in the window", frame)
    }
}

fn vaddr(bits: u32) -> usize {
    if bits == PAGE_BITS {
        VADDR
    } else {
        LARGE_VADDR
    }
}

fn unmap(frame: usize) -> Result {
    cap_in::<cap_type::UnspecifiedPage>(frame)
        .frame_unmap()
        .doing("unmap a frame", frame)
}
