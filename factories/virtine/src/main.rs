// SPDX-License-Identifier: BSD-2-Clause
//! The virtine factory: plugs the library into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager, the console and the timer.
#![no_std]
#![no_main]

use process_factory::files::Files;
use process_factory::kernel::Kernel as _;
use sel4::cap;
use sel4_microkit::{NullHandler, memory_region_symbol, protection_domain, var};
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

const fn endpoint(id: u64) -> cap::Endpoint {
    cap::Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT + id)
}

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
    let start = memory_region_symbol!(files: *mut u8);
    let length = *var!(files_len: usize = 0);
    // SAFETY: the system description maps so many bytes there, read-only, for as long as this domain lives.
    let archive = unsafe { core::slice::from_raw_parts(start.as_ptr(), length) };

    let mut server = SERVER.lock();
    if let Err(error) = server.factory().kernel().prepare(&MANAGER) {
        panic!("no pages for plans: {error}");
    }
    match Files::new(archive) {
        Ok(files) => server.factory().set_files(files),
        Err(error) => {
            let kernel = server.factory().kernel().composing();
            kernel.log(format_args!(
                "the initial file tree cannot be read: {error}"
            ));
        }
    }
    if let Err(error) = server.register("virtine", Successor::None) {
        panic!("cannot register as `virtine`: {error}");
    }
    serve(&mut *server)
}
