// SPDX-License-Identifier: BSD-2-Clause
//! Values that each thread has for itself.
//!
//! Stable Rust has no thread-local variables without `std`. What takes their
//! place is a [`Key`]: a static by which every thread finds a value of its own,
//! made when it is first asked for.
//!
//! ```ignore
//! static CALLS: Key<Cell<u32>> = Key::new(|| Cell::new(0));
//! CALLS.with(|calls| calls.set(calls.get() + 1));
//! ```
//!
//! The thread pointer (FS base) is set by whoever starts a thread, to a block of
//! words that only this module uses ([`xos_protocol::start`]):
//!
//! | word | holds |
//! | --- | --- |
//! | 0 | the block's own address: how the thread finds it |
//! | 1, 2 | address and length of the program's start information |
//! | 3 | root slot of the capability by which the thread ends |
//! | 4.. | values of keys, 0 where there is none yet |

use alloc::boxed::Box;
use core::arch::asm;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use xos_protocol::start::TLS_BYTES;

const WORDS: usize = TLS_BYTES as usize / 8;
/// Where the values of keys begin.
const FIRST_KEY: usize = 4;
/// Keys that a program can have.
pub const KEYS: usize = WORDS - FIRST_KEY;

/// What a thread knows about itself from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Own {
    /// Address of the start information; 0 for none.
    pub info: usize,
    /// Its length in bytes.
    pub info_len: usize,
    /// Root slot of the capability by which it ends.
    pub exit: u32,
}

/// Prepares the block of a thread that has just begun.
///
/// # Safety
/// `block` is this thread's thread pointer, as [`xos_protocol::start`] says, and this is the first that
/// the thread does with it.
pub(crate) unsafe fn init(block: *mut usize, own: Own) {
    // SAFETY: the block is so many words large, and this thread's alone.
    unsafe {
        block.write(block as usize);
        block.add(1).write(own.info);
        block.add(2).write(own.info_len);
        block.add(3).write(own.exit as usize);
    }
}

#[inline]
fn block() -> *mut usize {
    let block;
    // SAFETY: a read of the first word of this thread's block, which `init` wrote.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) block, options(pure, readonly, nostack, preserves_flags));
    }
    block
}

/// What this thread knows from its start.
pub(crate) fn own() -> Own {
    let block = block();
    // SAFETY: `init` wrote these words, and nothing changes them.
    unsafe {
        Own {
            info: block.add(1).read(),
            info_len: block.add(2).read(),
            exit: block.add(3).read() as u32,
        }
    }
}

/// How the values of each key are dropped; the number of functions is the number of keys in use.
static DROPS: [AtomicPtr<()>; KEYS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; KEYS];
static USED: AtomicUsize = AtomicUsize::new(0);

/// A value of type `T` for each thread.
pub struct Key<T: 'static> {
    /// Word of the block, or 0 when none has asked yet.
    word: AtomicUsize,
    init: fn() -> T,
    values: PhantomData<fn() -> T>,
}

impl<T: 'static> Key<T> {
    /// A key whose values are made by `init`, on the heap, when a thread first asks for its own.
    pub const fn new(init: fn() -> T) -> Self {
        Self {
            word: AtomicUsize::new(0),
            init,
            values: PhantomData,
        }
    }

    /// The key's word in every block.
    ///
    /// # Panics
    /// If the program has more than [`KEYS`] keys.
    fn word(&self) -> usize {
        let word = self.word.load(Ordering::Acquire);
        if word != 0 {
            return word;
        }
        let key = USED.fetch_add(1, Ordering::Relaxed);
        assert!(key < KEYS, "more than {KEYS} thread-local keys");
        DROPS[key].store(drop_value::<T> as *mut (), Ordering::Release);
        // Of two threads that ask at the same time the first wins; the other's word is never used.
        let word = FIRST_KEY + key;
        match self
            .word
            .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => word,
            Err(first) => first,
        }
    }

    /// Calls `f` with this thread's value.
    ///
    /// # Panics
    /// If the program has too many keys, or no memory for the value.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the word belongs to this key, so that what is in it, if anything, is a box of a `T` of
        // this thread. It is dropped when the thread ends, not before.
        unsafe {
            let word = block().add(self.word());
            if word.read() == 0 {
                // First the value, then the word: `init` may use the key itself.
                let value = Box::into_raw(Box::new((self.init)()));
                let earlier = word.replace(value as usize);
                if earlier != 0 {
                    drop_value::<T>(earlier);
                }
            }
            f(&*(word.read() as *const T))
        }
    }
}

/// # Safety
/// `value` is the address of a box of a `T` that nobody uses.
unsafe fn drop_value<T>(value: usize) {
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(value as *mut T) });
}

/// Drops this thread's values, those of later keys first. A value that is asked for anew meanwhile is
/// dropped, too, or, after a few rounds, left where it is.
///
/// # Safety
/// Nothing of the thread's values is in use.
pub(crate) unsafe fn end() {
    for _ in 0..4 {
        let mut left = false;
        for key in (0..USED.load(Ordering::Acquire).min(KEYS)).rev() {
            // SAFETY: the words of keys hold 0 or the address of a box that the key's function drops.
            unsafe {
                let value = block().add(FIRST_KEY + key).replace(0);
                let drop_value = DROPS[key].load(Ordering::Acquire);
                if value != 0 && !drop_value.is_null() {
                    left = true;
                    core::mem::transmute::<*mut (), unsafe fn(usize)>(drop_value)(value);
                }
            }
        }
        if !left {
            return;
        }
    }
}

const _: () = assert!(WORDS > FIRST_KEY);
