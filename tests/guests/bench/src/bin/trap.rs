// SPDX-License-Identifier: BSD-2-Clause
//! What one Linux system call costs before anybody does it: the unit that the POSIX server is measured in.
//!
//! An IC in an address space of its own does nothing but calls. Each is met by the bare kernel's means alone:
//! the fault is received, the registers are read, as many as a call can have, the result is written and the
//! thread goes on.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use bench_loops::ticks;
use sel4::{
    CNodeCapData, CPtr, Cap, CapRights, ObjectBlueprint, ObjectBlueprintX64, ObjectBlueprintX86,
    VmAttributes, cap, cap_type,
};
use xos::protocol::Subject;
use xos::protocol::manager::{Create, Payer, RegionCreate, Rights, Share};
use xos::protocol::slots::{NODE_BITS, leaf, parts};
use xos::server::Space;
use xos::service;
use xos_test_kit::Outcome;

xos::main!(main, heap = 64 * 1024);

/// The program's own root slots, as whoever starts one that composes arranges them.
const OWN: Space = Space::IC;
/// Registers that a call can have to do with, in the kernel's order: all but the base of FS.
const READ: u64 = 18;
/// RIP, RSP, RFLAGS, RAX.
const WRITTEN: u64 = 4;
/// Bytes of a `syscall` instruction.
const SYSCALL: u64 = 2;
/// Calls that are counted.
const CALLS: u64 = 10_000;
/// Where the program is, there and here.
const CODE: u64 = 0x40_0000;
const WINDOW: u64 = 0x6000_0000_0000;
/// `2: mov eax, 110; syscall; jmp 2b`
const PROGRAM: [u8; 9] = [0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
const CSPACE_RADIX: u32 = 4;
const FAULTS: u32 = 4;
const PRIORITY: u64 = 100;

fn main() -> Result<(), String> {
    measure().map_err(|failure| failure.reason().into())
}

fn measure() -> Outcome {
    // Who makes ICs is known by a name.
    let endpoint = service::register("trap")?.endpoint();
    let tcb = program(endpoint)?;
    calls(endpoint, tcb, CALLS / 10)?;
    let start = ticks();
    calls(endpoint, tcb, CALLS)?;
    let each = (ticks() - start) / CALLS;
    // A result as the Linux programs print theirs; nobody has measured the time.
    xos::println!("R trap {CALLS} 0 {each}");
    Ok(())
}

/// Does so many calls.
fn calls(endpoint: cap::Endpoint, tcb: cap::Tcb, count: u64) -> Outcome {
    for _ in 0..count {
        endpoint.recv_with_mrs(());
        let mut context = tcb.tcb_read_registers(false, READ)?;
        let registers = context.inner_mut();
        registers.rax = 1;
        registers.rip += SYSCALL;
        tcb.tcb_write_registers(true, WRITTEN, &mut context)?;
    }
    Ok(())
}

/// An IC that does nothing but calls, running.
fn program(endpoint: cap::Endpoint) -> Outcome<cap::Tcb> {
    let (place, frames) = (xos::take_slot()?, xos::take_slot()?);
    let created = xos::manager().create(&Create {
        payer: Payer::Myself,
        place: place.number(),
        handle: 0,
        session: false,
        memory: 16,
        quota: 0,
        ics: 0,
        parts_radix: 5,
        cspace_radix: CSPACE_RADIX,
    })?;
    let region = xos::manager().region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 1,
        large: false,
        place: frames.number(),
    })?;
    xos::manager().share(&Share {
        region,
        target: Subject::Myself,
        address: WINDOW,
        rights: Rights::RW,
    })?;
    // SAFETY: the page was mapped just now, for nobody else.
    unsafe { (WINDOW as *mut u8).copy_from(PROGRAM.as_ptr(), PROGRAM.len()) };

    let node = OWN.node(place.number());
    let untyped = node.cap::<cap_type::Untyped>(created.first);
    let first = parts::FIRST_FREE;
    for (i, kind) in [
        ObjectBlueprintX86::SeL4Arch(ObjectBlueprintX64::PDPT),
        ObjectBlueprintX86::PageDirectory,
        ObjectBlueprintX86::PageTable,
    ]
    .into_iter()
    .enumerate()
    {
        let kind = ObjectBlueprint::from(kind);
        untyped.untyped_retype(&kind, &node.node(), first as usize + i, 1)?;
    }
    let (vspace, attributes, at) = (node.vspace(), VmAttributes::DEFAULT, CODE as usize);
    node.cap::<cap_type::PDPT>(first)
        .pdpt_map(vspace, at, attributes)?;
    node.cap::<cap_type::PageDirectory>(first + 1)
        .page_directory_map(vspace, at, attributes)?;
    node.cap::<cap_type::PageTable>(first + 2)
        .page_table_map(vspace, at, attributes)?;
    node.slot(first + 3)
        .copy(&OWN.node(frames.number()).slot(0), CapRights::read_write())?;
    node.cap::<cap_type::Granule>(first + 3).frame_map(
        vspace,
        at,
        CapRights::read_only(),
        attributes,
    )?;

    let cspace = node.cspace();
    cspace
        .absolute_cptr_from_bits_with_depth(FAULTS.into(), CSPACE_RADIX as usize)
        .mint(
            &OWN.slot((endpoint.bits() >> NODE_BITS) as u32),
            CapRights::new(true, true, false, true),
            1,
        )?;
    let tcb = node.cap::<cap_type::Tcb>(parts::EXECUTION);
    tcb.tcb_configure_with_priority(
        CPtr::from_bits(leaf(FAULTS)),
        0,
        PRIORITY,
        cspace,
        CNodeCapData::skip((64 - NODE_BITS - CSPACE_RADIX) as usize),
        vspace,
        0,
        Cap::from_bits(0),
    )?;
    let mut context = sel4::UserContext::default();
    context.inner_mut().rip = CODE;
    tcb.tcb_write_all_registers(true, &mut context)?;
    place.keep();
    frames.keep();
    Ok(tcb)
}
