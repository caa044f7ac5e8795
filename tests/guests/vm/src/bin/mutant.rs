// SPDX-License-Identifier: BSD-2-Clause
//! The vm factory, broken on purpose: with the defect that its knob says. With none it is the vm factory.
//!
//! It holds the initial file tree, read-only, the knob, and a channel each to the manager and the console.
#![no_std]
#![no_main]

use core::fmt::Write;

use heapless::{String, Vec};
use process_factory::compose::Process;
use process_factory::factory::{ProcessFactory, ROOT_SLOTS_OF_PROGRAM};
use process_factory::files::Files;
use process_factory::machine::{Machine as Kernel, WINDOW, make_window};
use sel4::Fault;
use sel4_microkit::abi::endpoint;
use sel4_microkit::{NullHandler, memory_region_bytes, protection_domain};
use spin::Mutex;
use test_vm::{DEFECTS, knob_of_factory};
use vm_factory::compose::Machinery;
use vm_factory::domain::CONSOLE;
use vm_factory::factory::{Composer, MACHINE, MAX_MACHINES, Machine, VmFactory};
use vm_factory::interface::SHARED;
use vm_factory::plan::{At, LARGE, MAX_PAGES, Object, Step};
use xos_protocol::contract::Capabilities;
use xos_protocol::factory::{SelfOp, Spec};
use xos_protocol::manager::{Payer, RegionCreate, Rights, Share, Successor};
use xos_protocol::wire::MAX_BYTES;
use xos_protocol::{Contract, ExitStatus, IcId, RegionId, Result, Subject, Who};
use xos_server::factory::{Factory, FactoryServer, Fate, Maker, Member};
use xos_server::{Deferred, Manager, Outcome, Reply, Request, Server, Space, serve};

const MANAGER: Manager = Manager::new(endpoint(0));

/// The defect that is on.
fn defect() -> &'static str {
    // SAFETY: the description maps it.
    unsafe { knob_of_factory() }.defect(DEFECTS)
}

/// Whether this one is.
fn is(name: &str) -> bool {
    defect() == name
}

/// The page that two machines have in common: no loader puts anything there.
const COMMON: u32 = 2;
/// A slot among those for a guest's pages that no machine of these tests needs.
const SPARE: At = At::Node(1, MAX_PAGES - 1);
/// Lower than that of who asks for machines.
const LOW: u64 = 50;

/// Carries out the steps, and others.
struct Meddling {
    /// Nodes of the machine that was made last.
    other: Option<[u32; 2]>,
    /// Where the memory of the one that is being made ends.
    end: u64,
}

impl Composer for Meddling {
    const SUPPORTED: bool = Machinery::SUPPORTED;

    fn carry_out(&mut self, parts: u32, nodes: [u32; 2], step: &Step) -> Result<()> {
        let does = |nodes, step: &Step| Machinery.carry_out(parts, nodes, step);
        // Pages of the other one are copied into this one's second node.
        let theirs = self.other.map(|[pages, _]| [pages, nodes[1]]);
        match (defect(), *step, theirs) {
            (
                "machines_have_a_page_of_their_memory_in_common",
                Step::Copy { from, .. },
                Some(theirs),
            ) if from == At::Node(0, COMMON) => {
                // The other one may be gone.
                return does(theirs, step).or_else(|_| does(nodes, step));
            }
            ("another_ones_page_lies_behind_its_memory", Step::Bind { root, .. }, Some(theirs)) => {
                let from = At::Node(0, COMMON);
                if does(theirs, &Step::Copy { from, to: SPARE }).is_ok() {
                    let stage = Step::MapStage {
                        at: SPARE,
                        object: Object::LargePage,
                        root,
                        address: self.end,
                        writable: true,
                    };
                    does(nodes, &stage)?;
                }
            }
            _ => {}
        }
        match *step {
            Step::MapStage {
                object: Object::LargePage,
                address,
                ..
            } => self.end = address + LARGE,
            Step::Give { .. } => self.other = Some(nodes),
            _ => {}
        }
        does(nodes, step)
    }
}

type Machines = VmFactory<'static, ProcessFactory<'static, Kernel>, Meddling>;

/// The factory with its defects.
struct Broken {
    machines: Machines,
    /// The machines that there are.
    made: Vec<IcId, MAX_MACHINES>,
    /// What the last one that was made runs.
    told: String<MAX_BYTES>,
    /// What all machines share.
    common: Option<RegionId>,
}

impl Broken {
    const fn new(machines: Machines) -> Self {
        Self {
            machines,
            made: Vec::new(),
            told: String::new(),
            common: None,
        }
    }

    /// Has a region mapped into a machine, always the same.
    fn share(&mut self, id: IcId) -> Result<()> {
        let region = match self.common {
            Some(region) => region,
            None => *self.common.insert(MANAGER.region_create(&RegionCreate {
                payer: Payer::Myself,
                pages: 1,
                large: false,
                place: 0,
            })?),
        };
        MANAGER.share(&Share {
            region,
            target: Subject::Ic(id),
            // Of the guest, and not of its monitor.
            address: 1 << 63 | u64::from(SHARED),
            rights: Rights::RW,
        })
    }
}

impl Factory for Broken {
    type Ic = Machine<Process>;

    fn describe(&self) -> Contract {
        let kept = self.machines.describe();
        match is("shared_capabilities_are_promised") {
            true => Contract {
                capabilities: Capabilities::Shared,
                ..kept
            },
            false => kept,
        }
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Self::Ic> {
        self.machines.kind().monitor = match defect() {
            "a_program_is_run_in_the_place_of_a_kernel" => "hello",
            "system_calls_are_hypercalls" => "gives-calls",
            "a_hypercall_reaches_its_monitors_capabilities" => "gives-channels",
            _ => MACHINE.monitor,
        };
        let mut spec = spec.clone();
        let mut arguments = String::<MAX_BYTES>::new();
        if is("a_command_line_tells_what_another_one_runs") {
            // Behind its own: an argument more.
            let _ = write!(arguments, "{};{}", spec.arguments, self.told);
        }
        self.told.clear();
        let _ = self.told.push_str(spec.arguments);
        if !arguments.is_empty() {
            spec.arguments = &arguments;
        }
        if is("the_limit_of_memory_is_ignored") && spec.memory != 0 {
            spec.memory += LARGE;
        }
        if is("memory_stays_when_one_is_gone") {
            let _ = MANAGER.region_create(&RegionCreate {
                payer: Payer::Client(maker.client()),
                pages: 4,
                large: false,
                place: 0,
            });
        }
        let made = self.machines.create(maker, &spec)?;
        if let Some(id) = maker.made() {
            let _ = self.made.push(id);
            if is("all_machines_share_a_region") {
                self.share(id)?;
            }
        }
        Ok(made)
    }

    fn start(&mut self, ic: Member<'_, Self::Ic>) -> Result<()> {
        if is("machines_run_at_a_lower_priority") {
            let tcb = ic.parts.tcb();
            let _ = tcb.tcb_set_priority(tcb, LOW);
        }
        self.machines.start(ic)
    }

    fn fault(&mut self, ic: Member<'_, Self::Ic>, fault: &Fault) -> Fate {
        self.machines.fault(ic, fault)
    }

    fn arguments(&mut self, ic: Member<'_, Self::Ic>) -> Result<(u64, u64)> {
        self.machines.arguments(ic)
    }

    fn asked(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        self.machines.asked(ic, request, reply, deferred)
    }

    fn ended(&mut self, ic: Member<'_, Self::Ic>, status: ExitStatus) {
        if is("an_end_ends_another_one")
            && let Some(other) = self.made.iter().find(|other| **other != ic.id)
        {
            let _ = MANAGER.destroy(*other);
        }
        self.machines.ended(ic, status);
    }

    fn gone(&mut self, id: IcId, machine: Self::Ic) {
        self.made.retain(|other| *other != id);
        self.machines.gone(id, machine);
    }
}

/// The loop with its defect.
struct Loop<'a>(&'a mut FactoryServer<Broken, MAX_MACHINES>);

impl Server for Loop<'_> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let exits = matches!(who, Who::Itself(_)) && request.label() == SelfOp::Exit.label();
        match exits && is("an_end_is_reported_as_a_success") {
            true => {
                let success = Request::new(SelfOp::Exit.label(), &[0]);
                self.0.call(who, success, reply, deferred)
            }
            false => self.0.call(who, request, reply, deferred),
        }
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        self.0.notified(bits, deferred);
    }
}

/// In a static because of its size; taken once.
static SERVER: Mutex<FactoryServer<Broken, MAX_MACHINES>> = {
    let [staging, scratch] = ROOT_SLOTS_OF_PROGRAM;
    // SAFETY: nothing else uses the addresses around `WINDOW`.
    let kernel = unsafe { Kernel::new(WINDOW, staging, scratch, CONSOLE) };
    let programs = ProcessFactory::new(kernel, MANAGER);
    let meddling = Meddling {
        other: None,
        end: 0,
    };
    let machines = VmFactory::new(MACHINE, programs, meddling, MANAGER);
    Mutex::new(FactoryServer::new(
        Broken::new(machines),
        MANAGER,
        Space::DOMAIN,
    ))
};

#[protection_domain(heap_size = 4096)]
fn init() -> NullHandler {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    let archive = unsafe { memory_region_bytes!(files, files_len) };
    let mut server = SERVER.lock();
    let machines = &mut server.factory().machines;
    if let Ok(files) = Files::new(archive) {
        machines.programs().set_files(files.clone());
        machines.set_files(files);
    }
    make_window(&MANAGER).expect("a window");
    server.register("vm", Successor::None).expect("a name");
    serve(&mut Loop(&mut server))
}
