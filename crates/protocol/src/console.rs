// SPDX-License-Identifier: BSD-2-Clause
//! Requests to the console (the serial driver).

use crate::factory::ops;
use crate::{Error, Result};

ops! {
    /// What a client asks of the console.
    Op = 0x300 {
        /// Word 0: bytes; then the bytes, packed. Reply: word 0 the bytes taken (all of them; the reply
        /// comes when they are in the queue, which is bounded: output that is not drained makes the
        /// writer wait, nobody else). A record separator (0x1e) begins a frame for the host tool, which is
        /// for the domains of the system description: what a session prints has a `?` in its place.
        Write,
        /// Word 0: the most bytes wanted; word 1: 1 to wait for at least one, 0 not to.
        /// Reply: word 0 the bytes given (0 is the end of input), then the bytes, packed.
        /// When several wait, the one who began last is served first: a program in the foreground reads
        /// before the monitor that started it.
        Read,
        /// Only for the channel of the supervisor: its notification is signalled when the interrupt
        /// character (Ctrl-C) arrives, which is not delivered as input while word 0 is 1.
        Interrupts,
        /// Reply when all output has left the device.
        Flush,
    }
}

/// Bytes that one message carries at most, behind the count.
pub const MAX_BYTES: usize = crate::wire::MAX_BYTES - 16;

/// What a boot domain's line for the log begins with: it is then no part of what a program prints at the
/// same time (`xos_image::console::Frame::Log`). Behind it comes the line, without control characters,
/// and a newline, all in one message.
pub const LOG: &str = "\x1exos:log ";

/// The interrupt character, Ctrl-C.
pub const INTERRUPT: u8 = 3;
