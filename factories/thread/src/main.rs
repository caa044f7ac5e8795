// SPDX-License-Identifier: BSD-2-Clause
//! The thread factory: plugs the library into the machine.
//!
//! It holds a channel to the manager, and nothing else.
#![no_std]
#![no_main]

use sel4::{UserContext, cap};
use sel4_microkit::{NullHandler, protection_domain};
use spin::Mutex;
use thread_factory::{Kernel, MAX_THREADS, Registers, ThreadFactory};
use xos_server::factory::FactoryServer;
use xos_server::protocol::manager::Successor;
use xos_server::protocol::{Error, Result};
use xos_server::{Manager, Parts, Space, faults, serve};

/// Identifier 0 of `system.xml`; its capability is where `sel4_microkit::abi` says.
const MANAGER: Manager = Manager::new(cap::Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT));

/// All registers.
const ALL: u64 = 19;

struct Machine;

impl Kernel for Machine {
    fn run(&mut self, thread: Parts, registers: &Registers) -> Result<()> {
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.ip;
        raw.rsp = registers.sp;
        raw.rdi = registers.argument;
        raw.rdx = registers.buffer;
        raw.rcx = registers.thread_pointer;
        raw.tls_base = registers.thread_pointer;
        thread
            .tcb()
            .tcb_write_registers(true, ALL, &mut context)
            .map_err(|_| Error::Kernel)
    }

    fn report(&mut self, thread: Parts) -> Result<[u64; 3]> {
        faults::report_registers(thread.tcb())
    }

    fn refuse(&mut self, thread: Parts, error: Error) -> Result<bool> {
        faults::refuse(thread.tcb(), error)
    }
}

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
