// SPDX-License-Identifier: BSD-2-Clause

//! A heap in static memory.
//!
//! The allocator is `talc`; what is here is the lock around it, chosen by each kind of program: one
//! with several threads needs one that blocks, one with a single thread need not pay for it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

use lock_api::{Mutex, RawMutex};
use talc::{DefaultBinning, base::Talc, source::Claim};

/// The memory of a heap of `SIZE` bytes, for use in a `static`. Costs no room in the image file.
///
/// The allocator's own tables, below 1 KiB, are in it too.
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

/// A `#[global_allocator]` behind the lock `R`.
///
/// An allocation that does not fit fails with a null pointer, which `alloc` turns into a panic.
/// Nothing is ever given back beyond the area, and nothing is taken but the area.
pub struct Heap<R> {
    talc: Mutex<R, Talc<Claim, DefaultBinning>>,
}

impl<R> Heap<R> {
    /// A heap in `area` behind `lock`.
    ///
    /// # Safety
    /// Nothing else may use `area`, ever: it must be named by this one call.
    pub const unsafe fn new<const SIZE: usize>(lock: R, area: &'static HeapArea<SIZE>) -> Self {
        // SAFETY: the area is valid for the whole life of the program, and exclusive by contract.
        let source = unsafe { Claim::new(area.start(), SIZE) };
        Self {
            talc: Mutex::from_raw(lock, Talc::new(source)),
        }
    }
}

// SAFETY: every method passes on what the caller guarantees to the same method of `talc`, under the
// lock; what `talc` returns is memory of the area that nobody else has.
unsafe impl<R: RawMutex> GlobalAlloc for Heap<R> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller gives a layout of non-zero size.
        let block = unsafe { self.talc.lock().allocate(layout) };
        block.map_or(ptr::null_mut(), |block| block.as_ptr())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives a block of this heap with its layout.
        unsafe { self.talc.lock().deallocate(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives a block of this heap with its layout, and a non-zero new size.
        if unsafe {
            self.talc
                .lock()
                .try_realloc_in_place(block, layout, new_size)
        } {
            return block;
        }
        // Not in place: the copy is done outside the lock, so that a large one holds nobody up.
        // SAFETY: the caller guarantees that the new size makes a layout; the new block has room
        // for the old one's content, since only growing can fail in place, and is another one.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let new_block = self.alloc(new_layout);
            if !new_block.is_null() {
                ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new_block
        }
    }
}

/// Declares a `#[global_allocator]`: `heap!(size = BYTES, lock = EXPRESSION => TYPE)`, where the lock
/// is a [`lock_api::RawMutex`].
#[macro_export]
macro_rules! heap {
    (size = $size:expr, lock = $lock:expr => $Lock:ty $(,)?) => {
        const _: () = {
            const HEAP_SIZE: usize = $size;

            static HEAP_AREA: $crate::heap::HeapArea<HEAP_SIZE> = $crate::heap::HeapArea::new();

            #[global_allocator]
            static HEAP: $crate::heap::Heap<$Lock> =
                // SAFETY: the area has no name outside this block.
                unsafe { $crate::heap::Heap::new($lock, &HEAP_AREA) };
        };
    };
}
