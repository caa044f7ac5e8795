// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it.

use sel4::Fault;
use xos_client::{Manager, Port};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::PAGE;
use xos_protocol::slots::DOMAIN_ROOT_RADIX;
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::{Contract, Error, ExitStatus, IcId, Result};
use xos_runtime::panic_report::{self, MAX_LEN};
use xos_server::factory::{Factory, Fate, Maker, Member, Needs};
use xos_server::faults;

use crate::arena::Nodes;
use crate::clones::{self, Cloner};
use crate::compose::{Plan, Process, Wish, compose, registers};
use crate::files::Files;
use crate::images::{Images, Tools};
use crate::kernel::{Context, Kernel};
use crate::pages::Pages;
use crate::supply::{Supply, Touch};

/// Processes at a time.
pub const MAX_PROCESSES: usize = 2048;
/// Root slots that are the program's, for the time of one call of the kernel's.
pub const ROOT_SLOTS_OF_PROGRAM: [u32; 2] = [BEHIND_PARTS, BEHIND_PARTS + 1];
const BEHIND_PARTS: u32 = FIRST_FREE_ROOT + MAX_PROCESSES as u32;
/// The first root slot for nodes.
pub const FIRST_NODE: u32 = BEHIND_PARTS + 2;
/// How many there are.
pub const NODE_PLACES: usize = (ROOT_SLOTS - FIRST_NODE) as usize;
const ROOT_SLOTS: u32 = 1 << DOMAIN_ROOT_RADIX;
/// Root slots that processes' further nodes may take, all together: those who take many leave the parts
/// nodes of others, and images, room.
const MAX_NODES: u32 = 1536;

/// What processes are promised.
const CONTRACT: Contract = Contract {
    memory: Memory::Private,
    capabilities: Capabilities::Own,
    names: Names::None,
    kernel_interface: KernelInterface::Sel4,
    quota: Quota::Own,
    cpu: Cpu::CreatorsPriority,
    fault_containment: FaultContainment::Itself,
    teardown: Teardown::ManagerAlone,
    channels: Channels::Granted,
};

/// The process factory.
pub struct ProcessFactory<'a, K, P = sel4::cap::Endpoint> {
    kernel: K,
    manager: Manager<P>,
    files: Files<'a>,
    images: Images<'a>,
    pub(crate) nodes: Nodes,
    pages: Pages<'a>,
}

impl<'a, K: Kernel, P: Port> ProcessFactory<'a, K, P> {
    /// A factory without processes and without files.
    pub const fn new(kernel: K, manager: Manager<P>) -> Self {
        Self {
            kernel,
            manager,
            files: Files::EMPTY,
            images: Images::new(),
            nodes: Nodes::new(FIRST_NODE, ROOT_SLOTS, MAX_NODES),
            pages: Pages::none(),
        }
    }

    /// Gives it books to write down which page is where. Without, it makes no snapshots, and cannot read the
    /// last words of a process in pages that came when they were touched.
    ///
    /// [`Books`](crate::pages::Books) for [`MAX_PROCESSES`] and [`NODE_PLACES`] hold all that there can be,
    /// opened with [`FIRST_NODE`].
    pub fn set_pages(&mut self, pages: Pages<'a>) {
        self.pages = pages;
    }

    /// Gives it the file tree.
    pub fn set_files(&mut self, files: Files<'a>) {
        self.files = files;
    }

    /// The kernel.
    pub const fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Gives a process what it touched.
    fn supply(&mut self, ic: Member<'_, Process>, address: u64, touch: Touch) -> Result<()> {
        let image = self.images.get(ic.data.made.image.into());
        let image = image.ok_or(Error::Kernel)?;
        let mut supply = Supply {
            id: ic.id,
            image,
            layout: ic.data.layout(&image.program)?,
            kernel: &mut self.kernel,
            nodes: &mut self.nodes,
            pages: &mut self.pages,
            manager: &self.manager,
            process: ic.data,
        };
        supply.touched(address, touch)
    }

    /// Reads memory of a process from `address` on: how much of it can be read.
    fn read(&mut self, process: &Process, address: u64, bytes: &mut [u8]) -> usize {
        let Some(image) = self.images.get(process.made.image.into()) else {
            return 0;
        };
        let mut known = 0;
        while known < bytes.len() {
            let Some(address) = address.checked_add(known as u64) else {
                break;
            };
            let offset = (address % PAGE) as usize;
            let length = (bytes.len() - known).min(PAGE as usize - offset);
            let bytes = &mut bytes[known..known + length];
            let read = process
                .frame(image, &self.nodes, &self.pages, address)
                .is_some_and(|frame| self.kernel.read(frame, offset, bytes).is_ok());
            if !read {
                break;
            }
            known += length;
        }
        known
    }

    /// Whether a process that made this fault has panicked. Its last words go to the log.
    fn has_panicked(&mut self, ic: &Member<'_, Process>, fault: &Fault) -> bool {
        let place = ic.parts.place();
        let Some(report) = faults::panic(fault, || self.kernel.registers(place)) else {
            return false;
        };
        let mut text = [0; MAX_LEN];
        let text = &mut text[..report.len];
        let known = self.read(ic.data, report.addr, text);
        let path = match self.images.get(ic.data.made.image.into()) {
            Some(image) => image.path.clone(),
            None => return false,
        };
        let text = panic_report::text(&text[..known]);
        self.kernel
            .log(format_args!("{path} {} {}", ic.id, Printable(text)));
        true
    }
}

/// Text from a program that may want to write over our own lines: control characters become `?`.
struct Printable<'a>(&'a str);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        if self.0.is_empty() {
            return f.write_str("panicked, and its message cannot be read");
        }
        self.0
            .chars()
            .try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

impl<K: Kernel, P: Port> Factory for ProcessFactory<'_, K, P> {
    type Ic = Process;

    const CLONES: bool = true;

    fn describe(&self) -> Contract {
        CONTRACT
    }

    fn create(&mut self, maker: &mut Maker<'_>, spec: &Spec<'_>) -> Result<Process> {
        let wish = Wish::new(spec)?;
        let index = self.images.load(
            spec.image,
            &mut Tools {
                kernel: &mut self.kernel,
                manager: &self.manager,
                nodes: &mut self.nodes,
                files: &self.files,
            },
        )?;
        let image = self.images.get(index).ok_or(Error::Kernel)?;
        let plan = Plan::new(&image.program, &wish)?;
        let needs = Needs {
            session: true,
            memory: plan.memory,
            quota: plan.quota,
            ics: wish.ics,
            parts_radix: plan.parts_radix,
            cspace_radix: wish.info.cspace_radix.into(),
        };
        let made = maker.create_named(&needs, image.name)?;
        let process = compose(
            &mut self.kernel,
            &mut self.nodes,
            (index, image),
            &plan,
            &wish,
            made.parts.place(),
            &made.created,
        )?;
        self.images.enter(index);
        Ok(process)
    }

    fn start(&mut self, ic: Member<'_, Process>) -> Result<()> {
        if ic.data.model.is_some() {
            // It has the registers of its model.
            return self.manager.resume(ic.id);
        }
        let image = self
            .images
            .get(ic.data.made.image.into())
            .ok_or(Error::Kernel)?;
        let layout = ic.data.layout(&image.program)?;
        let registers = registers(&image.program, &layout, ic.data);
        self.kernel.set_registers(ic.parts.place(), &registers)?;
        // By the manager, which then knows that it runs.
        self.manager.resume(ic.id)
    }

    fn fault(&mut self, ic: Member<'_, Process>, fault: &Fault) -> Fate {
        let mut report = faults::describe(fault);
        match fault {
            Fault::VmFault(fault) => {
                let (touch, place) = (Touch::new(fault.inner().get_FSR()), ic.parts.place());
                match self.supply(ic, fault.inner().get_Addr(), touch) {
                    Ok(()) => Fate::Retry,
                    // Its parts have vanished: somebody ended it at this moment.
                    Err(Error::Kernel | Error::Gone) => Fate::Ends(ExitStatus::Killed),
                    // It may be one that wants to know that there is nothing.
                    Err(_) => match self.kernel.land(place) {
                        Ok(true) => Fate::GoesOn,
                        _ => Fate::Ends(ExitStatus::Fault(report)),
                    },
                }
            }
            Fault::CapFault(fault) if fault.inner().get_InRecvPhase() == 0 => {
                match self.kernel.refuse(ic.parts.place(), Error::Gone) {
                    Ok(true) => Fate::GoesOn,
                    _ => Fate::Ends(ExitStatus::Fault(report)),
                }
            }
            _ => {
                if self.has_panicked(&ic, fault) {
                    report.kind = FaultKind::Panic;
                }
                Fate::Ends(ExitStatus::Fault(report))
            }
        }
    }

    fn touched(&mut self, ic: Member<'_, Process>, address: u64, code: u64) -> Result<()> {
        self.supply(ic, address, Touch::new(code))
    }

    fn arguments(&mut self, ic: Member<'_, Process>) -> Result<(u64, u64)> {
        let image = self
            .images
            .get(ic.data.made.image.into())
            .ok_or(Error::Kernel)?;
        let layout = ic.data.layout(&image.program)?;
        let registers = registers(&image.program, &layout, ic.data);
        Ok((registers.info, registers.info_bytes))
    }

    fn snapshot(&mut self, ic: Member<'_, Process>) -> Result<()> {
        // What a clone has borrowed is its model's. And pages that nobody remembers nobody can give.
        if ic.data.model.is_some() || ic.data.forgotten {
            return Err(Error::NotSupported);
        }
        let context = self.kernel.context(ic.parts.place())?;
        let mut instruction = [0; Context::CALL.len()];
        let length = self.read(ic.data, context.instruction(), &mut instruction);
        if length != instruction.len() || instruction != Context::CALL {
            return Err(Error::BadState);
        }
        ic.data.frozen = Some(context.in_a_call());
        Ok(())
    }

    fn clone(&mut self, maker: &mut Maker<'_>, model: Member<'_, Process>) -> Result<Process> {
        let made = model.data.made;
        let context = model.data.frozen.ok_or(Error::BadState)?;
        let image = self.images.get(made.image.into()).ok_or(Error::Kernel)?;
        let layout = model.data.layout(&image.program)?;
        let needs = Needs {
            session: true,
            memory: clones::MEMORY,
            quota: clones::quota(&made, image.program.shared_pages())?,
            ics: made.ics.into(),
            parts_radix: clones::PARTS_RADIX,
            cspace_radix: made.cspace_radix.into(),
        };
        let new = maker.create_named(&needs, image.name)?;
        let mut cloner = Cloner {
            kernel: &mut self.kernel,
            nodes: &mut self.nodes,
            pages: &mut self.pages,
            image,
            layout: &layout,
        };
        let origin = model.data.origin();
        let clone = cloner.compose(made, origin, &context, new.parts.place(), &new.created)?;
        self.images.enter(made.image.into());
        Ok(clone)
    }

    fn gone(&mut self, _id: IcId, process: Process) {
        self.images.leave(process.made.image.into());
        self.pages.forget(process.parts);
        // The nodes were in the arena.
        let pages = &mut self.pages;
        process
            .slots
            .give_back(&mut self.nodes, |node| pages.forget_node(node));
    }
}
