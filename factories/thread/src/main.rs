// SPDX-License-Identifier: BSD-2-Clause
//! The thread factory: plugs the library into the machine.
//!
//! It holds a channel to the manager, and nothing else.
#![no_std]
#![no_main]

mod machine;

use machine::Machine;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, protection_domain};
use spin::Mutex;
use thread_factory::{MAX_THREADS, ThreadFactory};
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

/// Identifier 0 of `system.xml`; its capability is where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(endpoint(0));

type Server = FactoryServer<ThreadFactory<Machine>, MAX_THREADS>;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = Mutex::new(FactoryServer::new(
    ThreadFactory::new(Machine),
    MANAGER,
    Space::DOMAIN,
));

#[protection_domain]
fn init() -> NullHandler {
    let mut server = SERVER.lock();
    if let Err(error) = server.register("thread", Successor::None) {
        panic!("cannot register as `thread`: {error}");
    }
    serve(&mut *server)
}
