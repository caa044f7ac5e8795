// SPDX-License-Identifier: BSD-2-Clause
//! The thread factory, which promises what it does not keep when its knob says so.
#![no_std]
#![no_main]

#[path = "../../../../../../factories/thread/src/machine.rs"]
mod machine;

use machine::Machine;
use sel4::{Fault, cap};
use sel4_microkit::{NullHandler, protection_domain};
use spin::Mutex;
use test_conformance::Knob;
use thread_factory::{MAX_THREADS, Thread, ThreadFactory};
use xos_protocol::Contract;
use xos_protocol::contract::{Capabilities, Channels, FaultContainment, Memory, Names, Quota};
use xos_protocol::factory::Entry;
use xos_server::factory::{Factory, FactoryServer, Fate, Maker, Member};
use xos_server::protocol::Result;
use xos_server::protocol::manager::Successor;
use xos_server::{Manager, Space, serve};

/// Heap, in bytes. Nothing allocates, but libraries could.
const HEAP_SIZE: usize = 8 * 1024;

const MANAGER: Manager = Manager::new(cap::Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT));

struct Broken(ThreadFactory<Machine>);

impl Factory for Broken {
    type Ic = Thread;

    fn describe(&self) -> Contract {
        let kept = self.0.describe();
        // SAFETY: the description maps it.
        match unsafe { Knob::of_domain() }.defect() {
            "private_memory_is_promised_and_the_creators_is_given" => Contract {
                memory: Memory::Private,
                ..kept
            },
            "own_capabilities_are_promised_and_the_creators_are_given" => Contract {
                capabilities: Capabilities::Own,
                ..kept
            },
            "no_names_are_promised_and_the_creators_are_given" => Contract {
                names: Names::None,
                ..kept
            },
            "containment_is_promised_and_the_creators_memory_is_open" => Contract {
                fault_containment: FaultContainment::Itself,
                ..kept
            },
            "granted_channels_are_promised_and_memory_is_shared" => Contract {
                channels: Channels::Granted,
                ..kept
            },
            "the_creators_quota_is_promised_and_given" => Contract {
                quota: Quota::Creators,
                ..kept
            },
            _ => kept,
        }
    }

    fn spawn(&mut self, maker: &mut Maker<'_>, entry: &Entry) -> Result<Thread> {
        self.0.spawn(maker, entry)
    }

    fn start(&mut self, thread: Member<'_, Thread>) -> Result<()> {
        self.0.start(thread)
    }

    fn fault(&mut self, thread: Member<'_, Thread>, fault: &Fault) -> Fate {
        self.0.fault(thread, fault)
    }
}

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Broken, MAX_THREADS>> = Mutex::new(FactoryServer::new(
    Broken(ThreadFactory::new(Machine)),
    MANAGER,
    Space::DOMAIN,
));

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    let mut server = SERVER.lock();
    let name = sel4_microkit::pd_name().unwrap_or_default();
    server.register(name, Successor::None).expect("a name");
    serve(&mut *server)
}
