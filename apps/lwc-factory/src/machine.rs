// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the factory wants it.

use lwc_factory::factory::{Kernel, Object, Registers};
use sel4::{
    CNodeCapData, CPtr, CapRights, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86,
    UserContext, VmAttributes, cap_type,
};
use xos_protocol::slots::{ic, leaf, parts, root_guard};
use xos_protocol::{Error, Result};
use xos_server::{Parts, faults};

/// The priority of apps, which is this program's.
const PRIORITY: u64 = 100;
/// Radix of an lwC's CSpace.
const RADIX: u32 = 5;
/// All registers.
const ALL: u64 = 19;

/// The kernel. Whatever it refuses, it refuses because the lwC is gone.
pub struct Machine;

fn gone<T>(result: sel4::Result<T>) -> Result<T> {
    result.map_err(|_| Error::Kernel)
}

impl Kernel for Machine {
    fn make(&mut self, lwc: Parts, object: Object, first: u32, count: u32) -> Result<()> {
        let blueprint: ObjectBlueprint = match object {
            Object::Frame => ObjectBlueprintX86::_4k,
            Object::Table => ObjectBlueprintX86::PageTable,
            Object::Directory => ObjectBlueprintX86::PageDirectory,
            Object::Pointers => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
        }
        .into();
        gone(
            lwc.cap::<cap_type::Untyped>(parts::FIRST_UNTYPED)
                .untyped_retype(&blueprint, &lwc.node(), first as usize, count as usize),
        )
    }

    fn map_table(&mut self, lwc: Parts, object: Object, index: u32, address: u64) -> Result<()> {
        let (vspace, address, how) = (lwc.vspace(), address as usize, VmAttributes::DEFAULT);
        gone(match object {
            Object::Frame => return Err(Error::Kernel),
            Object::Table => lwc
                .cap::<cap_type::PageTable>(index)
                .page_table_map(vspace, address, how),
            Object::Directory => lwc
                .cap::<cap_type::PageDirectory>(index)
                .page_directory_map(vspace, address, how),
            Object::Pointers => lwc
                .cap::<cap_type::PDPT>(index)
                .pdpt_map(vspace, address, how),
        })
    }

    fn map_frame(&mut self, lwc: Parts, index: u32, address: u64) -> Result<()> {
        gone(lwc.cap::<cap_type::Granule>(index).frame_map(
            lwc.vspace(),
            address as usize,
            CapRights::read_write(),
            VmAttributes::DEFAULT,
        ))
    }

    fn configure(&mut self, lwc: Parts, index: u32, address: u64) -> Result<()> {
        gone(lwc.tcb().tcb_configure_with_priority(
            CPtr::from_bits(leaf(ic::ITSELF)),
            PRIORITY,
            PRIORITY,
            lwc.cspace(),
            CNodeCapData::skip((root_guard(RADIX) >> 2) as usize),
            lwc.vspace(),
            address,
            lwc.cap(index),
        ))
    }

    fn set_registers(&mut self, lwc: Parts, registers: &Registers) -> Result<()> {
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.ip;
        raw.rsp = registers.sp;
        raw.rdi = registers.argument;
        raw.rsi = registers.from;
        raw.rdx = registers.buffer;
        raw.rcx = registers.thread_pointer;
        raw.r8 = registers.word;
        raw.tls_base = registers.thread_pointer;
        gone(lwc.tcb().tcb_write_registers(false, ALL, &mut context))
    }

    fn empty(&mut self, lwc: Parts, slot: u32) -> Result<()> {
        let root = lwc.cspace();
        gone(
            root.absolute_cptr_from_bits_with_depth(slot.into(), RADIX as usize)
                .delete(),
        )
    }

    fn report(&mut self, lwc: Parts) -> Result<[u64; 3]> {
        faults::report_registers(lwc.tcb())
    }

    fn refuse(&mut self, lwc: Parts, error: Error) -> Result<bool> {
        faults::refuse(lwc.tcb(), error)
    }

    fn land(&mut self, lwc: Parts) -> Result<bool> {
        faults::land(lwc.tcb())
    }
}
