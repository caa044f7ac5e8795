// SPDX-License-Identifier: BSD-2-Clause
//! What xOS components say to each other.
//!
//! Every message is a seL4 message: a label, and up to 120 words. Small
//! requests are packed into the four words that travel in registers (the
//! kernel's IPC fast path takes no more); structured ones are
//! [postcard](https://postcard.jamesmunns.com)-encoded into the words.
//!
//! The rules that hold for every decoder here, because its input is whatever a
//! hostile program put into its message registers:
//!
//! * it is total: any words give a value or an [`Error`], never a panic;
//! * it is bounded: a decoded value owns no heap memory;
//! * nothing in a message says who sent it. Identity is the [`badge`] alone,
//!   and all badges are minted by the IC manager.
//!
//! | module | between |
//! | --- | --- |
//! | [`manager`] | anyone with a manager session and the IC manager |
//! | [`factory`] | a client and a factory; an IC and the factory it lives in |
//! | [`container`] | the holder of a container's handle, its factory, and the server within it |
//! | [`console`], [`timer`] | a client and a driver |
//! | [`start`] | a factory and the program that it starts |
//! | [`supervisor`] | the IC manager and the root task |
//! | [`virtine`] | a client, the virtine factory and a virtine |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod badge;
pub mod console;
pub mod container;
pub mod contract;
mod error;
pub mod factory;
pub mod ic;
pub mod manager;
pub mod slots;
pub mod start;
pub mod supervisor;
pub mod timer;
pub mod virtine;
pub mod wire;

pub use badge::{Badge, Who};
pub use contract::Contract;
pub use error::{Error, Result};
pub use ic::{ExitStatus, Fault, IcId, IcState, Name, RegionId, Subject};
