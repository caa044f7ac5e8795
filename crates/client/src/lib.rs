// SPDX-License-Identifier: BSD-2-Clause
//! Typed calls of the IC manager, of factories and of drivers, for whoever
//! holds a session on them: programs in ICs, boot domains, factories themselves.
//!
//! | type | speaks |
//! | --- | --- |
//! | [`Manager`] | `xos_protocol::manager` |
//! | [`Factory`], [`Handle`] | `xos_protocol::factory` |
//! | [`Container`], [`ContainerServer`] | `xos_protocol::container` |
//! | [`Console`] | `xos_protocol::console` |
//! | [`Timer`] | `xos_protocol::timer` |
//!
//! Each is a name of a capability, as small as one and `Copy`: it owns nothing
//! and closes nothing. What owns sessions and handles is built above (`xos`
//! for programs, `xos-server` for servers).
//!
//! All of them reach their server through a [`Port`]. The real one is an
//! endpoint capability; in tests it is whatever answers, so that code written
//! to these types runs on the host.
//!
//! It must never trust a server further than it has to: a reply is decoded as
//! totally as a request is, and one that does not decode is an error.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod console;
mod container;
mod factory;
mod manager;
mod port;
mod slots;
mod timer;

pub use console::Console;
pub use container::{Buffer, Container, ContainerServer};
pub use factory::{Factory, Handle};
pub use manager::{Manager, Session};
pub use port::{Answer, Port};
pub use slots::Slots;
pub use timer::Timer;
pub use xos_protocol as protocol;
