// SPDX-License-Identifier: BSD-2-Clause
//! What must not work, whatever the contract says: attacks from inside an IC of the factory under test,
//! or by its client.

use alloc::vec::Vec;

use sel4::{CapRights, MessageInfo, cap};
use xos::protocol::factory::{HandleOp, SelfOp, SessionOp};
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::Op;
use xos::protocol::slots::{ic as slot, leaf};
use xos::protocol::supervisor::{STUB_VADDR, boot};
use xos::protocol::{Error as Why, Subject};
use xos::region::Region;
use xos::server::Space;
use xos::{ExitStatus, service};
use xos_test_kit::{Outcome, check, check_eq};

use crate::claims::{OWN_RADIX, RADIX, kind, survived};
use crate::copies::settle;
use crate::lab::{Lab, Page, Specimen, Way, code, open};
use crate::tasks::{self, FAULT_LABELS, Noise, Task, What};

// Memory.

/// Addresses at which others have something: factories their files, windows and stacks, the manager its
/// records, the kernel everything; and those at the borders of what the processor can address.
const LANDMARKS: [u64; 24] = [
    0x1000,
    0x1000_0000,
    0x1fff_f000,
    0x4000_0000,
    0x4000_1000,
    boot::INFO_VADDR,
    0xb_8000,
    0xfec0_0000,
    0xfed0_0000,
    0xfee0_0000,
    0x6100_0000_0000,
    0x6100_0000_1000,
    STUB_VADDR,
    STUB_VADDR + 0x1000,
    0x7fff_ffff_e000,
    0x7fff_ffff_f000,
    0xffff_8000_0000_0000,
    0xffff_8080_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_8010_0000,
    0xffff_ffff_c000_0000,
    0xffff_ffff_fee0_0000,
    0xffff_ffff_ffe0_0000,
    0xffff_ffff_ffff_f000,
];

/// Tries an access at every landmark, and somewhere below every entry of the table at the top of the
/// address space, the kernel's half included.
fn everywhere(lab: &Lab, what: What, expected: fn(u64) -> FaultKind) -> Outcome {
    let entries = (0..512_u64).map(|entry| {
        let address = entry << 39 | 0x7f_f1e5_5000;
        // Canonical: bit 47 goes on to the top.
        ((address << 16) as i64 >> 16) as u64
    });
    for address in LANDMARKS.into_iter().chain(entries) {
        let status = lab.run(what, address, 0)?;
        check!(!survived(status), "{address:#x} is open to it")?;
        check!(
            kind(status) == Some(expected(address)),
            "at {address:#x} it {status}"
        )?;
    }
    lab.still_works()
}

pub fn no_address_beyond_its_memory_can_be_read(lab: &Lab) -> Outcome {
    everywhere(lab, tasks::READ, FaultKind::Read)
}

pub fn no_address_beyond_its_memory_can_be_written(lab: &Lab) -> Outcome {
    everywhere(lab, tasks::WRITE, FaultKind::Write)
}

pub fn no_address_beyond_its_memory_can_be_executed(lab: &Lab) -> Outcome {
    everywhere(lab, tasks::EXECUTE, FaultKind::Execute)
}

pub fn no_byte_of_a_dead_ic_is_seen_in_a_new_one(lab: &Lab) -> Outcome {
    let within = u64::from(lab.within);
    for _ in 0..5 {
        check_eq!(lab.run(tasks::SCRIBBLE, within, 0)?, code(0))?;
        let found = lab.run(tasks::SCAN, within, 0)?;
        check!(found == code(0), "traces in a new IC: it {found}")?;
    }
    Ok(())
}

/// Turns that the one gets to load segment registers and the other to find out.
const SEGMENTS: usize = 50;

pub fn nothing_is_handed_on_in_segment_registers(lab: &Lab) -> Outcome {
    if lab.within {
        // They share an address space, and whatever else there is.
        return Ok(());
    }
    let regions = [Region::new(1)?, Region::new(1)?];
    let pages = [Page::new(&regions[0])?, Page::new(&regions[1])?];
    let finder = lab.launch_with(&pages[1], tasks::FIND_SEGMENTS, 0)?;
    pages[1].until_not(0, 0)?;
    let loader = lab.launch_with(&pages[0], tasks::LOAD_SEGMENTS, 0)?;
    for _ in 0..SEGMENTS {
        for page in &pages {
            page.until_not(0, page.get(0))?;
        }
    }
    pages[1].set(1, 1);
    check_eq!(finder.wait()?, code(0))?;
    check_eq!(pages[1].get(2), 0)?;
    loader.ic().kill()?;
    check_eq!(loader.wait()?, ExitStatus::Killed)
}

// Capabilities.

pub fn no_kernel_object_can_be_invoked_through_any_cptr(lab: &Lab) -> Outcome {
    if lab.within {
        // Its capabilities are this program's, which may compose: what it holds, it may invoke. Beyond its
        // CSpace there is nothing.
        return check_eq!(beyond(OWN_RADIX), None);
    }
    let status = lab.run(tasks::INVOKE_ALL, RADIX, 0)?;
    match status {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(which) => check!(
            false,
            "CPtr {:#x} takes label {:#x}",
            which >> 8,
            which & 0xff
        ),
        _ => check!(false, "the probe {status}"),
    }
}

/// A CPtr beyond a CSpace of this radix that means something.
fn beyond(radix: u64) -> Option<u64> {
    (radix as u32 + 8..64)
        .map(|bit| 1 << bit | leaf(slot::MANAGER))
        .find(|cptr| tasks::invoke(*cptr, Op::Ping.label(), [0; 4], 0).0 == 0)
}

pub fn nobody_can_receive_in_anothers_place(lab: &Lab) -> Outcome {
    for cptr in [leaf(slot::ITSELF), leaf(slot::MANAGER)] {
        let status = lab.run(tasks::RECEIVE, cptr, 0)?;
        check!(
            kind(status) == Some(FaultKind::Capability(cptr)),
            "at {cptr:#x} it {status}"
        )?;
    }
    Ok(())
}

pub fn kernel_calls_that_do_not_exist_end_their_caller_alone(lab: &Lab) -> Outcome {
    // Those that a debug kernel or one with other features has, and some that none has.
    for number in (-40..=-9_i64).chain([0, 1, 2, i64::MIN, i64::MAX]) {
        let status = lab.run(tasks::SYSCALL, number as u64, 0)?;
        check!(
            matches!(kind(status), Some(FaultKind::Syscall(_))),
            "{number}: it {status}"
        )?;
    }
    lab.still_works()
}

/// The root slots of this program's CSpace that have something.
fn occupied() -> heapless::Vec<u32, 256> {
    (0..1 << OWN_RADIX)
        .filter(|slot| tasks::occupied(leaf(*slot)))
        .collect()
}

pub fn a_forged_fault_message_harms_only_its_sender(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    for label in 0..FAULT_LABELS {
        let status = if lab.within {
            // The capability is the handle, in the slot that will be the next one.
            let before = occupied();
            let next = (slot::FIRST_FREE + 3..256).find(|slot| !before.contains(slot));
            lab.run(tasks::FORGE_FAULT, leaf(next.unwrap_or_default()), label)?
        } else {
            lab.run(tasks::FORGE_FAULT, leaf(slot::ITSELF), label)?
        };
        let harmless = survived(status) || matches!(status, ExitStatus::Fault(_));
        check!(harmless, "label {label}: it {status}")?;
        page.until_not(0, page.get(0))?;
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))?;
    lab.still_works()
}

// Badges and handles.

/// Two root slots that this program's runtime does not give out: the last ones.
const SPARE: u32 = 254;

/// Calls `f` with a slot that is empty before and after.
fn with_spare<R>(f: impl FnOnce(sel4::AbsoluteCPtr, cap::Endpoint) -> Outcome<R>) -> Outcome<R> {
    let spare = Space::IC.slot(SPARE);
    let result = f(spare, cap::Endpoint::from_bits(leaf(SPARE)));
    let _ = spare.delete();
    result
}

pub fn a_badge_cannot_be_forged(lab: &Lab) -> Outcome {
    let session = lab.factory.session().endpoint();
    let own = xos::id()?;
    for source in [leaf(slot::MANAGER), session.bits(), leaf(slot::ITSELF)] {
        let from = Space::IC.slot((source >> 8) as u32);
        for badge in [
            1,
            2,
            1 << 27,
            1 << 27 | 1 << 24 | 1,
            1 << 27 | 3 << 24 | 1,
            u64::MAX,
        ] {
            with_spare(|spare, forged| {
                let minted = spare.mint(&from, CapRights::all(), badge);
                // Where the kernel accepts it, it is the same badge as before.
                if minted.is_ok() && source == leaf(slot::MANAGER) {
                    let answer = xos::client::Manager::new(forged).ping();
                    check!(
                        answer == Ok(own) || answer.is_err(),
                        "badge {badge:#x} makes this program {answer:?}"
                    )?;
                }
                check!(
                    minted.is_err() || source == leaf(slot::MANAGER),
                    "{source:#x} was badged {badge:#x}"
                )
            })?;
            with_spare(|spare, _| {
                // In its place, so that nothing is lost when it is refused.
                spare.copy(&from, CapRights::all())?;
                let other = Space::IC.slot(SPARE + 1);
                let changed = other.mutate(&spare, badge);
                if changed.is_ok() {
                    let answer =
                        xos::client::Manager::new(cap::Endpoint::from_bits(leaf(SPARE + 1))).ping();
                    let _ = other.delete();
                    check!(answer == Ok(own) || answer.is_err())?;
                }
                Ok(())
            })?;
        }
    }
    lab.still_works()
}

pub fn a_handle_means_nothing_after_its_ics_end(lab: &Lab) -> Outcome {
    let before = occupied();
    let first = lab.make(Task::NOTHING)?;
    let handle = occupied().into_iter().find(|slot| !before.contains(slot));
    let Some(handle) = handle else {
        return check!(false, "there is no handle");
    };
    let old = first.id();
    with_spare(|spare, replayed| {
        spare.copy(&Space::IC.slot(handle), CapRights::all())?;
        first.start()?;
        check_eq!(first.wait()?, code(0))?;
        for _ in 0..20 {
            // Its index and its slots may be those of the new one.
            let new = lab.make(Task::NOTHING)?;
            let replayed = xos::client::Handle::new(replayed);
            check_eq!(replayed.stat().map(drop), Err(Why::Gone))?;
            check_eq!(replayed.kill(), Err(Why::Gone))?;
            for stale in [
                xos::manager().suspend(old),
                xos::manager().stat(Subject::Ic(old)).map(drop),
                xos::manager().destroy(old).map(drop),
            ] {
                check_eq!(stale, Err(Why::Gone))?;
            }
            new.start()?;
            check_eq!(new.wait()?, code(0))?;
        }
        Ok(())
    })
}

// Messages.

/// Seeds of the messages' noise, and messages of each.
const SEEDS: u64 = 4;
const MESSAGES: u64 = 1500;

pub fn no_message_harms_the_manager(lab: &Lab) -> Outcome {
    for seed in 1..=SEEDS {
        if lab.within {
            // The session is this program's: what succeeded would be its own affair for ever after.
            Noise(seed).send(*xos::manager().port(), MESSAGES as u32, |noise| {
                match 0xf8 + noise % 0x30 {
                    label if label == Op::Close.label() => Op::Ping.label(),
                    label if label == Op::Destroy.label() => Op::Ping.label(),
                    label => label,
                }
            });
            continue;
        }
        let status = lab.run(tasks::FUZZ_MANAGER, seed, MESSAGES)?;
        // It may have ended itself, which is what it may do.
        check!(
            !matches!(status, ExitStatus::Fault(_)),
            "the probe {status}"
        )?;
    }
    // What this program may do to itself by noise, taking back its consent for one, it has done.
    lab.reopen()?.still_works()
}

pub fn no_message_harms_the_factory(lab: &Lab) -> Outcome {
    // From inside.
    if !lab.within {
        for seed in 1..=SEEDS {
            let status = lab.run(tasks::FUZZ_FACTORY, seed, MESSAGES)?;
            check!(status == code(0), "the probe {status}")?;
        }
    }
    // By a client.
    let session = open(lab.name)?;
    for seed in 1..=SEEDS {
        let endpoint = session.session().endpoint();
        Noise(seed).send(endpoint, MESSAGES as u32, |noise| match noise % 0x400 {
            // It is started at once, and writes where it likes in this program.
            label if label == SessionOp::Spawn.label() => SessionOp::Describe.label(),
            label => label,
        });
    }
    // By the holder of a handle, to the last.
    let before = occupied();
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
    let handle = occupied().into_iter().find(|slot| !before.contains(slot));
    let handle = cap::Endpoint::from_bits(leaf(handle.unwrap_or_default()));
    Noise(9).send(handle, MESSAGES as u32, |noise| match noise % 0x400 {
        // Who asks for these may wait for ever: it does not end by itself, nor does it stand.
        label
            if [HandleOp::Wait, HandleOp::Snapshot]
                .iter()
                .any(|op| op.label() == label) =>
        {
            HandleOp::Stat.label()
        }
        // Who is within this program has the same capability, and would end by these.
        label if lab.within && (label < FAULT_LABELS || label == SelfOp::Exit.label()) => {
            HandleOp::Stat.label()
        }
        label => label,
    });
    handle.call(MessageInfo::new(HandleOp::Kill.label(), 0, 0, 0));
    ic.wait()?;
    lab.still_works()
}

pub fn no_message_harms_a_driver(lab: &Lab) -> Outcome {
    for name in ["console", "timer"] {
        let driver = service::open(name)?;
        let server = driver.server();
        for seed in 1..=SEEDS {
            Noise(seed).send(driver.endpoint(), MESSAGES as u32 / 4, |noise| {
                match 0x2f8 + noise % 0x60 {
                    // These wait for a line and for a time that may never come; the others print.
                    label if WAITS.contains(&label) => 0x3ff,
                    label => label,
                }
            });
        }
        // The same one still serves.
        check_eq!(service::open(name)?.server(), server)?;
    }
    xos::timer::now()?;
    lab.still_works()
}

pub fn no_message_harms_another_factory(lab: &Lab) -> Outcome {
    for name in ["process", "thread"]
        .into_iter()
        .filter(|name| *name != lab.name)
    {
        // With no consent to anything: a thread would begin anywhere in this program.
        let session = xos::factory(name)?;
        let (server, contract) = (session.session().server(), session.describe()?);
        for seed in 1..=SEEDS {
            let endpoint = session.session().endpoint();
            Noise(seed).send(endpoint, MESSAGES as u32, |noise| noise % 0x400);
        }
        check_eq!(session.describe()?, contract)?;
        check_eq!(xos::factory(name)?.session().server(), server)?;
    }
    lab.still_works()
}

/// Operations of drivers that block or print what they are given.
const WAITS: &[u64] = &[
    xos::protocol::console::Op::Write.label(),
    xos::protocol::console::Op::Read.label(),
    xos::protocol::timer::Op::Sleep.label(),
];

// Exhaustion.

/// Refusals that say that something is used up.
fn exhausted(error: Why) -> bool {
    matches!(
        error,
        Why::OverBudget | Why::NoMemory | Why::TableFull | Why::BadSlot
    )
}

pub fn running_out_of_ics_is_an_error_that_passes(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    let mut all = Vec::new();
    let refusal = loop {
        let made = if lab.within {
            xos::thread::spawn_by(&lab.factory, 4096, || 0).map(Specimen::Within)
        } else {
            lab.try_make(Task::NOTHING)
        };
        match made {
            Ok(ic) => all.push(ic),
            Err(error) => break error.why,
        }
        check!(all.len() < 1000, "there is no end")?;
    };
    check!(exhausted(refusal), "{refusal:?}")?;
    check!(all.len() > 8)?;
    // Nobody else notices.
    page.until_not(0, page.get(0))?;
    for ic in all {
        if let Specimen::Within(_) = ic {
            check_eq!(ic.wait()?, code(0))?;
        }
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))?;
    lab.still_works()
}

pub fn running_out_of_sessions_is_an_error_that_passes(lab: &Lab) -> Outcome {
    let mut all = Vec::new();
    let refusal = loop {
        match open(lab.name) {
            Ok(session) => all.push(session),
            Err(error) => break error.why,
        }
        check!(all.len() < 1000, "there is no end")?;
    };
    check!(exhausted(refusal), "{refusal:?}")?;
    drop(all);
    // The manager counts a session until its server has read that it is closed.
    for _ in 0..1000 {
        if open(lab.name).is_ok() {
            break;
        }
        xos::thread::yield_now();
    }
    drop(open(lab.name)?);
    lab.still_works()
}

pub fn running_out_of_slots_is_an_error_that_passes(lab: &Lab) -> Outcome {
    let session = xos::client::Factory::new(lab.factory.session().endpoint());
    // The first makes what stays: tables above the windows of ICs within this program, say.
    check_eq!(lab.run(tasks::RETURN, 0, 0)?, code(0))?;
    settle()?;
    let budget = xos::manager().budget(Subject::Myself)?;
    // Slots that are taken, and slots that are none.
    for slot in [slot::ITSELF, slot::MANAGER, 256, 4095] {
        let refused = if lab.way != Way::Created {
            session.spawn(&xos::protocol::factory::Entry {
                ip: 0,
                argument: 0,
                handle: slot as u16,
                stack: 1,
                pager: 0,
            })
        } else {
            let spec = crate::lab::spec(Task::NOTHING);
            session.create(slot, &spec.get()?)
        };
        check_eq!(refused.map(drop), Err(Why::BadSlot))?;
    }
    check_eq!(xos::manager().budget(Subject::Myself)?, budget)?;
    let slots: Vec<_> = core::iter::from_fn(|| xos::take_slot().ok()).collect();
    let refused = lab.make(Task::NOTHING).map(drop);
    check!(refused.is_err())?;
    drop(slots);
    lab.still_works()
}
