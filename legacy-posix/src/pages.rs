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

    /// For whom is allocated from now on.
    fn serve(&mut self, claim: Claim);
}

/// Who asks for something that may be scarce. Something is kept back for those who come later in this order, so that
/// they outlive the hunger of the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Claim {
    /// Anybody.
    #[default]
    Any,
    /// A process of the superuser's.
    Superuser,
    /// The first process, whose end is everybody's.
    First,
}

impl Claim {
    /// Of so many frames, those that are kept back from who has this claim.
    pub const fn kept_back(self, frames: usize) -> usize {
        match self {
            Self::Any => frames / 16,
            Self::Superuser => frames / 32,
            Self::First => 0,
        }
    }

    /// Of so many address spaces, those that are kept back.
    pub const fn kept_back_spaces(self, spaces: usize) -> usize {
        match self {
            Self::Any => spaces / 4,
            Self::Superuser => spaces / 32,
            // A program that is started has one before it gives up the old one.
            Self::First => 1,
        }
    }
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
        claim: Claim,
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
            if self.limit - self.used() <= self.claim.kept_back(self.limit) {
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
            let kept_back = Claim::Any.kept_back(self.limit);
            (left.saturating_sub(kept_back), self.limit)
        }

        fn serve(&mut self, claim: Claim) {
            self.claim = claim;
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
    fn something_is_kept_back_for_who_has_a_better_claim() {
        let mut pages = HeapPages::new(64);
        for _ in 0..60 {
            pages.allocate().unwrap();
        }
        assert_eq!(pages.available(), (0, 64));
        for (claim, more) in [
            (Claim::Any, 0),
            (Claim::Superuser, 2),
            (Claim::First, 2),
            (Claim::Superuser, 0),
        ] {
            pages.serve(claim);
            for _ in 0..more {
                pages.allocate().unwrap();
            }
            assert_eq!(pages.allocate(), Err(Errno::NOMEM), "{claim:?}");
        }
        pages.serve(Claim::Any);
        pages.release(Page(0));
        assert_eq!(pages.allocate(), Err(Errno::NOMEM));
    }
}
