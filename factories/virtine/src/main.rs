// SPDX-License-Identifier: BSD-2-Clause
//! The virtine factory: plugs the library into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager, the console and the timer.
#![no_std]
#![no_main]

use process_factory::files::Files;
use process_factory::kernel::Kernel as _;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use virtine_factory::factory::{MAX_VIRTINES, VirtineFactory};
use virtine_factory::kernel::Kernel as _;
use virtine_factory::machine::Machine;
use xos_server::client::{Console, Timer};
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

// Identifiers of `system.xml`; their capabilities are where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(endpoint(0));
const CONSOLE: Console = Console::new(endpoint(1));
const TIMER: Timer = Timer::new(endpoint(2));

type Server = FactoryServer<VirtineFactory<'static, Machine>, MAX_VIRTINES>;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    // SAFETY: the first thing that happens to it is that it is prepared.
    let machine = unsafe { Machine::new(CONSOLE, TIMER) };
    let factory = VirtineFactory::new(machine, MANAGER);
    Mutex::new(FactoryServer::new(factory, MANAGER, Space::DOMAIN))
};

#[protection_domain]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };

    let mut server = SERVER.lock();
    if let Err(error) = server.factory().kernel().prepare(&MANAGER) {
        panic!("no pages for plans: {error}");
    }
    let files = Files::or_none(archive, |why| {
        server.factory().kernel().composing().log(why)
    });
    server.factory().set_files(files);
    if let Err(error) = server.register("virtine", Successor::None) {
        panic!("cannot register as `virtine`: {error}");
    }
    serve(&mut *server)
}
