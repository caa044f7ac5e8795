// SPDX-License-Identifier: BSD-2-Clause
//! The heap of a virtine.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use xos_protocol::virtine::{HEAP, HEAP_END};

/// A `#[global_allocator]` that gives out one block behind the other and takes back the last one alone: the end
/// of the call takes back all the others. Its memory is there when it is touched, as long as the limit allows.
///
/// A virtine has one execution, which is all that this is for.
pub struct Heap {
    /// Where the free memory begins.
    next: AtomicUsize,
    end: usize,
}

impl Heap {
    /// The heap of the address space.
    pub const fn new() -> Self {
        Self {
            next: AtomicUsize::new(HEAP as usize),
            end: HEAP_END as usize,
        }
    }

    /// Takes the memory from `start` on that a block of `size` bytes needs.
    fn take(&self, start: usize, size: usize) -> bool {
        match start.checked_add(size) {
            Some(end) if end <= self.end => {
                self.next.store(end, Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Whether a block is the last one.
    fn is_last(&self, block: *mut u8, layout: Layout) -> bool {
        block as usize + layout.size() == self.next.load(Relaxed)
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks lie one behind the other, and what is behind `next` nobody has.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = self.next.load(Relaxed);
        let Some(start) = next.checked_next_multiple_of(layout.align()) else {
            return core::ptr::null_mut();
        };
        match self.take(start, layout.size()) {
            true => start as *mut u8,
            false => core::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // Memory that was given back may have been written to.
            // SAFETY: it was given out a moment ago.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout) {
            self.next.store(block as usize, Relaxed);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.is_last(block, layout) {
            return match self.take(block as usize, new_size) {
                true => block,
                false => core::ptr::null_mut(),
            };
        }
        if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller gives a size that makes a layout with this alignment, and a block of as many bytes as
        // the old one has; the new one is another.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size());
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A heap in memory of the host's.
    fn heap(memory: &mut [u8]) -> Heap {
        let range = memory.as_mut_ptr_range();
        Heap {
            next: AtomicUsize::new(range.start as usize),
            end: range.end as usize,
        }
    }

    proptest! {
        #[test]
        fn blocks_are_aligned_apart_and_keep_what_is_in_them(
            steps in proptest::collection::vec((1usize..300, 0u32..7, 0u8..4, any::<prop::sample::Index>()), 1..80)
        ) {
            let mut memory = vec![0; 1 << 14];
            let heap = heap(&mut memory);
            let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
            for (number, (size, align, deed, which)) in steps.into_iter().enumerate() {
                let mark = number as u8;
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                // SAFETY: blocks are of this heap, with their layouts, and dropped when they are freed.
                unsafe {
                    if deed == 0 && !blocks.is_empty() {
                        let (block, layout, _) = blocks.swap_remove(which.index(blocks.len()));
                        heap.dealloc(block, layout);
                    } else if deed == 1 && !blocks.is_empty() {
                        let at = which.index(blocks.len());
                        let (block, old, mark) = blocks[at];
                        let new = heap.realloc(block, old, size);
                        if !new.is_null() {
                            for i in 0..size.min(old.size()) {
                                prop_assert_eq!(new.add(i).read(), mark);
                            }
                            new.write_bytes(mark, size);
                            blocks[at] = (new, Layout::from_size_align(size, old.align()).unwrap(), mark);
                        }
                    } else {
                        let block = heap.alloc_zeroed(layout);
                        if !block.is_null() {
                            prop_assert!((block as usize).is_multiple_of(layout.align()));
                            for i in 0..size {
                                prop_assert_eq!(block.add(i).read(), 0);
                            }
                            block.write_bytes(mark, size);
                            blocks.push((block, layout, mark));
                        }
                    }
                    for (block, layout, mark) in &blocks {
                        for i in 0..layout.size() {
                            prop_assert_eq!(block.add(i).read(), *mark);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut memory = vec![0; 64];
        let heap = heap(&mut memory);
        // SAFETY: layouts of non-zero size.
        unsafe {
            assert!(!heap.alloc(Layout::new::<[u8; 64]>()).is_null());
            assert!(heap.alloc(Layout::new::<u8>()).is_null());
            let huge = Layout::from_size_align(isize::MAX as usize, 1).unwrap();
            assert!(heap.alloc(huge).is_null());
        }
    }
}
