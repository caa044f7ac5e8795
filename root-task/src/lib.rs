// SPDX-License-Identifier: BSD-2-Clause
//! The initial task: builds the system, gives the rest away, supervises.
//!
//! The kernel starts one program and gives it the whole machine. This is that program. It reads the
//! payload that the host tool appended to its image ([`xos_image`]), builds the protection domains
//! that it describes, gives all memory that is left, and control over interrupts and address space
//! identifiers, to the domain named `ic_manager`, starts everybody, and from then on only reacts: to
//! crashes of domains, and to the manager. In a system without a manager the rest stays unused.
//!
//! What it must never do:
//! * wait for anybody. It has the highest priority, and everybody's rescue depends on it; so it
//!   calls no server, sends without blocking, and answers at once.
//! * trust a domain. Faults can be forged by whoever holds a fault endpoint, which is each domain for
//!   its own; registers and memory of a dead domain are its last words and no more.
//! * interpret more than it must. XML, ELF and symbol tables stay on the host.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`plan`] | everything, before the first kernel call |
//! | [`memory`] | which untyped memory becomes what |
//! | [`objects`] | what exists, and how large it is |
//! | [`layout`], [`space`] | what is mapped where, and below which paging structures |
//! | [`cspace`] | who holds capabilities for what |
//! | [`supervise`] | what happens to a domain that crashed |
//! | [`restart`] | whether it is started again |
//! | [`report`] | what is printed about it |
//!
//! These make no kernel calls and are tested on the host; the program around them carries out what
//! they say.
//!
//! # One arena a domain
//! All objects of a domain come from one untyped object of its own. Destroying the domain, whatever
//! it did, is revoking that untyped, and building it again is carrying out its part of the plan
//! again, with the same slots. What others hold of it must survive that: endpoint, notification and
//! replies node, which are made from memory of the system's, and regions, from their own.
//!
//! # The reply stub
//! Who calls a server waits until it is answered, and the kernel forgets callers of a thread that is
//! deleted: they would wait for ever. Only the dead thread itself can answer its last caller, so it
//! is made to: a page of the root task's, mapped read-only in every domain, holds an instruction
//! that replies with [`ServerDied`](xos_protocol::Error::ServerDied) and one that faults, which tells
//! the root task that it is done. The same page holds the undertaker, a loop that answers every
//! caller so, which takes the place of a domain that is not started again.
//!
//! # Order of start
//! The root task makes all domains runnable before any of them runs. Then priorities decide, and
//! among equals the kernel runs first whom it was told of last: the manager, before it the others
//! from the last in the description to the first.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cspace;
pub mod layout;
pub mod memory;
pub mod objects;
pub mod plan;
pub mod report;
pub mod restart;
pub mod space;
pub mod supervise;
#[cfg(test)]
mod testing;
