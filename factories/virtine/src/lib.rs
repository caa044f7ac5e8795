// SPDX-License-Identifier: BSD-2-Clause
//! The virtine factory: an isolation context becomes a function that is called in a context of its own.
//!
//! It is for: functions whose argument, or whose code, nobody should trust, such as a parser of what came
//! from a stranger. A call sees its argument, what its image was prepared to be, and nothing of any other
//! call; it has no capability but the one by which it answers, and makes no hypercall that its caller has not
//! granted. A call that crashes, runs for too long or touches too much memory is an error for its caller, and
//! the context is there for the next one.
//!
//! It must never
//! * run a virtine's code on what an earlier call left: the [`trampoline`] runs first, always;
//! * map or read a page of a virtine's: what is in there may change or vanish at any moment;
//! * pay for a client, or wait for one: a call is the context's affair, and its caller is kept meanwhile;
//! * trust an image, an argument or a hypercall.
//!
//! A context is kept from one call to the next. What that costs is in [`memory`]: pages that calls write stay
//! writable and are put back, a page at 512 words, and all further ones are given back to the kernel.
//!
//! This library holds the decisions, free of system calls but for [`machine`], which carries them out;
//! `main.rs` plugs it into a domain. Contexts are address spaces with one thread each (`vspace`); what is
//! different where there are virtual processors is in [`vcpu`].
//!
//! # Cost
//! Kernel entries of a call from the pool, of short argument and result, that touches no page for the first
//! time: the client's call, which is kept; registers and resume; the receive that lets it run; its call with
//! the result, which is passed on; the receive for the next one. Six, of which two are fast.
#![cfg_attr(not(test), no_std)]
// But for `machine` and `trampoline`.
#![deny(unsafe_code)]

pub mod factory;
pub mod kernel;
#[allow(unsafe_code)]
pub mod machine;
pub mod memory;
#[cfg(test)]
mod tests;
#[allow(unsafe_code)]
pub mod trampoline;
pub mod vcpu;
