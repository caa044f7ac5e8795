// SPDX-License-Identifier: BSD-2-Clause
//! Pipes and FIFOs (pipe(7)).
//!
//! Bytes lie in a [`Ring`] of frames that are there only while bytes are in them, but for the one that
//! a ping-pong uses again and again.

use alloc::vec;
use alloc::vec::Vec;

use slab::Slab;

use crate::wait::{QueueId, Queues};
use crate::{Buffer, Errno, PAGE, Page, Pages, Result};

/// Bytes that a pipe holds unless told otherwise.
pub const CAPACITY: usize = 65_536;
/// Bytes that the unprivileged may make it hold (`pipe-max-size`).
pub const CAPACITY_MAX: usize = 1 << 20;
/// Bytes that one holds when there are so many that all would together take too much.
pub const CAPACITY_MIN: usize = 2 * PAGE;
/// Writes of no more than this are all or nothing (`PIPE_BUF`).
pub const ATOMIC: usize = 4096;

/// A pipe.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PipeId(u32);

impl PipeId {
    /// A number that tells it from others, for `stat` and `/proc`.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Bytes, first in first out, in frames.
#[derive(Debug)]
pub struct Ring {
    frames: Vec<Option<Page>>,
    start: usize,
    length: usize,
}

impl Ring {
    /// An empty one for so many bytes, in whole pages.
    pub fn new(capacity: usize) -> Self {
        Self {
            frames: vec![None; capacity.div_ceil(PAGE).max(1)],
            start: 0,
            length: 0,
        }
    }

    /// Bytes that it can hold.
    pub const fn capacity(&self) -> usize {
        self.frames.len() * PAGE
    }

    /// Bytes in it.
    pub const fn filled(&self) -> usize {
        self.length
    }

    /// Bytes that there is room for.
    pub const fn room(&self) -> usize {
        self.capacity() - self.length
    }

    /// Takes in bytes, as many as there is room for; gives how many.
    ///
    /// # Errors
    /// `ENOMEM` if not even one for want of a frame.
    pub fn put(&mut self, pages: &mut dyn Pages, from: &mut Buffer) -> Result<usize> {
        let mut done = 0;
        while self.room() > 0 && !from.is_empty() {
            let end = (self.start + self.length) % self.capacity();
            let (index, offset) = (end / PAGE, end % PAGE);
            let page = match self.frames[index] {
                Some(page) => page,
                None => match pages.allocate() {
                    Ok(page) => *self.frames[index].insert(page),
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => break,
                },
            };
            let moved = from.take_to(pages, page, offset, (PAGE - offset).min(self.room()));
            self.length += moved;
            done += moved;
        }
        Ok(done)
    }

    /// Gives out bytes, as many as there are; says how many.
    pub fn get(&mut self, pages: &mut dyn Pages, into: &mut Buffer) -> usize {
        let mut done = 0;
        while self.length > 0 && !into.is_empty() {
            let (index, offset) = (self.start / PAGE, self.start % PAGE);
            let Some(page) = self.frames[index] else {
                break;
            };
            let moved = into.put_from(pages, page, offset, (PAGE - offset).min(self.length));
            self.start = (self.start + moved) % self.capacity();
            self.length -= moved;
            done += moved;
            // The frame is used up, unless the bytes that came last are in its front.
            if self.start.is_multiple_of(PAGE)
                && self.length > 0
                && self.length <= self.capacity() - PAGE
            {
                self.frames[index] = None;
                pages.release(page);
            }
        }
        if self.length == 0 {
            // The next byte goes into the frame that is there already.
            self.start = self.frames.iter().position(Option::is_some).unwrap_or(0) * PAGE;
        }
        done
    }

    /// Copies bytes out without taking them.
    pub fn peek(&self, pages: &mut dyn Pages, into: &mut Buffer) -> usize {
        let mut done = 0;
        while done < self.length && !into.is_empty() {
            let at = (self.start + done) % self.capacity();
            let Some(page) = self.frames[at / PAGE] else {
                break;
            };
            let most = (PAGE - at % PAGE).min(self.length - done);
            done += into.put_from(pages, page, at % PAGE, most);
        }
        done
    }

    /// Makes it hold so many bytes, in whole pages.
    ///
    /// # Errors
    /// `EBUSY` if more are in it; `ENOMEM`.
    pub fn set_capacity(&mut self, pages: &mut dyn Pages, capacity: usize) -> Result<()> {
        if capacity < self.length {
            return Err(Errno::BUSY);
        }
        let mut other = Self::new(capacity);
        let (mut moved, length) = (0, self.length);
        while moved < length {
            let at = (self.start + moved) % self.capacity();
            let Some(from) = self.frames[at / PAGE] else {
                break;
            };
            let frame = match other.frames[moved / PAGE] {
                Some(page) => Ok(page),
                None => pages.allocate(),
            };
            let Ok(to) = frame else {
                other.clear(pages);
                return Err(Errno::NOMEM);
            };
            other.frames[moved / PAGE] = Some(to);
            let count = (PAGE - at % PAGE)
                .min(PAGE - moved % PAGE)
                .min(length - moved);
            pages.copy(from, at % PAGE, to, moved % PAGE, count);
            moved += count;
        }
        other.length = length;
        core::mem::replace(self, other).clear(pages);
        Ok(())
    }

    /// Drops everything.
    pub fn clear(&mut self, pages: &mut dyn Pages) {
        for page in self.frames.iter_mut().filter_map(Option::take) {
            pages.release(page);
        }
        (self.start, self.length) = (0, 0);
    }
}

#[derive(Debug)]
struct Pipe {
    ring: Ring,
    readers: u32,
    writers: u32,
    /// How often an end was opened, for opens of FIFOs that wait for the other end.
    opened: [u32; 2],
    readable: QueueId,
    writable: QueueId,
}

/// Bytes that rings hold together, of which there are only so many: what is filled and never read must not
/// be everybody's memory. Beyond, new ones are small (pipe(7), `pipe-user-pages-soft`).
#[derive(Debug)]
pub struct Promised {
    bytes: usize,
    most: usize,
}

impl Promised {
    /// So many at most.
    pub const fn new(most: usize) -> Self {
        Self { bytes: 0, most }
    }

    /// A new ring.
    pub fn ring(&mut self) -> Ring {
        let capacity = match self.bytes + CAPACITY > self.most {
            true => CAPACITY_MIN,
            false => CAPACITY,
        };
        self.bytes += capacity;
        Ring::new(capacity)
    }

    /// A ring goes.
    pub const fn back(&mut self, ring: &Ring) {
        self.bytes -= ring.capacity();
    }

    /// Whether a ring of `old` bytes may be one of `new`.
    const fn allows(&self, old: usize, new: usize) -> bool {
        new <= old || self.bytes - old + new <= self.most
    }
}

/// All pipes.
#[derive(Debug)]
pub struct Pipes {
    pipes: Slab<Pipe>,
    promised: Promised,
}

impl Pipes {
    /// None; together they will hold about so many bytes at most.
    pub const fn new(most: usize) -> Self {
        Self {
            pipes: Slab::new(),
            promised: Promised::new(most),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pipes.len()
    }

    /// A new one, that nobody has open.
    pub fn create(&mut self, queues: &mut Queues) -> PipeId {
        PipeId(self.pipes.insert(Pipe {
            ring: self.promised.ring(),
            readers: 0,
            writers: 0,
            opened: [0; 2],
            readable: queues.create(),
            writable: queues.create(),
        }) as u32)
    }

    fn get(&self, pipe: PipeId) -> &Pipe {
        &self.pipes[pipe.0 as usize]
    }

    fn get_mut(&mut self, pipe: PipeId) -> &mut Pipe {
        &mut self.pipes[pipe.0 as usize]
    }

    /// Opens ends.
    pub fn open(&mut self, queues: &mut Queues, pipe: PipeId, read: bool, write: bool) {
        let pipe = self.get_mut(pipe);
        if read {
            pipe.readers += 1;
            pipe.opened[0] = pipe.opened[0].wrapping_add(1);
            queues.wake(pipe.writable);
        }
        if write {
            pipe.writers += 1;
            pipe.opened[1] = pipe.opened[1].wrapping_add(1);
            queues.wake(pipe.readable);
        }
    }

    /// Closes ends; with the last the pipe is gone, which is the result.
    pub fn close(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        id: PipeId,
        read: bool,
        write: bool,
    ) -> bool {
        let pipe = self.get_mut(id);
        pipe.readers -= u32::from(read);
        pipe.writers -= u32::from(write);
        if pipe.readers == 0 && pipe.writers == 0 {
            let mut pipe = self.pipes.remove(id.0 as usize);
            self.promised.back(&pipe.ring);
            pipe.ring.clear(pages);
            queues.destroy(pipe.readable);
            queues.destroy(pipe.writable);
            return true;
        }
        if pipe.readers == 0 && read {
            queues.wake(pipe.writable);
        }
        if pipe.writers == 0 && write {
            queues.wake(pipe.readable);
        }
        false
    }

    /// Takes bytes out; `None` if there are none yet, 0 if there will be none.
    pub fn read(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        pipe: PipeId,
        into: &mut Buffer,
    ) -> Option<usize> {
        let pipe = self.get_mut(pipe);
        if pipe.ring.filled() == 0 {
            return (pipe.writers == 0 || into.is_empty()).then_some(0);
        }
        let was_full = pipe.ring.room() < ATOMIC;
        let read = pipe.ring.get(pages, into);
        if was_full && pipe.ring.room() > 0 {
            queues.wake(pipe.writable);
        }
        Some(read)
    }

    /// Puts bytes in, as many as there is room for; a short write is whole or not at all, which makes
    /// it 0.
    ///
    /// # Errors
    /// `EPIPE` without readers; `ENOMEM`.
    pub fn write(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        pipe: PipeId,
        from: &mut Buffer,
    ) -> Result<usize> {
        let pipe = self.get_mut(pipe);
        if pipe.readers == 0 {
            return Err(Errno::PIPE);
        }
        if from.is_empty() || from.left() <= ATOMIC && pipe.ring.room() < from.left() {
            return Ok(0);
        }
        let written = pipe.ring.put(pages, from)?;
        if written > 0 {
            queues.wake(pipe.readable);
        }
        Ok(written)
    }

    /// Bytes that can be read.
    pub fn readable(&self, pipe: PipeId) -> usize {
        self.get(pipe).ring.filled()
    }

    /// Whether a short write would not wait.
    pub fn has_room(&self, pipe: PipeId) -> bool {
        self.get(pipe).ring.room() >= ATOMIC
    }

    /// Readers and writers.
    pub fn ends(&self, pipe: PipeId) -> (u32, u32) {
        let pipe = self.get(pipe);
        (pipe.readers, pipe.writers)
    }

    /// How often the read end and the write end were opened so far.
    pub fn opened(&self, pipe: PipeId) -> [u32; 2] {
        self.get(pipe).opened
    }

    /// Queues that wake when the ends may be read or written.
    pub fn queues(&self, pipe: PipeId, read: bool, write: bool) -> [Option<QueueId>; 2] {
        let pipe = self.get(pipe);
        [
            read.then_some(pipe.readable),
            write.then_some(pipe.writable),
        ]
    }

    /// Bytes that it holds at most.
    pub fn capacity(&self, pipe: PipeId) -> usize {
        self.get(pipe).ring.capacity()
    }

    /// Makes it hold at least so many bytes: a power of two of pages.
    ///
    /// # Errors
    /// `EBUSY`, `ENOMEM`; `EINVAL` for more than any pipe can have; `EPERM` for more than the unprivileged may have.
    pub fn set_capacity(
        &mut self,
        pages: &mut dyn Pages,
        queues: &mut Queues,
        pipe: PipeId,
        capacity: usize,
    ) -> Result<usize> {
        if capacity > i32::MAX as usize {
            return Err(Errno::INVAL);
        }
        let capacity = capacity.max(PAGE).next_power_of_two();
        if capacity > CAPACITY_MAX {
            return Err(Errno::PERM);
        }
        let ring = &mut self.pipes[pipe.0 as usize].ring;
        let old = ring.capacity();
        if !self.promised.allows(old, capacity) {
            return Err(Errno::PERM);
        }
        ring.set_capacity(pages, capacity)?;
        self.promised.bytes = self.promised.bytes - old + capacity;
        queues.wake(self.get(pipe).writable);
        Ok(capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;
    use crate::pages::model::HeapPages;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn pipes_are_small_when_there_are_too_many() {
        let mut pages = HeapPages::new(100);
        let (mut pipes, mut queues) = (Pipes::new(2 * CAPACITY), Queues::default());
        let all: Vec<_> = (0..3).map(|_| pipes.create(&mut queues)).collect();
        let sizes: Vec<_> = all.iter().map(|pipe| pipes.capacity(*pipe)).collect();
        assert_eq!(sizes, [CAPACITY, CAPACITY, CAPACITY_MIN]);
        let mut set = |pipes: &mut Pipes, capacity| {
            pipes.set_capacity(&mut pages, &mut queues, all[0], capacity)
        };
        assert_eq!(set(&mut pipes, 2 * CAPACITY), Err(Errno::PERM));
        assert_eq!(set(&mut pipes, PAGE), Ok(PAGE));
        assert_eq!(set(&mut pipes, CAPACITY / 2), Ok(CAPACITY / 2));
        for pipe in all {
            pipes.open(&mut queues, pipe, true, false);
            assert!(pipes.close(&mut pages, &mut queues, pipe, true, false));
        }
        let again = pipes.create(&mut queues);
        assert_eq!(pipes.capacity(again), CAPACITY);
    }

    fn memory(pages: &mut HeapPages, count: usize) -> Vec<Segment> {
        (0..count)
            .map(|_| Segment {
                page: pages.allocate().unwrap(),
                offset: 0,
                length: PAGE as u16,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_ring_gives_what_it_took_in_order_and_keeps_at_most_one_empty_frame(
            steps in prop::collection::vec((0u8..9, 0usize..9000), 0..60),
        ) {
            let mut pages = HeapPages::new(100);
            let memory = memory(&mut pages, 4);
            let before = pages.used();
            let mut ring = Ring::new(4 * PAGE);
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (what, count) in steps {
                let mut buffer = Buffer::new(&memory);
                buffer.limit(count);
                match what {
                    0..4 => {
                        let bytes: Vec<u8> = (0..count).map(|_| {
                            next = next.wrapping_add(1);
                            next
                        }).collect();
                        buffer.clone().put(&mut pages, &bytes);
                        let taken = ring.put(&mut pages, &mut buffer).unwrap();
                        prop_assert_eq!(taken, count.min(4 * PAGE - model.len()).min(ring.capacity()));
                        model.extend(&bytes[..taken]);
                    }
                    4..8 => {
                        let given = ring.get(&mut pages, &mut buffer);
                        prop_assert_eq!(given, count.min(model.len()));
                        let mut bytes = vec![0; given];
                        Buffer::new(&memory).take(&pages, &mut bytes);
                        prop_assert!(bytes.iter().copied().eq(model.drain(..given)));
                    }
                    _ => {
                        prop_assert_eq!(ring.set_capacity(&mut pages, 4 * PAGE), Ok(()));
                    }
                }
                prop_assert_eq!(ring.filled(), model.len());
                let frames = pages.used() - before;
                prop_assert!(frames <= model.len() / PAGE + 2, "{} for {}", frames, model.len());
            }
            ring.clear(&mut pages);
            prop_assert_eq!(pages.used(), before);
        }
    }

    #[test]
    fn a_short_write_is_whole_or_not_at_all_and_a_long_one_takes_what_fits() {
        let mut pages = HeapPages::new(100);
        let memory = memory(&mut pages, 20);
        let (mut pipes, mut queues) = (Pipes::new(1 << 20), Queues::default());
        let pipe = pipes.create(&mut queues);
        pipes.open(&mut queues, pipe, true, true);
        let mut write = |pipes: &mut Pipes, count| {
            let mut buffer = Buffer::new(&memory);
            buffer.limit(count);
            pipes.write(&mut pages, &mut queues, pipe, &mut buffer)
        };
        assert_eq!(write(&mut pipes, CAPACITY - 100), Ok(CAPACITY - 100));
        assert_eq!(write(&mut pipes, 101), Ok(0));
        assert_eq!(write(&mut pipes, ATOMIC), Ok(0));
        assert_eq!(write(&mut pipes, ATOMIC + 1), Ok(100));
        assert_eq!(write(&mut pipes, ATOMIC + 1), Ok(0));
    }

    #[test]
    fn a_pipe_without_writers_ends_and_without_readers_breaks() {
        let mut pages = HeapPages::new(100);
        let memory = memory(&mut pages, 1);
        let (mut pipes, mut queues) = (Pipes::new(1 << 20), Queues::default());
        let pipe = pipes.create(&mut queues);
        pipes.open(&mut queues, pipe, true, false);
        pipes.open(&mut queues, pipe, false, true);
        let mut buffer = Buffer::new(&memory);
        assert_eq!(pipes.read(&mut pages, &mut queues, pipe, &mut buffer), None);
        let mut word = Buffer::new(&memory);
        word.limit(3);
        assert_eq!(pipes.write(&mut pages, &mut queues, pipe, &mut word), Ok(3));
        assert!(!pipes.close(&mut pages, &mut queues, pipe, false, true));
        assert_eq!(
            pipes.read(&mut pages, &mut queues, pipe, &mut buffer),
            Some(3)
        );
        assert_eq!(
            pipes.read(&mut pages, &mut queues, pipe, &mut buffer),
            Some(0)
        );
        pipes.open(&mut queues, pipe, false, true);
        assert!(!pipes.close(&mut pages, &mut queues, pipe, true, false));
        let mut word = Buffer::new(&memory);
        assert_eq!(
            pipes.write(&mut pages, &mut queues, pipe, &mut word),
            Err(Errno::PIPE)
        );
        assert!(pipes.close(&mut pages, &mut queues, pipe, false, true));
        assert_eq!((pages.used(), queues.in_use()), (1, (0, 0, 0)));
    }
}
