// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces: what of a program is where.
//!
//! An [`AddressSpace`] is two maps: *mappings* (which addresses mean what, with which rights) and a
//! *table* of the pages that are there. The kernel's own page tables follow these two lazily: a page is
//! mapped there when the program touches it, with no more rights than the table allows, and can
//! be taken away at any time. So the kernel's side is a cache, and what is true is written here.
//!
//! Copy on write needs no marks. A private page that somebody else holds as well ([`Pages::holders`]) is
//! mapped read-only, whether the other is a child after `fork` or a file whose page it is; who
//! writes to it gets a copy, unless the others have gone meanwhile.

mod change;
#[cfg(test)]
pub mod model;
mod space;
mod table;
#[cfg(test)]
mod tests;

use core::num::NonZeroU32;

use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

use crate::errno::Result;
use crate::pages::{PAGE, Page, Pages};

pub use change::{Advice, Map, Place};
pub use space::{AddressSpace, Mapping, Trap};

/// Bytes of a page, as addresses are counted.
pub const PAGE_BYTES: u64 = PAGE as u64;
/// The lowest address that may be mapped (`vm.mmap_min_addr`).
pub const LOWEST: u64 = 0x1_0000;
/// End of a program's addresses: a page before Linux's. The last pages of the lower half are what
/// executions return through ([`crate::gate`]).
pub const END: u64 = crate::gate::CODE;
/// End of the stack: nothing is randomised, and the page above it has the code of signal handlers.
pub const STACK_END: u64 = END - PAGE_BYTES;
/// Below the stack and what it may grow to at most: where mappings are placed, downward.
pub const MAPS_END: u64 = 0x7fff_f7ff_f000;
/// Mappings of a process at most (`vm.max_map_count`).
pub const MAX_MAPPINGS: usize = 65530;

bitflags::bitflags! {
    /// What a program may do with a mapping.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Protection: u32 {
        /// Load.
        const READ = PROT_READ;
        /// Store. On this processor also load.
        const WRITE = PROT_WRITE;
        /// Execute. On this processor also load; and this kernel cannot forbid it for what can be loaded.
        const EXECUTE = PROT_EXEC;
    }
}

impl Protection {
    /// Whether an access is allowed.
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::Write => self.contains(Self::WRITE),
            Access::Read => !self.is_empty(),
            Access::Execute => self.contains(Self::EXECUTE),
        }
    }
}

/// How memory is accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch, where that can be told apart.
    Execute,
}

/// An address space of the kernel's, as [`Paging`] names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Space(pub u32);

/// Where in a [`Space`] a page is mapped, as [`Paging`] names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(pub NonZeroU32);

/// The kernel's page tables.
pub trait Paging {
    /// Maps a frame where nothing is mapped.
    ///
    /// # Errors
    /// [`Errno::NOMEM`](crate::Errno::NOMEM) when what it takes (tables, slots) is used up.
    fn map(&mut self, space: Space, address: u64, page: Page, writable: bool) -> Result<Slot>;

    /// Changes whether a mapping is writable.
    fn protect(&mut self, space: Space, slot: Slot, writable: bool);

    /// Unmaps.
    fn unmap(&mut self, space: Space, slot: Slot);
}

/// A file that is mapped.
pub use crate::vfs::Node as FileId;

/// What the file layer does for mappings.
pub trait Mappable {
    /// Page `index` of the file, with a holder more: the caller. A hole is filled with zeroes first.
    ///
    /// # Errors
    /// [`Errno::FAULT`](crate::Errno::FAULT) beyond the last page of the file (what becomes `SIGBUS`),
    /// [`Errno::NOMEM`](crate::Errno::NOMEM).
    fn page(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Result<Page>;

    /// The same only if the page is there already.
    fn page_if_present(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Option<Page>;

    /// A new file of so many bytes without a name, held once: what shared anonymous memory is.
    ///
    /// # Errors
    /// [`Errno::NOMEM`](crate::Errno::NOMEM).
    fn nameless(&mut self, pages: &mut dyn Pages, bytes: u64) -> Result<FileId>;

    /// One more mapping of the file: it stays when all names and descriptors have gone.
    fn hold(&mut self, file: FileId);

    /// One mapping less.
    fn release(&mut self, pages: &mut dyn Pages, file: FileId);
}

/// What address spaces are made of.
pub struct Resources<'a> {
    /// The kernel.
    pub kernel: &'a mut dyn Paging,
    /// Frames.
    pub pages: &'a mut dyn Pages,
    /// Files.
    pub files: &'a mut dyn Mappable,
}

/// The number of the page that an address lies in.
pub const fn page_number(address: u64) -> u64 {
    address / PAGE_BYTES
}

/// The address of the page that an address lies in.
pub const fn page_start(address: u64) -> u64 {
    address & !(PAGE_BYTES - 1)
}
