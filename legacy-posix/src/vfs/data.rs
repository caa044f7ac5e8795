// SPDX-License-Identifier: BSD-2-Clause
//! The contents of a regular file: frames by page index, with holes where nothing was written.
//!
//! A file of the initial tree begins as bytes that lie somewhere else, are shared by whoever wants, and never
//! change: a page of it gets a frame when it is written or mapped.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Range;

use crate::{Buffer, Errno, PAGE, Page, Pages, Result};

/// The longest file (`MAX_LFS_FILESIZE`).
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// Contents. Bytes of the last page behind the size are zero, unless a program that maps the page
/// writes there.
#[derive(Default, Debug)]
pub struct Data {
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// What pages without a frame hold, from the first on; not longer than the size.
    base: &'static [u8],
    /// Pages of the base that were made holes.
    holes: BTreeSet<u64>,
}

const fn split(position: u64) -> (u64, usize) {
    (position / PAGE as u64, (position % PAGE as u64) as usize)
}

impl Data {
    /// Contents that are these bytes, without a frame.
    pub fn of(base: &'static [u8]) -> Self {
        Self {
            size: base.len() as u64,
            base,
            ..Self::default()
        }
    }

    /// What a page without a frame holds, up to where all is zero; nothing for a hole.
    fn base(&self, index: u64) -> Option<&'static [u8]> {
        let start = usize::try_from(index).ok()?.checked_mul(PAGE)?;
        if start >= self.base.len() || self.holes.contains(&index) {
            return None;
        }
        Some(&self.base[start..self.base.len().min(start + PAGE)])
    }

    /// Pages with something in them, be it without a frame.
    pub fn filled(&self) -> usize {
        let base = self.base.len().div_ceil(PAGE) as u64;
        let holes = self
            .holes
            .iter()
            .filter(|hole| !self.pages.contains_key(*hole));
        let hidden = self.pages.range(..base).count() + holes.count();
        self.pages.len() + base as usize - hidden
    }

    /// Bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.pages.len()
    }

    /// Bytes from `position` on; gives how many.
    pub fn read(&self, pages: &mut dyn Pages, position: u64, into: &mut Buffer) -> usize {
        let mut done = 0;
        let end = self.size.saturating_sub(position).min(into.left() as u64) as usize;
        while done < end {
            let (index, offset) = split(position + done as u64);
            let length = (PAGE - offset).min(end - done);
            done += match self.pages.get(&index) {
                Some(&page) => into.put_from(pages, page, offset, length),
                None => {
                    let base = self.base(index).and_then(|base| base.get(offset..));
                    let base = base.unwrap_or_default();
                    let base = &base[..base.len().min(length)];
                    into.put(pages, base) + into.put_zeroes(pages, length - base.len())
                }
            };
        }
        done
    }

    /// Writes all of `from`, or what there is memory for; gives how many bytes.
    ///
    /// # Errors
    /// `ENOSPC` without memory for any, `EFBIG` behind the longest size.
    pub fn write(
        &mut self,
        pages: &mut dyn Pages,
        position: u64,
        from: &mut Buffer,
    ) -> Result<usize> {
        if from.is_empty() {
            return Ok(0);
        }
        if position >= SIZE_MAX {
            return Err(Errno::FBIG);
        }
        let end = (SIZE_MAX - position).min(from.left() as u64) as usize;
        let mut done = 0;
        while done < end {
            let (index, offset) = split(position + done as u64);
            match self.fill(pages, index) {
                Ok(page) => {
                    done += from.take_to(pages, page, offset, (PAGE - offset).min(end - done));
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        self.size = self.size.max(position + done as u64);
        Ok(done)
    }

    /// Cuts or lengthens.
    pub fn resize(&mut self, pages: &mut dyn Pages, size: u64) {
        if size < self.size {
            let kept = self
                .base
                .len()
                .min(usize::try_from(size).unwrap_or(usize::MAX));
            self.base = &self.base[..kept];
            self.holes.split_off(&(kept.div_ceil(PAGE) as u64));
            self.drop_frames(pages, size..self.size.next_multiple_of(PAGE as u64));
        }
        self.size = size;
    }

    /// Makes a range a hole; the size stays.
    ///
    /// # Errors
    /// `ENOSPC` when a page of which a part stays has no frame yet, and there is none.
    pub fn punch(&mut self, pages: &mut dyn Pages, range: Range<u64>) -> Result<()> {
        let end = range.end.min(self.base.len() as u64);
        if range.start < end {
            let whole = range.start.div_ceil(PAGE as u64)..range.end / PAGE as u64;
            for index in range.start / PAGE as u64..end.div_ceil(PAGE as u64) {
                if whole.contains(&index) {
                    self.holes.insert(index);
                } else if self.base(index).is_some() {
                    self.fill(pages, index)?;
                }
            }
        }
        self.drop_frames(pages, range);
        Ok(())
    }

    /// Makes what has frames in a range zero.
    fn drop_frames(&mut self, pages: &mut dyn Pages, range: Range<u64>) {
        let (first, offset) = split(range.start);
        let (last, end) = split(range.end);
        let zero = |data: &Self, pages: &mut dyn Pages, index, from: usize, to: usize| {
            if let (true, Some(&page)) = (from < to, data.pages.get(&index)) {
                pages.zero(page, from, to - from);
            }
        };
        if first == last {
            return zero(self, pages, first, offset, end);
        }
        let whole = if offset == 0 {
            first
        } else {
            zero(self, pages, first, offset, PAGE);
            first + 1
        };
        zero(self, pages, last, 0, end);
        // As much as is there, not as is asked for: a hole of 2^60 bytes costs nothing.
        while let Some((&index, &page)) = self.pages.range(whole..last).next() {
            self.pages.remove(&index);
            pages.release(page);
        }
    }

    /// Has frames for a range: all or none.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn reserve(&mut self, pages: &mut dyn Pages, range: Range<u64>) -> Result<()> {
        let last = range.end.div_ceil(PAGE as u64);
        let first = range.start / PAGE as u64;
        let missing = (last - first) - self.pages.range(first..last).count() as u64;
        if missing > pages.available().0 as u64 {
            return Err(Errno::NOSPC);
        }
        for index in first..last {
            self.fill(pages, index)?;
        }
        Ok(())
    }

    /// Lengthens to at least this size.
    pub fn extend(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// The next data, or hole (the end is one), at or behind a position.
    ///
    /// # Errors
    /// `ENXIO` if there is none, or the position is behind the end.
    pub fn seek(&self, position: u64, data: bool) -> Result<u64> {
        if position >= self.size {
            return Err(Errno::NXIO);
        }
        let mut index = position / PAGE as u64;
        if data {
            let frame = self.pages.range(index..).next().map(|(next, _)| *next);
            let bases = self.base.len().div_ceil(PAGE) as u64;
            let base = (index..bases).find(|index| self.base(*index).is_some());
            let next = frame.into_iter().chain(base).min().ok_or(Errno::NXIO)?;
            let at = position.max(next * PAGE as u64);
            return if at < self.size {
                Ok(at)
            } else {
                Err(Errno::NXIO)
            };
        }
        while self.pages.contains_key(&index) || self.base(index).is_some() {
            index += 1;
        }
        Ok(position.max(index * PAGE as u64).min(self.size))
    }

    /// The frame of a page, if there is one.
    pub fn page(&self, index: u64) -> Option<Page> {
        self.pages.get(&index).copied()
    }

    /// The frame of a page, which is made if there is none.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn fill(&mut self, pages: &mut dyn Pages, index: u64) -> Result<Page> {
        use alloc::collections::btree_map::Entry;
        match self.pages.entry(index) {
            Entry::Occupied(page) => Ok(*page.get()),
            Entry::Vacant(hole) => {
                let page = pages.allocate().map_err(|_| Errno::NOSPC)?;
                hole.insert(page);
                if let Some(base) = self.base(index) {
                    pages.write(page, 0, base);
                }
                Ok(page)
            }
        }
    }

    /// Takes over a frame as page `index` of the contents.
    pub fn insert(&mut self, pages: &mut dyn Pages, index: u64, page: Page) {
        if let Some(before) = self.pages.insert(index, page) {
            pages.release(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;
    use crate::pages::model::HeapPages;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// A program's memory of 16 pages, one behind the other.
    fn memory(pages: &mut HeapPages) -> Vec<Segment> {
        (0..16)
            .map(|_| Segment {
                page: pages.allocate().unwrap(),
                offset: 0,
                length: PAGE as u16,
            })
            .collect()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Resize(u64),
        Punch(u64, u64),
        Reserve(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = 0..20000u64;
        prop_oneof![
            (at.clone(), prop::collection::vec(1u8.., 0..9000))
                .prop_map(|(a, b)| Step::Write(a, b)),
            at.clone().prop_map(Step::Resize),
            (at.clone(), 0..9000u64).prop_map(|(a, n)| Step::Punch(a, n)),
            (at, 0..9000u64).prop_map(|(a, n)| Step::Reserve(a, n)),
        ]
    }

    proptest! {
        #[test]
        fn contents_are_those_of_a_vector_and_frames_are_given_back(
            base in prop::collection::vec(1u8.., 0..17000),
            steps in prop::collection::vec(step(), 0..12),
        ) {
            let base = Vec::leak(base);
            let mut pages = HeapPages::new(200);
            let memory = memory(&mut pages);
            let before = pages.used();
            let mut data = Data::of(base);
            let mut model: Vec<u8> = base.to_vec();
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        Buffer::new(&memory).put(&mut pages, &bytes);
                        let mut from = Buffer::new(&memory);
                        from.limit(bytes.len());
                        prop_assert_eq!(data.write(&mut pages, at, &mut from), Ok(bytes.len()));
                        if !bytes.is_empty() {
                            let end = at as usize + bytes.len();
                            model.resize(model.len().max(end), 0);
                            model[at as usize..end].copy_from_slice(&bytes);
                        }
                    }
                    Step::Resize(size) => {
                        data.resize(&mut pages, size);
                        model.resize(size as usize, 0);
                    }
                    Step::Punch(at, length) => {
                        data.punch(&mut pages, at..at + length).unwrap();
                        for byte in model.iter_mut().skip(at as usize).take(length as usize) {
                            *byte = 0;
                        }
                    }
                    Step::Reserve(at, length) => {
                        data.reserve(&mut pages, at..at + length).unwrap();
                        data.extend(at + length);
                        model.resize(model.len().max((at + length) as usize), 0);
                    }
                }
                prop_assert_eq!(data.size(), model.len() as u64);
                let mut into = Buffer::new(&memory);
                prop_assert_eq!(data.read(&mut pages, 0, &mut into), model.len());
                let mut bytes = vec![0; model.len()];
                Buffer::new(&memory).take(&pages, &mut bytes);
                prop_assert!(bytes == model);
            }
            data.resize(&mut pages, 0);
            prop_assert_eq!(pages.used(), before);
        }
    }

    #[test]
    fn what_is_shared_costs_no_frame_before_it_is_changed() {
        let mut pages = HeapPages::new(40);
        let memory = memory(&mut pages);
        let mut data = Data::of(&[7; 3 * PAGE + 5]);
        assert_eq!((data.frames(), data.filled()), (0, 4));
        assert_eq!(data.seek(5, true), Ok(5));
        assert_eq!(data.seek(5, false), Ok(data.size()));
        let mut from = Buffer::new(&memory[..1]);
        from.limit(1);
        data.write(&mut pages, PAGE as u64, &mut from).unwrap();
        assert_eq!((data.frames(), data.filled()), (1, 4));
        data.punch(&mut pages, 0..2 * PAGE as u64).unwrap();
        assert_eq!((data.frames(), data.filled()), (0, 2));
        assert_eq!(data.seek(0, true), Ok(2 * PAGE as u64));
        // What is cut does not come back.
        data.resize(&mut pages, 1);
        data.resize(&mut pages, 4 * PAGE as u64);
        assert_eq!((data.filled(), data.seek(0, true)), (0, Err(Errno::NXIO)));
    }

    #[test]
    fn a_hole_costs_nothing_and_is_found() {
        let mut pages = HeapPages::new(20);
        let memory = memory(&mut pages);
        let mut data = Data::default();
        data.write(&mut pages, 1 << 40, &mut Buffer::new(&memory[..1]))
            .unwrap();
        assert_eq!(data.frames(), 1);
        assert_eq!(data.seek(0, true), Ok(1 << 40));
        assert_eq!(data.seek(5, false), Ok(5));
        assert_eq!(data.seek((1 << 40) + 7, false), Ok((1 << 40) + 4096));
        assert_eq!(data.seek((1 << 40) + 4096, true), Err(Errno::NXIO));
        data.punch(&mut pages, 0..u64::MAX / 2).unwrap();
        assert_eq!(data.frames(), 0);
        assert_eq!(data.seek(0, true), Err(Errno::NXIO));
        assert_eq!(data.size(), (1 << 40) + 4096);
    }

    #[test]
    fn a_full_pool_takes_what_it_can_then_says_so() {
        let mut pages = HeapPages::new(19);
        let memory = memory(&mut pages);
        let mut data = Data::default();
        assert_eq!(data.reserve(&mut pages, 0..3 * 4096), Err(Errno::NOSPC));
        assert_eq!(data.frames(), 0);
        assert_eq!(
            data.write(&mut pages, 0, &mut Buffer::new(&memory)),
            Ok(8192)
        );
        assert_eq!(
            data.write(&mut pages, 8192, &mut Buffer::new(&memory)),
            Err(Errno::NOSPC)
        );
        assert_eq!(data.size(), 8192);
    }
}
