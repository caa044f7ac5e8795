// SPDX-License-Identifier: BSD-2-Clause
//! What the image of a virtine is built on: a function that is called in a context of its own.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! xos_virtine::function!(count);
//!
//! fn count(text: &[u8]) -> [u8; 8] {
//!     (text.split(|byte| *byte == b'\n').count() as u64).to_le_bytes()
//! }
//! ```
//!
//! Each call begins with memory as the image made it before the first one (`prepare`), and nothing of what a
//! call does is there in the next. So there is nothing to clean up: the [heap](Heap) gives nothing back, and a
//! panic is an error for the caller and nothing else.
//!
//! A virtine has no capability but the one by which it returns and makes [hypercalls](hypercall), those
//! that its caller granted. It has no thread-local variables: FS and GS mean nothing.
//!
//! An image is built with the flags of `xos_runtime::flags`, as every program is.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod heap;

use alloc::vec;
use alloc::vec::Vec;

use sel4::{MessageInfo, cap};
use xos_protocol::slots::{ic, leaf};
use xos_protocol::virtine::{BUFFER, Hypercall, MAX_PART, MORE, PART};

pub use heap::Heap;

/// Declares the function that the image is: `fn(&[u8]) -> T` with `T: AsRef<[u8]>`, and the heap of the image.
///
/// - `function!(f)`
/// - `function!(f, prepare = g)`: `g`, a `fn()`, runs once, before the first call; every call begins with
///   the memory that it left.
#[macro_export]
macro_rules! function {
    ($function:path $(,)?) => {
        $crate::function!($function, prepare = $crate::_private::nothing);
    };
    ($function:path, prepare = $prepare:path $(,)?) => {
        const _: () = {
            #[global_allocator]
            static HEAP: $crate::Heap = $crate::Heap::new();

            unsafe extern "C" fn called(argument: *const u8, length: usize) -> ! {
                // SAFETY: only `begin` calls this, with the registers of a call's beginning.
                unsafe { $crate::_private::call(argument, length, $function) }
            }

            #[unsafe(naked)]
            unsafe extern "C" fn begin() -> ! {
        ::core::arch::naked_asm!("call {called}", "ud2", called = sym called)
            }

            unsafe extern "C" fn prepare() -> ! {
                // SAFETY: only `_start` calls this, once.
                unsafe { $crate::_private::prepare($prepare, begin) }
            }

            $crate::_private::entrypoint!(prepare);
        };
    };
}

/// Where everything that leaves a virtine goes.
const FACTORY: cap::Endpoint = cap::Endpoint::from_bits(leaf(ic::ITSELF));
/// Message words that travel in registers.
const SHORT: usize = 4;

/// The word of the IPC buffer for message word `i`.
fn message_word(i: usize) -> *mut u64 {
    // The first word of the buffer is the tag.
    (BUFFER as *mut u64).wrapping_add(1 + i)
}

/// Says something to the factory: a word, and these bytes. Gives the reply's length and first words.
fn say(what: Hypercall, first: u64, bytes: &[u8]) -> (usize, [u64; SHORT]) {
    let mut words = [first, 0, 0, 0];
    let mut len = 1;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        match words.get_mut(len) {
            Some(place) => *place = word,
            // SAFETY: the IPC buffer is this execution's own, and has room for as many words as there are in
            // MAX_PART bytes behind the first.
            None => unsafe { message_word(len).write_volatile(word) },
        }
        len += 1;
    }
    let reply = FACTORY.call_with_mrs(MessageInfo::new(what.label(), 0, 0, len), words);
    (reply.info.length(), reply.msg)
}

/// Makes a hypercall: bytes in, bytes out, at most [`MAX_PART`] in either direction. The call ends here if
/// its caller has not granted this number (0 to 31).
///
/// # Panics
/// If the bytes are too many.
pub fn hypercall(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() <= MAX_PART, "too many bytes for a hypercall");
    let (len, words) = say(
        Hypercall::Ask,
        bytes.len() as u64 | u64::from(number) << 32,
        bytes,
    );
    let count = (words[0] as usize)
        .min(MAX_PART)
        .min(8 * len.saturating_sub(1));
    let mut answer = vec![0; count];
    for (i, chunk) in answer.chunks_mut(8).enumerate() {
        let word = match words.get(1 + i) {
            Some(word) => *word,
            // SAFETY: as in `say`; the kernel has written so many words there.
            None => unsafe { message_word(1 + i).read_volatile() },
        };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    answer
}

/// Ends the call with a result.
fn give(result: &[u8]) -> ! {
    let mut rest = result;
    while rest.len() > MAX_PART {
        let (part, behind) = rest.split_at(MAX_PART);
        hypercall(PART, part);
        rest = behind;
    }
    loop {
        // There is no reply.
        say(Hypercall::Return, rest.len() as u64, rest);
    }
}

#[doc(hidden)]
pub mod _private {
    use super::*;

    pub use xos_runtime::entrypoint;

    /// Prepares nothing.
    pub fn nothing() {}

    /// Everything between `_start` and the first call.
    ///
    /// # Safety
    /// To be called once, by the entry of an image.
    pub unsafe fn prepare(prepare: fn(), begin: unsafe extern "C" fn() -> !) -> ! {
        // SAFETY: the caller's.
        unsafe { xos_runtime::run_constructors() };
        prepare();
        loop {
            // There is no reply.
            say(Hypercall::Ready, begin as *const () as u64, &[]);
        }
    }

    /// Everything between the beginning of a call and its end.
    ///
    /// # Safety
    /// `argument` is the address of the argument's first part and `length` the length of all of it, as a
    /// virtine has them in its registers when it is called.
    pub unsafe fn call<T: AsRef<[u8]>>(
        argument: *const u8,
        length: usize,
        function: fn(&[u8]) -> T,
    ) -> ! {
        // One word less: the length travels with a long argument's first part.
        const FIRST: usize = MAX_PART - 8;
        // SAFETY: the caller's; who passes more than a part passes all but one word of it at first.
        let first = unsafe {
            let there = if length > MAX_PART { FIRST } else { length };
            core::slice::from_raw_parts(argument, there)
        };
        if first.len() == length {
            give(function(first).as_ref());
        }
        let mut all = Vec::with_capacity(length);
        all.extend_from_slice(first);
        while all.len() < length {
            let more = hypercall(MORE, &[]);
            if more.is_empty() {
                break;
            }
            all.extend_from_slice(&more);
        }
        give(function(&all).as_ref());
    }
}
