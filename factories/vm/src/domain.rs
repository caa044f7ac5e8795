// SPDX-License-Identifier: BSD-2-Clause
//! A protection domain that makes ICs of one [`Kind`]: what the programs of such domains have in common.

use process_factory::factory::ProcessFactory;
use process_factory::files::Files;
use process_factory::kernel::Kernel as _;
use process_factory::machine::{Machine, make_window};
use sel4_microkit::abi::endpoint;
use xos_server::client::Console;
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

use crate::compose::Machinery;
use crate::factory::{Kind, MAX_MACHINES, VmFactory};

// Identifiers of `system.xml`; their capabilities are where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(endpoint(0));
/// The domain's session on the console.
pub const CONSOLE: Console = Console::new(endpoint(1));

/// The server of such a domain: large, so in a static.
pub type Server =
    FactoryServer<VmFactory<'static, ProcessFactory<'static, Machine>, Machinery>, MAX_MACHINES>;

/// The server, with what composes processes.
#[must_use]
pub const fn server(kind: Kind, machine: Machine) -> Server {
    let programs = ProcessFactory::new(machine, MANAGER);
    let factory = VmFactory::new(kind, programs, Machinery, MANAGER);
    FactoryServer::new(factory, MANAGER, Space::DOMAIN)
}

/// Registers the factory under its name, with the initial file tree, and serves for ever.
///
/// # Panics
/// When it cannot be registered.
pub fn run(server: &mut Server, archive: &'static [u8], name: &str) -> ! {
    let files = Files::or_none(archive, |why| server.factory().programs().kernel().log(why));
    server.factory().programs().set_files(files.clone());
    server.factory().set_files(files);
    if let Err(error) = make_window(&MANAGER) {
        panic!("no window for writing to others' memory: {error}");
    }
    if let Err(error) = server.register(name, Successor::None) {
        panic!("cannot register as `{name}`: {error}");
    }
    serve(server)
}
