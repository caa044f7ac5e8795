// SPDX-License-Identifier: BSD-2-Clause
//! Cases about what a program has no right to.

use sel4::{CapRights, ObjectBlueprint, cap};
use xos::client::Port;
use xos::protocol::manager::{Connect, Grow, Rights, Share};
use xos::protocol::slots::{ic, leaf};
use xos::protocol::{Error, IcId, Name, RegionId, Subject};
use xos::region::Region;
use xos_test_kit::{check, check_eq};

use super::*;

/// Serial numbers and indices of ICs that are tried: those of the boot domains and many behind them.
const SERIALS: u64 = 200;
const INDICES: u32 = 12;

pub fn what_belongs_to_others_cannot_be_touched(_: &mut ()) -> Outcome {
    let manager = xos::manager();
    let me = xos::id()?;
    let region = Region::new(1)?;
    let endpoint = xos::service::endpoint()?;
    let source = (endpoint.bits() >> 8) as u32;
    for serial in 1..SERIALS {
        for index in 0..INDICES {
            let id = IcId::new(serial, index).ok_or("no id")?;
            if id == me {
                continue;
            }
            let target = Subject::Ic(id);
            let share = Share {
                region: region.id(),
                target,
                address: 0x7600_0000_0000,
                rights: Rights::RW,
            };
            let connect = Connect {
                source,
                slot: 31,
                target,
            };
            let grow = Grow {
                id,
                pages: 1,
                slot: 5,
            };
            for (what, error) in [
                ("destroy", manager.destroy(id).err()),
                ("suspend", manager.suspend(id).err()),
                ("resume", manager.resume(id).err()),
                ("ended", manager.ended(id).err()),
                ("annotate", manager.annotate(id, Name::new("x")).err()),
                ("stat", manager.stat(target).err()),
                ("budget", manager.budget(target).err()),
                ("watch", manager.watch(target, source).err()),
                ("share", manager.share(&share).err()),
                ("connect", manager.connect(&connect).err()),
                ("grow", manager.grow(&grow).err()),
            ] {
                check!(
                    matches!(error, Some(Error::NotAllowed | Error::Gone)),
                    "{what} {id:?}: {error:?}"
                )?;
            }
        }
    }
    // What is listed is this program and what it pays for.
    let mut strangers = 0;
    manager.each_ic(|ic| strangers += u32::from(ic.id != me && ic.payer != me))?;
    check_eq!(strangers, 0)?;
    // Regions of others.
    for serial in 1..SERIALS {
        for index in 0..INDICES {
            let id = RegionId::new(serial, index).ok_or("no id")?;
            if id != region.id() {
                let destroyed = manager.region_destroy(id);
                check!(
                    matches!(destroyed, Err(Error::NotAllowed | Error::Gone)),
                    "{id:?}: {destroyed:?}"
                )?;
            }
        }
    }
    // Sessions of others; this program has none of its own but the timer's.
    let mut closed = 0;
    for session in 0..500 {
        closed += u32::from(manager.close(session).is_ok());
    }
    check!(closed <= 1, "{closed} sessions")
}

pub fn what_only_the_supervisor_may_do_is_refused(_: &mut ()) -> Outcome {
    let manager = xos::manager();
    check_eq!(manager.free().err(), Some(Error::NotAllowed))?;
    check_eq!(manager.power_off(0), Error::NotAllowed)?;
    let console = xos::service::open("console")?;
    let console = xos::client::Console::new(console.endpoint());
    check_eq!(console.intercept(true), Err(Error::NotAllowed))
}

pub fn capabilities_that_were_not_given_cannot_be_made_up(_: &mut ()) -> Outcome {
    let given = [ic::ITSELF, ic::MANAGER];
    // Every slot of the root, and beyond it.
    for slot in (0..1024).filter(|slot| !given.contains(slot)) {
        let endpoint = cap::Endpoint::from_bits(leaf(slot));
        let called = Port::call(&endpoint, 0x100, [0; 4], 0);
        check!(called.is_err(), "slot {slot} answers: {called:?}")?;
    }
    // Addresses that begin with other bits than the root's guard.
    for bit in 16..64 {
        let endpoint = cap::Endpoint::from_bits(leaf(ic::MANAGER) | 1 << bit);
        let called = Port::call(&endpoint, 0x100, [0; 4], 0);
        check_eq!(called.err(), Some(Error::Gone))?;
    }
    // What was given is an endpoint whatever one takes it for, and what was not is nothing.
    for slot in [ic::MANAGER, ic::ROOT, 4, 5, 6, 7] {
        let bits = leaf(slot);
        let root = cap::CNode::from_bits(bits);
        let here = root.absolute_cptr_from_bits_with_depth(bits, 64);
        let there = root.absolute_cptr_from_bits_with_depth(leaf(40), 64);
        check!(there.copy(&here, CapRights::all()).is_err())?;
        check!(there.mint(&here, CapRights::all(), 1).is_err())?;
        check!(here.revoke().is_err() && here.delete().is_err())?;
        let untyped = cap::Untyped::from_bits(bits);
        let made = untyped.untyped_retype(&ObjectBlueprint::Endpoint, &there, 0, 1);
        check!(made.is_err())?;
        check!(cap::Tcb::from_bits(bits).tcb_suspend().is_err())?;
    }
    check!(xos::id().is_ok())
}
