// SPDX-License-Identifier: BSD-2-Clause
//! An address space: looking up, supplying pages, and the server's own access.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use super::table::{Entry, Store, Table};
use super::{
    Access, END, FileId, PAGE_BYTES, Protection, Resources, STACK_END, Space, page_number,
    page_start,
};
use crate::buffer::Segment;
use crate::errno::{Errno, Result};
use crate::pages::{PAGE, Page};

/// Pages around one that is touched, which are mapped with it if they are there. Aligned pieces of so many
/// pages. Mapping a page and unmapping it later costs as much as the fault that it may save, so that
/// more of them would pay only where most are used.
const AROUND: u64 = 4;
/// Bytes that stay free below a stack that grows.
const STACK_GAP: u64 = 256 * PAGE_BYTES;

/// What a run of addresses means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The first address that is not part of it.
    pub end: u64,
    /// What the program may do there.
    pub protection: Protection,
    /// What `mprotect` may allow at most.
    pub most: Protection,
    /// Whether writing is seen by others who map the same.
    pub shared: bool,
    /// The file, and the number of its page that is the first of the mapping; `None` for anonymous memory.
    pub file: Option<(FileId, u64)>,
    /// Whether it grows down when the page below is touched.
    pub grows_down: bool,
    /// Whether a child does not get it (`MADV_DONTFORK`).
    pub not_inherited: bool,
    /// Whether a child finds zeroes there (`MADV_WIPEONFORK`).
    pub wiped_on_fork: bool,
}

impl Mapping {
    /// The same mapping as seen from `by` bytes behind its start.
    pub(super) fn from(self, by: u64) -> Self {
        Self {
            file: self.file.map(|(file, page)| (file, page + page_number(by))),
            ..self
        }
    }

    /// Whether `next` can be one with this mapping, which starts at `start` and ends where `next` starts.
    pub(super) fn continues(&self, start: u64, next: &Self) -> bool {
        Self {
            end: next.end,
            ..self.from(self.end - start)
        } == *next
    }
}

/// Why a page cannot be supplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// Nothing is mapped there: `SIGSEGV`, `SEGV_MAPERR`.
    Unmapped,
    /// The mapping does not allow it: `SIGSEGV`, `SEGV_ACCERR`.
    Forbidden,
    /// The file does not reach so far: `SIGBUS`, `BUS_ADRERR`.
    BeyondFile,
    /// No memory is left: the end of the one who asked.
    NoMemory,
}

/// The address space of one process, or of several that share it.
pub struct AddressSpace {
    /// The kernel's side.
    pub(super) space: Space,
    /// By first address; they do not overlap, and neighbours that could be one are.
    pub(super) mappings: BTreeMap<u64, Mapping>,
    pub(super) table: Table,
    /// Bytes of all mappings.
    pub(super) bytes: u64,
    /// First address of the heap.
    pub heap: u64,
    /// End of the heap, as `brk` sets it.
    pub heap_end: u64,
    /// What the stack may grow to, in bytes (`RLIMIT_STACK`).
    pub stack_limit: u64,
    /// What all mappings may be, in bytes (`RLIMIT_AS`).
    pub size_limit: u64,
    /// What the heap may be, in bytes (`RLIMIT_DATA`).
    pub data_limit: u64,
}

impl AddressSpace {
    /// An empty one.
    pub fn new(space: Space) -> Self {
        Self {
            space,
            mappings: BTreeMap::new(),
            table: Table::default(),
            bytes: 0,
            heap: 0,
            heap_end: 0,
            stack_limit: 8 << 20,
            size_limit: u64::MAX,
            data_limit: u64::MAX,
        }
    }

    /// The kernel's side of it.
    pub const fn space(&self) -> Space {
        self.space
    }

    /// Bytes of all mappings.
    pub const fn size(&self) -> u64 {
        self.bytes
    }

    /// Pages that are there.
    pub const fn resident(&self) -> usize {
        self.table.len()
    }

    /// All mappings, by address.
    pub fn mappings(&self) -> impl ExactSizeIterator<Item = (u64, &Mapping)> {
        self.mappings
            .iter()
            .map(|(start, mapping)| (*start, mapping))
    }

    /// Pages of a range of addresses that are there.
    pub fn resident_in(&self, range: Range<u64>) -> usize {
        self.table
            .count(page_number(range.start)..range.end.div_ceil(PAGE_BYTES))
    }

    /// The mapping that an address is in.
    pub fn find(&self, address: u64) -> Option<(u64, &Mapping)> {
        let (start, mapping) = self.mappings.range(..=address).next_back()?;
        (address < mapping.end).then_some((*start, mapping))
    }

    /// The program touched an address: supplies the page.
    ///
    /// # Errors
    /// A [`Trap`].
    pub fn fault(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        access: Access,
    ) -> Result<(), Trap> {
        let (start, mapping) = self.reach(address, access)?;
        let number = page_number(address);
        self.supply(r, number, start, &mapping, access == Access::Write)?;
        self.show(r, number, &mapping, true)?;
        self.show_around(r, number, start, &mapping);
        Ok(())
    }

    /// The mapping of an address, if it allows the access.
    fn reach(&mut self, address: u64, access: Access) -> Result<(u64, Mapping), Trap> {
        if address >= END {
            return Err(Trap::Unmapped);
        }
        let (start, mapping) = match self.find(address) {
            Some((start, mapping)) => (start, *mapping),
            None => self.grow_stack(address).ok_or(Trap::Unmapped)?,
        };
        if mapping.protection.allows(access) {
            Ok((start, mapping))
        } else {
            Err(Trap::Forbidden)
        }
    }

    /// Extends the mapping above an address down to it, if that is a stack and may grow.
    fn grow_stack(&mut self, address: u64) -> Option<(u64, Mapping)> {
        let (start, mapping) = self.mappings.range(address..).next()?;
        let (start, mapping) = (*start, *mapping);
        let new = page_start(address);
        let more = start - new;
        let below = self.mappings.range(..address).next_back();
        if !mapping.grows_down
            || mapping.end - new > self.stack_limit
            || self.bytes + more > self.size_limit
            || below.is_some_and(|(_, below)| {
                !below.protection.is_empty() && below.end + STACK_GAP > new || below.end > new
            })
        {
            return None;
        }
        self.mappings.remove(&start);
        self.mappings.insert(new, mapping);
        self.bytes += more;
        Some((new, mapping))
    }

    /// Sees to it that the page is in the table, and the program's own if it is going to be written to.
    fn supply(
        &mut self,
        r: &mut Resources<'_>,
        number: u64,
        start: u64,
        mapping: &Mapping,
        write: bool,
    ) -> Result<Page, Trap> {
        let own = write && !mapping.shared;
        if let Some(entry) = self.table.get_mut(number) {
            if own && r.pages.holders(entry.page) > 1 {
                let copy = r.pages.duplicate(entry.page).map_err(|_| Trap::NoMemory)?;
                if let Some(slot) = entry.slot.take() {
                    r.kernel.unmap(self.space, slot);
                }
                r.pages.release(entry.page);
                entry.page = copy;
            }
            return Ok(entry.page);
        }
        let page = match mapping.file {
            None => r.pages.allocate().map_err(|_| Trap::NoMemory)?,
            Some((file, first)) => {
                let index = first + number - page_number(start);
                let page = r
                    .files
                    .page(r.pages, file, index)
                    .map_err(|error| match error {
                        Errno::NOMEM => Trap::NoMemory,
                        _ => Trap::BeyondFile,
                    })?;
                if own {
                    let copy = r.pages.duplicate(page);
                    r.pages.release(page);
                    copy.map_err(|_| Trap::NoMemory)?
                } else {
                    page
                }
            }
        };
        self.table.insert(
            number,
            Entry {
                page,
                slot: None,
                writable: false,
            },
        );
        Ok(page)
    }

    /// Has the kernel map a page that is in the table, with all rights that it can have.
    /// With `evict`, other pages make room for it if there is none.
    fn show(
        &mut self,
        r: &mut Resources<'_>,
        number: u64,
        mapping: &Mapping,
        evict: bool,
    ) -> Result<(), Trap> {
        let Some(entry) = self.table.get_mut(number) else {
            return Ok(());
        };
        let writable = mapping.protection.contains(Protection::WRITE)
            && (mapping.shared || r.pages.holders(entry.page) == 1);
        match entry.slot {
            None => {
                let address = number * PAGE_BYTES;
                let page = entry.page;
                let slot = match r.kernel.map(self.space, address, page, writable) {
                    Ok(slot) => slot,
                    Err(_) if !evict => return Err(Trap::NoMemory),
                    Err(_) => {
                        self.hide_all(r);
                        r.kernel
                            .map(self.space, address, page, writable)
                            .map_err(|_| Trap::NoMemory)?
                    }
                };
                if let Some(entry) = self.table.get_mut(number) {
                    entry.slot = Some(slot);
                    entry.writable = writable;
                }
            }
            Some(slot) if writable != entry.writable => {
                r.kernel.protect(self.space, slot, writable);
                entry.writable = writable;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Takes back all that the kernel maps: it has no room for more. What is needed is mapped again when it
    /// is touched.
    fn hide_all(&mut self, r: &mut Resources<'_>) {
        let space = self.space;
        self.table.each_mut(0..page_number(END) + 1, |_, entry| {
            if let Some(slot) = entry.slot.take() {
                r.kernel.unmap(space, slot);
                entry.writable = false;
            }
        });
    }

    /// Maps what is there around a page.
    fn show_around(&mut self, r: &mut Resources<'_>, number: u64, start: u64, mapping: &Mapping) {
        let first = (number & !(AROUND - 1)).max(page_number(start));
        let end = ((number | (AROUND - 1)) + 1).min(page_number(mapping.end));
        let (there, hidden) = self.table.around(first..end);
        // What is there, or could be had of the file.
        let mut left = match mapping.file {
            Some(_) => (hidden | !there) & (u64::MAX >> (64 - (end - first))),
            None => hidden,
        };
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let near = first + u64::from(bit);
            if there >> bit & 1 == 0
                && let Some((file, page)) = mapping.file
            {
                let index = page + near - page_number(start);
                let Some(page) = r.files.page_if_present(r.pages, file, index) else {
                    continue;
                };
                let entry = Entry {
                    page,
                    slot: None,
                    writable: false,
                };
                self.table.insert(near, entry);
            }
            // What is not mapped now is mapped when it is touched.
            if self.show(r, near, mapping, false).is_err() {
                return;
            }
        }
    }

    /// The frames behind a piece of the program's memory, added to `segments`: at most `most` of them.
    /// Gives the bytes that they are, which is less than `length` where the program may not access all of
    /// it.
    ///
    /// # Errors
    /// [`Errno::FAULT`] when it may not access the first byte.
    pub fn resolve(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        length: u64,
        access: Access,
        segments: &mut Vec<Segment>,
        most: usize,
    ) -> Result<u64> {
        let mut done = 0;
        let mut count = 0;
        while done < length && count < most {
            let at = address.wrapping_add(done);
            let page = match self.frame(r, at, access) {
                Ok(page) => page,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let offset = at % PAGE_BYTES;
            let here = (PAGE_BYTES - offset).min(length - done);
            segments.push(Segment {
                page,
                offset: offset as u16,
                length: here as u16,
            });
            done += here;
            count += 1;
        }
        Ok(done)
    }

    /// The frame behind an address, for the server's own access on behalf of the program.
    #[inline]
    fn frame(&mut self, r: &mut Resources<'_>, address: u64, access: Access) -> Result<Page> {
        if let Some(recent) = self.table.recall(page_number(address)) {
            let allowed = match access {
                Access::Read => true,
                Access::Execute => false,
                Access::Write => match recent.store {
                    Store::No => false,
                    Store::Own => r.pages.holders(recent.page) == 1,
                    Store::Shared => true,
                },
            };
            if allowed {
                return Ok(recent.page);
            }
        }
        self.find_frame(r, address, access)
    }

    /// The same for one that is not remembered, and is then.
    #[inline(never)]
    fn find_frame(&mut self, r: &mut Resources<'_>, address: u64, access: Access) -> Result<Page> {
        let fault = |_| Errno::FAULT;
        let (start, mapping) = self.reach(address, access).map_err(fault)?;
        let number = page_number(address);
        let new = self.table.get(number).is_none();
        let page = self
            .supply(r, number, start, &mapping, access == Access::Write)
            .map_err(fault)?;
        if new {
            // The program is going to look at it. If this fails, it is mapped when it does.
            let _ = self.show(r, number, &mapping, false);
        }
        let store = match mapping.protection.contains(Protection::WRITE) {
            true if mapping.shared => Store::Shared,
            true => Store::Own,
            false => Store::No,
        };
        self.table.remember(number, page, store);
        Ok(page)
    }

    /// Copies bytes out of the program.
    ///
    /// # Errors
    /// [`Errno::FAULT`] when it may not read all of them itself.
    pub fn read(&mut self, r: &mut Resources<'_>, address: u64, into: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = address.wrapping_add(done as u64);
            let page = self.frame(r, at, Access::Read)?;
            let offset = (at % PAGE_BYTES) as usize;
            let here = (PAGE - offset).min(into.len() - done);
            r.pages.read(page, offset, &mut into[done..done + here]);
            done += here;
        }
        Ok(())
    }

    /// Copies bytes into the program.
    ///
    /// # Errors
    /// [`Errno::FAULT`] when it may not write all of them itself; some may have been written.
    pub fn write(&mut self, r: &mut Resources<'_>, address: u64, from: &[u8]) -> Result<()> {
        let mut done = 0;
        while done < from.len() {
            let at = address.wrapping_add(done as u64);
            let page = self.frame(r, at, Access::Write)?;
            let offset = (at % PAGE_BYTES) as usize;
            let here = (PAGE - offset).min(from.len() - done);
            r.pages.write(page, offset, &from[done..done + here]);
            done += here;
        }
        Ok(())
    }

    /// A string that ends with a NUL byte, which is not part of what is given: at most `most` bytes, the
    /// NUL byte included.
    ///
    /// # Errors
    /// [`Errno::FAULT`]; [`Errno::NAMETOOLONG`] when there is no NUL byte among so many.
    pub fn read_string(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        most: usize,
    ) -> Result<Vec<u8>> {
        let mut string = Vec::new();
        let mut chunk = [0; 256];
        while string.len() < most {
            let at = address.wrapping_add(string.len() as u64);
            let page = self.frame(r, at, Access::Read)?;
            let offset = (at % PAGE_BYTES) as usize;
            let here = (PAGE - offset).min(most - string.len()).min(chunk.len());
            let chunk = &mut chunk[..here];
            r.pages.read(page, offset, chunk);
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&chunk[..end]);
                return Ok(string);
            }
            string.extend_from_slice(chunk);
        }
        Err(Errno::NAMETOOLONG)
    }

    /// The frame behind a word that threads wait on, which names it wherever it is mapped.
    ///
    /// # Errors
    /// [`Errno::FAULT`].
    pub fn shared_word(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
    ) -> Result<(Option<(FileId, u64)>, Page)> {
        let page = self.frame(r, address, Access::Read)?;
        let (start, mapping) = self.find(address).ok_or(Errno::FAULT)?;
        let file = mapping
            .file
            .filter(|_| mapping.shared)
            .map(|(file, first)| (file, first + page_number(address) - page_number(start)));
        Ok((file, page))
    }

    /// A copy for a child, in an address space of the kernel's that is empty.
    pub fn fork(&mut self, r: &mut Resources<'_>, space: Space) -> Self {
        let mut child = Self {
            mappings: BTreeMap::new(),
            table: Table::default(),
            space,
            ..*self
        };
        let parent_space = self.space;
        for (start, mapping) in &self.mappings {
            if mapping.not_inherited {
                child.bytes -= mapping.end - start;
                continue;
            }
            child.mappings.insert(*start, *mapping);
            if let Some((file, _)) = mapping.file {
                r.files.hold(file);
            }
            if mapping.wiped_on_fork {
                continue;
            }
            let range = page_number(*start)..page_number(mapping.end);
            let table = &mut child.table;
            self.table.each_mut(range, |number, entry| {
                if entry.writable
                    && !mapping.shared
                    && let Some(slot) = entry.slot
                {
                    r.kernel.protect(parent_space, slot, false);
                    entry.writable = false;
                }
                r.pages.hold(entry.page);
                let entry = Entry {
                    slot: None,
                    writable: false,
                    ..*entry
                };
                table.insert(number, entry);
            });
        }
        child
    }

    /// Lets go of everything. The kernel's side is not touched: it ends, too.
    pub fn clear(&mut self, r: &mut Resources<'_>) {
        self.table
            .remove_range(0..page_number(END) + 1, |_, entry| {
                r.pages.release(entry.page)
            });
        for (_, mapping) in core::mem::take(&mut self.mappings) {
            if let Some((file, _)) = mapping.file {
                r.files.release(r.pages, file);
            }
        }
        self.bytes = 0;
    }

    /// Unmaps the pages of a file from page `first` on: it was cut there.
    pub fn cut(&mut self, r: &mut Resources<'_>, file: FileId, first: u64) {
        for (start, mapping) in &self.mappings {
            let Some((mapped, page)) = mapping.file else {
                continue;
            };
            let start = page_number(*start);
            let from = start + first.saturating_sub(page);
            let end = page_number(mapping.end);
            if mapped != file || from >= end {
                continue;
            }
            let space = self.space;
            self.table
                .remove_range(from..end, |_, entry| Self::drop_entry(r, space, entry));
        }
    }

    pub(super) fn drop_entry(r: &mut Resources<'_>, space: Space, entry: Entry) {
        if let Some(slot) = entry.slot {
            r.kernel.unmap(space, slot);
        }
        r.pages.release(entry.page);
    }

    /// Prepares the stack of a new program: `pages` of it are there at once. Gives where it ends.
    ///
    /// # Errors
    /// As for mapping memory.
    pub fn make_stack(&mut self, r: &mut Resources<'_>, bytes: u64) -> Result<u64> {
        let length = bytes.next_multiple_of(PAGE_BYTES).max(PAGE_BYTES);
        self.map(
            r,
            &super::Map {
                length,
                protection: Protection::READ | Protection::WRITE,
                place: super::Place::Fixed(STACK_END - length),
                grows_down: true,
                ..super::Map::default()
            },
        )?;
        Ok(STACK_END)
    }
}
