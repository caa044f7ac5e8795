// SPDX-License-Identifier: BSD-2-Clause
//! Changing what is mapped: the decisions behind mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2)
//! and brk(2).

use core::ops::Range;

use super::space::Trap;
use super::table::Entry;
use super::{
    Access, AddressSpace, END, FileId, LOWEST, MAPS_END, MAX_MAPPINGS, Mapping, PAGE_BYTES,
    Protection, Resources, page_number,
};
use crate::errno::{Errno, Result};
use crate::pages::Page;

/// Where a mapping is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere; at this address if it is free.
    Anywhere(u64),
    /// There, in the place of what is mapped there.
    Fixed(u64),
    /// There, or not at all.
    Free(u64),
}

/// A mapping to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Map {
    /// Bytes; whole pages are mapped.
    pub length: u64,
    /// What the program may do there.
    pub protection: Protection,
    /// What it may be allowed later.
    pub most: Protection,
    /// Whether writing is seen by others who map the same.
    pub shared: bool,
    /// A file and the first page of it; `None` for anonymous memory.
    pub file: Option<(FileId, u64)>,
    /// Where.
    pub place: Place,
    /// Whether it grows down.
    pub grows_down: bool,
    /// Whether it may be larger than all memory (`MAP_NORESERVE`).
    pub unreserved: bool,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            length: 0,
            protection: Protection::empty(),
            most: Protection::all(),
            shared: false,
            file: None,
            place: Place::Anywhere(0),
            grows_down: false,
            unreserved: false,
        }
    }
}

/// What a program says about how it will use memory, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// What is there is not needed: anonymous memory is zero when it is touched again.
    Drop,
    /// A child does not get it, or does.
    Inherit(bool),
    /// A child finds zeroes, or not.
    WipeOnFork(bool),
    /// Supply all pages now, for reading or for writing.
    Populate(Access),
}

/// A range of whole pages within a program's addresses.
fn range(address: u64, length: u64, error: Errno) -> Result<Range<u64>> {
    let length = length.checked_next_multiple_of(PAGE_BYTES).ok_or(error)?;
    let end = address.checked_add(length).ok_or(error)?;
    if end > END {
        return Err(error);
    }
    Ok(address..end)
}

fn aligned(address: u64) -> Result<()> {
    if address.is_multiple_of(PAGE_BYTES) {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

impl AddressSpace {
    /// Maps something. Gives its address. A file is held once more.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn map(&mut self, r: &mut Resources<'_>, map: &Map) -> Result<u64> {
        if map.length == 0 {
            return Err(Errno::INVAL);
        }
        let length = map
            .length
            .checked_next_multiple_of(PAGE_BYTES)
            .filter(|length| *length <= END)
            .ok_or(Errno::NOMEM)?;
        let start = match map.place {
            Place::Anywhere(hint) => {
                let hint = hint & !(PAGE_BYTES - 1);
                match hint >= LOWEST
                    && hint.saturating_add(length) <= END
                    && self.is_free(hint..hint + length)
                {
                    true => hint,
                    false => self.find_room(length).ok_or(Errno::NOMEM)?,
                }
            }
            Place::Fixed(address) | Place::Free(address) => {
                aligned(address)?;
                if address.checked_add(length).is_none_or(|end| end > END) {
                    return Err(Errno::NOMEM);
                }
                if address < LOWEST {
                    return Err(Errno::PERM);
                }
                if matches!(map.place, Place::Free(_)) && !self.is_free(address..address + length) {
                    return Err(Errno::EXIST);
                }
                address
            }
        };
        let private = !map.shared && map.protection.contains(Protection::WRITE);
        let (_, all) = r.pages.available();
        if private && !map.unreserved && page_number(length) > all as u64 {
            return Err(Errno::NOMEM);
        }
        let replaced = self.mapped_in(start..start + length);
        if self.bytes - replaced + length > self.size_limit || self.mappings.len() >= MAX_MAPPINGS {
            return Err(Errno::NOMEM);
        }
        self.remove(r, start..start + length);
        let file = match map.file {
            Some((file, first)) => {
                r.files.hold(file);
                Some((file, first))
            }
            None if map.shared => Some((r.files.nameless(r.pages, length)?, 0)),
            None => None,
        };
        self.insert(
            r,
            start,
            Mapping {
                end: start + length,
                protection: map.protection,
                most: map.most,
                shared: map.shared,
                file,
                grows_down: map.grows_down,
                not_inherited: false,
                wiped_on_fork: false,
            },
        );
        Ok(start)
    }

    /// Maps one frame, which is not the program's to change.
    ///
    /// # Errors
    /// Those of [`AddressSpace::map`].
    pub fn map_page(&mut self, r: &mut Resources<'_>, address: u64, page: Page) -> Result<()> {
        let protection = Protection::READ | Protection::EXECUTE;
        let map = Map {
            length: PAGE_BYTES,
            protection,
            most: protection,
            place: Place::Free(address),
            ..Map::default()
        };
        self.map(r, &map)?;
        r.pages.hold(page);
        let entry = Entry {
            page,
            slot: None,
            writable: false,
        };
        self.table.insert(page_number(address), entry);
        Ok(())
    }

    /// Unmaps whatever is mapped in a range.
    ///
    /// # Errors
    /// Those of munmap(2).
    pub fn unmap(&mut self, r: &mut Resources<'_>, address: u64, length: u64) -> Result<()> {
        aligned(address)?;
        if length == 0 {
            return Err(Errno::INVAL);
        }
        let range = range(address, length, Errno::INVAL)?;
        if self.mappings.len() >= MAX_MAPPINGS && self.cuts(range.start) && self.cuts(range.end) {
            return Err(Errno::NOMEM);
        }
        self.remove(r, range);
        Ok(())
    }

    /// Changes what the program may do in a range.
    ///
    /// # Errors
    /// Those of mprotect(2).
    pub fn protect(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        length: u64,
        protection: Protection,
    ) -> Result<()> {
        aligned(address)?;
        let range = range(address, length, Errno::NOMEM)?;
        self.table.forget();
        let (changed, outcome) = self.change(r, range, |mapping| {
            if !mapping.most.contains(protection) {
                return Err(Errno::ACCES);
            }
            mapping.protection = protection;
            Ok(())
        });
        let readable = !protection.is_empty();
        let writable = protection.contains(Protection::WRITE);
        let space = self.space;
        let pages = page_number(address)..page_number(changed);
        self.table.each_mut(pages, |_, entry| match entry.slot {
            Some(slot) if !readable => {
                r.kernel.unmap(space, slot);
                entry.slot = None;
                entry.writable = false;
            }
            Some(slot) if !writable && entry.writable => {
                r.kernel.protect(space, slot, false);
                entry.writable = false;
            }
            // More rights come when they are used.
            _ => {}
        });
        outcome
    }

    /// Says how a range will be used.
    ///
    /// # Errors
    /// Those of madvise(2).
    pub fn advise(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        length: u64,
        advice: Advice,
    ) -> Result<()> {
        aligned(address)?;
        let range = range(address, length, Errno::INVAL)?;
        let pages = page_number(range.start)..page_number(range.end);
        match advice {
            Advice::Drop => {
                let space = self.space;
                self.table
                    .remove_range(pages, |_, entry| Self::drop_entry(r, space, entry));
                self.is_covered(&range).then_some(()).ok_or(Errno::NOMEM)
            }
            Advice::Inherit(yes) => {
                let change = |mapping: &mut Mapping| {
                    mapping.not_inherited = !yes;
                    Ok(())
                };
                self.change(r, range, change).1
            }
            Advice::WipeOnFork(yes) => {
                let change = |mapping: &mut Mapping| {
                    if mapping.file.is_some() {
                        return Err(Errno::INVAL);
                    }
                    mapping.wiped_on_fork = yes;
                    Ok(())
                };
                self.change(r, range, change).1
            }
            Advice::Populate(access) => {
                for number in pages {
                    self.fault(r, number * PAGE_BYTES, access)
                        .map_err(|trap| match trap {
                            Trap::Unmapped | Trap::NoMemory => Errno::NOMEM,
                            Trap::Forbidden | Trap::BeyondFile => Errno::FAULT,
                        })?;
                }
                Ok(())
            }
        }
    }

    /// Changes the size of a mapping, and its place if it has to and may.
    ///
    /// # Errors
    /// Those of mremap(2).
    pub fn remap(
        &mut self,
        r: &mut Resources<'_>,
        address: u64,
        old: u64,
        new: u64,
        place: Option<Place>,
    ) -> Result<u64> {
        aligned(address)?;
        if new == 0 {
            return Err(Errno::INVAL);
        }
        let old = range(address, old, Errno::INVAL)?;
        let length = range(0, new, Errno::NOMEM)?.end;
        let (start, mapping) = self.find(address).ok_or(Errno::FAULT)?;
        let mapping = *mapping;
        if old.is_empty() {
            // A second view of a shared mapping, in Linux's older times.
            return Err(Errno::INVAL);
        }
        if old.end > mapping.end {
            return Err(Errno::FAULT);
        }
        let old_length = old.end - old.start;
        if let Some(Place::Fixed(target)) = place {
            aligned(target)?;
            let target = range(target, length, Errno::INVAL)?;
            if target.start < old.end && old.start < target.end || target.start < LOWEST {
                return Err(Errno::INVAL);
            }
            if length < old_length {
                self.remove(r, old.start + length..old.end);
            }
            self.remove(r, target.clone());
            return Ok(self.relocate(r, old.start, old_length.min(length), target.start, length));
        }
        if length <= old_length {
            self.remove(r, old.start + length..old.end);
            return Ok(address);
        }
        let more = length - old_length;
        if self.bytes + more > self.size_limit || more > END {
            return Err(Errno::NOMEM);
        }
        let grown = old.end..old.start + length;
        if old.end == mapping.end && grown.end <= END && self.is_free(grown.clone()) {
            // What is behind the mapping becomes part of it.
            let mut whole = mapping;
            whole.end = grown.end;
            self.mappings.insert(start, whole);
            self.bytes += more;
            return Ok(address);
        }
        if place.is_none() {
            return Err(Errno::NOMEM);
        }
        let target = self.find_room(length).ok_or(Errno::NOMEM)?;
        Ok(self.relocate(r, old.start, old_length, target, length))
    }

    /// Moves `old` bytes from one place to another, where nothing is, as a mapping of `new` bytes.
    fn relocate(&mut self, r: &mut Resources<'_>, from: u64, old: u64, to: u64, new: u64) -> u64 {
        let Some((start, mapping)) = self.find(from) else {
            return to;
        };
        let mut moved = mapping.from(from - start);
        moved.end = to + new;
        if let Some((file, _)) = moved.file {
            r.files.hold(file);
        }
        let mut entries = alloc::vec::Vec::new();
        let space = self.space;
        let first = page_number(from);
        self.table
            .remove_range(first..page_number(from + old), |number, entry| {
                if let Some(slot) = entry.slot {
                    r.kernel.unmap(space, slot);
                }
                entries.push((number - first, entry));
            });
        self.remove(r, from..from + old);
        self.insert(r, to, moved);
        for (number, entry) in entries {
            let entry = Entry {
                slot: None,
                writable: false,
                ..entry
            };
            self.table.insert(page_number(to) + number, entry);
        }
        to
    }

    /// Moves the end of the heap. Gives where it is, which is where it was if it cannot be there.
    pub fn set_heap_end(&mut self, r: &mut Resources<'_>, end: u64) -> u64 {
        if end < self.heap || end > END || end - self.heap > self.data_limit {
            return self.heap_end;
        }
        let old = self.heap_end.next_multiple_of(PAGE_BYTES);
        let new = end.next_multiple_of(PAGE_BYTES);
        if new < old {
            self.remove(r, new..old);
        } else if new > old {
            let map = Map {
                length: new - old,
                protection: Protection::READ | Protection::WRITE,
                place: Place::Free(old),
                ..Map::default()
            };
            // A page stays free behind the heap, so that a mapping there is no part of it.
            if !self.is_free(old..new + PAGE_BYTES) || self.map(r, &map).is_err() {
                return self.heap_end;
            }
        }
        self.heap_end = end;
        end
    }

    /// Whether nothing is mapped in a range.
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.mappings
            .range(..range.end)
            .next_back()
            .is_none_or(|(_, mapping)| mapping.end <= range.start)
    }

    /// Whether something is mapped everywhere in a range.
    pub fn is_covered(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some((_, mapping)) => at = mapping.end,
                None => return false,
            }
        }
        true
    }

    /// Free addresses, as high as possible.
    fn find_room(&self, length: u64) -> Option<u64> {
        let mut end = MAPS_END;
        for (start, mapping) in self.mappings.range(..MAPS_END).rev() {
            if mapping.end < end && end - mapping.end >= length {
                break;
            }
            // Below a stack, room to grow stays.
            end = end.min(*start);
        }
        let start = end.checked_sub(length)?;
        (start >= LOWEST && self.is_free(start..end)).then_some(start)
    }

    /// Bytes that are mapped in a range.
    fn mapped_in(&self, range: Range<u64>) -> u64 {
        let before = self.mappings.range(..range.start).next_back();
        before
            .into_iter()
            .chain(self.mappings.range(range.clone()))
            .map(|(start, mapping)| {
                mapping
                    .end
                    .min(range.end)
                    .saturating_sub(range.start.max(*start))
            })
            .sum()
    }

    /// Whether an address lies inside a mapping, not at its border.
    fn cuts(&self, at: u64) -> bool {
        self.find(at).is_some_and(|(start, _)| start != at)
    }

    /// Sees to it that no mapping goes across an address.
    fn split(&mut self, r: &mut Resources<'_>, at: u64) {
        let Some((start, mapping)) = self.find(at) else {
            return;
        };
        if start == at {
            return;
        }
        let mapping = *mapping;
        let rest = mapping.from(at - start);
        if let Some((file, _)) = rest.file {
            r.files.hold(file);
        }
        self.mappings.insert(start, Mapping { end: at, ..mapping });
        self.mappings.insert(at, rest);
    }

    /// Adds a mapping where none is, and makes it one with its neighbours if it can be.
    fn insert(&mut self, r: &mut Resources<'_>, start: u64, mapping: Mapping) {
        self.bytes += mapping.end - start;
        self.mappings.insert(start, mapping);
        self.join(r, mapping.end);
        self.join(r, start);
    }

    /// Makes the mappings on both sides of an address one, if they can be.
    fn join(&mut self, r: &mut Resources<'_>, at: u64) {
        let Some(next) = self.mappings.get(&at).copied() else {
            return;
        };
        let Some((start, mapping)) = self.mappings.range_mut(..at).next_back() else {
            return;
        };
        if mapping.end != at || !mapping.continues(*start, &next) {
            return;
        }
        mapping.end = next.end;
        self.mappings.remove(&at);
        if let Some((file, _)) = next.file {
            r.files.release(r.pages, file);
        }
    }

    /// Unmaps a range.
    fn remove(&mut self, r: &mut Resources<'_>, range: Range<u64>) {
        if range.is_empty() || self.is_free(range.clone()) {
            return;
        }
        self.split(r, range.start);
        self.split(r, range.end);
        let space = self.space;
        self.table.remove_range(
            page_number(range.start)..page_number(range.end),
            |_, entry| Self::drop_entry(r, space, entry),
        );
        while let Some((start, mapping)) = self.mappings.range(range.clone()).next() {
            let (start, mapping) = (*start, *mapping);
            self.mappings.remove(&start);
            self.bytes -= mapping.end - start;
            if let Some((file, _)) = mapping.file {
                r.files.release(r.pages, file);
            }
        }
    }

    /// Changes all mappings of a range, until one cannot be changed or is missing. Gives how far it came.
    fn change(
        &mut self,
        r: &mut Resources<'_>,
        range: Range<u64>,
        mut f: impl FnMut(&mut Mapping) -> Result<()>,
    ) -> (u64, Result<()>) {
        if range.is_empty() {
            return (range.start, Ok(()));
        }
        if self.mappings.len() + 2 > MAX_MAPPINGS {
            return (range.start, Err(Errno::NOMEM));
        }
        self.split(r, range.start);
        self.split(r, range.end);
        let mut at = range.start;
        let mut outcome = Ok(());
        while at < range.end {
            let Some(mapping) = self.mappings.get_mut(&at) else {
                outcome = Err(Errno::NOMEM);
                break;
            };
            outcome = f(mapping);
            if outcome.is_err() {
                break;
            }
            at = mapping.end;
        }
        let mut last = range.end;
        self.join(r, last);
        while let Some((start, _)) = self.mappings.range(range.start..last).next_back() {
            last = *start;
            self.join(r, last);
        }
        (at, outcome)
    }
}
