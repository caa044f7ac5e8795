// SPDX-License-Identifier: BSD-2-Clause
//! The vm factory: plugs the library into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use process_factory::factory::{ProcessFactory, ROOT_SLOTS_OF_PROGRAM};
use process_factory::files::Files;
use process_factory::kernel::Kernel;
use process_factory::machine::{Machine, WINDOW, make_window};
use sel4::cap;
use sel4_microkit::{NullHandler, memory_region_symbol, protection_domain, var};
use spin::Mutex;
use vm_factory::compose::Machinery;
use vm_factory::factory::{MAX_MACHINES, VmFactory};
use xos_server::client::Console;
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

// Identifiers of `system.xml`; their capabilities are where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(endpoint(0));
const CONSOLE: Console = Console::new(endpoint(1));

const fn endpoint(id: u64) -> cap::Endpoint {
    cap::Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT + id)
}

type Programs = ProcessFactory<'static, Machine>;
type Machines = VmFactory<'static, Programs, Machinery>;

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Machines, MAX_MACHINES>> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    let factory = VmFactory::new(ProcessFactory::new(machine, MANAGER), Machinery, MANAGER);
    Mutex::new(FactoryServer::new(factory, MANAGER, Space::DOMAIN))
};

#[protection_domain]
fn init() -> NullHandler {
    let start = memory_region_symbol!(files: *mut u8);
    let length = *var!(files_len: usize = 0);
    // SAFETY: the system description maps so many bytes there, read-only, for as long as this domain lives.
    let archive = unsafe { core::slice::from_raw_parts(start.as_ptr(), length) };

    let mut server = SERVER.lock();
    match Files::new(archive) {
        Ok(files) => {
            server.factory().programs().set_files(files.clone());
            server.factory().set_files(files);
        }
        Err(error) => {
            let kernel = server.factory().programs().kernel();
            kernel.log(format_args!(
                "the initial file tree cannot be read: {error}"
            ));
        }
    }
    if let Err(error) = make_window(&MANAGER) {
        panic!("no window for writing to machines' memory: {error}");
    }
    if let Err(error) = server.register("vm", Successor::None) {
        panic!("cannot register as `vm`: {error}");
    }
    serve(&mut *server)
}
