// SPDX-License-Identifier: BSD-2-Clause
//! Requests to the timer driver.

use crate::factory::ops;
use crate::{Error, Result};

ops! {
    /// What a client asks of the timer.
    Op = 0x320 {
        /// Reply: word 0 nanoseconds since the system started, never decreasing.
        Now,
        /// Word 0: nanoseconds. Reply after that time, never before.
        Sleep,
        /// Word 0: an absolute time in nanoseconds; word 1: 0. The client is notified on its channel then.
        /// One per client; a new one replaces it, time 0 cancels it. Only for channels of the system
        /// description; a session has no notification, and is answered
        /// [`NotSupported`](crate::Error::NotSupported): it sleeps in a thread of its own instead.
        Alarm,
        /// Reply: word 0 seconds since 1970-01-01 UTC by the real-time clock, word 1 nanoseconds.
        RealTime,
        /// Reply: the processor's time stamp counter and the time, as [`Now`](Self::Now) has it, when the driver
        /// started; then the same of now. Whoever wants to tell time from the counter learns its rate from these.
        Counter,
    }
}
