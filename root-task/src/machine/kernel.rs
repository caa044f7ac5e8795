// SPDX-License-Identifier: BSD-2-Clause
//! Slots and plans become invocations here.

use sel4::init_thread::{Slot, slot};
use sel4::{
    AbsoluteCPtr, Cap, CapRights, CapRightsBuilder, CapType, ObjectBlueprint, ObjectBlueprintX64,
    ObjectBlueprintX86, cap, cap_type, sel4_cfg_usize,
};
use xos_root_task::cspace::{Grant, IoPortGrant, Place, Rights};
use xos_root_task::objects::{Level, Object, PAGE_BITS, Sizes};
use xos_root_task::plan::{Copies, Retype};

/// The kernel refused what a plan says. Either the plan is wrong or the machine is not what it was
/// taken for; there is nothing that a caller could do but report it.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to {doing} (slot {slot}): {error:?}")]
pub struct KernelError {
    doing: &'static str,
    slot: usize,
    error: sel4::Error,
}

/// What an invocation gives.
pub type Result<T = ()> = core::result::Result<T, KernelError>;

/// Says what an invocation was for.
pub trait Doing {
    /// What was done, to what the slot holds.
    fn doing(self, doing: &'static str, slot: usize) -> Result;
}

impl Doing for sel4::Result<()> {
    fn doing(self, doing: &'static str, slot: usize) -> Result {
        self.map_err(|error| KernelError { doing, slot, error })
    }
}

/// A capability of ours.
pub fn cap_in<T: CapType>(slot: usize) -> Cap<T> {
    Slot::<T>::from_index(slot).cap()
}

/// A slot of ours.
pub fn own(slot: usize) -> AbsoluteCPtr {
    slot::CNODE
        .cap()
        .absolute_cptr(Slot::<cap_type::Unspecified>::from_index(slot).cptr())
}

fn place(place: Place) -> AbsoluteCPtr {
    if place.cnode == slot::CNODE.index() {
        return own(place.index as usize);
    }
    cap_in::<cap_type::CNode>(place.cnode)
        .absolute_cptr_from_bits_with_depth(place.index, place.radix as usize)
}

fn rights(rights: Rights) -> CapRights {
    CapRightsBuilder::none()
        .read(rights.read)
        .write(rights.write)
        .grant(rights.grant)
        .build()
}

fn blueprint(object: Object) -> ObjectBlueprint {
    match object {
        Object::Untyped { bits } => ObjectBlueprint::Untyped {
            size_bits: bits as usize,
        },
        Object::CNode { radix } => ObjectBlueprint::CNode {
            size_bits: radix as usize,
        },
        Object::Tcb => ObjectBlueprint::Tcb,
        Object::Endpoint => ObjectBlueprint::Endpoint,
        Object::Notification => ObjectBlueprint::Notification,
        Object::Frame { bits: PAGE_BITS } => ObjectBlueprintX86::_4k.into(),
        Object::Frame { .. } => ObjectBlueprintX86::LargePage.into(),
        Object::Pml4 => ObjectBlueprintX64::PML4.into(),
        Object::Table(Level::Pdpt) => ObjectBlueprintX64::PDPT.into(),
        Object::Table(Level::PageDirectory) => ObjectBlueprintX86::PageDirectory.into(),
        Object::Table(Level::PageTable) => ObjectBlueprintX86::PageTable.into(),
    }
}

/// What this kernel's objects take.
pub fn sizes() -> Sizes {
    let bits = |blueprint: ObjectBlueprint| blueprint.physical_size_bits() as u32;
    Sizes {
        slot: bits(ObjectBlueprint::CNode { size_bits: 0 }),
        tcb: bits(ObjectBlueprint::Tcb),
        endpoint: bits(ObjectBlueprint::Endpoint),
        notification: bits(ObjectBlueprint::Notification),
    }
}

/// Makes objects, as many in one kernel entry as the kernel allows.
pub fn retype(retype: &Retype) -> Result {
    const MOST: usize = sel4_cfg_usize!(RETYPE_FAN_OUT_LIMIT);
    let cnode = slot::CNODE.cap().absolute_cptr_for_self();
    for first in (0..retype.count).step_by(MOST) {
        cap_in::<cap_type::Untyped>(retype.from)
            .untyped_retype(
                &blueprint(retype.object),
                &cnode,
                retype.first + first,
                MOST.min(retype.count - first),
            )
            .doing("make objects", retype.first + first)?;
    }
    Ok(())
}

/// Copies capabilities of ours.
pub fn copy(copies: &Copies) -> Result {
    for index in 0..copies.count {
        own(copies.to + index)
            .copy(&own(copies.from + index), CapRights::all())
            .doing("copy a capability", copies.from + index)?;
    }
    Ok(())
}

/// Gives a capability.
pub fn grant(grant: &Grant) -> Result {
    let to = place(grant.to);
    let source = own(grant.source);
    let done = match grant.data {
        0 => to.copy(&source, rights(grant.rights)),
        data => to.mint(&source, rights(grant.rights), data),
    };
    done.doing("give a capability", grant.source)
}

/// Gives a range of I/O ports.
pub fn grant_io_ports(grant: &IoPortGrant) -> Result {
    let all = slot::IO_PORT.index();
    place(grant.to)
        .mint(
            &own(all),
            CapRights::all(),
            cap::IOPort::<()>::narrowed(grant.first, grant.last),
        )
        .doing("give I/O ports", all)
}

/// Gives a capability away.
pub fn give_away(slot: usize, to: Place) -> Result {
    place(to)
        .move_(&own(slot))
        .doing("give a capability away", slot)
}

/// Time-stamp counter.
pub fn now() -> u64 {
    // SAFETY: the kernel leaves the counter readable at user level.
    unsafe { core::arch::x86_64::_rdtsc() }
}
