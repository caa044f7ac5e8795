// SPDX-License-Identifier: BSD-2-Clause
//! What programs in isolation contexts (ICs) are built on.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! use xos::{ExitStatus, MiB, Spec, println};
//!
//! xos::main!(main);
//!
//! fn main() -> xos::Result<()> {
//!     let ic = xos::factory("process")?.create(&Spec::image("hello").memory(MiB(2)).arg("world"))?;
//!     ic.start()?;
//!     assert_eq!(ic.wait()?, ExitStatus::Code(0));
//!     println!("hello has ended");
//!     Ok(())
//! }
//! ```
//!
//! | part | what it gives |
//! | --- | --- |
//! | [`main!`] | the start of the program, its heap, its end |
//! | [`args`], [`env`](fn@env), [`var`], [`channel`] | what the program was started with |
//! | [`print!`], [`println!`], [`eprintln!`] | the console, by lines |
//! | [`factory`], [`Spec`], [`Ic`] | other ICs |
//! | [`Snapshot`], [`stand`] | clones of other ICs, and of this program |
//! | [`thread`](mod@thread), [`sync`], [`tls`] | threads, their mutexes and their own values |
//! | [`service`] | being a server, and calling one |
//! | [`region`], [`link`] | shared memory, and everything else that ICs can have in common |
//! | [`timer`] | time |
//! | [`virtine`] | functions that are called in a context of their own |
//! | [`manager`] | the IC manager itself, for all else |
//!
//! Nothing here is a right: a program can do what its capabilities let it do
//! (a session on the IC manager, usually), and this crate is one way to use
//! them. A program that wants another way leaves it out.
//!
//! A program is built with the flags of `xos_runtime::flags`.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod cspace;
mod error;
mod factory;
mod ic;
mod info;
pub mod link;
mod output;
mod program;
pub mod region;
pub mod service;
mod session;
mod snapshot;
mod spec;
pub mod sync;
pub mod thread;
pub mod timer;
pub mod tls;
pub mod virtine;

pub use cspace::{Slot, available_slots, radix as cspace_radix, reserve_slots, take_slot};
pub use error::{Error, Result, Tried};
pub use factory::{Factory, factory, factory_with};
pub use ic::{Ic, connect};
pub use info::{args, channel, env, var};
pub use output::flush;
pub use program::{Termination, begin_copy, exit, exit_now};
pub use session::Session;
pub use snapshot::{Snapshot, stand};
pub use spec::{KiB, MiB, Spec};

pub use xos_client as client;
pub use xos_protocol as protocol;
pub use xos_protocol::{Contract, ExitStatus, Fault, IcId, IcState};
pub use xos_runtime::abort;
pub use xos_runtime::guarded;
pub use xos_runtime::heap::used as heap_used;
pub use xos_server as server;

use xos_client::Manager;
use xos_protocol::slots::{ic as slot, leaf};

/// The program's session on the IC manager.
pub const fn manager() -> Manager {
    Manager::new(sel4::cap::Endpoint::from_bits(leaf(slot::MANAGER)))
}

/// Which IC this program is.
///
/// # Errors
/// When the program has no session on the manager.
pub fn id() -> Result<IcId> {
    manager()
        .ping()
        .map_err(|why| Error::new(Tried::Manager, why))
}

#[doc(hidden)]
pub mod _private {
    pub use crate::output::print;
    pub use crate::program::{NoHeap, start};
    pub use crate::sync::{HeapLock, heap_lock};
    pub use xos_runtime::{entrypoint, heap};
}
