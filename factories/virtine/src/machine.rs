// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the factory wants it.

use process_factory::kernel::{At, Kernel as Composing, Outcome, Refusal};
use process_factory::machine::Machine as Composer;
use sel4::{CapRights, UserContext, VmAttributes, cap_type};
use xos_client::{Console, Manager, Timer};
use xos_protocol::manager::{PAGE, Payer, RegionCreate, Rights, Share};
use xos_protocol::virtine::{Plan, STACK_END, TRAMPOLINE};
use xos_protocol::{RegionId, Result, Subject};
use xos_server::{Parts, Space};

use crate::factory::{MAX_VIRTINES, ROOT_SLOTS_OF_PROGRAM, TICK};
use crate::kernel::Kernel;
use crate::trampoline;

/// The program's own root slots.
const SPACE: Space = Space::DOMAIN;
const STAGING: u32 = ROOT_SLOTS_OF_PROGRAM[0];
const SCRATCH: u32 = ROOT_SLOTS_OF_PROGRAM[1];
const PLANS_NODE: u32 = ROOT_SLOTS_OF_PROGRAM[2];
const TRAMPOLINE_NODE: u32 = ROOT_SLOTS_OF_PROGRAM[3];
/// Where the plans are in this domain.
const PLANS: u64 = 0x6200_0000_0000;
/// Where the trampoline is while it is written.
const WRITTEN: u64 = 0x6300_0000_0000;
/// A page that nothing is mapped in: the process factory's machine would use it to look into processes.
const NOTHING: u64 = 0x6400_0000_0000;

/// RIP, RSP, RFLAGS, RAX, RBX, RCX: what the trampoline begins with.
const UP_TO_RCX: u64 = 6;
/// Interrupts, and the bit that is always set (Intel SDM volume 1, section 3.4.3).
const FLAGS: u64 = 0x202;

/// The kernel.
pub struct Machine {
    composer: Composer,
    timer: Timer,
}

impl Machine {
    /// The kernel.
    ///
    /// # Safety
    /// [`prepare`](Self::prepare) is called before anything else.
    pub const unsafe fn new(console: Console, timer: Timer) -> Self {
        Self {
            // SAFETY: nothing reads or writes a virtine's memory through it.
            composer: unsafe { Composer::new(NOTHING, STAGING, SCRATCH, console) },
            timer,
        }
    }

    /// Makes the pages that virtines have in common with this domain.
    ///
    /// # Errors
    /// The manager's.
    pub fn prepare(&mut self, manager: &Manager) -> Result<()> {
        let region = |pages, place, address| -> Result<RegionId> {
            let region = manager.region_create(&RegionCreate {
                payer: Payer::Myself,
                pages,
                large: false,
                place,
            })?;
            manager.share(&Share {
                region,
                target: Subject::Myself,
                address,
                rights: Rights::RW,
            })?;
            Ok(region)
        };
        region(MAX_VIRTINES as u32, PLANS_NODE, PLANS)?;
        let written = region(1, TRAMPOLINE_NODE, WRITTEN)?;
        self.composer.fill(WRITTEN, trampoline::code());
        // Nobody writes there again.
        manager.unshare(written, Subject::Myself)
    }
}

fn node(place: u32) -> Parts {
    SPACE.node(place)
}

fn refusal(_: sel4::Error) -> Refusal {
    Refusal::Other
}

fn set(parts: u32, pages: u128, now: bool) -> Outcome {
    let mut context = UserContext::default();
    let registers = context.inner_mut();
    registers.rip = TRAMPOLINE;
    registers.rsp = STACK_END;
    registers.rflags = FLAGS;
    registers.rbx = pages as u64;
    registers.rcx = (pages >> 64) as u64;
    node(parts)
        .tcb()
        .tcb_write_registers(now, UP_TO_RCX, &mut context)
        .map_err(refusal)
}

impl Kernel for Machine {
    type Composing = Composer;

    fn composing(&mut self) -> &mut Composer {
        &mut self.composer
    }

    fn protect(&mut self, frame: At, parts: u32, writable: bool) -> Outcome {
        let rights = match writable {
            true => CapRights::read_write(),
            false => CapRights::read_only(),
        };
        node(frame.node)
            .cap::<cap_type::Granule>(frame.index)
            .frame_remap(node(parts).vspace(), rights, VmAttributes::DEFAULT)
            .map_err(refusal)
    }

    fn revoke(&mut self, untyped: At) -> Outcome {
        node(untyped.node)
            .slot(untyped.index)
            .revoke()
            .map_err(refusal)
    }

    #[inline]
    fn begin(&mut self, parts: u32, pages: u128, now: bool) -> Outcome {
        set(parts, pages, now)
    }

    fn stop(&mut self, parts: u32) -> Outcome {
        node(parts).tcb().tcb_suspend().map_err(refusal)?;
        self.plan((parts - SPACE.first_place()) as usize).entry = 0;
        set(parts, 0, false)
    }

    #[inline]
    fn plan(&mut self, index: usize) -> &mut Plan {
        debug_assert!(index < MAX_VIRTINES);
        let plan = (PLANS as *mut Plan).wrapping_add(index);
        // SAFETY: `prepare` has mapped as many pages there as there are plans, writable, of a region of this
        // domain's, which nobody takes back; virtines can only read them, and this domain has one thread.
        unsafe { &mut *plan }
    }

    fn plan_frame(&self, index: usize) -> At {
        At {
            node: PLANS_NODE,
            index: index as u32,
        }
    }

    fn trampoline_frame(&self) -> At {
        At {
            node: TRAMPOLINE_NODE,
            index: 0,
        }
    }

    fn alarm(&mut self) -> Result<()> {
        let now = self.timer.now()?;
        self.timer.alarm(Some(now + TICK))
    }
}

const _: () = assert!(size_of::<Plan>() == PAGE as usize);
