// SPDX-License-Identifier: BSD-2-Clause
//! The logic of the timer driver: monotonic time, sleep, alarms, and the date.
//!
//! The device is the HPET (IA-PC HPET specification 1.0a): one 64-bit counter
//! that only counts, and a comparator that interrupts once when the counter
//! reaches it. That is all a timer needs, and it is the only device of a PC
//! that has both: the PIT's counter wraps every 55 ms, the local APIC's timer
//! is the kernel's own, and the time-stamp counter interrupts nobody and has a
//! frequency that must be guessed. There is no tick: the comparator is set to
//! the earliest deadline, and while nobody waits nothing happens. QEMU and
//! Bochs have the device, and so has every PC since 2005.
//!
//! What it must never do, and why:
//!
//! * wake a client early: who asked for 10 ms has a reason. All conversions
//!   round so that the waiting is at least what was asked for ([`Clock`]);
//! * miss a deadline: setting a comparator that the counter has passed already
//!   would mean an interrupt in five thousand years ([`Hpet::arm`]);
//! * let one client take all places for waiting ([`Deadlines`]).
//!
//! Nothing here calls the kernel. Device registers are behind [`hpet::Registers`]
//! and [`rtc::Cmos`], a reply that is due later is an opaque value.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod clock;
mod deadlines;
mod heap;
pub mod hpet;
pub mod rtc;
mod timer;

pub use clock::Clock;
pub use deadlines::{Deadlines, Due};
pub use hpet::{Hpet, NoHpet};
pub use timer::{Progress, Timer};

/// Clients that can wait at a time. Fewer than the reply capabilities that a server can keep (256).
pub const WAITING: usize = 240;
/// Of these a single client may take a quarter: one client with many threads must not lock out the others.
pub const SHARE: usize = 4;
