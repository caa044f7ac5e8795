// SPDX-License-Identifier: BSD-2-Clause
//! The logic of the serial driver: the console that everything prints through.
//!
//! It is responsible for one 16550 on COM1 ([`Line`]) and for sharing it among
//! clients ([`Console`]): output that waits its turn, input for who asked
//! last, the interrupt character for the supervisor. It is raw: echo and line
//! editing are the business of whoever reads.
//!
//! What it must never do, and why:
//!
//! * block, or poll the device: it runs above all apps, and a slow line would
//!   stop them all. Whoever cannot be served at once is answered later; only
//!   *that* client waits;
//! * lose, double or reorder a byte of a client, or put another client's bytes
//!   into the middle of one message: logs and the frames that the host tool
//!   reads are made of whole messages;
//! * let one client starve the others: waiting messages are taken in turns,
//!   client by client ([`output`]), and each client has a bounded share of the
//!   tables;
//! * let a program that merely prints imitate the monitor: the byte that begins
//!   a frame for the host tool is replaced in what sessions print
//!   ([`Console::write`]).
//!
//! Nothing here calls the kernel: ports are reached through
//! `uart_16550::backend::Backend`, and a reply that is due later is an opaque
//! value `R`. So all of it is tested on the host, against a model of the
//! device.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

mod console;
mod input;
mod line;
#[cfg(test)]
#[allow(unsafe_code)] // the trait of the register access is
mod model;
pub mod output;

pub use console::{Answer, Console, Progress};
pub use input::Input;
pub use line::Line;
pub use output::Output;

/// Bytes of output that are queued for the device. More than four messages, so that writers rarely
/// wait, and little enough that what an interrupted program had printed is soon out.
pub const OUTPUT_QUEUE: usize = 4096;
/// Bytes of input that are kept for readers. When it is full the device is not emptied any further,
/// so that a sender with flow control (a simulator's host, for one) waits and nothing is lost.
pub const INPUT_QUEUE: usize = 4096;
/// Messages that can wait for room in the output queue. Each keeps its bytes here: the sender's
/// message registers are overwritten by the next message.
pub const WAITING_WRITERS: usize = 128;
/// Readers that can wait for input.
pub const WAITING_READERS: usize = 64;
/// Clients that can wait for the output to drain.
pub const WAITING_FLUSHES: usize = 32;
/// Of each of these tables a single client may fill a quarter: one client with many threads must not
/// lock out the others.
pub const SHARE: usize = 4;
