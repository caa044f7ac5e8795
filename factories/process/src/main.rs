// SPDX-License-Identifier: BSD-2-Clause
//! The process factory: plugs the library into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use process_factory::factory::{
    FIRST_NODE, MAX_PROCESSES, NODE_PLACES, ProcessFactory, ROOT_SLOTS_OF_PROGRAM,
};
use process_factory::files::Files;
use process_factory::kernel::Kernel;
use process_factory::machine::{Machine, WINDOW, make_window};
use process_factory::pages::Books;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use xos_server::client::Console;
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

// Identifiers of `system.xml`; their capabilities are where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(endpoint(0));
const CONSOLE: Console = Console::new(endpoint(1));

type Server = FactoryServer<ProcessFactory<'static, Machine>, MAX_PROCESSES>;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    let factory = ProcessFactory::new(machine, MANAGER);
    Mutex::new(FactoryServer::new(factory, MANAGER, Space::DOMAIN))
};

/// As many buckets as make chains short when half of the machine's memory is pages that were touched.
const BUCKETS: usize = 1 << 14;

/// The same.
static BOOKS: Mutex<Books<MAX_PROCESSES, NODE_PLACES, BUCKETS>> = Mutex::new(Books::new());

#[protection_domain]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };

    let books = spin::MutexGuard::leak(BOOKS.lock());
    let mut server = SERVER.lock();
    server.factory().set_pages(books.open(FIRST_NODE));
    let files = Files::or_none(archive, |why| server.factory().kernel().log(why));
    server.factory().set_files(files);
    if let Err(error) = make_window(&MANAGER) {
        panic!("no window for writing to processes' memory: {error}");
    }
    if let Err(error) = server.register("process", Successor::None) {
        panic!("cannot register as `process`: {error}");
    }
    serve(&mut *server)
}
