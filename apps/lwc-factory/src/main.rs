// SPDX-License-Identifier: BSD-2-Clause
//! The lwc factory: plugs the library into the machine.
//!
//! It is a program like any other, started by whoever has a budget for it, with the root of its own CSpace:
//! `factory lwc-factory` at the monitor's prompt, `Spec::composes` in a program.
#![no_std]
#![no_main]

mod machine;

use core::convert::Infallible;

use lwc_factory::NAME;
use lwc_factory::factory::{LwcFactory, MAX_LWCS};
use machine::Machine;
use spin::Mutex;
use xos_server::Space;
use xos_server::factory::FactoryServer;

xos::main!(main);

type Server = FactoryServer<LwcFactory<Machine>, MAX_LWCS>;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = Mutex::new(FactoryServer::new(
    LwcFactory::new(Machine, xos::manager()),
    xos::manager(),
    Space::IC,
));

fn main() -> xos::Result<Infallible> {
    xos::service::serve_factory(NAME, &mut SERVER.lock())
}
