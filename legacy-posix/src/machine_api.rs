// SPDX-License-Identifier: BSD-2-Clause
//! What the parts of the program that plugs the server into the machine agree on.

/// How long the thread that waits for time sleeps at most, in nanoseconds: what is due sooner than
/// anything before is late by as much at most. Linux's timer ticks as often.
pub const MAX_NAP: u64 = 4_000_000;
/// "Nothing is due."
pub const NO_ALARM: u64 = u64::MAX;
