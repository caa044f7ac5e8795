// SPDX-License-Identifier: BSD-2-Clause
//! The bytes of a program that a call reads or writes.
//!
//! Whoever dispatches a call looks up the program's addresses first ([`crate::mm`]): checks the rights,
//! supplies pages, breaks copies on write. What results are pieces of page frames, and nothing that
//! is done with them can fail or has to look at the address space again.

use crate::pages::{Page, Pages};

/// Bytes within one page frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The frame.
    pub page: Page,
    /// The first byte in it.
    pub offset: u16,
    /// How many; at most up to the frame's end.
    pub length: u16,
}

/// A sequence of bytes in a program's memory, and how far it is used.
#[derive(Clone, Debug)]
pub struct Buffer<'a> {
    segments: &'a [Segment],
    /// Bytes of the first segment that are used.
    used: usize,
    left: usize,
}

impl<'a> Buffer<'a> {
    /// All bytes of these segments, one after another.
    pub fn new(segments: &'a [Segment]) -> Self {
        Self {
            segments,
            used: 0,
            left: segments.iter().map(|s| usize::from(s.length)).sum(),
        }
    }

    /// Bytes that are left.
    pub const fn left(&self) -> usize {
        self.left
    }

    /// Whether none are left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Leaves off what is more than `most` bytes.
    pub fn limit(&mut self, most: usize) {
        self.left = self.left.min(most);
    }

    /// Uses up to `count` bytes without looking at them.
    pub fn skip(&mut self, count: usize) {
        self.each(count, |_, _, _, _| {});
    }

    /// The next bytes that lie in one frame, at most `most`, which are used then. `None` at the end.
    fn next(&mut self, most: usize) -> Option<(Page, usize, usize)> {
        let most = most.min(self.left);
        if most == 0 {
            return None;
        }
        loop {
            let (first, rest) = self.segments.split_first()?;
            let left = usize::from(first.length) - self.used;
            if left == 0 {
                self.segments = rest;
                self.used = 0;
                continue;
            }
            let length = left.min(most);
            let offset = usize::from(first.offset) + self.used;
            self.used += length;
            self.left -= length;
            return Some((first.page, offset, length));
        }
    }

    fn each(&mut self, most: usize, mut f: impl FnMut(Page, usize, usize, usize)) -> usize {
        let mut done = 0;
        while done < most
            && let Some((page, offset, length)) = self.next(most - done)
        {
            f(page, offset, length, done);
            done += length;
        }
        done
    }

    /// Takes bytes out of the program: as many as `into` holds or are left. Gives how many.
    pub fn take<P: Pages + ?Sized>(&mut self, pages: &P, into: &mut [u8]) -> usize {
        self.each(into.len(), |page, offset, length, done| {
            pages.read(page, offset, &mut into[done..done + length]);
        })
    }

    /// Puts bytes into the program: as many as `from` has or there is room for. Gives how many.
    pub fn put<P: Pages + ?Sized>(&mut self, pages: &mut P, from: &[u8]) -> usize {
        self.each(from.len(), |page, offset, length, done| {
            pages.write(page, offset, &from[done..done + length]);
        })
    }

    /// Takes `length` bytes, or what is left, out of the program into a frame. Gives how many.
    pub fn take_to<P: Pages + ?Sized>(
        &mut self,
        pages: &mut P,
        to: Page,
        to_offset: usize,
        length: usize,
    ) -> usize {
        self.each(length, |page, offset, length, done| {
            pages.copy(page, offset, to, to_offset + done, length);
        })
    }

    /// Puts `length` bytes of a frame, or what there is room for, into the program. Gives how many.
    pub fn put_from<P: Pages + ?Sized>(
        &mut self,
        pages: &mut P,
        from: Page,
        from_offset: usize,
        length: usize,
    ) -> usize {
        self.each(length, |page, offset, length, done| {
            pages.copy(from, from_offset + done, page, offset, length);
        })
    }

    /// Puts `length` zero bytes, or what there is room for, into the program. Gives how many.
    pub fn put_zeroes<P: Pages + ?Sized>(&mut self, pages: &mut P, length: usize) -> usize {
        self.each(length, |page, offset, length, _| {
            pages.zero(page, offset, length)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::model::HeapPages;

    #[test]
    fn bytes_go_across_segments_in_order() {
        let mut pages = HeapPages::new(3);
        let [a, b, file] = [0; 3].map(|_| pages.allocate().unwrap());
        let segments = [(a, 4094, 2), (b, 0, 0), (b, 0, 3)].map(|(page, offset, length)| Segment {
            page,
            offset,
            length,
        });
        assert_eq!(Buffer::new(&segments).put(&mut pages, b"abcdefg"), 5);
        let mut buffer = Buffer::new(&segments);
        let mut bytes = [0; 3];
        assert_eq!(buffer.take(&pages, &mut bytes), 3);
        assert_eq!((&bytes, buffer.left()), (b"abc", 2));
        assert_eq!(buffer.take_to(&mut pages, file, 10, 100), 2);
        pages.read(file, 9, &mut bytes);
        assert_eq!(&bytes, b"\0de");
        assert!(buffer.is_empty());
        let mut buffer = Buffer::new(&segments);
        assert_eq!(buffer.put_from(&mut pages, file, 11, 1), 1);
        assert_eq!(buffer.put_zeroes(&mut pages, 2), 2);
        assert_eq!(Buffer::new(&segments).take(&pages, &mut bytes), 3);
        assert_eq!(&bytes, b"e\0\0");
    }

    #[test]
    fn a_limit_and_a_skip_leave_what_is_between() {
        let mut pages = HeapPages::new(1);
        let page = pages.allocate().unwrap();
        pages.write(page, 0, b"abcdef");
        let segments = [(0, 2), (2, 3)].map(|(offset, length)| Segment {
            page,
            offset,
            length,
        });
        let mut buffer = Buffer::new(&segments);
        buffer.limit(4);
        buffer.skip(1);
        let mut bytes = [0; 5];
        assert_eq!((buffer.left(), buffer.take(&pages, &mut bytes)), (3, 3));
        assert_eq!(&bytes, b"bcd\0\0");
    }
}
