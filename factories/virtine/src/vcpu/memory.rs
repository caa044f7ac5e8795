// SPDX-License-Identifier: BSD-2-Clause
//! The memory of one virtine on a virtual processor: its page tables, and how it is put back.
//!
//! # Which pages a call has written
//! The processor says so: it marks a page as written in the entry by which it found it, in a table that the
//! virtine does not see. So a call puts back what it wrote and nothing else, and looks at an entry of each
//! page that is there.
//!
//! | page | first state | how it is put back |
//! | --- | --- | --- |
//! | of code and constants | the image's | nobody can write it |
//! | that the image initialises, or prepared before its first call | what is saved of it | copied |
//! | of zero variables, stack, heap: given when it is touched | zero | zeroed |
//! | beyond the first [`MAX_PAGES`] that calls touch | zero | zeroed if it was written, and taken away |
//!
//! The last line bounds what calls after a greedy one have to look at.

use core::ops::Range;

use elf::ElfBytes;
use elf::abi::{EM_386, ET_EXEC, PF_W, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;
use heapless::Vec;

use super::layout::{
    ARGUMENT, ARGUMENT_PAGE, DESCRIPTOR_TABLE, DESCRIPTORS, DIRECTORY, HEAP, IMAGE, IMAGE_END,
    MAILBOX, MAILBOX_PAGE, MAX_PART, MAX_STACK_PAGES, PAGE, SPAN, STACK_END, STACK_PAGES, TABLES,
    TRAMPOLINE, TRAMPOLINE_PAGE,
};
use super::trampoline;

/// Pages that a virtine keeps from one call to the next, at most.
pub const MAX_PAGES: usize = 124;
/// Segments of an image.
const MAX_SEGMENTS: usize = 8;

/// Bits of an entry (Intel SDM volume 3, table 4-6).
mod bit {
    pub const PRESENT: u32 = 1;
    pub const WRITABLE: u32 = 1 << 1;
    pub const RING_3: u32 = 1 << 2;
    pub const ACCESSED: u32 = 1 << 5;
    pub const WRITTEN: u32 = 1 << 6;
}

/// Why an image cannot be a virtine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// It is no 32-bit static program, or one that contradicts itself.
    #[error("it is no static program of 32 bits")]
    Malformed,
    /// It lies where it must not, or has thread-local variables.
    #[error("a segment lies where a virtine has none")]
    Place,
    /// It needs more memory than there is, or initialises more pages than are put back.
    #[error("it needs more memory than there is")]
    Memory,
}

/// What becomes of a page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// The page is there now.
    Given,
    /// There is no such page, or it may not be written.
    Refused,
    /// It would be one page too many.
    TooMuch,
}

/// Where the virtine has what it passes to its monitor is not memory of its own, or there is no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It is not the virtine's.
    Outside,
    /// It would be, and there is no memory for it.
    TooMuch,
}

/// A page that stays from call to call: which entry maps it, and the page with what it is put back to; that
/// is 0 for one that is zeroed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    entry: u32,
    saved: u32,
}

/// Pages that are there for this call only: the first, and between which entries they are.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Lent {
    first: u32,
    entries: Range<u32>,
}

/// The memory. Its pages are counted from 0; those that nobody has are zero.
#[derive(Debug)]
pub struct Memory<'m> {
    bytes: &'m mut [u8],
    next: u32,
    /// Addresses at which pages are given when they are touched: of variables, stack, and heap.
    given: Vec<Range<u32>, { MAX_SEGMENTS + 2 }>,
    pages: Vec<Page, MAX_PAGES>,
    lent: Option<Lent>,
}

impl<'m> Memory<'m> {
    /// A virtine's memory, of zero bytes, with an image in it and so many pages of stack, 0 for
    /// [`STACK_PAGES`]; and the address at which the image begins.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn load(bytes: &'m mut [u8], image: &[u8], stack: u32) -> Result<(Self, u32), ImageError> {
        let size = u32::try_from(bytes.len()).map_err(|_| ImageError::Memory)?;
        let stack = match stack {
            0 => STACK_PAGES,
            pages => pages.min(MAX_STACK_PAGES),
        };
        // The heap can be as large as the memory is, wherever in it a call begins.
        let tables = 2 + size.div_ceil(SPAN);
        let mut memory = Self {
            bytes,
            next: TABLES + tables,
            given: Vec::new(),
            pages: Vec::new(),
            lent: None,
        };
        if memory.next > memory.end() {
            return Err(ImageError::Memory);
        }
        // There is room: for these two, and for the segments.
        let _ = memory.given.push(STACK_END - stack * PAGE..STACK_END);
        let _ = memory.given.push(HEAP..HEAP + size);
        let upper = bit::PRESENT | bit::WRITABLE | bit::RING_3 | bit::ACCESSED;
        for table in 0..tables {
            let of = match table {
                0 | 1 => table,
                heap => HEAP / SPAN + heap - 2,
            };
            memory.set(DIRECTORY * 1024 + of, ((TABLES + table) * PAGE) | upper);
        }
        let own = bit::PRESENT | bit::ACCESSED | bit::WRITTEN;
        memory.set(entry(TRAMPOLINE), (TRAMPOLINE_PAGE * PAGE) | own);
        memory.set(entry(MAILBOX), (MAILBOX_PAGE * PAGE) | own | bit::WRITABLE);
        memory.set(entry(ARGUMENT), (ARGUMENT_PAGE * PAGE) | own | bit::RING_3);
        let code = trampoline::code();
        memory.page(TRAMPOLINE_PAGE)[..code.len()].copy_from_slice(code);
        let at = (DESCRIPTORS - TRAMPOLINE) as usize;
        for (place, descriptor) in memory.page(TRAMPOLINE_PAGE)[at..]
            .chunks_exact_mut(8)
            .zip(DESCRIPTOR_TABLE)
        {
            place.copy_from_slice(&descriptor.to_le_bytes());
        }
        let begin = memory.segments(image)?;
        Ok((memory, begin))
    }

    fn segments(&mut self, image: &[u8]) -> Result<u32, ImageError> {
        let malformed = |_| ImageError::Malformed;
        let file = ElfBytes::<LittleEndian>::minimal_parse(image).map_err(malformed)?;
        let header = file.ehdr;
        if header.class != Class::ELF32 || header.e_machine != EM_386 || header.e_type != ET_EXEC {
            return Err(ImageError::Malformed);
        }
        let mut end = IMAGE;
        for segment in file.segments().ok_or(ImageError::Malformed)?.iter() {
            if segment.p_type == PT_TLS {
                return Err(ImageError::Place);
            }
            if segment.p_type != PT_LOAD || segment.p_memsz == 0 {
                continue;
            }
            let bytes = file.segment_data(&segment).map_err(malformed)?;
            let behind = segment.p_vaddr.checked_add(segment.p_memsz);
            let place = u64::from(end)..=u64::from(IMAGE_END);
            let (true, Some(behind)) = (
                place.contains(&segment.p_vaddr),
                behind.filter(|behind| place.contains(behind)),
            ) else {
                return Err(ImageError::Place);
            };
            if bytes.len() as u64 > segment.p_memsz {
                return Err(ImageError::Malformed);
            }
            end = (behind as u32).next_multiple_of(PAGE);
            let (start, writable) = (segment.p_vaddr as u32, segment.p_flags & PF_W != 0);
            if writable {
                self.given
                    .push(start & !(PAGE - 1)..end)
                    .map_err(|_| ImageError::Malformed)?;
            }
            self.fill(start, bytes, end, writable)?;
        }
        let begin = u32::try_from(header.e_entry).map_err(|_| ImageError::Malformed)?;
        (IMAGE..end)
            .contains(&begin)
            .then_some(begin)
            .ok_or(ImageError::Malformed)
    }

    /// Puts a segment's bytes where they are to be. What can be written and is zero is given later.
    fn fill(
        &mut self,
        start: u32,
        mut bytes: &[u8],
        end: u32,
        writable: bool,
    ) -> Result<(), ImageError> {
        let mut at = start;
        while !bytes.is_empty() || (!writable && at < end) {
            let offset = at & (PAGE - 1);
            let (part, rest) = bytes.split_at(bytes.len().min((PAGE - offset) as usize));
            bytes = rest;
            let rights = match writable {
                true => bit::WRITABLE | bit::WRITTEN,
                false => 0,
            };
            let index = entry(at);
            let page = self.take().ok_or(ImageError::Memory)?;
            self.set(
                index,
                (page * PAGE) | bit::PRESENT | bit::RING_3 | bit::ACCESSED | rights,
            );
            let offset = offset as usize;
            self.page(page)[offset..offset + part.len()].copy_from_slice(part);
            if writable {
                let page = Page {
                    entry: index,
                    saved: 0,
                };
                self.pages.push(page).map_err(|_| ImageError::Memory)?;
            }
            at = (at & !(PAGE - 1)) + PAGE;
        }
        Ok(())
    }

    /// Pages in all.
    fn end(&self) -> u32 {
        self.bytes.len() as u32 / PAGE
    }

    fn take(&mut self) -> Option<u32> {
        let page = self.next;
        (page < self.end()).then(|| {
            self.next += 1;
            page
        })
    }

    fn page(&mut self, number: u32) -> &mut [u8] {
        let at = (number * PAGE) as usize;
        &mut self.bytes[at..at + PAGE as usize]
    }

    #[inline]
    fn word(&self, index: u32) -> u32 {
        let at = 4 * index as usize;
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[at..at + 4]);
        u32::from_le_bytes(word)
    }

    #[inline]
    fn set(&mut self, index: u32, value: u32) {
        let at = 4 * index as usize;
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Tells the trampoline something: the word at an address of the mailbox.
    #[inline]
    pub fn tell(&mut self, address: u32, value: u32) {
        self.set((MAILBOX_PAGE * PAGE + (address - MAILBOX)) / 4, value);
    }

    /// Where the first part of the argument goes.
    #[inline]
    pub fn argument(&mut self) -> &mut [u8] {
        let at = (ARGUMENT_PAGE * PAGE) as usize;
        &mut self.bytes[at..at + MAX_PART as usize]
    }

    /// The virtine touched a page that was not there, or wrote where it may not.
    ///
    /// `prepares` is whether its image is still being prepared: then what it has is its own for good.
    pub fn touch(&mut self, address: u32, prepares: bool) -> Touch {
        if !self.given.iter().any(|given| given.contains(&address)) {
            return Touch::Refused;
        }
        let index = entry(address);
        if self.word(index) & bit::PRESENT != 0 {
            return Touch::Refused;
        }
        let kept = !self.pages.is_full() && self.lent.is_none();
        if !kept && prepares {
            return Touch::TooMuch;
        }
        let Some(page) = self.take() else {
            return Touch::TooMuch;
        };
        let rights = bit::PRESENT | bit::WRITABLE | bit::RING_3 | bit::ACCESSED;
        self.set(index, (page * PAGE) | rights);
        if kept {
            // There is room.
            let _ = self.pages.push(Page {
                entry: index,
                saved: 0,
            });
            return Touch::Given;
        }
        let lent = self.lent.get_or_insert(Lent {
            first: page,
            entries: index..index,
        });
        lent.entries.start = lent.entries.start.min(index);
        lent.entries.end = lent.entries.end.max(index + 1);
        Touch::Given
    }

    /// Saves what the image has prepared: every call begins with that, and with nothing on the stack.
    /// `false` if there is not enough memory.
    #[must_use]
    pub fn save(&mut self) -> bool {
        let stack = entry(STACK_END - MAX_STACK_PAGES * PAGE)..entry(STACK_END - 1) + 1;
        for number in 0..self.pages.len() {
            let Page { entry, .. } = self.pages[number];
            let of = self.word(entry) / PAGE;
            if !stack.contains(&entry) && self.page(of).iter().any(|byte| *byte != 0) {
                let Some(saved) = self.take() else {
                    return false;
                };
                self.copy(of, saved);
                self.pages[number].saved = saved;
            }
        }
        self.put_back();
        true
    }

    fn copy(&mut self, from: u32, to: u32) {
        let from = (from * PAGE) as usize;
        self.bytes
            .copy_within(from..from + PAGE as usize, (to * PAGE) as usize);
    }

    /// Puts everything back: at the end of a call.
    pub fn put_back(&mut self) {
        for number in 0..self.pages.len() {
            let Page { entry, saved } = self.pages[number];
            let value = self.word(entry);
            if value & bit::WRITTEN == 0 {
                continue;
            }
            self.set(entry, value & !bit::WRITTEN);
            match saved {
                0 => self.page(value / PAGE).fill(0),
                saved => self.copy(saved, value / PAGE),
            }
        }
        if self.lent.is_some() {
            self.take_back();
        }
    }

    /// Takes back what is there for this call only.
    #[cold]
    fn take_back(&mut self) {
        let Some(Lent { first, entries }) = self.lent.take() else {
            return;
        };
        for index in entries {
            let value = self.word(index);
            if value & bit::PRESENT == 0 || value / PAGE < first {
                continue;
            }
            if value & bit::WRITTEN != 0 {
                self.page(value / PAGE).fill(0);
            }
            self.set(index, 0);
        }
        self.next = first;
    }

    /// Where in `bytes` a byte of the virtine's is, and how many follow it in its page.
    #[inline]
    fn reach(&mut self, address: u32, writes: bool) -> Result<Range<usize>, Reach> {
        // What it names need not be a page that it could reach at all.
        if !(IMAGE..STACK_END).contains(&address)
            && !self.given.iter().any(|given| given.contains(&address))
        {
            return Err(Reach::Outside);
        }
        let index = entry(address);
        let mut value = self.word(index);
        if value & bit::PRESENT == 0 {
            match self.touch(address, false) {
                Touch::Given => value = self.word(index),
                Touch::TooMuch => return Err(Reach::TooMuch),
                Touch::Refused => return Err(Reach::Outside),
            }
        }
        let needed = match writes {
            true => bit::RING_3 | bit::WRITABLE,
            false => bit::RING_3,
        };
        if value & needed != needed {
            return Err(Reach::Outside);
        }
        if writes {
            self.set(index, value | bit::WRITTEN);
        }
        let at = (value & !(PAGE - 1) | address & (PAGE - 1)) as usize;
        Ok(at..at + (PAGE - (address & (PAGE - 1))) as usize)
    }

    /// Bytes of the virtine's, in words, the last of which is filled up with zeros. There are as many words as
    /// it takes.
    ///
    /// # Errors
    /// When they are not the virtine's.
    #[inline]
    pub fn read_words(&mut self, address: u32, bytes: usize, to: &mut [u64]) -> Result<(), Reach> {
        if bytes == 0 {
            return Ok(());
        }
        let place = self.reach(address, false)?;
        let Some(from) = self.bytes[place].get(..bytes) else {
            return self.read_across(address, bytes, to);
        };
        pack(from, to);
        Ok(())
    }

    #[cold]
    fn read_across(&mut self, address: u32, bytes: usize, to: &mut [u64]) -> Result<(), Reach> {
        let mut all = [0; MAX_PART as usize];
        let (mut at, mut rest) = (address, &mut all[..bytes]);
        while !rest.is_empty() {
            let place = self.reach(at, false)?;
            let (part, behind) = rest.split_at_mut(rest.len().min(place.len()));
            part.copy_from_slice(&self.bytes[place][..part.len()]);
            at = at.checked_add(part.len() as u32).ok_or(Reach::Outside)?;
            rest = behind;
        }
        pack(&all[..bytes], to);
        Ok(())
    }

    /// Writes bytes, which are in words, to the virtine's memory.
    ///
    /// # Errors
    /// When it is not the virtine's to be written.
    pub fn write_words(&mut self, address: u32, bytes: usize, from: &[u64]) -> Result<(), Reach> {
        let (mut at, mut left) = (address, bytes);
        for word in from {
            let word = word.to_le_bytes();
            let mut rest = &word[..left.min(8)];
            left -= rest.len();
            while !rest.is_empty() {
                let place = self.reach(at, true)?;
                let (part, behind) = rest.split_at(rest.len().min(place.len()));
                self.bytes[place][..part.len()].copy_from_slice(part);
                at = at.checked_add(part.len() as u32).ok_or(Reach::Outside)?;
                rest = behind;
            }
        }
        Ok(())
    }
}

/// Bytes in words.
#[inline]
fn pack(from: &[u8], to: &mut [u64]) {
    let (whole, rest) = from.as_chunks::<8>();
    for (word, bytes) in to.iter_mut().zip(whole) {
        *word = u64::from_le_bytes(*bytes);
    }
    if !rest.is_empty()
        && let Some(word) = to.get_mut(whole.len())
    {
        let mut bytes = [0; 8];
        bytes[..rest.len()].copy_from_slice(rest);
        *word = u64::from_le_bytes(bytes);
    }
}

/// The index of the word that maps an address below [`STACK_END`], or of the heap.
const fn entry(address: u32) -> u32 {
    TABLES * 1024
        + match address.checked_sub(HEAP) {
            None => address / PAGE,
            Some(offset) => 2048 + offset / PAGE,
        }
}

/// An image, for tests.
#[cfg(test)]
pub(super) use tests::image as an_image;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 2 << 20;
    const CODE: u32 = IMAGE;
    const DATA: u32 = IMAGE + 0x2000;
    /// Bytes of variables that the image initialises, and of all of them.
    const FILLED: u32 = 0x1100;
    const VARIABLES: u32 = 0x4000;

    struct Part {
        at: u32,
        bytes: Vec<u8>,
        size: u32,
        flags: u32,
    }

    type Vec<T> = std::vec::Vec<T>;

    fn elf(parts: &[Part], entry: u32) -> Vec<u8> {
        let mut file = Vec::from(*b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0");
        file.extend([2, 0, 3, 0]);
        for word in [1, entry, 52, 0, 0] {
            file.extend(u32::to_le_bytes(word));
        }
        for half in [52, 32, parts.len() as u16, 40, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let mut offset = (52 + 32 * parts.len()) as u32;
        for part in parts {
            let length = part.bytes.len() as u32;
            for word in [
                1, offset, part.at, part.at, length, part.size, part.flags, 1,
            ] {
                file.extend(word.to_le_bytes());
            }
            offset += length;
        }
        for part in parts {
            file.extend(&part.bytes);
        }
        file
    }

    pub fn image() -> Vec<u8> {
        let code = Part {
            at: CODE,
            bytes: vec![0x90; 0x1234],
            size: 0x1234,
            flags: 5,
        };
        let data = Part {
            at: DATA,
            bytes: vec![0x11; FILLED as usize],
            size: VARIABLES,
            flags: 6,
        };
        elf(&[code, data], CODE + 4)
    }

    /// What the processor does with an access of ring 3: where it ends up, with the marks that it leaves.
    fn access(memory: &mut Memory<'_>, address: u32, writes: bool) -> Option<usize> {
        let directory = memory.word(address >> 22);
        let table = (directory & !0xfff) / 4 + (address >> 12 & 1023);
        if directory & 5 != 5 {
            return None;
        }
        let entry = memory.word(table);
        if entry & 5 != 5 || (writes && entry & 2 == 0) {
            return None;
        }
        memory.set(table, entry | 0x20 | if writes { 0x40 } else { 0 });
        Some(((entry & !0xfff) | (address & 0xfff)) as usize)
    }

    /// Writes as ring 3 does, with the monitor's help where a page is missing.
    fn store(memory: &mut Memory<'_>, address: u32, byte: u8, prepares: bool) -> Touch {
        loop {
            if let Some(at) = access(memory, address, true) {
                memory.bytes[at] = byte;
                return Touch::Given;
            }
            match memory.touch(address, prepares) {
                Touch::Given => {}
                refused => return refused,
            }
        }
    }

    fn load(memory: &mut Memory<'_>, address: u32) -> Option<u8> {
        access(memory, address, false).map(|at| memory.bytes[at])
    }

    fn made<R>(then: impl FnOnce(Memory<'_>) -> R) -> R {
        let mut bytes = vec![0; SIZE];
        let (memory, begin) = Memory::load(&mut bytes, &image(), 0).unwrap();
        assert_eq!(begin, CODE + 4);
        then(memory)
    }

    #[test]
    fn an_image_is_where_it_wants_to_be_and_its_code_cannot_be_written() {
        made(|mut memory| {
            assert_eq!(load(&mut memory, CODE + 0x1233), Some(0x90));
            assert_eq!(load(&mut memory, CODE + 0x1234), Some(0));
            assert_eq!(load(&mut memory, DATA + FILLED - 1), Some(0x11));
            assert_eq!(load(&mut memory, DATA + FILLED), Some(0));
            assert_eq!(store(&mut memory, CODE, 1, true), Touch::Refused);
            assert_eq!(store(&mut memory, ARGUMENT, 1, true), Touch::Refused);
            assert_eq!(
                store(&mut memory, DATA + VARIABLES - 1, 1, true),
                Touch::Given
            );
            assert_eq!(
                store(&mut memory, DATA + VARIABLES, 1, true),
                Touch::Refused
            );
        });
    }

    #[test]
    fn tables_mailbox_and_trampoline_are_not_for_ring_3() {
        made(|mut memory| {
            for address in [TRAMPOLINE, MAILBOX, DESCRIPTORS] {
                assert_eq!(access(&mut memory, address, false), None);
                assert_eq!(memory.read_words(address, 1, &mut [0]), Err(Reach::Outside));
            }
            // Nothing that ring 3 reaches is a page with a meaning, and all of those below 4 GiB are its own.
            for page in 0..1 << 20 {
                if let Some(at) = access(&mut memory, page * PAGE, false) {
                    let own = at as u32 / PAGE;
                    assert!(own == ARGUMENT_PAGE || own >= TABLES + 3, "{page:x}");
                }
            }
        });
    }

    #[test]
    fn greed_ends_where_memory_does_and_leaves_the_next_call_alone() {
        made(|mut memory| {
            assert!(memory.save());
            for _ in 0..3 {
                let touched = (0..1024)
                    .take_while(|page| {
                        store(&mut memory, HEAP + page * PAGE, 7, false) == Touch::Given
                    })
                    .count();
                assert!((450..512).contains(&touched), "{touched}");
                memory.put_back();
                assert_eq!(load(&mut memory, HEAP + 300 * PAGE), None);
                assert_eq!(memory.read_words(HEAP, 8, &mut [1]), Ok(()));
            }
        });
    }

    #[test]
    fn images_that_lie_elsewhere_or_lie_at_all_are_refused() {
        let part = |at, size, flags| Part {
            at,
            bytes: vec![1; 16],
            size,
            flags,
        };
        let refused = |parts: &[Part], entry| {
            let mut bytes = vec![0; SIZE];
            Memory::load(&mut bytes, &elf(parts, entry), 0)
                .map(|_| ())
                .unwrap_err()
        };
        use ImageError::{Malformed, Memory as NoMemory, Place};
        assert_eq!(refused(&[], CODE), Malformed);
        assert_eq!(refused(&[part(CODE, 16, 5)], CODE + PAGE), Malformed);
        assert_eq!(refused(&[part(CODE, 16, 5)], 0), Malformed);
        assert_eq!(refused(&[part(CODE, 15, 5)], CODE), Malformed);
        assert_eq!(refused(&[part(0, 16, 5)], 0), Place);
        assert_eq!(refused(&[part(IMAGE_END - 8, 16, 5)], CODE), Place);
        assert_eq!(refused(&[part(0xffff_fff8, 16, 5)], CODE), Place);
        assert_eq!(
            refused(&[part(CODE, 16, 5), part(CODE + 16, 16, 6)], CODE),
            Place
        );
        assert_eq!(refused(&[part(CODE, 0x28_0000, 5)], CODE), NoMemory);
        let mut bytes = vec![0; SIZE];
        let other = Memory::load(&mut bytes, b"not a program", 0).map(|_| ());
        assert_eq!(other, Err(Malformed));
        let mut small = vec![0; 0x5000];
        let other = Memory::load(&mut small, &image(), 0).map(|_| ());
        assert_eq!(other, Err(NoMemory));
    }

    fn addresses() -> impl Strategy<Value = u32> {
        prop_oneof![
            DATA - 8..DATA + VARIABLES + 8,
            STACK_END - 20 * PAGE..STACK_END + 8,
            (0u32..400).prop_map(|page| HEAP + page * PAGE + 5),
            any::<u32>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever calls do, each finds what the first one found.
        #[test]
        fn no_byte_of_a_call_is_seen_in_another(
            before in proptest::collection::vec((addresses(), 1u8..), 0..60),
            calls in proptest::collection::vec(
                proptest::collection::vec((addresses(), 1u8.., any::<bool>()), 0..300), 1..5),
        ) {
            made(|mut memory| {
                for (address, byte) in before {
                    store(&mut memory, address, byte, true);
                }
                assert!(memory.save());
                let first: Vec<(u32, u8)> = (0..VARIABLES)
                    .map(|offset| DATA + offset)
                    .filter_map(|address| Some((address, load(&mut memory, address)?)))
                    .collect();
                for call in calls {
                    for (address, byte, by_monitor) in call {
                        if by_monitor {
                            let _ = memory.write_words(address, 9, &[u64::from_le_bytes([byte; 8]); 2]);
                        } else {
                            store(&mut memory, address, byte, false);
                        }
                    }
                    memory.put_back();
                    for (address, byte) in &first {
                        assert_eq!(load(&mut memory, *address), Some(*byte), "{:x}", address);
                    }
                    for page in (STACK_END - 16 * PAGE..STACK_END).step_by(PAGE as usize) {
                        for offset in (0..PAGE).step_by(5) {
                            assert!(matches!(load(&mut memory, page + offset), None | Some(0)));
                        }
                    }
                    // What nobody has is zero.
                    let free = (memory.next * PAGE) as usize;
                    assert!(memory.bytes[free..].iter().all(|byte| *byte == 0));
                }
            });
        }

        #[test]
        fn any_bytes_are_an_image_or_refused(bytes: Vec<u8>, at in 0usize..200, byte: u8) {
            let mut damaged = image();
            damaged[at] = byte;
            for image in [bytes, damaged] {
                let mut memory = vec![0; SIZE];
                let _ = Memory::load(&mut memory, &image, 0).map(|_| ());
            }
        }
    }
}
