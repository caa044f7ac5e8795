// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it.
//!
//! A machine is one IC: a program, its monitor, which another library makes ([`Programs`]), and beside it in
//! the same arena the guest's memory, its second stage and its virtual processor ([`plan`]).
//! Nothing of a machine is the factory's but its record here.

use core::fmt::Write;

use heapless::String;
use process_factory::factory::ProcessFactory;
use process_factory::files::{Files, MAX_PATH};
use process_factory::kernel::{self, Kernel};
use process_factory::regions::{Regions, Tools};
use sel4::Fault;
use xos_client::{Manager, Port};
use xos_protocol::console::NO_INPUT;
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Grow, PAGE};
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::start::strings;
use xos_protocol::{Contract, Error, ExitStatus, IcId, Name, Result};
use xos_server::factory::{Factory, Fate, Maker, Member, State};
use xos_server::{Deferred, Outcome, Reply, Request};
use xos_vcpu::identity_table;

use crate::interface::OWN_CHANNELS_END;
use crate::loaders::LEAST_MEMORY;
use crate::plan::{self, At, LARGE, OBJECT_BITS, OVERHEAD, Parts, Step, pieces, steps};
use crate::start::{ASK_TOLD, KERNEL, MODULE, Start, TOLD};

/// Machines at a time.
pub const MAX_MACHINES: usize = 64;
/// The variable of the environment that names a file with a module, or an initial RAM disk.
const MODULE_VARIABLE: &str = "initrd=";
/// The first root slot for machines' nodes: behind their parts nodes.
const FIRST_NODE: u32 = FIRST_FREE_ROOT + MAX_MACHINES as u32;
/// Slots of the parts node that a machine takes: the second stage's root, and pieces of untyped memory.
const SLOTS: u32 = 2 + plan::MAX_PIECES as u32;

/// A kind of ICs with a virtual processor.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What they are promised.
    pub contract: Contract,
    /// The program that runs one.
    pub monitor: &'static str,
    /// Where an image whose name has no `/` is looked for.
    pub folder: &'static str,
    /// Bytes that one may cost when nobody says.
    pub memory: u64,
    /// Bytes of the guest's memory at least.
    pub least: u64,
    /// ICs, sessions and what else of the IC manager's tables one may pay for at least: what its monitor needs, and
    /// what is left for its guest.
    pub units: u16,
    /// Radix of its CSpace.
    pub cspace_radix: u8,
    /// Whether a client can tell a monitor something before it is started, by an invocation of [`TOLD`] words.
    pub tells: bool,
    /// Says no to a specification that means nothing for this kind.
    pub check: fn(&Spec<'_>) -> Result<()>,
}

/// Virtual machines: 16 MiB are the guest's.
pub const MACHINE: Kind = Kind {
    contract: Contract {
        memory: Memory::SecondStage,
        capabilities: Capabilities::Own,
        names: Names::Own,
        kernel_interface: KernelInterface::Own,
        quota: Quota::Own,
        cpu: Cpu::CreatorsPriority,
        fault_containment: FaultContainment::Itself,
        teardown: Teardown::ManagerAlone,
        channels: Channels::Granted,
    },
    monitor: "vm-monitor",
    folder: "boot",
    memory: (16 << 20) + OVERHEAD,
    least: LEAST_MEMORY,
    // Two threads of the monitor's, its sessions on console, timer and thread factory, locks; and as many for the
    // guest.
    units: 24,
    cspace_radix: OWN_CHANNELS_END.ilog2() as u8,
    tells: false,
    check: |_| Ok(()),
};

/// What makes the programs that are monitors.
pub trait Programs: Factory {
    /// Reserves slots of a program's parts node, in a row: the first.
    ///
    /// # Errors
    /// [`Error::TableFull`] when there are not so many.
    fn reserve(&mut self, program: &mut Self::Ic, count: u32) -> Result<u32>;

    /// Makes a node of 128 slots in an empty root slot, from a page of the untyped memory at part
    /// `untyped` of the node in root slot `parts`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    fn make_node(&mut self, parts: u32, untyped: u32, place: u32) -> Result<()>;

    /// Writes to a page that is mapped nowhere: that at `index` of the node in root slot `node`.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    fn write(&mut self, node: u32, index: u32, bytes: &[u8]) -> Result<()>;

    /// Writes to an address of the factory's own, where a region was mapped for that.
    fn fill(&mut self, address: u64, bytes: &[u8]);

    /// A line for the log.
    fn log(&mut self, line: &str);
}

impl<K: Kernel, P: Port> Programs for ProcessFactory<'_, K, P> {
    fn reserve(&mut self, program: &mut Self::Ic, count: u32) -> Result<u32> {
        program.slots.reserve(count).ok_or(Error::TableFull)
    }

    fn make_node(&mut self, parts: u32, untyped: u32, place: u32) -> Result<()> {
        let untyped = kernel::At {
            node: parts,
            index: untyped,
        };
        Ok(self.kernel().make_node(untyped, place)?)
    }

    fn write(&mut self, node: u32, index: u32, bytes: &[u8]) -> Result<()> {
        Ok(self.kernel().write(kernel::At { node, index }, 0, bytes)?)
    }

    fn fill(&mut self, address: u64, bytes: &[u8]) {
        self.kernel().fill(address, bytes);
    }

    fn log(&mut self, line: &str) {
        self.kernel().log(format_args!("{line}"));
    }
}

/// What else a machine takes of the kernel.
pub trait Composer {
    /// Whether there are virtual processors.
    const SUPPORTED: bool;

    /// Carries out a step for the machine whose parts node is in root slot `parts`, and whose two nodes are in
    /// the root slots `nodes`. Never one of those that [`Programs`] carries out.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses, as it does when the client has died meanwhile.
    fn carry_out(&mut self, parts: u32, nodes: [u32; 2], step: &Step) -> Result<()>;
}

/// A machine, as the loop keeps it.
#[derive(Debug)]
pub struct Machine<I> {
    program: I,
    /// Indices of its files.
    kernel: usize,
    module: Option<usize>,
    /// What its client said before it was started.
    told: [u64; TOLD],
}

/// The vm factory. `F` makes the monitors, `C` the rest.
pub struct VmFactory<'a, F, C, P = sel4::cap::Endpoint> {
    kind: Kind,
    programs: F,
    composer: C,
    manager: Manager<P>,
    files: Files<'a>,
    regions: Regions,
}

impl<'a, F: Programs, C: Composer, P: Port> VmFactory<'a, F, C, P> {
    /// A factory without machines and without files.
    pub const fn new(kind: Kind, programs: F, composer: C, manager: Manager<P>) -> Self {
        Self {
            kind,
            programs,
            composer,
            manager,
            files: Files::EMPTY,
            regions: Regions::new(),
        }
    }

    /// Gives it the file tree.
    pub fn set_files(&mut self, files: Files<'a>) {
        self.files = files;
    }

    /// What its ICs are.
    pub const fn kind(&mut self) -> &mut Kind {
        &mut self.kind
    }

    /// What makes the monitors.
    pub const fn programs(&mut self) -> &mut F {
        &mut self.programs
    }

    fn enter(&mut self, name: &str) -> Result<usize> {
        let mut path = String::<MAX_PATH>::new();
        match name.contains('/') {
            true => path.push_str(name).map_err(|_| Error::NoImage)?,
            false => write!(path, "{}/{name}", self.kind.folder).map_err(|_| Error::NoImage)?,
        }
        let programs = &mut self.programs;
        self.regions.enter(
            &path,
            &mut Tools {
                fill: &mut |address, bytes| programs.fill(address, bytes),
                manager: &self.manager,
                files: &self.files,
            },
        )
    }

    fn leave(&mut self, kernel: usize, module: Option<usize>) {
        self.regions.leave(kernel);
        if let Some(module) = module {
            self.regions.leave(module);
        }
    }

    /// Makes the monitor, and everything else.
    fn make(
        &mut self,
        maker: &mut Maker<'_>,
        spec: &Spec<'_>,
        kernel: usize,
        module: Option<usize>,
    ) -> Result<F::Ic> {
        let cost = match spec.memory {
            0 => self.kind.memory,
            bytes => bytes,
        };
        let pieces = pieces(cost, self.kind.least).ok_or(Error::OverBudget)?;
        let pages: u32 = pieces.iter().sum();
        let start = Start {
            memory: u64::from(pages) * LARGE,
            kernel: self.regions.bytes(kernel),
            module: module.map_or(0, |module| self.regions.bytes(module)),
            stack: spec.stack.into(),
            input: !strings(spec.environment).any(|variable| variable == NO_INPUT),
        };
        let mut program = self.programs.create(
            maker,
            &Spec {
                image: self.kind.monitor,
                arguments: spec.arguments,
                environment: &start.environment(),
                channels: spec.channels,
                memory: cost,
                ics: self.kind.units.max(spec.ics),
                cspace_radix: self.kind.cspace_radix,
                ..Spec::default()
            },
        )?;
        // From here on the IC exists; should anything fail, it is destroyed, and its program forgotten.
        let id = maker.made().ok_or(Error::Kernel)?;
        match self.compose(&mut program, id, maker.place(), &pieces, kernel, module) {
            Ok(()) => {
                let name = spec.image.rsplit('/').next().unwrap_or(spec.image);
                // What it is called in lists matters to nobody's life.
                let _ = self.manager.annotate(id, Name::new(name));
                Ok(program)
            }
            Err(error) => {
                self.programs.gone(id, program);
                Err(error)
            }
        }
    }

    fn compose(
        &mut self,
        program: &mut F::Ic,
        id: IcId,
        place: u32,
        pieces: &[u32],
        kernel: usize,
        module: Option<usize>,
    ) -> Result<()> {
        let first = self.programs.reserve(program, SLOTS)?;
        self.manager.second_stage(id, first)?;
        let mut parts = Parts {
            root: first,
            objects: first + 1,
            cspace_radix: self.kind.cspace_radix,
            ..Parts::default()
        };
        self.grow(id, parts.objects, 1 << (OBJECT_BITS - 12))?;
        for (slot, pages) in (first + 2..).zip(pieces) {
            self.grow(id, slot, pages * (LARGE / PAGE) as u32)?;
            // There are no more pieces than there is room for.
            let _ = parts.memory.push((slot, *pages));
        }
        let nodes = nodes(place);
        for step in steps(&parts) {
            match step {
                Step::Node { untyped, number } => {
                    let node = nodes[number as usize % nodes.len()];
                    self.programs.make_node(place, untyped, node)?;
                }
                Step::WriteIdentity { at } => {
                    let At::Node(number, index) = at else {
                        return Err(Error::Kernel);
                    };
                    let mut page = [0; PAGE as usize];
                    for (bytes, entry) in page.chunks_exact_mut(4).zip(identity_table()) {
                        bytes.copy_from_slice(&entry.to_le_bytes());
                    }
                    let node = nodes[number as usize % nodes.len()];
                    self.programs.write(node, index, &page)?;
                }
                step => self.composer.carry_out(place, nodes, &step)?,
            }
        }
        self.regions.share(kernel, id, KERNEL, &self.manager)?;
        if let Some(module) = module {
            self.regions.share(module, id, MODULE, &self.manager)?;
        }
        Ok(())
    }

    /// One piece of untyped memory for a machine: as many pages as a power of two.
    fn grow(&mut self, id: IcId, slot: u32, pages: u32) -> Result<()> {
        let created = self.manager.grow(&Grow { id, pages, slot })?;
        match created.pieces[..] {
            [bits] if bits >= 12 && 1 << (bits - 12) >= pages => Ok(()),
            _ => Err(Error::NoMemory),
        }
    }
}

/// The root slots of the nodes of the machine whose parts node is in root slot `place`.
const fn nodes(place: u32) -> [u32; 2] {
    let first = FIRST_NODE + 2 * (place - FIRST_FREE_ROOT);
    [first, first + 1]
}

impl<F: Programs, C: Composer, P: Port> Factory for VmFactory<'_, F, C, P> {
    type Ic = Machine<F::Ic>;

    fn describe(&self) -> Contract {
        self.kind.contract
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Self::Ic> {
        if !C::SUPPORTED {
            self.programs.log(
                "the kernel in use has no virtual processors; `make run SIM=bochs` boots one that has",
            );
            return Err(Error::NotSupported);
        }
        (self.kind.check)(spec)?;
        let module =
            strings(spec.environment).find_map(|variable| variable.strip_prefix(MODULE_VARIABLE));
        let kernel = self.enter(spec.image)?;
        let module = match module.map(|module| self.enter(module)).transpose() {
            Ok(module) => module,
            Err(error) => {
                self.leave(kernel, None);
                return Err(error);
            }
        };
        match self.make(maker, spec, kernel, module) {
            Ok(program) => Ok(Machine {
                program,
                kernel,
                module,
                told: [0; TOLD],
            }),
            Err(error) => {
                self.leave(kernel, module);
                Err(error)
            }
        }
    }

    fn start(&mut self, ic: Member<'_, Self::Ic>) -> Result<()> {
        self.programs.start(monitor(ic))
    }

    /// Words for the monitor, before it is started.
    fn invoke(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        _deferred: &mut Deferred<'_>,
    ) -> Outcome {
        if !self.kind.tells {
            return reply.error(Error::NotSupported);
        }
        if ic.state != State::Ready {
            return reply.error(Error::BadState);
        }
        match request.words() {
            [bytes, told @ ..] if *bytes == 8 * TOLD as u64 && told.len() == TOLD => {
                ic.data.told.copy_from_slice(told);
                reply.ok(&[0])
            }
            _ => reply.error(Error::Malformed),
        }
    }

    /// The monitor asks what its client said.
    fn asked(
        &mut self,
        ic: Member<'_, Self::Ic>,
        request: Request<'_>,
        reply: &mut Reply,
        _deferred: &mut Deferred<'_>,
    ) -> Outcome {
        match request.label() {
            ASK_TOLD => reply.ok(&ic.data.told),
            _ => reply.error(Error::NoSuchOperation),
        }
    }

    fn fault(&mut self, ic: Member<'_, Self::Ic>, fault: &Fault) -> Fate {
        self.programs.fault(monitor(ic), fault)
    }

    fn arguments(&mut self, ic: Member<'_, Self::Ic>) -> Result<(u64, u64)> {
        self.programs.arguments(monitor(ic))
    }

    fn ended(&mut self, ic: Member<'_, Self::Ic>, status: ExitStatus) {
        self.programs.ended(monitor(ic), status);
    }

    fn gone(&mut self, id: IcId, machine: Self::Ic) {
        self.programs.gone(id, machine.program);
        self.leave(machine.kernel, machine.module);
    }
}

/// The program of a machine.
fn monitor<I>(ic: Member<'_, Machine<I>>) -> Member<'_, I> {
    ic.map(|machine| &mut machine.program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn nodes_of_machines_are_apart_from_each_other_and_from_parts_nodes() {
        let places = FIRST_FREE_ROOT..FIRST_NODE;
        let mut slots: Vec<u32> = places.clone().chain(places.flat_map(nodes)).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 3 * MAX_MACHINES);
        let [behind, _] = process_factory::factory::ROOT_SLOTS_OF_PROGRAM;
        assert!(slots.last().is_some_and(|last| *last < behind));
    }
}
