// SPDX-License-Identifier: BSD-2-Clause
//! Requests to the timer driver.

use crate::factory::ops;
use crate::{Error, Result};

ops! {
    /// What a client asks of the timer.
    Op = 0x320 {
        /// Reply: word 0 nanoseconds since the driver started, never decreasing.
        Now,
        /// Word 0: nanoseconds. Reply after that time, never before.
        Sleep,
        /// Word 0: an absolute time in nanoseconds; word 1: root slot of nothing (0). The client's channel
        /// or session notification is signalled then. One per client; a new one replaces it, time 0 cancels it.
        Alarm,
        /// Reply: word 0 seconds since 1970-01-01 UTC by the real-time clock, word 1 nanoseconds.
        RealTime,
    }
}
