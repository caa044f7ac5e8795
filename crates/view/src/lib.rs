// SPDX-License-Identifier: BSD-2-Clause
//! How the system looks to people: isolation contexts (ICs), what they are promised, who can reach whom.
//!
//! Texts are made here of what the IC manager and the factories answer; who asks them, and where the text is
//! shown, is the caller's: the monitor's commands and the files of `/proc/ic` look the same.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`report`] | lists, one IC, what is left, contracts |
//! | [`graph`] | who can reach whom, in the DOT language |
//! | [`relate`] | the same of two ICs, in words |
//! | [`table`] | tables and sizes |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod cost;
pub mod graph;
pub mod relate;
pub mod report;
pub mod table;

pub use cost::Cost;
