// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the factory wants it.
#![allow(unsafe_code)]

use core::fmt;

use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, ObjectBlueprintX64,
    ObjectBlueprintX86, UserContext, VmAttributes, cap,
};
use xos_runtime::guarded::{self, TakenAway};
use xos_server::client::Console;
use xos_server::protocol::Subject;
use xos_server::protocol::console::{LOG, LOG_LINE, write_log};
use xos_server::protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_server::protocol::slots::{NODE_BITS, domain, ic, leaf, parts, root_guard};
use xos_server::{Manager, Parts, Space, faults, protocol};

use crate::arena::NODE_RADIX;
use crate::kernel::{At, Context, Execution, Kernel, Object, Outcome, Refusal, Registers};

/// The priority of apps, and of this domain: a reply is fast only to a caller of at least the server's
/// priority, and nobody can be given more than this domain has.
const PRIORITY: u64 = 100;

/// The program's own root slots.
const SPACE: Space = Space::DOMAIN;
/// CPtr of the domain's own VSpace.
const VSPACE: cap::VSpace = cap::VSpace::from_bits(domain::VSPACE);

/// Where frames of processes are mapped while something is written to them or read: the pages behind a
/// region of one page, mapped there so that there is a page table.
const WINDOW_TABLE: u64 = 0x6100_0000_0000;
/// The two pages at which frames lie meanwhile.
pub const WINDOW: u64 = WINDOW_TABLE + PAGE;

/// All registers.
const ALL: u64 = 19;

/// Has the manager map what makes [`WINDOW`] one, with what paging structures that takes.
///
/// # Errors
/// The manager's.
pub fn make_window(manager: &Manager) -> protocol::Result<()> {
    let region = manager.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 1,
        large: false,
        place: 0,
    })?;
    manager.share(&Share {
        region,
        target: Subject::Myself,
        address: WINDOW_TABLE,
        rights: Rights::RW,
    })
}

/// The kernel.
pub struct Machine {
    /// Two pages of the domain's address space for which there is a page table, and nothing else.
    window: u64,
    /// Two root slots that are empty between any two calls.
    staging: u32,
    scratch: u32,
    console: Console,
}

impl Machine {
    /// The kernel.
    ///
    /// # Safety
    /// The two pages at `window` are nobody else's.
    pub const unsafe fn new(window: u64, staging: u32, scratch: u32, console: Console) -> Self {
        Self {
            window,
            staging,
            scratch,
            console,
        }
    }

    /// Calls `f` with the address at which a frame's page lies meanwhile, readable and writable: the first
    /// or the second of the window. Whoever pays for the frame may be destroyed at any moment, and the page is gone
    /// then: `f` copies as one who knows that ([`guarded`]).
    fn with_frame<R>(
        &mut self,
        frame: cap::Granule,
        page: u64,
        f: impl FnOnce(&mut Self, *mut u8) -> R,
    ) -> Outcome<R> {
        let at = (self.window + page * PAGE) as usize;
        frame
            .frame_map(VSPACE, at, CapRights::read_write(), VmAttributes::DEFAULT)
            .map_err(refusal)?;
        sel4::sys::steps::pause();
        let result = f(self, at as *mut u8);
        frame.frame_unmap().map_err(refusal)?;
        Ok(result)
    }

    /// The same for one that may be mapped elsewhere.
    fn with_mapped<R>(&mut self, frame: At, f: impl FnOnce(&mut Self, *mut u8) -> R) -> Outcome<R> {
        let copy = SPACE.slot(self.scratch);
        copy.copy(&slot(frame), CapRights::read_write())
            .map_err(refusal)?;
        let result = self.with_frame(SPACE.leaf(self.scratch), 1, f);
        let _ = copy.delete();
        result
    }
}

fn node(place: u32) -> Parts {
    SPACE.node(place)
}

fn slot(at: At) -> AbsoluteCPtr {
    node(at.node).slot(at.index)
}

/// The registers of a context, in the kernel's order.
fn words(context: &mut UserContext) -> [&mut u64; Context::REGISTERS] {
    let raw = context.inner_mut();
    [
        &mut raw.rip,
        &mut raw.rsp,
        &mut raw.rflags,
        &mut raw.rax,
        &mut raw.rbx,
        &mut raw.rcx,
        &mut raw.rdx,
        &mut raw.rsi,
        &mut raw.rdi,
        &mut raw.rbp,
        &mut raw.r8,
        &mut raw.r9,
        &mut raw.r10,
        &mut raw.r11,
        &mut raw.r12,
        &mut raw.r13,
        &mut raw.r14,
        &mut raw.r15,
        &mut raw.tls_base,
    ]
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::FailedLookup => Refusal::Missing,
        _ => Refusal::Other,
    }
}

fn taken_away(_: TakenAway) -> Refusal {
    Refusal::Other
}

fn blueprint(object: Object) -> ObjectBlueprint {
    match object {
        Object::Frame => ObjectBlueprintX86::_4k,
        Object::Table => ObjectBlueprintX86::PageTable,
        Object::Directory => ObjectBlueprintX86::PageDirectory,
        Object::Pointers => ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
    }
    .into()
}

/// Whether `offset..offset + len` lies in one page.
fn in_page(offset: usize, len: usize) -> Outcome {
    match offset.checked_add(len) {
        Some(end) if end <= PAGE as usize => Ok(()),
        _ => Err(Refusal::Other),
    }
}

impl Kernel for Machine {
    fn retype(&mut self, untyped: At, object: Object, to: u32, first: u32, count: u32) -> Outcome {
        node(untyped.node)
            .cap::<sel4::cap_type::Untyped>(untyped.index)
            .untyped_retype(
                &blueprint(object),
                &SPACE.slot(to),
                first as usize,
                count as usize,
            )
            .map_err(refusal)
    }

    fn make_node(&mut self, untyped: At, place: u32) -> Outcome {
        let size_bits = NODE_RADIX as usize;
        node(untyped.node)
            .cap::<sel4::cap_type::Untyped>(untyped.index)
            .untyped_retype(
                &ObjectBlueprint::CNode { size_bits },
                &cap::CNode::from_bits(domain::ROOT).absolute_cptr_for_self(),
                self.staging as usize,
                1,
            )
            .map_err(refusal)?;
        let guard = CNodeCapData::skip((NODE_BITS - NODE_RADIX) as usize).into_word();
        let staged = SPACE.slot(self.staging);
        SPACE.slot(place).mutate(&staged, guard).map_err(|error| {
            // Nothing may stay there.
            let _ = staged.delete();
            refusal(error)
        })
    }

    fn clear(&mut self, place: u32) {
        let _ = SPACE.slot(place).delete();
    }

    fn delete(&mut self, at: At) {
        let _ = slot(at).delete();
    }

    fn copy(&mut self, from: At, to: At) -> Outcome {
        slot(to)
            .copy(&slot(from), CapRights::read_only())
            .map_err(refusal)
    }

    fn map_table(&mut self, table: At, object: Object, parts: u32, address: u64) -> Outcome {
        let (node, vspace) = (node(table.node), node(parts).vspace());
        let (address, attributes) = (address as usize, VmAttributes::DEFAULT);
        match object {
            Object::Frame => return Err(Refusal::Other),
            Object::Table => node
                .cap::<sel4::cap_type::PageTable>(table.index)
                .page_table_map(vspace, address, attributes),
            Object::Directory => node
                .cap::<sel4::cap_type::PageDirectory>(table.index)
                .page_directory_map(vspace, address, attributes),
            Object::Pointers => node
                .cap::<sel4::cap_type::PDPT>(table.index)
                .pdpt_map(vspace, address, attributes),
        }
        .map_err(refusal)
    }

    fn map_frame(&mut self, frame: At, parts: u32, address: u64, writable: bool) -> Outcome {
        let rights = match writable {
            true => CapRights::read_write(),
            false => CapRights::read_only(),
        };
        node(frame.node)
            .cap::<sel4::cap_type::Granule>(frame.index)
            .frame_map(
                node(parts).vspace(),
                address as usize,
                rights,
                VmAttributes::DEFAULT,
            )
            .map_err(refusal)
    }

    fn write(&mut self, frame: At, offset: usize, bytes: &[u8]) -> Outcome {
        in_page(offset, bytes.len())?;
        let frame = node(frame.node).cap(frame.index);
        self.with_frame(frame, 0, |_, page| {
            // SAFETY: the frame is mapped there alone, writable, and the range was checked; if it is not there any
            // more, nothing is written.
            unsafe { guarded::copy(page.add(offset), bytes.as_ptr(), bytes.len()) }
        })?
        .map_err(taken_away)
    }

    fn read(&mut self, frame: At, offset: usize, bytes: &mut [u8]) -> Outcome {
        in_page(offset, bytes.len())?;
        self.with_mapped(frame, |_, page| {
            // SAFETY: the frame is mapped there, readable, and the range was checked. Whoever else maps it
            // may change it meanwhile: the bytes are worth no trust, and are copied once. If it is not there any
            // more, nothing is read.
            unsafe { guarded::copy(bytes.as_mut_ptr(), page.add(offset), bytes.len()) }
        })?
        .map_err(taken_away)
    }

    fn copy_frame(&mut self, from: At, to: At) -> Outcome {
        let to = node(to.node).cap(to.index);
        self.with_mapped(from, |machine, from| {
            machine.with_frame(to, 0, |_, to| {
                // SAFETY: both frames are mapped there, at different pages, one readable and one writable; if one is
                // not there any more, nothing more is copied.
                unsafe { guarded::copy(to, from, PAGE as usize) }
            })
        })??
        .map_err(taken_away)
    }

    fn configure(&mut self, place: u32, execution: &Execution) -> Outcome {
        let process = node(place);
        let radix = execution.cspace_radix;
        let guard = 64 - NODE_BITS - radix;
        debug_assert_eq!(root_guard(radix) >> 2, guard.into());
        process
            .tcb()
            .tcb_configure_with_priority(
                CPtr::from_bits(leaf(ic::ITSELF)),
                PRIORITY,
                PRIORITY,
                process.cspace(),
                CNodeCapData::skip(guard as usize),
                process.vspace(),
                execution.buffer_address,
                node(execution.buffer.node).cap(execution.buffer.index),
            )
            .map_err(refusal)?;
        if let Some(untyped) = execution.root_node {
            let cspace = process.cspace();
            let at = |bits: u64, depth| cspace.absolute_cptr_from_bits_with_depth(bits, depth);
            let depth = radix as usize;
            // Made in a slot that is free, then moved, since only that sets the guard.
            let (made, root) = (ic::FIRST_FREE, u64::from(ic::ROOT));
            node(untyped.node)
                .cap::<sel4::cap_type::Untyped>(untyped.index)
                .untyped_retype(
                    &ObjectBlueprint::CNode { size_bits: 1 },
                    &cspace.absolute_cptr_for_self(),
                    made as usize,
                    1,
                )
                .map_err(refusal)?;
            at(root, depth)
                .mutate(&at(made.into(), depth), CNodeCapData::skip(7).into_word())
                .map_err(refusal)?;
            at(root << NODE_BITS, depth + NODE_BITS as usize)
                .copy(&process.slot(parts::CSPACE), CapRights::all())
                .map_err(refusal)?;
        } else if execution.composes {
            let guard = CNodeCapData::skip((NODE_BITS - radix) as usize).into_word();
            process
                .cspace()
                .absolute_cptr_from_bits_with_depth(ic::ROOT.into(), radix as usize)
                .mint(&process.slot(parts::CSPACE), CapRights::all(), guard)
                .map_err(refusal)?;
        }
        Ok(())
    }

    fn set_registers(&mut self, place: u32, registers: &Registers) -> Outcome {
        let mut context = UserContext::default();
        let raw = context.inner_mut();
        raw.rip = registers.ip;
        raw.rsp = registers.sp;
        raw.rdi = registers.info;
        raw.rsi = registers.info_bytes;
        raw.rdx = registers.buffer;
        raw.rcx = registers.thread_pointer;
        raw.tls_base = registers.thread_pointer;
        node(place)
            .tcb()
            .tcb_write_registers(false, ALL, &mut context)
            .map_err(refusal)
    }

    fn context(&mut self, place: u32) -> Outcome<Context> {
        let context = node(place).tcb().tcb_read_registers(false, ALL);
        Ok(Context(
            words(&mut context.map_err(refusal)?).map(|word| *word),
        ))
    }

    fn set_context(&mut self, place: u32, context: &Context) -> Outcome {
        let mut registers = UserContext::default();
        for (word, value) in words(&mut registers).into_iter().zip(context.0) {
            *word = value;
        }
        node(place)
            .tcb()
            .tcb_write_registers(false, ALL, &mut registers)
            .map_err(refusal)
    }

    fn registers(&mut self, place: u32) -> Outcome<[u64; 3]> {
        faults::report_registers(node(place).tcb()).map_err(|_| Refusal::Other)
    }

    fn refuse(&mut self, place: u32, error: protocol::Error) -> Outcome<bool> {
        faults::refuse(node(place).tcb(), error).map_err(|_| Refusal::Other)
    }

    fn land(&mut self, place: u32) -> Outcome<bool> {
        faults::land(node(place).tcb()).map_err(|_| Refusal::Other)
    }

    fn fill(&mut self, address: u64, bytes: &[u8]) {
        // SAFETY: the library writes where the manager has just mapped a region for it, which nobody else
        // maps.
        unsafe { (address as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) }
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        let mut frame = heapless::String::<{ LOG.len() + LOG_LINE + 1 }>::new();
        let name = sel4_microkit::pd_name().unwrap_or_default();
        // There is room for the longest.
        let _ = write_log(&mut frame, format_args!("{name}: {line}"));
        let _ = self.console.write(frame.as_bytes());
    }
}
