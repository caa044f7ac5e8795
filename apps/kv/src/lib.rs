// SPDX-License-Identifier: BSD-2-Clause
//! A key-value service.
//!
//! The [server](KvServer) keeps a bounded [table](Store) of entries for its clients, each of which is
//! an isolation context of its own. It shows what a server in an IC has to see to:
//!
//! * who asks is known from the badge alone, so that nobody changes another's entries;
//! * the table is bounded, and so is each client's part of it: one that wants all of it is told that
//!   it cannot have it, and nobody else notices;
//! * a message that makes no sense is answered with an error;
//! * a client that has gone leaves its entries behind: anyone may change them, and they make room
//!   when the table is full.
//!
//! What it must never do is trust a length in a message, wait for a client, or panic because of one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod command;
mod server;
mod store;
pub mod wire;

pub use server::KvServer;
pub use store::{ENTRIES, Key, PER_CLIENT, Store, Value};
pub use wire::{Client, MAX_KEY, MAX_VALUE, Usage};
