// SPDX-License-Identifier: BSD-2-Clause
//! Legacy POSIX: Linux's system calls for unmodified static x86-64 programs.
//!
//! # What it is for
//!
//! One instance serves one tree of Linux processes with a file tree of its own: the shell that one
//! lives in, or a container. It is an ordinary program in an isolation context (IC) and pays for
//! everything from its own budget. It composes an IC for each address space, is the pager and the
//! fault handler of what runs there, and does what the system calls ask.
//!
//! # What it must never do
//!
//! * **Wait for a program.** There is one loop; each system call is done, or set aside until
//!   something wakes it ([`Flow`], [`wait`]), and the next is looked at.
//! * **Trust a program.** Registers, pointers and what they point to are the work of an attacker. User
//!   memory is read and written through the server's own mapping of the frames, after a look-up in
//!   the map that the server itself keeps ([`mm`]): what the program does to its own mappings
//!   meanwhile cannot lead elsewhere.
//! * **Give a program a capability that it can use.** A program's CSpace holds what the kernel needs to
//!   report its faults, and nothing else.
//! * **Let one program's hunger be felt by another.** Limits are Linux's resource limits, and memory that
//!   is not there is `ENOMEM` or the end of the one who asks.
//! * **Fall because of anything that a program does.**
//!
//! # How a call travels
//!
//! The kernel runs without the `syscall` instruction, which is therefore an invalid opcode: the thread
//! stops, and its fault arrives at the server's endpoint with a badge that names the thread. The server
//! reads the registers, does the call, writes the result and the address behind the instruction,
//! and lets the thread go on.
//!
//! A call that cannot be done yet is *run again*, from the same registers, when something that it waits
//! for has happened: so there are no half-done calls whose state would have to be kept, but for the
//! little in [`Progress`].
//!
//! # Where things are
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`mm`] | address spaces: mappings, pages, copy on write |
//! | [`wait`], [`futex`], [`timers`] | who waits for what |
//! | [`signal`] | what is pending, and what is done about it |
//! | [`task`], [`id_map`], [`server`] | processes and threads, and everything that happens to them |
//! | [`elf`], [`boot`] | programs, and the first of them |
//! | [`container`](mod@container) | a server whose processes are a container |
//! | [`syscall`] | from a call's number to what does it |
//! | [`kernel`], [`gate`] | what is needed of the machine; how a thread returns from a call |
//! | [`vfs`] | what paths name, who may, file systems: tmpfs and `/proc` |
//! | [`file`](mod@file) | open files, and what calls do with them |
//! | [`pipe`], [`event`], [`socket`], [`poll`], [`tty`] | what can be open besides files |
//!
//! All of it runs on the host, on a model of the kernel; `main.rs` plugs it into the machine.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod buffer;
pub mod container;
pub mod credentials;
pub mod elf;
pub mod errno;
pub mod event;
pub mod file;
pub mod flow;
pub mod futex;
pub mod gate;
pub mod id;
pub mod id_map;
pub mod kernel;
pub mod machine_api;
pub mod mm;
pub mod pages;
pub mod pipe;
pub mod poll;
pub mod server;
pub mod signal;
pub mod socket;
pub mod syscall;
pub mod task;
pub mod timers;
pub mod tty;
pub mod vfs;
pub mod wait;

pub use buffer::{Buffer, Segment};
pub use credentials::Credentials;
pub use errno::{Errno, Result};
pub use flow::{Flow, Progress};
pub use id::{ProcessId, ThreadId};
pub use pages::{PAGE, Page, Pages};
