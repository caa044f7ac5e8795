// SPDX-License-Identifier: BSD-2-Clause
//! The backend for virtual processors: an image is a 32-bit program in ring 3 of a virtual processor, behind
//! second-stage translation, and what would be a kernel there is a page of code ([`trampoline`]).
//!
//! The virtual processor belongs to a *monitor*, a program in the virtine's own IC (`apps/virtine-monitor`),
//! which is called by the client directly, runs the virtine within that call, and puts it back. So a call costs
//! one message and its answer, one entry of the virtual processor and its exit, and what it wrote. The
//! [factory] makes ICs, and is not concerned with calls.
//!
//! | module | its job |
//! | --- | --- |
//! | [`layout`] | addresses, and what is said by whom |
//! | [`memory`] | page tables, images, what a call has written |
//! | [`trampoline`] | the code in ring 0 |
//! | [`call`] | the life of a call |
//! | [`factory`] | what the vm factory's library is told to make |

pub mod call;
pub mod factory;
pub mod layout;
pub mod memory;
#[cfg(test)]
mod tests;
#[allow(unsafe_code)]
pub mod trampoline;
