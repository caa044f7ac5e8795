// SPDX-License-Identifier: BSD-2-Clause
//! The container factory, broken on purpose: with the defect that its knob says. With none it is the container factory.
#![no_std]
#![no_main]

use container_factory::factory::{Contained, ContainerFactory, Memory};
use heapless::String;
use process_factory::compose::Process;
use process_factory::factory::{FIRST_NODE, ProcessFactory, ROOT_SLOTS_OF_PROGRAM};
use process_factory::files::Files;
use process_factory::machine::{Machine, WINDOW, make_window};
use process_factory::pages::Books;
use sel4::Fault;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use test_containers::{DEFECTS, knob_of_domain};
use xos_protocol::container::{Request as Asked, ServerOp};
use xos_protocol::contract::Capabilities;
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Payer, RegionCreate, Successor};
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Contract, ExitStatus, IcId, Result};
use xos_server::client::Console;
use xos_server::factory::{Factory, FactoryServer, Fate, Maker, Member};
use xos_server::{Deferred, Manager, Outcome, Reply, Request, Space, serve};

const MANAGER: Manager = Manager::new(endpoint(0));
const CONSOLE: Console = Console::new(endpoint(1));

/// Whether this defect is on.
fn is(name: &str) -> bool {
    // SAFETY: the description maps it.
    unsafe { knob_of_domain() }.defect(DEFECTS) == name
}

/// Heap, in bytes. Nothing allocates, but libraries could.
const HEAP_SIZE: usize = 8 * 1024;
/// Containers at a time.
const MAX_CONTAINERS: usize = 16;

/// The domain's own address space.
struct Own;

impl Memory for Own {
    fn fill(&mut self, address: u64, bytes: &[u8]) {
        // SAFETY: the library has just had a region of at least so many bytes mapped there, writable, and
        // nothing else is ever mapped at that address.
        unsafe { (address as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) }
    }
}

type Processes = ProcessFactory<'static, Machine>;

/// What makes the servers.
struct Programs(Processes);

impl Factory for Programs {
    type Ic = Process;

    fn describe(&self) -> Contract {
        self.0.describe()
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Process> {
        let mut spec = spec.clone();
        if is("the_limit_of_memory_is_ignored") {
            spec.memory *= 4;
        }
        if is("the_systems_own_interface_is_given") {
            spec.image = "stand-in";
        }
        self.0.create(maker, &spec)
    }

    fn start(&mut self, ic: Member<'_, Process>) -> Result<()> {
        self.0.start(ic)
    }

    fn fault(&mut self, ic: Member<'_, Process>, fault: &Fault) -> Fate {
        self.0.fault(ic, fault)
    }

    fn arguments(&mut self, ic: Member<'_, Process>) -> Result<(u64, u64)> {
        self.0.arguments(ic)
    }

    fn gone(&mut self, id: IcId, process: Process) {
        self.0.gone(id, process);
    }
}

type Containers = ContainerFactory<'static, Programs, Own, MAX_CONTAINERS>;

/// A container, as others can come to it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    id: IcId,
    record: usize,
}

/// The factory with its defects.
struct Broken {
    containers: Containers,
    /// Those that are there.
    known: heapless::Vec<Known, MAX_CONTAINERS>,
    /// What the last one that was made runs.
    told: String<MAX_BYTES>,
}

impl Broken {
    /// Another one.
    fn other(&self, id: IcId) -> Option<Known> {
        self.known.iter().find(|known| known.id != id).copied()
    }
}

impl Factory for Broken {
    type Ic = Contained<Process>;

    const OUTLIVES: bool = Containers::OUTLIVES;

    fn describe(&self) -> Contract {
        let kept = self.containers.describe();
        match is("shared_capabilities_are_promised") {
            true => Contract {
                capabilities: Capabilities::Shared,
                ..kept
            },
            false => kept,
        }
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Self::Ic> {
        let mut spec = spec.clone();
        let mut environment = String::<MAX_BYTES>::new();
        if is("an_environment_tells_what_another_one_runs") {
            let _ = environment.push_str("LEFT=");
            self.told
                .chars()
                .filter(|c| *c != '\0')
                .try_for_each(|c| environment.push(c))
                .and_then(|()| environment.push('\0'))
                .unwrap_or_default();
            spec.environment = &environment;
        }
        if is("memory_stays_when_one_is_gone") {
            let _ = MANAGER.region_create(&RegionCreate {
                payer: Payer::Client(maker.client()),
                pages: 4,
                large: false,
                place: 0,
            });
        }
        let made = self.containers.create(maker, &spec)?;
        if let Some(id) = maker.made() {
            let record = made.record;
            let _ = self.known.push(Known { id, record });
        }
        self.told.clear();
        let _ = self.told.push_str(spec.arguments);
        Ok(made)
    }

    fn start(&mut self, ic: Member<'_, Self::Ic>) -> Result<()> {
        if is("who_starts_stops_another_one")
            && let Some(other) = self.other(ic.id)
        {
            let _ = MANAGER.suspend(other.id);
        }
        self.containers.start(ic)
    }

    fn fault(&mut self, ic: Member<'_, Self::Ic>, fault: &Fault) -> Fate {
        self.containers.fault(ic, fault)
    }

    fn arguments(&mut self, ic: Member<'_, Self::Ic>) -> Result<(u64, u64)> {
        self.containers.arguments(ic)
    }

    fn invoke(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let mut buffer = [0; MAX_BYTES];
        let asked = request
            .counted_bytes(1, request.word(0), &mut buffer)
            .ok()
            .and_then(|bytes| postcard::from_bytes::<Asked<'_>>(bytes).ok());
        let other = self.other(ic.id);
        let (own, data) = (ic.data.record, ic.data);
        let mut ask = |record, data: &mut Self::Ic, reply: &mut Reply| {
            data.record = record;
            let ic = Member { data, ..ic };
            self.containers.invoke(ic, request, reply, deferred)
        };
        match (asked, other) {
            (Some(Asked::Exec { .. } | Asked::ExecWait(_)), Some(other))
                if is("a_program_is_started_in_another_one") =>
            {
                let outcome = ask(other.record, data, reply);
                data.record = own;
                outcome
            }
            (Some(Asked::Signal(_)), Some(other)) if is("a_signal_reaches_another_one") => {
                ask(other.record, data, reply);
                ask(own, data, reply)
            }
            _ => ask(own, data, reply),
        }
    }

    fn asked(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let own = ic.data.record;
        if is("what_one_prints_is_in_the_log_of_another")
            && request.label() == ServerOp::Output.label()
            && let Some(other) = self.other(ic.id)
        {
            ic.data.record = other.record;
            let copy = Member {
                data: &mut *ic.data,
                ..ic
            };
            self.containers.asked(copy, request, reply, deferred);
            ic.data.record = own;
        }
        self.containers.asked(ic, request, reply, deferred)
    }

    fn ended(&mut self, ic: Member<'_, Self::Ic>, status: ExitStatus) {
        self.containers.ended(ic, status);
    }

    fn release(
        &mut self,
        id: IcId,
        data: &mut Self::Ic,
        status: ExitStatus,
        deferred: &mut Deferred<'_>,
    ) {
        let status = match status {
            ExitStatus::Code(_) if is("an_end_is_reported_as_a_success") => ExitStatus::Code(0),
            status => status,
        };
        if is("an_end_ends_another_one")
            && let Some(other) = self.other(id)
        {
            let _ = MANAGER.destroy(other.id);
        }
        self.containers.release(id, data, status, deferred);
    }

    fn gone(&mut self, id: IcId, data: Self::Ic) {
        self.known.retain(|known| known.id != id);
        self.containers.gone(id, data);
    }

    fn closed(&mut self, client: u32) {
        self.containers.closed(client);
    }
}

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Broken, MAX_CONTAINERS>> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let machine = unsafe { Machine::new(WINDOW, staging, scratch, CONSOLE) };
    let programs = Programs(ProcessFactory::new(machine, MANAGER));
    let broken = Broken {
        containers: ContainerFactory::new(programs, Own, MANAGER),
        known: heapless::Vec::new(),
        told: String::new(),
    };
    Mutex::new(FactoryServer::new(broken, MANAGER, Space::DOMAIN))
};

static BOOKS: Mutex<Books<MAX_CONTAINERS, 64, 64>> = Mutex::new(Books::new());

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    let books = spin::MutexGuard::leak(BOOKS.lock());
    let mut server = SERVER.lock();
    let containers = &mut server.factory().containers;
    containers.programs().0.set_pages(books.open(FIRST_NODE));
    if let Ok(files) = Files::new(archive) {
        containers.programs().0.set_files(files.clone());
        containers.set_files(files);
    }
    make_window(&MANAGER).expect("a window");
    server
        .register("container", Successor::None)
        .expect("a name");
    serve(&mut *server)
}
