// SPDX-License-Identifier: BSD-2-Clause
//! The kernel, as the manager wants it.

use core::fmt::{self, Write};

use ic_manager::machine::{
    At, Cap, Execution, Kept, Kind, Level, Machine, Outcome, POOL, Refusal, Rights, Root, Slot,
    Step,
};
use ic_manager::pool::{self, Own};
use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, CapRights, CapType, Error, MessageInfo, ObjectBlueprint,
    ObjectBlueprintX64, ObjectBlueprintX86, UserContext, VmAttributes, cap, cap_type,
};
use xos_protocol::slots::{domain, ic, leaf, root_guard};
use xos_protocol::supervisor::{LINE, Op, STUB_DRAIN, STUB_VADDR, boot};
use xos_protocol::wire::{MAX_WORDS, put_bytes};
use xos_protocol::{Badge, Who};

use crate::reaper::{self, Reaper};

/// The priority of apps, of those who serve them, and of this domain: a reply is fast only to a caller
/// of at least the server's priority, and nobody can be given more than this domain has.
pub const PRIORITY: u64 = 100;

/// Index of the badge of the fault by which an execution that [answers](Machine::answer_caller) says
/// that it has done so.
pub const ANSWERED: u32 = 0;

/// Bit of the manager's notification by which the reaper says that a job is done. (That nobody else can
/// say so is not needed: it makes the manager look.)
const REAPED: u64 = 1 << 24;

/// Size of the untyped memory that the manager keeps for objects of its own.
pub const OWN_BITS: u8 = 14;

/// Root slot in which a node is shown.
const SHOWN: u64 = 2;

/// Bits of the guard of the manager's own CSpace.
const ROOT_GUARD: usize = 64 - (boot::ROOT_RADIX + boot::LEVEL_BITS) as usize;

/// The manager's own VSpace.
pub const VSPACE: cap::VSpace = cap::VSpace::from_bits(domain::VSPACE);

/// The kernel.
pub struct Kernel {
    /// The manager's own root CNode.
    root: cap::CNode,
    reaper: Reaper,
}

impl Kernel {
    /// Makes the reaper and what else the manager needs for itself. `itself` is the manager's index among
    /// the domains, `memory` the pool slot of untyped memory of [`OWN_BITS`] that nobody else uses.
    pub fn new(itself: u32, memory: Slot) -> sel4::Result<Self> {
        let root = pooled(pool::domain(itself, boot::DOMAIN_CSPACE));
        let input = pool::domain(itself, boot::DOMAIN_ENDPOINT);
        let badge = Badge::new(Who::Session(ANSWERED)).map_or(0, Badge::word);
        slot(pool::own(Own::Answered)).mint(&slot(input), SEND, badge)?;
        let bell = root.absolute_cptr_from_bits_with_depth(
            domain::NOTIFICATION,
            (boot::ROOT_RADIX + boot::LEVEL_BITS) as usize,
        );
        slot(pool::own(Own::ManagerBell)).mint(&bell, CapRights::write_only(), REAPED)?;
        Ok(Self {
            root,
            reaper: Reaper::new(root, ROOT_GUARD, memory)?,
        })
    }

    /// The tag of a job that the reaper has done since.
    pub fn reaped(&mut self) -> Option<u32> {
        self.reaper.done()
    }

    fn shown(&self) -> AbsoluteCPtr {
        self.root
            .absolute_cptr_from_bits_with_depth(SHOWN, boot::ROOT_RADIX as usize)
    }

    /// Asks the root task, which waits for no one.
    fn supervisor(&self, op: Op, word: u64) -> Option<u64> {
        let answer = pooled::<cap_type::Endpoint>(boot::SUPERVISOR)
            .call_with_mrs(MessageInfo::new(op.label(), 0, 0, 1), [word]);
        (answer.info.label() == 0).then_some(answer.msg[0])
    }
}

/// Has an execution run the stub in a CSpace, with its faults going to `door` there.
fn run_stub(
    tcb: Slot,
    cspace: cap::CNode,
    guard: usize,
    door: u64,
    set: impl FnOnce(&mut sel4::sys::seL4_UserContext),
) -> Outcome {
    let tcb = pooled::<cap_type::Tcb>(tcb);
    tcb.tcb_configure_with_priority(
        CPtr::from_bits(door),
        PRIORITY,
        PRIORITY,
        cspace,
        CNodeCapData::skip(guard),
        VSPACE,
        0,
        cap::Granule::from_bits(0),
    )
    .map_err(refusal)?;
    let mut context = UserContext::default();
    let registers = context.inner_mut();
    let died = MessageInfo::new(xos_protocol::Error::ServerDied.label(), 0, 0, 0);
    registers.r12 = died.into_inner().into_words()[0];
    set(registers);
    tcb.tcb_write_all_registers(true, &mut context)
        .map_err(refusal)
}

/// What lets its holder call, and no more.
const SEND: CapRights = CapRights::new(false, true, false, true);

/// A capability in the pool.
pub const fn pooled<T: CapType>(slot: Slot) -> sel4::Cap<T> {
    sel4::Cap::from_bits(boot::pool(slot))
}

/// A pool slot, for CNode operations.
pub fn slot(slot: Slot) -> AbsoluteCPtr {
    at(At::pool(slot))
}

fn at(at: At) -> AbsoluteCPtr {
    let root = match at.root {
        POOL => cap::CNode::from_bits(boot::POOL),
        slot => pooled(slot),
    };
    match at.depth {
        0 => root.absolute_cptr_for_self(),
        depth => root.absolute_cptr_from_bits_with_depth(at.index, depth as usize),
    }
}

fn seen<T: CapType>(cap: Cap) -> sel4::Cap<T> {
    match cap {
        Cap::Pool(slot) => pooled(slot),
        Cap::Shown(index) => sel4::Cap::from_bits(SHOWN << boot::LEVEL_BITS | u64::from(index)),
    }
}

fn rights(rights: Rights) -> CapRights {
    match rights {
        Rights::All => CapRights::all(),
        Rights::Send => SEND,
        Rights::Read => CapRights::read_only(),
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::DeleteFirst => Refusal::Occupied,
        Error::FailedLookup => Refusal::Missing,
        Error::NotEnoughMemory => Refusal::Memory,
        other => Refusal::Other(other.into_sys() as u8),
    }
}

fn blueprint(kind: Kind) -> ObjectBlueprint {
    let x86 = match kind {
        Kind::Untyped(bits) => {
            return ObjectBlueprint::Untyped {
                size_bits: bits.into(),
            };
        }
        Kind::Node(radix) => {
            return ObjectBlueprint::CNode {
                size_bits: radix.into(),
            };
        }
        Kind::Execution => return ObjectBlueprint::Tcb,
        Kind::Endpoint => return ObjectBlueprint::Endpoint,
        Kind::Notification => return ObjectBlueprint::Notification,
        Kind::Frame => ObjectBlueprintX86::_4k,
        Kind::LargeFrame => ObjectBlueprintX86::LargePage,
        Kind::Table(Level::Frames) => ObjectBlueprintX86::PageTable,
        Kind::Table(Level::Tables) => ObjectBlueprintX86::PageDirectory,
        Kind::Table(Level::Directories) => ObjectBlueprintX64::PDPT.into(),
        Kind::VSpace => ObjectBlueprintX64::PML4.into(),
        Kind::StageTable(level) => stage::table(level),
        Kind::SecondStage => stage::ROOT.into(),
    };
    x86.into()
}

sel4::sel4_cfg_if! {
    if #[sel4_cfg(VTX)] {
        /// Second-stage translations.
        mod stage {
            use super::*;

            pub const ROOT: ObjectBlueprintX64 = ObjectBlueprintX64::EPTPML4;

            pub fn table(level: Level) -> ObjectBlueprintX86 {
                match level {
                    Level::Frames => ObjectBlueprintX86::EPTPageTable,
                    Level::Tables => ObjectBlueprintX86::EPTPageDirectory,
                    Level::Directories => ObjectBlueprintX64::EPTPDPT.into(),
                }
            }

            pub fn map_table(table: Cap, level: Level, root: Slot, address: usize) -> sel4::Result<()> {
                let (root, attributes) = (pooled(root), VmAttributes::DEFAULT);
                match level {
                    Level::Frames => seen::<cap_type::EPTPageTable>(table)
                        .ept_page_table_map(root, address, attributes),
                    Level::Tables => seen::<cap_type::EPTPageDirectory>(table)
                        .ept_page_directory_map(root, address, attributes),
                    Level::Directories => {
                        seen::<cap_type::EPTPDPT>(table).ept_pdpt_map(root, address, attributes)
                    }
                }
            }

            pub fn map_frame(
                frame: Cap,
                root: Slot,
                address: usize,
                rights: CapRights,
            ) -> sel4::Result<()> {
                seen::<cap_type::Granule>(frame).frame_map_ept(
                    pooled(root),
                    address,
                    rights,
                    VmAttributes::DEFAULT,
                )
            }
        }
    } else {
        /// There are no second-stage translations: nothing of this is ever asked for.
        mod stage {
            use super::*;

            pub const ROOT: ObjectBlueprintX64 = ObjectBlueprintX64::PML4;

            pub fn table(level: Level) -> ObjectBlueprintX86 {
                match level {
                    Level::Frames => ObjectBlueprintX86::PageTable,
                    Level::Tables => ObjectBlueprintX86::PageDirectory,
                    Level::Directories => ObjectBlueprintX64::PDPT.into(),
                }
            }

            pub fn map_table(_: Cap, _: Level, _: Slot, _: usize) -> sel4::Result<()> {
                Err(Error::IllegalOperation)
            }

            pub fn map_frame(_: Cap, _: Slot, _: usize, _: CapRights) -> sel4::Result<()> {
                Err(Error::IllegalOperation)
            }
        }
    }
}

impl Machine for Kernel {
    const SECOND_STAGE: bool = sel4::sel4_cfg_bool!(VTX);

    fn bits(kind: Kind) -> u8 {
        blueprint(kind).physical_size_bits() as u8
    }

    fn retype(&mut self, untyped: Slot, kind: Kind, node: At, first: u32, count: u32) -> Outcome {
        pooled::<cap_type::Untyped>(untyped)
            .untyped_retype(&blueprint(kind), &at(node), first as usize, count as usize)
            .map_err(refusal)
    }

    fn copy(&mut self, from: At, to: At, with: Rights) -> Outcome {
        at(to).copy(&at(from), rights(with)).map_err(refusal)
    }

    fn mint(&mut self, from: At, to: At, with: Rights, data: u64) -> Outcome {
        at(to).mint(&at(from), rights(with), data).map_err(refusal)
    }

    fn delete(&mut self, from: At) -> Outcome {
        at(from).delete().map_err(refusal)
    }

    fn revoke(&mut self, from: Slot) -> Outcome {
        slot(from).revoke().map_err(refusal)
    }

    fn cancel_badged_sends(&mut self, from: Slot) -> Outcome {
        slot(from).cancel_badged_sends().map_err(refusal)
    }

    fn suspend(&mut self, tcb: Slot) -> Outcome {
        pooled::<cap_type::Tcb>(tcb).tcb_suspend().map_err(refusal)
    }

    fn resume(&mut self, tcb: Slot) -> Outcome {
        pooled::<cap_type::Tcb>(tcb).tcb_resume().map_err(refusal)
    }

    fn configure(&mut self, tcb: Slot, execution: &Execution) -> Outcome {
        pooled::<cap_type::Tcb>(tcb)
            .tcb_configure_with_priority(
                CPtr::from_bits(execution.fault),
                PRIORITY,
                PRIORITY,
                pooled(execution.cspace),
                CNodeCapData::skip((execution.guard >> 2) as usize),
                pooled(execution.vspace),
                execution.buffer_address,
                seen(execution.buffer),
            )
            .map_err(refusal)
    }

    fn crash(&mut self, tcb: Slot) -> Outcome {
        // The first register is the instruction pointer, and at 0 nothing is mapped.
        pooled::<cap_type::Tcb>(tcb)
            .tcb_write_registers(true, 1, &mut UserContext::default())
            .map_err(refusal)
    }

    fn answer_caller(&mut self, tcb: Slot) -> Outcome {
        // It executes the root task's stub, which the manager's own address space has too: a few
        // instructions that take all from registers. That it is done shows as a fault.
        let door = boot::pool(pool::own(Own::Answered));
        run_stub(tcb, self.root, ROOT_GUARD, door, |registers| {
            registers.rip = STUB_VADDR;
        })
    }

    fn answer_kept(&mut self, tcb: Slot, kept: &Kept) -> Outcome {
        // The fault endpoint has to be in the CSpace that it executes with.
        let root = pooled::<cap_type::CNode>(kept.cspace);
        let door = root.absolute_cptr_from_bits_with_depth(ic::ITSELF.into(), kept.radix as usize);
        door.delete().map_err(refusal)?;
        door.copy(&slot(pool::own(Own::Answered)), SEND)
            .map_err(refusal)?;
        let guard = (root_guard(kept.radix) >> 2) as usize;
        run_stub(tcb, root, guard, leaf(ic::ITSELF), |registers| {
            registers.rip = STUB_VADDR + STUB_DRAIN;
            registers.rbx = leaf(kept.first);
            registers.r13 = kept.count.into();
        })
    }

    fn bind(&mut self, tcb: Slot, notification: Slot) -> Outcome {
        pooled::<cap_type::Tcb>(tcb)
            .tcb_bind_notification(pooled(notification))
            .map_err(refusal)
    }

    fn make_asid_pool(&mut self, untyped: Slot, to: Slot) -> Outcome {
        pooled::<cap_type::AsidControl>(boot::ASID_CONTROL)
            .asid_control_make_pool(pooled(untyped), &slot(to))
            .map_err(refusal)
    }

    fn assign_asid(&mut self, pool: Slot, vspace: Slot) -> Outcome {
        pooled::<cap_type::AsidPool>(pool)
            .asid_pool_assign(pooled(vspace))
            .map_err(refusal)
    }

    fn map_table(&mut self, table: Cap, level: Level, root: Root, address: u64) -> Outcome {
        let (address, attributes) = (address as usize, VmAttributes::DEFAULT);
        let vspace = match root {
            Root::VSpace(vspace) => pooled(vspace),
            Root::SecondStage(root) => {
                return stage::map_table(table, level, root, address).map_err(refusal);
            }
        };
        match level {
            Level::Frames => {
                seen::<cap_type::PageTable>(table).page_table_map(vspace, address, attributes)
            }
            Level::Tables => seen::<cap_type::PageDirectory>(table)
                .page_directory_map(vspace, address, attributes),
            Level::Directories => {
                seen::<cap_type::PDPT>(table).pdpt_map(vspace, address, attributes)
            }
        }
        .map_err(refusal)
    }

    fn map_frame(&mut self, frame: Cap, root: Root, address: u64, writable: bool) -> Outcome {
        let rights = match writable {
            true => CapRights::read_write(),
            false => CapRights::read_only(),
        };
        let address = address as usize;
        // Whether it is a large one is in the capability, not in the invocation.
        match root {
            Root::VSpace(vspace) => seen::<cap_type::Granule>(frame).frame_map(
                pooled(vspace),
                address,
                rights,
                VmAttributes::DEFAULT,
            ),
            Root::SecondStage(root) => stage::map_frame(frame, root, address, rights),
        }
        .map_err(refusal)
    }

    fn unmap_frame(&mut self, frame: Cap) {
        // Refused for what is no frame any more, which is mapped nowhere.
        let _ = seen::<cap_type::Granule>(frame).frame_unmap();
    }

    fn show(&mut self, node: At, radix: u8) -> Outcome {
        let guard = CNodeCapData::skip(boot::LEVEL_BITS as usize - usize::from(radix)).into_word();
        self.shown()
            .mint(&at(node), CapRights::all(), guard)
            .map_err(refusal)
    }

    fn hide(&mut self) {
        let _ = self.shown().delete();
    }

    fn signal(&mut self, to: Slot) {
        pooled::<cap_type::Notification>(to).signal();
    }

    fn reap(&mut self, steps: &[Step]) -> bool {
        self.reaper.add(steps)
    }

    fn next_crash(&mut self) -> Option<u32> {
        let next = self.supervisor(Op::NextCrash, 0)?;
        u32::try_from(next.checked_sub(1)?).ok()
    }

    fn disposed(&mut self, domain: u32) {
        let _ = self.supervisor(Op::Disposed, domain.into());
    }

    fn power_off(&mut self, code: u64) {
        let _ = self.supervisor(Op::PowerOff, code);
    }

    fn defect(&mut self, what: &'static str, refusal: Refusal) {
        log(format_args!("ic_manager: {what}: {refusal}\n"));
    }
}

/// A line for the log, by the root task: everybody else with a console waits for this domain.
pub fn log(line: fmt::Arguments<'_>) {
    let mut text = heapless::String::<LINE>::new();
    // What is too long is cut.
    let _ = text.write_fmt(line);
    let mut words = [0; MAX_WORDS];
    words[0] = text.len() as u64;
    let Ok(used) = put_bytes(&mut words[1..], text.as_bytes()) else {
        return;
    };
    sel4::with_ipc_buffer_mut(|buffer| {
        buffer.msg_regs_mut()[..1 + used].copy_from_slice(&words[..1 + used]);
    });
    let info = MessageInfo::new(Op::Log.label(), 0, 0, 1 + used);
    pooled::<cap_type::Endpoint>(boot::SUPERVISOR).call(info);
}

/// What the reaper is made of.
pub fn make(memory: Slot, kind: ObjectBlueprint, to: Slot) -> sel4::Result<()> {
    pooled::<cap_type::Untyped>(memory).untyped_retype(&kind, &at(At::whole(POOL)), to as usize, 1)
}

const _: () = assert!(reaper::OWN_BYTES <= 1 << OWN_BITS);
