// SPDX-License-Identifier: BSD-2-Clause
//! The reaper: does what takes too long for the manager to wait for.
//!
//! It shares the manager's address space and CSpace and runs at its priority: below the drivers, which
//! the kernel lets run in the middle of a revocation, and not below apps, or a busy one could keep the
//! memory of the dead from everybody.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use heapless::spsc::{Consumer, Producer, Queue};
use ic_manager::machine::{Slot, Step};
use ic_manager::pool::{self, Own};
use sel4::{
    CNodeCapData, CPtr, CapRights, ObjectBlueprint, ObjectBlueprintX86, UserContext, VmAttributes,
    cap, cap_type,
};
use spin::{Mutex, MutexGuard};
use xos_protocol::supervisor::boot;
use xos_runtime::stack::Stack;

use crate::kernel::{PRIORITY, VSPACE, log, make, pooled, slot};

/// Steps that wait at a time; for what does not fit the manager waits itself.
const STEPS: usize = 512;
/// Jobs that are done and have not been taken notice of. Each is one step.
const JOBS: usize = STEPS;

/// Bytes of what it is made of: a frame, a TCB, a notification.
pub const OWN_BYTES: usize = 3 * 4096;

/// Where its IPC buffer is mapped: behind the root task's information, for which there is a page table.
const BUFFER: usize = boot::INFO_VADDR as usize + 16 * 4096;
const _: () = assert!(boot::INFO_PAGES < 16);

static STACK: Stack<{ 16 * 1024 }> = Stack::new();

static QUEUES: Mutex<(Queue<Step, STEPS>, Queue<u32, JOBS>)> =
    Mutex::new((Queue::new(), Queue::new()));

/// The reaper's ends of the queues, until it takes them.
struct Ends(UnsafeCell<MaybeUninit<(Consumer<'static, Step>, Producer<'static, u32>)>>);

// SAFETY: written once before the reaper runs, and then read by the reaper alone.
unsafe impl Sync for Ends {}

static ENDS: Ends = Ends(UnsafeCell::new(MaybeUninit::uninit()));

/// The manager's side.
pub struct Reaper {
    steps: Producer<'static, Step>,
    jobs: Consumer<'static, u32>,
}

impl Reaper {
    /// Makes it of untyped memory, and has it wait for work. `root` is the CSpace that it shares, and
    /// `guard` the bits of that one's guard. Once.
    pub fn new(root: cap::CNode, guard: usize, memory: Slot) -> sel4::Result<Self> {
        let (steps, jobs) = MutexGuard::leak(QUEUES.lock());
        let ((steps, next), (done, jobs)) = (steps.split(), jobs.split());
        // SAFETY: the reaper does not run yet, and nobody else looks there.
        unsafe { (*ENDS.0.get()).write((next, done)) };

        let buffer = pooled::<cap_type::Granule>(pool::own(Own::ReaperBuffer));
        let tcb = pooled::<cap_type::Tcb>(pool::own(Own::Reaper));
        make(
            memory,
            ObjectBlueprintX86::_4k.into(),
            pool::own(Own::ReaperBuffer),
        )?;
        make(memory, ObjectBlueprint::Tcb, pool::own(Own::Reaper))?;
        make(
            memory,
            ObjectBlueprint::Notification,
            pool::own(Own::ReaperBell),
        )?;
        buffer.frame_map(
            VSPACE,
            BUFFER,
            CapRights::read_write(),
            VmAttributes::DEFAULT,
        )?;
        tcb.tcb_configure_with_priority(
            // A defect of the reaper's is one of the manager's.
            CPtr::from_bits(xos_protocol::slots::domain::FAULT),
            PRIORITY,
            PRIORITY,
            root,
            CNodeCapData::skip(guard),
            VSPACE,
            BUFFER as u64,
            buffer,
        )?;
        let mut context = UserContext::default();
        let registers = context.inner_mut();
        registers.rip = run as *const () as u64;
        // As after a call.
        registers.rsp = STACK.bottom() as u64 - 8;
        tcb.tcb_write_all_registers(true, &mut context)?;
        Ok(Self { steps, jobs })
    }

    /// Adds steps, all or none; `false` when there is no room.
    pub fn add(&mut self, steps: &[Step]) -> bool {
        if self.steps.capacity() - self.steps.len() < steps.len() {
            return false;
        }
        for step in steps {
            // There is room.
            let _ = self.steps.enqueue(*step);
        }
        pooled::<cap_type::Notification>(pool::own(Own::ReaperBell)).signal();
        true
    }

    /// The tag of a job that is done.
    pub fn done(&mut self) -> Option<u32> {
        self.jobs.dequeue()
    }
}

extern "C" fn run() -> ! {
    // SAFETY: `Reaper::new` has mapped it there for good, for this execution alone.
    sel4::set_ipc_buffer(unsafe { &mut *(BUFFER as *mut sel4::IpcBuffer) });
    // SAFETY: `Reaper::new` has written it, and runs once.
    let (mut steps, mut jobs) = unsafe { (*ENDS.0.get()).assume_init_read() };
    loop {
        match steps.dequeue() {
            Some(Step::Revoke(of)) => check("revoking", slot(of).revoke()),
            Some(Step::Delete(what)) => check("deleting", slot(what).delete()),
            Some(Step::Clean(memory)) => check("cleaning", clean(memory)),
            Some(Step::Done(tag)) => {
                // As many fit as there can be steps.
                let _ = jobs.enqueue(tag);
                pooled::<cap_type::Notification>(pool::own(Own::ManagerBell)).signal();
            }
            None => {
                pooled::<cap_type::Notification>(pool::own(Own::ReaperBell)).wait();
            }
        }
    }
}

/// The kernel zeroes what was used of untyped memory when the next object is made of it. One is, the
/// smallest, and goes again.
fn clean(memory: Slot) -> sel4::Result<()> {
    let scratch = pool::own(Own::ReaperScratch);
    make(memory, ObjectBlueprint::Endpoint, scratch)?;
    slot(scratch).delete()
}

fn check(what: &str, result: sel4::Result<()>) {
    if let Err(error) = result {
        log(format_args!("ic_manager: reaper: {what}: {error}\n"));
    }
}
