// SPDX-License-Identifier: BSD-2-Clause
//! What servers are built on: drivers, factories, services in ICs.
//!
//! A server is a value that implements [`Server`]: it is asked one request at a
//! time and says what the caller gets. [`serve`] runs it: it receives from the
//! domain's endpoint, reads from the badge [who](xos_protocol::Who) is speaking
//! (nothing else says so), and answers with the kernel's combined reply and
//! receive, in registers where four words are enough.
//!
//! ```ignore
//! impl Server for Counter {
//!     fn call(&mut self, who: Who, request: Request<'_>, reply: &mut Reply, _: &mut Deferred) -> Outcome {
//!         match request.label() {
//!             ADD => {
//!                 self.sum += request.word(0);
//!                 reply.ok(&[self.sum])
//!             }
//!             _ => reply.error(Error::NoSuchOperation),
//!         }
//!     }
//! }
//!
//! #[protection_domain]
//! fn init() -> NullHandler {
//!     serve(&mut Counter { sum: 0 })
//! }
//! ```
//!
//! A caller that has to wait is kept in [`Deferred`] and answered later. A
//! server never waits itself: it has one thread, and all its clients stand
//! behind it. Calls go up the ranks only (apps < factories < drivers < manager),
//! which is what excludes deadlock.
//!
//! [`factory`] has the loop for servers that make ICs. `fake` (a feature) runs any server
//! on the host, without a kernel.
#![cfg_attr(not(any(test, feature = "fake")), no_std)]
#![forbid(unsafe_code)]

mod deferred;
pub mod factory;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod faults;
mod kernel;
mod message;
mod run;
mod space;

pub use deferred::{Deferred, SavedReplies, Token};
pub use kernel::{Input, serve, serve_on, serve_while};
pub use message::{Reply, Request};
pub use run::{Kernel, Loop, Outcome, Received, Server};
pub use space::{Parts, Space};
pub use xos_client as client;
pub use xos_client::{Manager, Slots};
pub use xos_protocol as protocol;
