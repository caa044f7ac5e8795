// SPDX-License-Identifier: BSD-2-Clause
//! Makes domains from their plans, and destroys them.

use sel4::{CNodeCapData, CPtr, CapRights, UserContext, VmAttributes, cap_type};
use sel4::{cap, init_thread::slot};
use xos_image::{Access, Blob, IPC_BUFFER_VADDR, Image, IrqSource, STACK_TOP};
use xos_protocol::slots::domain as node;
use xos_root_task::layout::Fill;
use xos_root_task::objects::PAGE_BITS;
use xos_root_task::plan::{DomainPlan, IrqPlan, Plan, Run};
use xos_root_task::supervise::Start;

use super::kernel::{self, Doing, Result, cap_in, own};
use super::stub;
use super::window::Window;

/// RFLAGS of a new thread: what is always set, and interrupts enabled (Intel SDM volume 1, 3.4.3).
const RFLAGS: u64 = 0x202;

/// The priority of a domain that rests: that of apps, among which it takes its turns.
const RESTING_PRIORITY: u64 = 100;

/// Everything that building takes.
pub struct Builder<'a> {
    pub plan: Plan,
    pub image: Image<'a>,
    pub window: Window,
    /// What the manager is told, encoded; empty without a manager.
    pub manager_boot: alloc::vec::Vec<u8>,
}

impl Builder<'_> {
    /// Makes a domain's objects. Its arena is untouched, or has just been revoked.
    pub fn create(&self, index: usize) -> Result {
        let domain = &self.plan.domains[index];
        domain.retypes.iter().try_for_each(kernel::retype)
    }

    /// Puts a domain's objects together. It is left stopped, at its first instruction.
    pub fn compose(&mut self, index: usize, start: Start) -> Result {
        let (plan, image) = (&self.plan, &self.image);
        let domain = &plan.domains[index];
        let description = &image.system().domains[index];
        let objects = &domain.objects;
        let vspace = cap_in::<cap_type::VSpace>(objects.vspace);

        // Copies of the address space's capability are good only when they are made after this.
        slot::ASID_POOL
            .cap()
            .asid_pool_assign(vspace)
            .doing("name an address space", objects.vspace)?;
        for (table, slot) in &domain.tables {
            cap_in::<cap_type::UnspecifiedIntermediateTranslationTable>(*slot)
                .generic_intermediate_translation_table_map(
                    table_type(table.level),
                    vspace,
                    table.vaddr as usize,
                    VmAttributes::default(),
                )
                .doing("map a paging structure", *slot)?;
        }
        for run in &domain.runs {
            fill(&mut self.window, image, &self.manager_boot, run)?;
            map(run, vspace)?;
        }
        domain.grants.iter().try_for_each(kernel::grant)?;
        domain
            .io_ports
            .iter()
            .try_for_each(kernel::grant_io_ports)?;

        let tcb = cap_in::<cap_type::Tcb>(objects.tcb);
        // Who rests looks at the clock again and again, and leaves the processor to all who have something to do.
        let priority = match start {
            Start::Resting(_) => u64::from(description.priority).min(RESTING_PRIORITY),
            _ => description.priority.into(),
        };
        tcb.tcb_configure_with_priority(
            CPtr::from_bits(node::FAULT),
            priority,
            priority,
            cap_in(objects.root),
            CNodeCapData::skip(domain.root_guard as usize),
            vspace,
            IPC_BUFFER_VADDR,
            cap_in(domain.ipc_buffer),
        )
        .doing("configure a thread", objects.tcb)?;
        tcb.tcb_bind_notification(cap_in(objects.notification))
            .doing("bind a notification", objects.notification)?;
        let mut registers = match start {
            Start::Program => program(description.entry),
            Start::Resting(until) => stub::resting(until),
            Start::Undertaker => stub::undertaker(),
        };
        tcb.tcb_write_all_registers(false, &mut registers)
            .doing("set a thread's registers", objects.tcb)?;
        sel4::sel4_cfg_if! {
            if #[sel4_cfg(DEBUG_BUILD)] {
                tcb.debug_name(description.name.as_bytes());
            }
        }
        Ok(())
    }

    /// Lets a domain run.
    pub fn resume(&self, index: usize) -> Result {
        let tcb = self.plan.domains[index].objects.tcb;
        tcb_of(&self.plan.domains[index])
            .tcb_resume()
            .doing("start a thread", tcb)
    }

    /// Destroys a domain, whatever it did, and takes the memory of others out of what was its address
    /// space. Others keep its endpoint and its notification.
    pub fn destroy(&self, index: usize) -> Result {
        let domain = &self.plan.domains[index];
        own(domain.arena)
            .revoke()
            .doing("destroy a domain", domain.arena)?;
        for run in domain.runs.iter().filter(|run| run.outlives) {
            for page in 0..run.span.pages as usize {
                cap_in::<cap_type::UnspecifiedPage>(run.first + page)
                    .frame_unmap()
                    .doing("unmap a frame", run.first + page)?;
            }
        }
        Ok(())
    }

    /// Connects a domain's interrupts to its notification. Once.
    pub fn connect_irqs(&self, index: usize) -> Result {
        for irq in &self.plan.domains[index].irqs {
            issue(irq)?;
            kernel::grant(&irq.notification)?;
            cap_in::<cap_type::IrqHandler>(irq.handler)
                .irq_handler_set_notification(cap_in(irq.notification.to.index as usize))
                .doing("connect an interrupt", irq.handler)?;
        }
        Ok(())
    }

    /// Lets interrupts come again that a domain had not acknowledged when it died.
    pub fn acknowledge_irqs(&self, index: usize) -> Result {
        for irq in &self.plan.domains[index].irqs {
            cap_in::<cap_type::IrqHandler>(irq.handler)
                .irq_handler_ack()
                .doing("acknowledge an interrupt", irq.handler)?;
        }
        Ok(())
    }

    /// Writes the contents of regions. Once.
    pub fn fill_regions(&mut self) -> Result {
        for fill in &self.plan.fills {
            let bytes = self.image.blob(fill.blob);
            for (page, part) in bytes.chunks(1 << fill.page_bits).enumerate() {
                self.window
                    .write(fill.first + page, fill.page_bits, |frame| {
                        frame[..part.len()].copy_from_slice(part);
                    })?;
            }
        }
        Ok(())
    }
}

/// A domain's thread.
pub fn tcb_of(domain: &DomainPlan) -> cap::Tcb {
    cap_in(domain.objects.tcb)
}

fn program(entry: u64) -> UserContext {
    let mut context = UserContext::default();
    let registers = context.inner_mut();
    registers.rip = entry;
    registers.rsp = STACK_TOP;
    registers.rflags = RFLAGS;
    context
}

fn table_type(level: xos_root_task::objects::Level) -> sel4::TranslationTableObjectType {
    use sel4::TranslationTableObjectType as Type;
    use xos_root_task::objects::Level;
    match level {
        Level::Pdpt => Type::PDPT,
        Level::PageDirectory => Type::PageDirectory,
        Level::PageTable => Type::PageTable,
    }
}

/// Writes into fresh frames of an arena what they begin with.
fn fill(window: &mut Window, image: &Image<'_>, manager_boot: &[u8], run: &Run) -> Result {
    let blob = |blob: Blob| image.blob(blob);
    let own_address = IPC_BUFFER_VADDR.to_le_bytes();
    let (bytes, offset) = match run.fill {
        Fill::Zero => return Ok(()),
        Fill::Blob(contents) => (blob(contents), 0),
        Fill::ManagerBoot => (manager_boot, 0),
        Fill::IpcBuffer => (
            &own_address[..],
            core::mem::offset_of!(sel4::sys::seL4_IPCBuffer, userData),
        ),
    };
    for (page, part) in bytes.chunks(1 << PAGE_BITS).enumerate() {
        window.write(run.first + page, PAGE_BITS, |frame| {
            frame[offset..][..part.len()].copy_from_slice(part);
        })?;
    }
    Ok(())
}

fn map(run: &Run, vspace: cap::VSpace) -> Result {
    let rights = match run.access {
        // This kernel has no pages that cannot be executed.
        Access::Read | Access::ReadExecute => CapRights::read_only(),
        Access::ReadWrite | Access::ReadWriteExecute => CapRights::read_write(),
    };
    let attributes = if run.cached {
        VmAttributes::default()
    } else {
        VmAttributes::CACHE_DISABLED
    };
    for page in 0..run.span.pages {
        let slot = run.first + page as usize;
        cap_in::<cap_type::UnspecifiedPage>(slot)
            .frame_map(
                vspace,
                (run.span.vaddr + (page << run.span.page_bits)) as usize,
                rights,
                attributes,
            )
            .doing("map a frame", slot)?;
    }
    Ok(())
}

/// Makes an interrupt's handler.
fn issue(irq: &IrqPlan) -> Result {
    let control = slot::IRQ_CONTROL.cap();
    let to = own(irq.handler);
    match irq.source {
        IrqSource::Ioapic {
            ioapic,
            pin,
            level,
            active_low,
        } => control.irq_control_get_ioapic(
            ioapic.into(),
            pin.into(),
            level.into(),
            active_low.into(),
            irq.vector.into(),
            &to,
        ),
        IrqSource::Msi {
            bus,
            device,
            function,
            handle,
        } => control.irq_control_get_msi(
            bus.into(),
            device.into(),
            function.into(),
            handle.into(),
            irq.vector.into(),
            &to,
        ),
    }
    .doing("make an interrupt's handler", irq.handler)
}
