// SPDX-License-Identifier: BSD-2-Clause
//! The monitor of a virtual machine: what of it can be tested without one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod clock;
