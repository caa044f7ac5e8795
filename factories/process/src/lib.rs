// SPDX-License-Identifier: BSD-2-Clause
//! The process factory: an isolation context becomes a program in an address
//! space of its own.
//!
//! It is for: static x86-64 ELF images of the initial file tree. Read-only
//! segments are loaded once, into a region, and mapped by every instance;
//! the rest is private to each. An instance ends by saying so, by a fault, or by
//! being killed, and whoever waits for it is told which.
//!
//! A process that was started can be frozen, as a model for clones ([`clones`]):
//! what it has in memory is theirs as well, until they write to it.
//!
//! It must never
//! * hold anything of an instance but its parts node: what it composes lies in
//!   the instance's arena, so that the manager alone can take all of it back;
//! * pay for a client: memory is drawn on the budget of the session that asked;
//! * trust an image: [`program`] reads what may be the work of an attacker, whose
//!   harm must end at the process that is made of it.
//!
//! This library holds the decisions, free of system calls but for [`machine`],
//! which carries them out; `main.rs` plugs it into a domain. The container factory
//! makes its containers' servers with the same library.
//!
//! ```text
//! the address space of a process
//!   0x200000 ...       segments of the image, each with its own rights
//!   |                  nothing: a guard
//!   top - stack - ...  stack, growing downward
//!   top - 2 pages      IPC buffer
//!   top - 1 page       start information (arguments, environment, channels)
//!   top                a multiple of 2 MiB, so that a small program needs one page table
//! ```
#![cfg_attr(not(any(test, feature = "model")), no_std)]
// But for `machine`.
#![deny(unsafe_code)]

pub mod arena;
pub mod clones;
pub mod compose;
pub mod factory;
pub mod files;
pub mod images;
pub mod kernel;
pub mod layout;
pub mod machine;
#[cfg(any(test, feature = "model"))]
#[allow(missing_docs, reason = "for the tests of factories alone")]
pub mod model;
pub mod pages;
pub mod program;
pub mod regions;
mod supply;
#[cfg(test)]
mod tests;
