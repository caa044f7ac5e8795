// SPDX-License-Identifier: BSD-2-Clause
//! The factory: what the loop of `xos-server` asks of it.

use sel4::Fault;
use xos_client::{Manager, Port};
use xos_protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos_protocol::factory::Spec;
use xos_protocol::ic::FaultKind;
use xos_protocol::manager::{Grow, PAGE};
use xos_protocol::slots::domain::FIRST_FREE_ROOT;
use xos_protocol::{Contract, Error, ExitStatus, IcId, Result};
use xos_runtime::panic_report::{self, EXCEPTION, MAX_LEN, PanicReport};
use xos_server::factory::{Factory, Fate, Maker, Member, Needs};
use xos_server::faults;

use crate::arena::Nodes;
use crate::compose::{Builder, Plan, Process, Wish, compose, registers, stack_index};
use crate::files::Files;
use crate::images::{Images, Tools};
use crate::kernel::{At, Kernel, Object, Refusal};

/// Processes at a time.
pub const MAX_PROCESSES: usize = 2048;
/// Root slots that are the program's, for the time of one call of the kernel's.
pub const ROOT_SLOTS_OF_PROGRAM: [u32; 2] = [BEHIND_PARTS, BEHIND_PARTS + 1];
const BEHIND_PARTS: u32 = FIRST_FREE_ROOT + MAX_PROCESSES as u32;
const FIRST_FREE: u32 = BEHIND_PARTS + 2;
/// Root slots that processes' further nodes may take, all together: those who take many leave the parts
/// nodes of others, and images, room.
const MAX_NODES: u32 = 1536;

/// Least pages that an arena grows by.
const LEAST_STEP: u64 = 4;
/// Steps in which an arena can grow to all that may be touched: each is twice the one before. The manager
/// gives an arena 16 chunks; two were given at the start, and one holds the parts.
const STEPS: u32 = 8;

/// Bit of x86's page-fault error code (Intel SDM volume 3, section 4.7): the page is present.
const PRESENT: u64 = 1;

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
    nodes: Nodes,
}

impl<'a, K: Kernel, P: Port> ProcessFactory<'a, K, P> {
    /// A factory without processes and without files.
    pub const fn new(kernel: K, manager: Manager<P>) -> Self {
        Self {
            kernel,
            manager,
            files: Files::EMPTY,
            images: Images::new(),
            nodes: Nodes::new(FIRST_FREE, 4096, MAX_NODES),
        }
    }

    /// Gives it the file tree.
    pub fn set_files(&mut self, files: Files<'a>) {
        self.files = files;
    }

    /// The kernel.
    pub const fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Maps a zero page where a process touched it for the first time.
    fn supply(&mut self, ic: Member<'_, Process>, address: u64) -> Result<()> {
        let image = self.images.get(ic.data.image.into()).ok_or(Error::Kernel)?;
        let layout = ic.data.layout(&image.program)?;
        if !layout.is_lazy(&image.program, address) {
            return Err(Error::BadAddress);
        }
        let mut supply = Supply {
            id: ic.id,
            parts: ic.parts.place(),
            most: layout.lazy_pages(&image.program),
            kernel: &mut self.kernel,
            nodes: &mut self.nodes,
            manager: &self.manager,
            process: ic.data,
        };
        let page = address & !(PAGE - 1);
        let number = supply.map(Object::Frame, page)?;
        if let Some(index) = stack_index(&layout, page)
            && let Some(entry) = ic.data.stack.get_mut(index)
        {
            *entry = u16::try_from(number).unwrap_or(0);
        }
        Ok(())
    }

    /// Whether a process that made an exception of number `number` has panicked. Its last words go to the log.
    fn has_panicked(&mut self, ic: &Member<'_, Process>, number: u64) -> bool {
        if number != EXCEPTION {
            return false;
        }
        let place = ic.parts.place();
        let Ok([rax, rdi, rsi]) = self.kernel.registers(place) else {
            return false;
        };
        let Some(report) = PanicReport::from_registers(rax, rdi, rsi) else {
            return false;
        };
        let Some(image) = self.images.get(ic.data.image.into()) else {
            return false;
        };
        let mut text = [0; MAX_LEN];
        let mut known = 0;
        while known < report.len {
            let Some(address) = report.addr.checked_add(known as u64) else {
                break;
            };
            let offset = (address % PAGE) as usize;
            let length = (report.len - known).min(PAGE as usize - offset);
            let bytes = &mut text[known..known + length];
            let read = ic
                .data
                .frame(image, &self.nodes, place, address)
                .is_some_and(|frame| self.kernel.read(frame, offset, bytes).is_ok());
            if !read {
                break;
            }
            known += length;
        }
        let text = panic_report::text(&text[..known]);
        self.kernel
            .log(format_args!("{} {} {}", image.path, ic.id, Printable(text)));
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

/// Gives a running process what it has touched.
struct Supply<'s, K, P> {
    id: IcId,
    parts: u32,
    /// Pages that may be touched in all.
    most: u64,
    kernel: &'s mut K,
    nodes: &'s mut Nodes,
    manager: &'s Manager<P>,
    process: &'s mut Process,
}

impl<K: Kernel, P: Port> Supply<'_, K, P> {
    /// Makes an object and maps it at `address`, with the structures above it that are missing: the number
    /// of its slot.
    fn map(&mut self, object: Object, address: u64) -> Result<u32> {
        let number = self.make(object)?;
        let at = self.process.slots.at(self.nodes, self.parts, number).0;
        let parts = self.parts;
        let map = |kernel: &mut K| match object {
            Object::Frame => kernel.map_frame(at, parts, address, true),
            table => kernel.map_table(at, table, parts, address),
        };
        match (map(self.kernel), object.above()) {
            (Err(Refusal::Missing), Some(above)) => {
                self.map(above, address)?;
                map(self.kernel)?;
            }
            (outcome, _) => outcome?,
        }
        Ok(number)
    }

    /// Makes one object: the number of its slot.
    fn make(&mut self, object: Object) -> Result<u32> {
        if self.process.slots.left() == 0 {
            self.need_page()?;
            self.builder().add_node()?;
        }
        self.need_page()?;
        self.builder().make(object, 1)
    }

    fn builder(&mut self) -> Builder<'_, K> {
        Builder {
            kernel: self.kernel,
            nodes: self.nodes,
            parts: self.parts,
            pieces: &mut self.process.pieces,
            slots: &mut self.process.slots,
        }
    }

    /// Sees to it that a page of untyped memory is left.
    fn need_page(&mut self) -> Result<()> {
        if self.process.pieces.left() != 0 {
            return Ok(());
        }
        for index in self.process.pieces.retire() {
            // What was made of it stays: it derives from the arena as well.
            let node = self.parts;
            self.kernel.delete(At { node, index });
        }
        let (slot, _) = self.process.pieces.room().ok_or(Error::TableFull)?;
        let mut pages = step(self.most, self.process.steps.into());
        loop {
            let grow = Grow {
                id: self.id,
                pages,
                slot,
            };
            match self.manager.grow(&grow) {
                Ok(created) => {
                    self.process.pieces.add(&created);
                    self.process.steps = self.process.steps.saturating_add(1);
                    return Ok(());
                }
                Err(Error::OverBudget | Error::NoMemory) if pages > 1 => pages /= 2,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Pages of step `step` of an arena's growth, when `most` pages may be touched in all.
fn step(most: u64, step: u32) -> u32 {
    let first = (most >> STEPS).next_power_of_two().max(LEAST_STEP);
    (first << step.min(STEPS)).min(1 << 16) as u32
}

impl<K: Kernel, P: Port> Factory for ProcessFactory<'_, K, P> {
    type Ic = Process;

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
        let image = self.images.get(ic.data.image.into()).ok_or(Error::Kernel)?;
        let layout = ic.data.layout(&image.program)?;
        let registers = registers(&image.program, &layout, ic.data);
        self.kernel.set_registers(ic.parts.place(), &registers)?;
        // By the manager, which then knows that it runs.
        self.manager.resume(ic.id)
    }

    fn fault(&mut self, ic: Member<'_, Process>, fault: &Fault) -> Fate {
        let mut report = faults::describe(fault);
        match fault {
            // Of a page that is present, what was tried is not allowed there.
            Fault::VmFault(fault) if fault.inner().get_FSR() & PRESENT == 0 => {
                match self.supply(ic, fault.inner().get_Addr()) {
                    Ok(()) => Fate::Retry,
                    // Its parts have vanished: somebody ended it at this moment.
                    Err(Error::Kernel | Error::Gone) => Fate::Ends(ExitStatus::Killed),
                    Err(_) => Fate::Ends(ExitStatus::Fault(report)),
                }
            }
            Fault::CapFault(fault) if fault.inner().get_InRecvPhase() == 0 => {
                match self.kernel.refuse(ic.parts.place(), Error::Gone) {
                    Ok(true) => Fate::GoesOn,
                    _ => Fate::Ends(ExitStatus::Fault(report)),
                }
            }
            Fault::UserException(fault) => {
                if self.has_panicked(&ic, fault.inner().get_Number()) {
                    report.kind = FaultKind::Panic;
                }
                Fate::Ends(ExitStatus::Fault(report))
            }
            _ => Fate::Ends(ExitStatus::Fault(report)),
        }
    }

    fn arguments(&mut self, ic: Member<'_, Process>) -> Result<(u64, u64)> {
        let image = self.images.get(ic.data.image.into()).ok_or(Error::Kernel)?;
        let layout = ic.data.layout(&image.program)?;
        let registers = registers(&image.program, &layout, ic.data);
        Ok((registers.info, registers.info_bytes))
    }

    fn gone(&mut self, _id: IcId, process: Process) {
        self.images.leave(process.image.into());
        // The nodes were in the arena.
        process.slots.give_back(&mut self.nodes, |_| ());
    }
}
