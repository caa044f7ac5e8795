// SPDX-License-Identifier: BSD-2-Clause

//! A heap in static memory.
//!
//! The allocator is `talc`; what is here is the lock around it, chosen by each kind of program: one
//! with several threads needs one that blocks, one with a single thread need not pay for it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::{Mutex, RawMutex};
use talc::{ClaimOnOom, Span, Talc};

/// The memory of a heap of `SIZE` bytes, for use in a `static`. Costs no room in the image file.
///
/// The allocator's own tables, about 1 KiB, are in it too.
#[repr(C, align(16))]
pub struct HeapArea<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: the area is given out by address only.
unsafe impl<const SIZE: usize> Sync for HeapArea<SIZE> {}

impl<const SIZE: usize> HeapArea<SIZE> {
    /// A zeroed area.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; SIZE]))
    }

    const fn start(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

impl<const SIZE: usize> Default for HeapArea<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes that are in use, of all heaps of the program (of which there is one).
static USED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the program's heap that are in use, the allocator's own included. What is left may be in pieces:
/// who must not run out of it keeps well away.
pub fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// What a block of `size` bytes takes: a tag, and no less than the allocator's smallest piece.
const fn cost(size: usize) -> usize {
    let cost = size.next_multiple_of(8) + 8;
    if cost < 32 { 32 } else { cost }
}

/// A `#[global_allocator]` behind the lock `R`.
///
/// An allocation that does not fit fails with a null pointer, which `alloc` turns into a panic.
/// Nothing is ever given back beyond the area, and nothing is taken but the area.
pub struct Heap<R> {
    talc: Mutex<R, Talc<ClaimOnOom>>,
}

impl<R> Heap<R> {
    /// A heap in `area` behind `lock`.
    ///
    /// # Safety
    /// Nothing else may use `area`, ever: it must be named by this one call.
    pub const unsafe fn new<const SIZE: usize>(lock: R, area: &'static HeapArea<SIZE>) -> Self {
        let span = Span::from_base_size(area.start(), SIZE);
        // SAFETY: the area is valid for the whole life of the program, and exclusive by contract.
        let claim = unsafe { ClaimOnOom::new(span) };
        Self {
            talc: Mutex::from_raw(lock, Talc::new(claim)),
        }
    }
}

// SAFETY: every method passes on what the caller guarantees to the same method of `talc`, under the
// lock; what `talc` returns is memory of the area that nobody else has.
unsafe impl<R: RawMutex> GlobalAlloc for Heap<R> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller gives a layout of non-zero size.
        let block = unsafe { self.talc.lock().malloc(layout) };
        if block.is_ok() {
            USED.fetch_add(cost(layout.size()), Ordering::Relaxed);
        }
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        USED.fetch_sub(cost(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller gives a block of this heap, which is not null, with its layout.
        unsafe { self.talc.lock().free(NonNull::new_unchecked(block), layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives a block of this heap, which is not null, with its layout, and a
        // non-zero new size that makes a layout with the old alignment. A new block has room for
        // the old one's content, since only growing gets there, and is another one.
        unsafe {
            let old = NonNull::new_unchecked(block);
            if new_size <= layout.size() {
                self.talc.lock().shrink(old, layout, new_size);
                USED.fetch_sub(cost(layout.size()) - cost(new_size), Ordering::Relaxed);
                return block;
            }
            let grown = self.talc.lock().grow_in_place(old, layout, new_size);
            if grown.is_ok() {
                USED.fetch_add(cost(new_size) - cost(layout.size()), Ordering::Relaxed);
                return block;
            }
            // The copy is done outside the lock, so that a large one holds nobody up.
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size());
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Declares a `#[global_allocator]`: `heap!(size = BYTES, lock = EXPRESSION => TYPE)`, where the lock
/// is a [`lock_api::RawMutex`].
#[macro_export]
macro_rules! heap {
    (size = $size:expr, lock = $lock:expr => $Lock:ty $(,)?) => {
        const _: () = {
            // The caller's expression sees these names: they must not be ones that it could use.
            const __XOS_HEAP_SIZE: usize = $size;

            static __XOS_HEAP_AREA: $crate::heap::HeapArea<__XOS_HEAP_SIZE> =
                $crate::heap::HeapArea::new();

            #[global_allocator]
            static __XOS_HEAP: $crate::heap::Heap<$Lock> =
                // SAFETY: the area has no name outside this block.
                unsafe { $crate::heap::Heap::new($lock, &__XOS_HEAP_AREA) };
        };
    };
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicBool, Ordering};
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    /// A lock for tests with one thread, which fails where that thread would wait for itself.
    struct Unshared(AtomicBool);

    // SAFETY: taken by an atomic swap.
    unsafe impl RawMutex for Unshared {
        #[allow(
            clippy::declare_interior_mutable_const,
            reason = "declared so by lock_api"
        )]
        const INIT: Self = Self(AtomicBool::new(false));
        type GuardMarker = lock_api::GuardNoSend;

        fn lock(&self) {
            assert!(self.try_lock(), "locked while locked");
        }

        fn try_lock(&self) -> bool {
            !self.0.swap(true, Ordering::Acquire)
        }

        unsafe fn unlock(&self) {
            self.0.store(false, Ordering::Release);
        }
    }

    const SIZE: usize = 64 * 1024;

    fn heap<const SIZE: usize>() -> Heap<Unshared> {
        // SAFETY: the area is named here alone.
        unsafe { Heap::new(Unshared::INIT, Box::leak(Box::new(HeapArea::<SIZE>::new()))) }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Alloc(usize, u32),
        Realloc(usize, usize),
        Dealloc(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..6000usize, 0..10u32).prop_map(|(size, align)| Step::Alloc(size, align)),
            (any::<usize>(), 1..9000usize).prop_map(|(which, size)| Step::Realloc(which, size)),
            any::<usize>().prop_map(Step::Dealloc),
        ]
    }

    /// A block that is filled with a byte of its own.
    struct Block(*mut u8, Layout, u8);

    impl Block {
        fn fill(&self) {
            // SAFETY: the block is so long.
            unsafe { self.0.write_bytes(self.2, self.1.size()) };
        }

        fn begins_intact(&self, len: usize) -> bool {
            // SAFETY: the block is at least so long, and has been filled.
            let bytes = unsafe { core::slice::from_raw_parts(self.0, len) };
            bytes.iter().all(|byte| *byte == self.2)
        }
    }

    proptest! {
        #[test]
        fn no_block_changes_another_and_all_memory_comes_together_again(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let heap = heap::<SIZE>();
            let mut blocks: Vec<Block> = Vec::new();
            for (i, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Alloc(size, align) => {
                        let layout = Layout::from_size_align(size, 1 << align).unwrap();
                        // SAFETY: the size is not zero.
                        let start = unsafe { heap.alloc(layout) };
                        if !start.is_null() {
                            prop_assert!(start.addr().is_multiple_of(layout.align()));
                            let block = Block(start, layout, i as u8);
                            block.fill();
                            blocks.push(block);
                        }
                    }
                    Step::Realloc(which, size) if !blocks.is_empty() => {
                        let which = which % blocks.len();
                        let Block(start, old, byte) = blocks[which];
                        // SAFETY: the block is of this heap, and the size not zero.
                        let start = unsafe { heap.realloc(start, old, size) };
                        if !start.is_null() {
                            let layout = Layout::from_size_align(size, old.align()).unwrap();
                            prop_assert!(start.addr().is_multiple_of(layout.align()));
                            let block = Block(start, layout, byte);
                            prop_assert!(block.begins_intact(size.min(old.size())));
                            block.fill();
                            blocks[which] = block;
                        }
                    }
                    Step::Dealloc(which) if !blocks.is_empty() => {
                        let block = blocks.swap_remove(which % blocks.len());
                        prop_assert!(block.begins_intact(block.1.size()));
                        // SAFETY: the block is of this heap, and gone from the list.
                        unsafe { heap.dealloc(block.0, block.1) };
                    }
                    Step::Realloc(..) | Step::Dealloc(_) => {}
                }
            }
            for block in blocks {
                prop_assert!(block.begins_intact(block.1.size()));
                // SAFETY: the block is of this heap, and not used again.
                unsafe { heap.dealloc(block.0, block.1) };
            }
            let nearly_all = Layout::from_size_align(SIZE - 2048, 8).unwrap();
            // SAFETY: the size is not zero.
            let block = unsafe { heap.alloc(nearly_all) };
            prop_assert!(!block.is_null());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let layout = Layout::from_size_align(SIZE + 1, 1).unwrap();
        // SAFETY: the size is not zero.
        assert!(unsafe { heap::<SIZE>().alloc(layout) }.is_null());
    }

    #[test]
    fn area_too_small_for_the_tables_is_an_empty_heap() {
        // SAFETY: the size is not zero.
        assert!(unsafe { heap::<64>().alloc(Layout::new::<u64>()) }.is_null());
    }
}
