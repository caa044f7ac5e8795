// SPDX-License-Identifier: BSD-2-Clause
//! The timer, as its clients see it.

use core::time::Duration;

use xos_protocol::Result;
use xos_protocol::timer::Op;

use crate::Port;

/// A session on, or channel to, the timer.
#[derive(Clone, Copy, Debug)]
pub struct Timer<P = sel4::cap::Endpoint>(P);

impl<P: Port> Timer<P> {
    /// The timer behind `port`.
    pub const fn new(port: P) -> Self {
        Self(port)
    }

    /// Time since the driver started; it never decreases.
    pub fn now(&self) -> Result<Duration> {
        let [nanoseconds, ..] = self.0.call(Op::Now.label(), [0; 4], 0)?.at_least(1)?;
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Waits at least that long. More than 584 years are cut to that.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let words = [nanoseconds(time), 0, 0, 0];
        self.0.call(Op::Sleep.label(), words, 1).map(drop)
    }

    /// Has the caller's notification signalled at `time`, as [`now`](Self::now) counts. A later call
    /// replaces it; `None` cancels it.
    pub fn alarm(&self, time: Option<Duration>) -> Result<()> {
        // Time 0 has passed in any case: 1 ns says the same and does not cancel.
        let time = time.map_or(0, |time| nanoseconds(time).max(1));
        self.0.call(Op::Alarm.label(), [time, 0, 0, 0], 2).map(drop)
    }

    /// The processor's time stamp counter and the time, as [`now`](Self::now) counts: when the driver started,
    /// and now.
    pub fn counter(&self) -> Result<[(u64, Duration); 2]> {
        let [first, start, last, now] = self.0.call(Op::Counter.label(), [0; 4], 0)?.at_least(4)?;
        Ok([
            (first, Duration::from_nanos(start)),
            (last, Duration::from_nanos(now)),
        ])
    }

    /// Time since 1970-01-01 UTC by the real-time clock.
    pub fn real_time(&self) -> Result<Duration> {
        let [seconds, nanoseconds, ..] =
            self.0.call(Op::RealTime.label(), [0; 4], 0)?.at_least(2)?;
        Ok(Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
