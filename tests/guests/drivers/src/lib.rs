// SPDX-License-Identifier: BSD-2-Clause
//! What judge and peer have in common: a board of words, and what the peer does when it is told.
#![no_std]

use core::sync::atomic::{AtomicU64, Ordering};

use sel4_microkit::Channel;
use xos_client::{Console, Timer};

/// Heap of each domain, in bytes. Nothing allocates, but libraries could.
pub const HEAP_SIZE: usize = 8 * 1024;

/// Identifiers of the system description, the same in both.
pub const CONSOLE: Channel = Channel::new(1);
/// See [`CONSOLE`].
pub const TIMER: Channel = Channel::new(2);
/// See [`CONSOLE`].
pub const OTHER: Channel = Channel::new(3);

/// Where the region `board` is mapped.
const BOARD: usize = 0x1000_0000;

/// The words of the board.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Note {
    /// What the peer is to do: [`Deed`].
    Deed,
    /// Its argument.
    Argument,
    /// What came of it; 0 while it is at it.
    Result,
}

/// What the peer does.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Deed {
    /// Sleeps so many nanoseconds; the result is the time after it.
    Sleep,
    /// Prints so many lines; the result is 1.
    Print,
    /// Asks to be told of the interrupt character; the result is 1 if it is, else 2 + the error's label.
    Intercept,
}

/// A word of the board.
pub fn note(note: Note) -> &'static AtomicU64 {
    let word = BOARD as *const AtomicU64;
    // SAFETY: the description maps the board, writable, in both domains, and both use it as words.
    unsafe { &*word.add(note as usize) }
}

/// Reads a word of the board.
pub fn read(what: Note) -> u64 {
    note(what).load(Ordering::SeqCst)
}

/// Writes a word of the board.
pub fn write(what: Note, value: u64) {
    note(what).store(value, Ordering::SeqCst);
}

/// The console, by this domain's channel.
pub fn console() -> Console {
    Console::new(CONSOLE.endpoint())
}

/// The timer, by this domain's channel.
pub fn timer() -> Timer {
    Timer::new(TIMER.endpoint())
}
