// SPDX-License-Identifier: BSD-2-Clause
//! The container factory: plugs the library into the machine.
//!
//! It holds the initial file tree, read-only, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use container_factory::factory::{ContainerFactory, Memory};
use process_factory::factory::{FIRST_NODE, ProcessFactory, ROOT_SLOTS_OF_PROGRAM};
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

/// Containers at a time.
const MAX_CONTAINERS: usize = 256;

/// The domain's own address space.
struct Own;

impl Memory for Own {
    fn fill(&mut self, address: u64, bytes: &[u8]) {
        // SAFETY: the library has just had a region of at least so many bytes mapped there, writable, and
        // nothing else is ever mapped at that address.
        unsafe { (address as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) }
    }
}

type Programs = ProcessFactory<'static, Machine>;
type Containers = ContainerFactory<'static, Programs, Own, MAX_CONTAINERS>;

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Containers, MAX_CONTAINERS>> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    let programs = ProcessFactory::new(machine, MANAGER);
    let factory = ContainerFactory::new(programs, Own, MANAGER);
    Mutex::new(FactoryServer::new(factory, MANAGER, Space::DOMAIN))
};

/// For the last words of containers' servers: so many nodes hold pages that they touched.
static BOOKS: Mutex<Books<MAX_CONTAINERS, 512, 1024>> = Mutex::new(Books::new());

#[protection_domain]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };

    let books = spin::MutexGuard::leak(BOOKS.lock());
    let mut server = SERVER.lock();
    server
        .factory()
        .programs()
        .set_pages(books.open(FIRST_NODE));
    let files = Files::or_none(archive, |why| server.factory().programs().kernel().log(why));
    server.factory().programs().set_files(files.clone());
    server.factory().set_files(files);
    if let Err(error) = make_window(&MANAGER) {
        panic!("no window for writing to containers' memory: {error}");
    }
    if let Err(error) = server.register("container", Successor::None) {
        panic!("cannot register as `container`: {error}");
    }
    serve(&mut *server)
}
