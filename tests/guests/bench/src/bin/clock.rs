// SPDX-License-Identifier: BSD-2-Clause
//! Measures how late the timer wakes somebody whose priority is above all but the drivers': whatever
//! delays the driver shows, and nothing else does. It does nothing until it is told to.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use sel4::cap;
use sel4_microkit::{Channel, NullHandler, protection_domain};
use xos_client::Timer;
use xos_protocol::slots::domain;

// Identifiers of the system description.
const TIMER: Channel = Channel::new(2);
const BENCH: Channel = Channel::new(3);
/// Where the region `board` is mapped: one word, the largest delay in nanoseconds.
const BOARD: *const AtomicU64 = 0x1000_0000 as *const AtomicU64;

/// How long it sleeps at a time, and how often.
const SLEEP: Duration = Duration::from_micros(200);
const TIMES: u32 = 32;

#[protection_domain(heap_size = 4096)]
fn init() -> NullHandler {
    let timer = Timer::new(TIMER.endpoint());
    loop {
        let _ = cap::Notification::from_bits(domain::NOTIFICATION).wait();
        let mut worst = Duration::ZERO;
        for _ in 0..TIMES {
            let late = sleep(&timer).expect("the timer");
            worst = worst.max(late);
        }
        // SAFETY: the description maps it, writable, and everybody uses it as this word.
        unsafe { &*BOARD }.store(worst.as_nanos() as u64, Ordering::SeqCst);
        BENCH.notify();
    }
}

/// Sleeps once: how late it was woken.
fn sleep(timer: &Timer) -> xos_protocol::Result<Duration> {
    let until = timer.now()? + SLEEP;
    timer.sleep(SLEEP)?;
    Ok(timer.now()?.saturating_sub(until))
}
