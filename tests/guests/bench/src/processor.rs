// SPDX-License-Identifier: BSD-2-Clause
//! A virtual processor made by hand: what it takes to enter it and to leave it, and to put back a page of its
//! guest's by the second stage.
//!
//! The kernel enters the processor of the thread that asks, and a boot domain's first thread is not its own to
//! configure: so another one of this domain's does it.

use bench_loops::ticks;
use sel4::{
    CapRights, CapTypeForObjectOfFixedSize, IpcBuffer, MessageInfo, VmAttributes, VmEntry, VmExit,
    VmExitFault, cap, cap_type, vm_enter, with_ipc_buffer_mut,
};
use vm_factory::kernel::VirtualProcessor;
use vm_factory::machine::reason;
use xos_client::Manager;
use xos_protocol::Subject;
use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::slots::domain;
use xos_server::Space;
use xos_test_kit::{Failure, Outcome};
use xos_vcpu::{Start, cr4, identity_table, primary, start};

use crate::by_hand::{ASIDS, ByHand, ROOT_SLOTS};
use crate::host::Bench;

/// Guest-physical addresses: a table that maps all to itself, the code, and a page that is taken away.
const TABLE: usize = 0x1000;
const CODE: usize = 0x2000;
const DATA: usize = 0x8000;
/// `mov ebx, [DATA]`, and `vmcall`, which is where the processor is entered when nothing is to be touched.
const GUEST: [u8; 9] = [0x8b, 0x1d, 0, DATA.to_le_bytes()[1], 0, 0, 0x0f, 0x01, 0xc1];
const CALL: usize = CODE + 6;

/// The root slot of table and code: the last one of those of what is made by hand.
const SHARED: u32 = domain::FIRST_FREE_ROOT + ROOT_SLOTS - 1;
/// Where this domain maps them.
const WINDOW: u64 = 0x6300_0000_0000;
/// Whose arena and node are used, of the processes made by hand: there are none meanwhile.
const LIFE: u32 = 0;
/// Indices in that node.
mod part {
    pub const ROOT: u32 = 0;
    pub const POINTERS: u32 = 1;
    pub const DIRECTORY: u32 = 2;
    pub const TABLE: u32 = 3;
    pub const DATA: u32 = 4;
    pub const PROCESSOR: u32 = 5;
    pub const SHARED: u32 = 6;
}

/// Rounds, of which the shortest counts: a tick of the timer in the way of one is not what is measured.
const ROUNDS: usize = 16;

/// What is done by hand, in ticks.
pub struct Floors {
    /// Into the processor and out of it.
    pub entry: u64,
    /// A page that is taken away, reached for and given back: unmap, the exit, map.
    pub page: u64,
}

/// Measures both.
pub fn measure(bench: &Bench) -> Outcome<Floors> {
    load(&bench.manager)?;
    bench.by_hand.start_thread(run)?;
    let [entry, page, ..] = bench.by_hand.reported();
    if entry == 0 {
        return Err(Failure::new(format_args!("no virtual processor by hand")));
    }
    bench.by_hand.thread_tcb().tcb_suspend()?;
    bench.by_hand.end_arena(LIFE)?;
    Ok(Floors { entry, page })
}

/// Makes the guest's pages that do not change.
fn load(manager: &Manager) -> Outcome {
    let region = manager.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 2,
        large: false,
        place: SHARED,
    })?;
    manager.share(&Share {
        region,
        target: Subject::Myself,
        address: WINDOW,
        rights: Rights::RW,
    })?;
    let table = WINDOW as *mut u32;
    // SAFETY: the pages were mapped just now, for nobody else, and this is within them.
    unsafe {
        for (number, entry) in identity_table().enumerate() {
            table.add(number).write(entry);
        }
        ((WINDOW + PAGE) as *mut u8).copy_from(GUEST.as_ptr(), GUEST.len());
    }
    Ok(())
}

/// Where the thread begins.
extern "C" fn run(by_hand: &'static ByHand, buffer: &'static mut IpcBuffer) -> ! {
    sel4::set_ipc_buffer(buffer);
    let (entry, page) = floors(by_hand).unwrap_or_default();
    let tag = MessageInfo::new(0, 0, 0, 2);
    by_hand.reports().send_with_mrs(tag, [entry, page]);
    loop {
        sel4::r#yield();
    }
}

fn floors(by_hand: &ByHand) -> Outcome<(u64, u64)> {
    let (work, attributes) = (by_hand.work(LIFE), VmAttributes::DEFAULT);
    let root: cap::EPTPML4 = make::<cap_type::EPTPML4>(by_hand, part::ROOT)?;
    ASIDS.asid_pool_assign(root.cast())?;
    make::<cap_type::EPTPDPT>(by_hand, part::POINTERS)?.ept_pdpt_map(root, 0, attributes)?;
    make::<cap_type::EPTPageDirectory>(by_hand, part::DIRECTORY)?
        .ept_page_directory_map(root, 0, attributes)?;
    make::<cap_type::EPTPageTable>(by_hand, part::TABLE)?
        .ept_page_table_map(root, 0, attributes)?;
    for (index, address) in [TABLE, CODE].into_iter().enumerate() {
        let slot = part::SHARED + index as u32;
        work.slot(slot).copy(
            &Space::DOMAIN.node(SHARED).slot(index as u32),
            CapRights::all(),
        )?;
        work.cap::<cap_type::Granule>(slot)
            .frame_map_ept(root, address, CapRights::read_only(), attributes)?;
    }
    let data = make::<cap_type::Granule>(by_hand, part::DATA)?;
    data.frame_map_ept(root, DATA, CapRights::all(), attributes)?;
    let processor = make::<cap_type::VCpu>(by_hand, part::PROCESSOR)?;
    let state = Start {
        ip: CALL as u32,
        cr3: TABLE as u32,
        cr4: cr4::PSE,
        selectors: (8, 16),
        ..Start::default()
    };
    start(&mut VirtualProcessor(processor), &state)?;
    processor.vcpu_set_tcb(by_hand.thread_tcb())?;
    by_hand.thread_tcb().tcb_set_ept_root(root)?;

    let entry = least(|| left_for(enter(CALL), reason::VMCALL))?;
    left_for(enter(CODE), reason::VMCALL)?;
    let page = least(|| {
        data.frame_unmap()?;
        left_for(enter(CODE), reason::EPT_VIOLATION)?;
        Ok(data.frame_map_ept(root, DATA, CapRights::all(), attributes)?)
    })?;
    Ok((entry, page))
}

fn make<T: CapTypeForObjectOfFixedSize>(by_hand: &ByHand, index: u32) -> Outcome<sel4::Cap<T>> {
    let work = by_hand.work(LIFE);
    by_hand.arena(LIFE).untyped_retype(
        &T::object_blueprint(),
        &work.node(),
        index as usize,
        1,
    )?;
    Ok(work.cap(index))
}

/// Enters the guest at an address. Inlined, so that nothing is told of the exit that nobody asks for.
#[inline(always)]
fn enter(ip: usize) -> VmExit {
    let entry = VmEntry {
        ip: ip as u64,
        controls: primary::ALWAYS.into(),
        interruption: 0,
    };
    with_ipc_buffer_mut(|buffer| vm_enter(buffer, &entry)).1
}

#[inline(always)]
fn left_for(exit: VmExit, wanted: u32) -> Outcome {
    match exit {
        VmExit::Fault(VmExitFault { reason, .. }) if reason == wanted => Ok(()),
        // No more than that, so that nothing more is looked at.
        VmExit::Fault(VmExitFault { reason, .. }) => {
            Err(Failure::new(format_args!("left for reason {reason}")))
        }
        VmExit::Notification(_) => Err("left for a signal".into()),
    }
}

fn least(mut round: impl FnMut() -> Outcome) -> Outcome<u64> {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let begun = ticks();
        round()?;
        least = least.min(ticks() - begun);
    }
    Ok(least)
}
