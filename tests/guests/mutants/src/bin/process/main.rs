// SPDX-License-Identifier: BSD-2-Clause
//! The process factory, broken on purpose: with the defect that its knob names, and taking its steps one
//! by one where it is told. With none, it is the process factory under the name of its domain.
#![no_std]
#![no_main]

mod broken;
mod meddling;
mod stepping;

use broken::Broken;
use meddling::Meddling;
use process_factory::factory::{FIRST_NODE, ProcessFactory, ROOT_SLOTS_OF_PROGRAM};
use process_factory::files::Files;
use process_factory::machine::{Machine, WINDOW, make_window};
use process_factory::pages::Books;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use stepping::{Stepping, SteppingPort};
use xos_server::client::Console;
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

/// Heap, in bytes. Nothing allocates, but libraries could.
const HEAP_SIZE: usize = 8 * 1024;

const MANAGER: Manager<SteppingPort> = Manager::new(SteppingPort(endpoint(0)));
const CONSOLE: Console = Console::new(endpoint(1));

type Processes = ProcessFactory<'static, Stepping, SteppingPort>;
/// Processes at a time: more than any case makes. There are many of these domains.
const MAX_PROCESSES: usize = 512;

type Server = FactoryServer<Broken, MAX_PROCESSES, SteppingPort>;

/// In a static because of its size; taken once.
static SERVER: Mutex<Server> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    let factory = ProcessFactory::new(Stepping(machine), MANAGER);
    Mutex::new(FactoryServer::new(
        Broken::new(factory),
        MANAGER,
        Space::DOMAIN,
    ))
};

/// For as many, and a few of their nodes.
static BOOKS: Mutex<Books<MAX_PROCESSES, 64, 64>> = Mutex::new(Books::new());

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    let books = spin::MutexGuard::leak(BOOKS.lock());
    let mut server = SERVER.lock();
    server.factory().processes.set_pages(books.open(FIRST_NODE));
    if let Ok(files) = Files::new(archive) {
        server.factory().processes.set_files(files);
    }
    make_window(&Manager::new(endpoint(0))).expect("a window");
    let name = sel4_microkit::pd_name().unwrap_or_default();
    server.register(name, Successor::None).expect("a name");
    serve(&mut Meddling(&mut server))
}
