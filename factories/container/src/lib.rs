// SPDX-License-Identifier: BSD-2-Clause
//! The container factory: an isolation context becomes an OCI container.
//!
//! A container is a process like any other, made by the code of the process
//! factory: its program is a *server*, a personality that gives Linux's system
//! calls to whatever it starts in turn. So the budget of that one IC is the
//! container's: its server, its processes, its files in memory are all drawn on it,
//! the kernel enforces it, and when the IC goes, all of it goes.
//!
//! It is for: what containers have in common whatever runs in them. It finds a
//! container's description and its root file system in the initial file tree,
//! lets all containers of one image map one copy of it, keeps the end of what a
//! container prints, and carries what the holder of the handle wants to the
//! server, which fetches it.
//!
//! It must never
//! * do what the server does: it reads no archive, starts no program, knows no
//!   system call, and another server can be named instead of the usual one;
//! * trust a server: it is the container, and what it says is the container's word
//!   about itself, never about another;
//! * wait for a server, or keep more than a bounded amount for one.
//!
//! | module | its job |
//! | --- | --- |
//! | [`factory`] | the life of a container, and who is answered what |
//! | [`record`] | what is kept of one container |
//! | [`log`] | the end of a container's output |
//! | [`state`] | a container's state, as the runtime specification has it |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod factory;
pub mod log;
pub mod record;
pub mod state;
#[cfg(test)]
mod tests;
