// SPDX-License-Identifier: BSD-2-Clause
//! Page frames: the memory of everything.
//!
//! Programs' pages, pages of files, pipe buffers are all frames of one pool, so that mapping a file
//! shares its page and moving bytes from a file into a program is one copy. Frames are counted: who
//! holds one holds a count, and the last to release it frees it.

use crate::errno::Result;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// A page frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Page(pub u32);

/// The pool. A program may write to a page that it maps at any time, so nobody gets a reference into
/// one: bytes are copied out, looked at, and copied in.
///
/// Offsets and lengths within a page must not reach beyond it: that is a mistake of ours, and panics.
pub trait Pages {
    /// A frame of zeroes, with a count of one.
    ///
    /// # Errors
    /// [`Errno::NOMEM`](crate::Errno::NOMEM).
    fn allocate(&mut self) -> Result<Page>;

    /// A frame with the contents of another, with a count of one.
    ///
    /// # Errors
    /// As [`Pages::allocate`].
    fn duplicate(&mut self, page: Page) -> Result<Page>;

    /// One more holder.
    fn hold(&mut self, page: Page);

    /// One holder less; with the last, the frame is free.
    fn release(&mut self, page: Page);

    /// How many hold it.
    fn holders(&self, page: Page) -> u32;

    /// Copies bytes out of a page.
    fn read(&self, page: Page, offset: usize, into: &mut [u8]);

    /// Copies bytes into a page.
    fn write(&mut self, page: Page, offset: usize, from: &[u8]);

    /// Makes `length` bytes zero.
    fn zero(&mut self, page: Page, offset: usize, length: usize);

    /// Copies `length` bytes from one page to another (or within one; the ranges may overlap).
    fn copy(&mut self, from: Page, offset: usize, to: Page, to_offset: usize, length: usize);

    /// Frames that anybody can still allocate, and all that there may be.
    fn available(&self) -> (usize, usize);

    /// Whether what is allocated from now on may be taken from the [reserve], which the first process has so
    /// that it outlives the hunger of all others.
    fn open_reserve(&mut self, open: bool);
}

/// Of so many frames, those that are the reserve.
pub const fn reserve(frames: usize) -> usize {
    frames / 32
}

/// A pool on the heap, for tests on the host.
#[cfg(test)]
pub mod model {
    use super::*;
    use crate::Errno;
    use std::vec::Vec;

    /// The pool.
    #[derive(Default)]
    pub struct HeapPages {
        frames: Vec<(u32, Vec<u8>)>,
        free: Vec<u32>,
        /// How many there may be.
        pub limit: usize,
        reserve_is_open: bool,
    }

    impl HeapPages {
        /// A pool of so many frames.
        pub fn new(limit: usize) -> Self {
            Self {
                limit,
                ..Self::default()
            }
        }

        /// Frames in use.
        pub fn used(&self) -> usize {
            self.frames.len() - self.free.len()
        }

        fn frame(&self, page: Page) -> &[u8] {
            let (count, bytes) = &self.frames[page.0 as usize];
            assert_ne!(*count, 0, "{page:?} is free");
            bytes
        }

        fn frame_mut(&mut self, page: Page) -> &mut [u8] {
            let (count, bytes) = &mut self.frames[page.0 as usize];
            assert_ne!(*count, 0, "{page:?} is free");
            bytes
        }
    }

    impl Pages for HeapPages {
        fn allocate(&mut self) -> Result<Page> {
            if !self.reserve_is_open && self.available().0 == 0 {
                return Err(Errno::NOMEM);
            }
            if let Some(number) = self.free.pop() {
                self.frames[number as usize] = (1, std::vec![0; PAGE]);
                return Ok(Page(number));
            }
            if self.frames.len() == self.limit {
                return Err(Errno::NOMEM);
            }
            self.frames.push((1, std::vec![0; PAGE]));
            Ok(Page(self.frames.len() as u32 - 1))
        }

        fn duplicate(&mut self, page: Page) -> Result<Page> {
            let copy = self.allocate()?;
            self.copy(page, 0, copy, 0, PAGE);
            Ok(copy)
        }

        fn hold(&mut self, page: Page) {
            self.frame(page);
            self.frames[page.0 as usize].0 += 1;
        }

        fn release(&mut self, page: Page) {
            self.frame(page);
            let (count, bytes) = &mut self.frames[page.0 as usize];
            *count -= 1;
            if *count == 0 {
                bytes.clear();
                self.free.push(page.0);
            }
        }

        fn holders(&self, page: Page) -> u32 {
            self.frames[page.0 as usize].0
        }

        fn read(&self, page: Page, offset: usize, into: &mut [u8]) {
            into.copy_from_slice(&self.frame(page)[offset..offset + into.len()]);
        }

        fn write(&mut self, page: Page, offset: usize, from: &[u8]) {
            self.frame_mut(page)[offset..offset + from.len()].copy_from_slice(from);
        }

        fn zero(&mut self, page: Page, offset: usize, length: usize) {
            self.frame_mut(page)[offset..offset + length].fill(0);
        }

        fn copy(&mut self, from: Page, offset: usize, to: Page, to_offset: usize, length: usize) {
            let bytes = self.frame(from)[offset..offset + length].to_vec();
            self.write(to, to_offset, &bytes);
        }

        fn available(&self) -> (usize, usize) {
            let left = self.limit - self.used();
            (left.saturating_sub(reserve(self.limit)), self.limit)
        }

        fn open_reserve(&mut self, open: bool) {
            self.reserve_is_open = open;
        }
    }

    #[test]
    fn a_frame_is_free_when_its_last_holder_releases_it() {
        let mut pages = HeapPages::new(1);
        let page = pages.allocate().unwrap();
        pages.write(page, 1, &[7]);
        assert_eq!(pages.allocate(), Err(Errno::NOMEM));
        pages.hold(page);
        pages.release(page);
        assert_eq!(pages.holders(page), 1);
        pages.release(page);
        let page = pages.allocate().unwrap();
        let mut bytes = [1; 2];
        pages.read(page, 0, &mut bytes);
        assert_eq!(bytes, [0; 2]);
    }

    #[test]
    fn the_reserve_is_for_those_for_whom_it_is_open() {
        let mut pages = HeapPages::new(64);
        for _ in 0..62 {
            pages.allocate().unwrap();
        }
        assert_eq!(pages.available(), (0, 64));
        assert_eq!(pages.allocate(), Err(Errno::NOMEM));
        pages.open_reserve(true);
        let page = pages.allocate().unwrap();
        pages.allocate().unwrap();
        assert_eq!(pages.allocate(), Err(Errno::NOMEM));
        pages.open_reserve(false);
        pages.release(page);
        assert_eq!(pages.allocate(), Err(Errno::NOMEM));
    }
}
