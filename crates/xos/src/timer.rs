// SPDX-License-Identifier: BSD-2-Clause
//! Time, from the timer driver.

use core::time::Duration;

use xos_client::Timer;

use crate::error::{Result, Tried, Trying};
use crate::session::Cached;

static TIMER: Cached = Cached::new("timer");

/// Time since the timer driver started; it never decreases.
///
/// # Errors
/// When there is no timer.
pub fn now() -> Result<Duration> {
    TIMER
        .with(|endpoint| Timer::new(endpoint).now())
        .trying(Tried::Timer)
}

/// Waits at least that long.
///
/// # Errors
/// When there is no timer, or too many are waiting.
pub fn sleep(time: Duration) -> Result<()> {
    TIMER
        .with(|endpoint| Timer::new(endpoint).sleep(time))
        .trying(Tried::Timer)
}

/// The processor's time stamp counter and the time, as [`now`] counts: when the timer driver started, and now.
///
/// # Errors
/// When there is no timer.
pub fn counter() -> Result<[(u64, Duration); 2]> {
    TIMER
        .with(|endpoint| Timer::new(endpoint).counter())
        .trying(Tried::Timer)
}

/// Time since 1970-01-01 UTC by the real-time clock.
///
/// # Errors
/// When there is no timer.
pub fn real_time() -> Result<Duration> {
    TIMER
        .with(|endpoint| Timer::new(endpoint).real_time())
        .trying(Tried::Timer)
}
