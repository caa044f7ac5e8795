// SPDX-License-Identifier: BSD-2-Clause
//! Time from the processor's time stamp counter, which costs an instruction, where asking the timer
//! driver costs two switches of the address space.

use core::arch::x86_64::_rdtsc;
use core::time::Duration;

/// How long the counter is compared with the timer at least.
const SAMPLE: Duration = Duration::from_millis(10);

/// A clock.
pub struct Clock {
    /// The counter at time 0.
    start: u64,
    /// Nanoseconds per count, as a fraction of 2^32.
    scale: u64,
    /// Nanoseconds since 1970 at time 0.
    epoch: u64,
}

/// The counter.
pub fn count() -> u64 {
    // SAFETY: the instruction reads a counter; the kernel does not forbid it (CR4.TSD is clear).
    unsafe { _rdtsc() }
}

impl Clock {
    /// Compares the counter with the timer.
    pub fn new() -> xos::Result<Self> {
        // The driver has compared the two since it started, which is long enough unless that was just now.
        let [(mut start, mut first), (mut end, mut last)] = xos::timer::counter()?;
        if last.saturating_sub(first) < SAMPLE {
            (start, first) = (end, last);
            xos::timer::sleep(SAMPLE)?;
            [_, (end, last)] = xos::timer::counter()?;
        }
        let nanoseconds = last.saturating_sub(first).as_nanos().max(1);
        let counts = u128::from(end.wrapping_sub(start)).max(1);
        let real = xos::timer::real_time()?.saturating_sub(last);
        // Time begins with the timer's.
        let scale = ((nanoseconds << 32) / counts) as u64;
        let before = (first.as_nanos() << 32) / u128::from(scale.max(1));
        Ok(Self {
            start: start.wrapping_sub(before as u64),
            scale,
            epoch: real.as_nanos() as u64,
        })
    }

    /// Nanoseconds.
    pub fn now(&self) -> u64 {
        let counts = count().wrapping_sub(self.start);
        ((u128::from(counts) * u128::from(self.scale)) >> 32) as u64
    }

    /// Nanoseconds since 1970 at time 0.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}
