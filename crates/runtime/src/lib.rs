// SPDX-License-Identifier: BSD-2-Clause

//! What a guest program needs beneath its `main`.
//!
//! Root task, protection domains and programs of isolation contexts are `#![no_std]` programs for
//! the ordinary target `x86_64-unknown-linux-gnu` on stable Rust. What an operating system's C
//! library and loader would contribute is here, without a single call of the kernel, so that the
//! crates for each kind of program share it:
//!
//! | part | what it is |
//! | --- | --- |
//! | `guest.ld`, [`flags`] | the memory image of a program and the flags that make one |
//! | [`entrypoint!`], [`stack`] | `_start`, with or without a stack of the program's own |
//! | [`mem`] | `memcpy` and its family |
//! | [`guarded`] | copies from and to memory that can be taken away meanwhile |
//! | [`heap!`], [`mod@heap`] | a `#[global_allocator]` in static memory |
//! | [`panicking`], [`abort!`] | the panic handler, hooks, abort |
//! | [`panic_report`] | how the supervisor learns why a program ended |
//! | [`tls`] | the layout of thread-local storage, for whoever starts a thread |
//!
//! A guest links this crate exactly once and never another panic handler. Programs do not use it
//! directly: `sel4-root-task`, `sel4-microkit` and the library for applications do.
//!
//! Everything that would collide with a hosted program (the panic handler, the C names of the memory
//! functions) exists only under `--cfg xos_guest`, one of the [`flags`], so that libraries above
//! this crate are compiled and tested on the host as they are.

#![no_std]

mod entry;
pub mod flags;
pub mod guarded;
pub mod heap;
pub mod mem;
pub mod panic_report;
pub mod panicking;
pub mod stack;
pub mod tls;

pub use entry::run_constructors;
