// SPDX-License-Identifier: BSD-2-Clause
//! The host tool, as a library: `cargo xtask` is its command line, the package `xos-tests` boots
//! machines with it.
//!
//! | module | its job |
//! | --- | --- |
//! | [`workspace`] | what is in this repository, and where |
//! | [`deps`], [`debian`], [`musl`] | what it needs of the machine; programs of Debian's for guests, and small ones in C |
//! | [`kernel`], [`guest`] | building: the kernel, the programs that run on it |
//! | [`tree`], [`pack`] | packing: the initial file tree, a system that can be booted |
//! | [`sim`], [`frames`] | running: a simulator as a stream of events that always ends |
//! | [`run`], [`exec`], [`tty`] | a machine for a person, for a pipe, for one command |
//! | [`suite`], [`mod@test`], [`conform`], [`check`] | judging: in-guest suites, all tests, one factory, all that is not a test |
//! | [`mod@bench`], [`graph`], [`symbols`] | showing: speed, structure, where a crash was |
//!
//! It must never install, download or change anything outside `target/` unless it is asked to by
//! `deps`, `bench` or `graph`, and it must never wait without an end: what runs in a simulator is
//! allowed to hang, this tool is not. Each error is one line on what failed and what to do, and the
//! serial log where a machine is to blame.

pub mod bench;
pub mod check;
pub mod conform;
pub mod debian;
pub mod deps;
pub mod exec;
pub mod frames;
pub mod graph;
pub mod guest;
pub mod kernel;
pub mod musl;
pub mod pack;
pub mod run;
pub mod sim;
pub mod suite;
pub mod symbols;
pub mod test;
pub mod tree;
pub mod tty;
pub mod userland;
pub mod workspace;
