// SPDX-License-Identifier: BSD-2-Clause

//! Stacks in static memory.

use core::cell::UnsafeCell;

/// A stack of `SIZE` bytes for use in a `static`. On x86-64 it grows from [`bottom`](Self::bottom)
/// downwards.
///
/// The linker script puts a page that no segment covers below the stack of the *main* thread
/// ([`entrypoint!`](crate::entrypoint)), so that overflowing it faults. A `Stack` that a program
/// declares for another thread lies among its other variables, without such a page.
#[repr(C, align(16))]
pub struct Stack<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: a `Stack` gives out only the address of its end.
unsafe impl<const SIZE: usize> Sync for Stack<SIZE> {}

impl<const SIZE: usize> Stack<SIZE> {
    /// A zeroed stack, which costs no room in the image file.
    pub const fn new() -> Self {
        // The first frame is entered by a call: it needs its end, too, on a multiple of 16.
        assert!(
            SIZE.is_multiple_of(16),
            "a stack's size must be a multiple of 16 bytes"
        );
        Self(UnsafeCell::new([0; SIZE]))
    }

    /// The address just past the stack, where RSP starts: a multiple of 16.
    pub const fn bottom(&self) -> *mut u8 {
        self.0.get().cast::<u8>().wrapping_add(SIZE)
    }
}

impl<const SIZE: usize> Default for Stack<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}
