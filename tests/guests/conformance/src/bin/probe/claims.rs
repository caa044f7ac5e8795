// SPDX-License-Identifier: BSD-2-Clause
//! For each value of each dimension of the contract, the probes that an IC of a factory that promises it
//! has to pass.
//!
//! A value without probes fails the suite: a claim without a probe is not a claim. To add a value to the
//! contract, add a line to the table below, and the compiler says where it is missing.

use core::sync::atomic::Ordering::SeqCst;

use xos::protocol::contract::{
    Capabilities, Channels, Cpu, FaultContainment, KernelInterface, Memory, Names, Quota, Teardown,
};
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::{Budget, PAGE};
use xos::protocol::slots::ic as slot;
use xos::protocol::{Error as Why, Subject};
use xos::region::Region;
use xos::{Contract, ExitStatus};
use xos_test_kit::{Failure, Outcome, check, check_eq};

use crate::lab::{Lab, MEMORY, Page, Specimen, Way, code, spec};
use crate::tasks::{self, FAULTS, INITIAL, SECRET_WORD, SURVIVED, Task, WRITING_CODE};

/// A probe: its name and what it does.
type Probe = (&'static str, fn(&Lab) -> Outcome);

macro_rules! probes {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn(&Lab) -> Outcome)),*] };
}

/// Claim for claim: the dimension, the value, its probes. Values without any are probed by suites of their own, because
/// what has them cannot run this program: containers, virtual machines, virtines.
type Claims = [(&'static str, &'static str, &'static [Probe]); 9];

#[rustfmt::skip]
fn claims(contract: &Contract) -> Claims {
    let Contract {
        memory, capabilities, names, kernel_interface, quota, cpu, fault_containment, teardown, channels,
    } = contract;
    let memory: (_, &[_]) = match memory {
        Memory::SharedWithCreator => ("shared with creator", probes! { what_either_writes_the_other_reads }),
        Memory::Private => ("private", probes! {
            what_it_writes_nobody_else_reads, its_code_cannot_be_changed_for_others,
            a_region_of_a_siblings_is_not_there,
        }),
        Memory::SecondStage => ("private, second-stage", &[]),
    };
    let capabilities: (_, &[_]) = match capabilities {
        Capabilities::Shared => ("shared with creator", probes! { it_has_its_creators_cspace }),
        Capabilities::Own => ("own", probes! { it_has_two_capabilities_and_no_more }),
    };
    let names: (_, &[_]) = match names {
        Names::None => ("none", probes! { it_sees_no_name_but_its_own }),
        Names::Creators => ("creator's", probes! { it_sees_the_names_that_its_creator_sees }),
        Names::Own => ("own", &[]),
    };
    let kernel_interface: (_, &[_]) = match kernel_interface {
        KernelInterface::Sel4 => ("seL4 capabilities", probes! {
            the_manager_answers_it, a_linux_system_call_is_a_fault,
        }),
        KernelInterface::Linux => ("Linux ABI", &[]),
        KernelInterface::Own => ("own kernel", &[]),
        KernelInterface::Hypercalls => ("granted hypercalls", &[]),
    };
    let quota: (_, &[_]) = match quota {
        Quota::Creators => ("creator's", probes! { it_can_spend_all_that_its_creator_has }),
        Quota::Own => ("own arena", probes! {
            its_memory_is_its_own_arenas, it_cannot_spend_more_than_its_quota,
        }),
    };
    let cpu: (_, &[_]) = match cpu {
        Cpu::CreatorsPriority => ("creator's priority", probes! { those_who_spin_take_turns }),
        Cpu::OwnPriority => ("own priority", probes! { it_runs_when_its_creator_rests }),
    };
    let fault_containment: (_, &[_]) = match fault_containment {
        FaultContainment::Itself => ("itself", probes! {
            every_fault_ends_it_alone_and_is_reported, what_it_wrote_before_it_died_is_gone,
        }),
        FaultContainment::CreatorsMemory => ("itself, but creator's memory is open to it", probes! {
            every_fault_ends_it_alone_and_is_reported, what_it_wrote_before_it_died_stays,
        }),
    };
    let teardown: (_, &[_]) = match teardown {
        Teardown::NeedsFactory => ("needs the factory", probes! { its_factory_gets_all_back }),
        Teardown::ManagerAlone => ("by the manager alone", probes! { the_manager_alone_gets_all_back }),
    };
    let channels: (_, &[_]) = match channels {
        Channels::Granted => ("granted by creator or payer", probes! {
            nothing_answers_it_but_manager_and_factory, it_cannot_connect_to_a_stranger,
            a_channel_works_from_its_grant_to_its_end,
        }),
        Channels::CreatorsMemory => ("granted, and creator's memory", probes! {
            what_either_writes_the_other_reads,
        }),
    };
    [
        ("memory", memory.0, memory.1),
        ("capabilities", capabilities.0, capabilities.1),
        ("names", names.0, names.1),
        ("kernel interface", kernel_interface.0, kernel_interface.1),
        ("memory quota", quota.0, quota.1),
        ("cpu", cpu.0, cpu.1),
        ("fault containment", fault_containment.0, fault_containment.1),
        ("teardown", teardown.0, teardown.1),
        ("channels", channels.0, channels.1),
    ]
}

pub fn every_value_of_its_contract_has_a_probe(lab: &Lab) -> Outcome {
    for (dimension, value, probes) in claims(&lab.contract) {
        check!(!probes.is_empty(), "no probe for {dimension} `{value}`")?;
    }
    Ok(())
}

/// Runs the probes of one dimension's claim.
fn holds(lab: &Lab, wanted: &str) -> Outcome {
    let claims = claims(&lab.contract);
    let claim = claims.iter().find(|(dimension, ..)| *dimension == wanted);
    let Some((_, value, probes)) = claim else {
        return check!(false, "no dimension is called {wanted}");
    };
    check!(!probes.is_empty(), "no probe for {wanted} `{value}`")?;
    for (name, probe) in *probes {
        if let Err(failure) = probe(lab) {
            let reason = failure.reason();
            return Err(Failure::new(format_args!("`{value}`: {name}: {reason}")));
        }
    }
    Ok(())
}

pub fn what_it_promises_of_memory_holds(lab: &Lab) -> Outcome {
    holds(lab, "memory")
}

pub fn what_it_promises_of_capabilities_holds(lab: &Lab) -> Outcome {
    holds(lab, "capabilities")
}

pub fn what_it_promises_of_names_holds(lab: &Lab) -> Outcome {
    holds(lab, "names")
}

pub fn what_it_promises_of_the_kernel_interface_holds(lab: &Lab) -> Outcome {
    holds(lab, "kernel interface")
}

pub fn what_it_promises_of_the_memory_quota_holds(lab: &Lab) -> Outcome {
    holds(lab, "memory quota")
}

pub fn what_it_promises_of_the_processor_holds(lab: &Lab) -> Outcome {
    holds(lab, "cpu")
}

pub fn what_it_promises_of_faults_holds(lab: &Lab) -> Outcome {
    holds(lab, "fault containment")
}

pub fn what_it_promises_of_teardown_holds(lab: &Lab) -> Outcome {
    holds(lab, "teardown")
}

pub fn what_it_promises_of_channels_holds(lab: &Lab) -> Outcome {
    holds(lab, "channels")
}

// Memory.

fn what_it_writes_nobody_else_reads(lab: &Lab) -> Outcome {
    SECRET_WORD.store(0x2222, SeqCst);
    let regions = [Region::new(1)?, Region::new(1)?];
    let pages = [Page::new(&regions[0])?, Page::new(&regions[1])?];
    // What begins in a copy begins with what there was.
    let initial = match lab.way {
        Way::Copied => 0x2222,
        Way::Created | Way::Within => INITIAL,
    };
    let mut probes = heapless::Vec::<Specimen, 2>::new();
    for (page, mine) in pages.iter().zip([0x3333, 0x4444]) {
        let _ = probes.push(lab.launch_with(page, tasks::SECRET, mine)?);
        check_eq!(page.until_not(0, 0)?, initial)?;
    }
    for page in &pages {
        page.set(1, 1);
    }
    for probe in probes {
        check_eq!(probe.wait()?, code(0))?;
    }
    check_eq!(SECRET_WORD.load(SeqCst), 0x2222)
}

fn what_either_writes_the_other_reads(lab: &Lab) -> Outcome {
    SECRET_WORD.store(0x2222, SeqCst);
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let probe = lab.launch_with(&page, tasks::SECRET, 0x3333)?;
    check_eq!(page.until_not(0, 0)?, 0x2222)?;
    check_eq!(SECRET_WORD.swap(0x4444, SeqCst), 0x3333)?;
    page.set(1, 1);
    // It saw that the word was changed.
    check_eq!(probe.wait()?, code(1))
}

fn its_code_cannot_be_changed_for_others(lab: &Lab) -> Outcome {
    // All instances of an image have the same code, at the same addresses.
    let address = what_it_writes_nobody_else_reads as *const () as u64;
    // SAFETY: the code of this program can be read.
    let code = || unsafe { (address as *const u8).read_volatile() };
    let before = code();
    let status = lab.run(tasks::WRITE, address, 0)?;
    if lab.way == Way::Copied {
        // It has a copy of the code as well, to do with as it likes.
        check!(survived(status), "it {status}")?;
    } else {
        check_eq!(kind(status), Some(FaultKind::Write(address)))?;
    }
    check_eq!(code(), before)
}

fn a_region_of_a_siblings_is_not_there(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    page.until_not(0, 0)?;
    let address = crate::lab::PAGE_OF_PROBE;
    for (what, expected) in [
        (tasks::READ, FaultKind::Read(address)),
        (tasks::WRITE, FaultKind::Write(address)),
        (tasks::EXECUTE, FaultKind::Execute(address)),
    ] {
        check_eq!(kind(lab.run(what, address, 0)?), Some(expected))?;
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))
}

/// What an IC did that ended by a fault.
pub fn kind(status: ExitStatus) -> Option<FaultKind> {
    match status {
        ExitStatus::Fault(fault) => Some(fault.kind),
        _ => None,
    }
}

// Capabilities.

/// Pages of a piece of memory: not so many pieces are made of a program's budget that anything else is
/// exhausted first.
const LARGE_PIECE: u64 = 64;
/// Radix of the CSpace of an IC that was created, as the suite asks for it (by not asking).
pub const RADIX: u64 = xos::protocol::start::DEFAULT_CSPACE_RADIX as u64;
/// Radix of this program's CSpace, as the judge asked for it.
pub const OWN_RADIX: u64 = 8;

/// The root slots in which an IC has something, as bits, and a digest of all that it has.
fn slots_of(lab: &Lab, radix: u64, meanwhile: impl FnOnce() -> Outcome) -> Outcome<(u64, u64)> {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let probe = lab.launch_with(&page, tasks::OCCUPIED, radix)?;
    let bits = page.until_not(0, 0)? & !(1 << 63);
    let digest = page.get(2);
    meanwhile()?;
    page.set(1, 1);
    check_eq!(probe.wait()?, code(0))?;
    Ok((bits, digest))
}

fn it_has_two_capabilities_and_no_more(lab: &Lab) -> Outcome {
    let (bits, _) = slots_of(lab, RADIX, || Ok(()))?;
    check_eq!(bits, 1 << slot::ITSELF | 1 << slot::MANAGER)
}

fn it_has_its_creators_cspace(lab: &Lab) -> Outcome {
    let mut own = 0;
    let (_, digest) = slots_of(lab, OWN_RADIX, || {
        own = tasks::digest_of_slots(OWN_RADIX) as u32 as u64;
        Ok(())
    })?;
    check_eq!(digest, own)?;
    check_eq!(id_seen_by_manager(lab)?.0, xos::id()?.word())
}

/// Who the manager says that an IC is, and who it is.
fn id_seen_by_manager(lab: &Lab) -> Outcome<(u64, u64)> {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let probe = lab.launch_with(&page, tasks::WHO, 0)?;
    let id = probe.id().word();
    check_eq!(probe.wait()?, code(0))?;
    Ok((page.get(0), id))
}

// Names.

/// How many others an IC sees, and a digest of their ids. A sibling is there meanwhile.
fn names_seen(lab: &Lab) -> Outcome<((u64, u64), (u64, u64))> {
    let regions = [Region::new(1)?, Region::new(1)?];
    let (spinning, page) = (Page::new(&regions[0])?, Page::new(&regions[1])?);
    let sibling = lab.launch_with(&spinning, tasks::SPIN, 0)?;
    let probe = lab.launch_with(&page, tasks::NAMES, 0)?;
    page.until_not(0, 0)?;
    // It has ended and is still there, so that this program sees what it has seen.
    let own = tasks::seen()?;
    check_eq!(probe.wait()?, code(0))?;
    spinning.set(1, 1);
    check_eq!(sibling.wait()?, code(0))?;
    Ok(((page.get(0) - 1, page.get(2)), own))
}

fn it_sees_no_name_but_its_own(lab: &Lab) -> Outcome {
    let ((others, _), own) = names_seen(lab)?;
    check_eq!(others, 0)?;
    // Its creator sees it and its sibling: there was something to be seen.
    check!(own.0 >= 2)?;
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    for id in [sibling.id(), xos::id()?, lab.factory.session().server()] {
        check_eq!(lab.run(tasks::STRANGER, id.word(), 0)?, code(0))?;
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))
}

fn it_sees_the_names_that_its_creator_sees(lab: &Lab) -> Outcome {
    let (seen, own) = names_seen(lab)?;
    check_eq!(seen, own)
}

// Kernel interface.

fn the_manager_answers_it(lab: &Lab) -> Outcome {
    let (seen, id) = id_seen_by_manager(lab)?;
    let expected = if lab.within { xos::id()?.word() } else { id };
    check_eq!(seen, expected)
}

fn a_linux_system_call_is_a_fault(lab: &Lab) -> Outcome {
    // write, getpid, exit_group, and one that never was.
    for number in [1, 39, 231, 0xffff_ffff] {
        let status = lab.run(tasks::SYSCALL, number, 1)?;
        check_eq!(kind(status), Some(FaultKind::Exception(6)))?;
    }
    Ok(())
}

// Quota.

fn its_memory_is_its_own_arenas(lab: &Lab) -> Outcome {
    let budget = || xos::manager().budget(Subject::Myself);
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let before = budget()?;
    let probe = lab.launch_with(&page, tasks::SPIN, 0)?;
    page.until_not(0, 0)?;
    let info = xos::manager().stat(Subject::Ic(probe.id()))?;
    check!(info.arena > 0, "its arena has {} pages", info.arena)?;
    check!(info.spent <= info.quota)?;
    // What it may spend is taken from the creator's budget once, when it is made.
    check!(
        budget()?.spent >= before.spent + u64::from(info.quota),
        "{} pages are not its creator's cost",
        info.quota
    )?;
    page.set(1, 1);
    check_eq!(probe.wait()?, code(0))?;
    is_back(before)
}

fn it_cannot_spend_more_than_its_quota(lab: &Lab) -> Outcome {
    if lab.within {
        // Its stack is all that it can spend of its own.
        let status = lab.run(tasks::FAULT, 4, 0)?;
        return check!(
            matches!(kind(status), Some(FaultKind::Write(_))),
            "{status}"
        );
    }
    let most = u64::from(MEMORY) / PAGE;
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let probe = lab.launch_with(&page, tasks::SPEND, 4)?;
    let got = page.until_not(0, 0)? - 1;
    check_eq!(Why::from_label(page.get(2)), Err(Why::OverBudget))?;
    let info = xos::manager().stat(Subject::Ic(probe.id()))?;
    check!(u64::from(info.quota) <= most, "its quota is {}", info.quota)?;
    check!(got <= most, "it got {got} pages beside its own")?;
    check!(info.spent <= info.quota)?;
    // Nobody else notices.
    check_eq!(lab.run(tasks::RETURN, 5, 0)?, code(5))?;
    page.set(1, 1);
    check_eq!(probe.wait()?, code(0))
}

fn it_can_spend_all_that_its_creator_has(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let before = xos::manager().budget(Subject::Myself)?;
    let probe = lab.launch_with(&page, tasks::SPEND, LARGE_PIECE)?;
    let got = page.until_not(0, 0)? - 1;
    check_eq!(Why::from_label(page.get(2)), Err(Why::OverBudget))?;
    // Nothing is left, and it has what was there but for what it took to make it.
    let now = xos::manager().budget(Subject::Myself)?;
    let left = now.quota - now.spent;
    check!(left < LARGE_PIECE, "it left its creator {left} pages")?;
    let all = before.quota - before.spent;
    check!(
        got + now.spent - before.spent >= all && got >= all / 2,
        "it got {got} of its creator's {all} pages"
    )?;
    page.set(1, 1);
    check_eq!(probe.wait()?, code(0))
}

// Processor.

/// Looks at a word so often that a probe of equal priority has had a turn.
const LONG: u32 = 200_000_000;

fn those_who_spin_take_turns(lab: &Lab) -> Outcome {
    let regions = [Region::new(1)?, Region::new(1)?];
    let pages = [Page::new(&regions[0])?, Page::new(&regions[1])?];
    let probes = [
        lab.launch_with(&pages[0], tasks::SPIN, 0)?,
        lab.launch_with(&pages[1], tasks::SPIN, 0)?,
    ];
    for round in 0..3 {
        for page in &pages {
            let old = page.get(0);
            // Without giving up the processor.
            let moved = (0..LONG).any(|_| page.get(0) != old);
            check!(
                moved,
                "in round {round}, a probe does not run while others do"
            )?;
        }
    }
    for page in &pages {
        page.set(1, 1);
    }
    for probe in probes {
        // Had this program not had its turns, they would have given up.
        check_eq!(probe.wait()?, code(0))?;
    }
    Ok(())
}

/// Looks at a word for several turns of a probe's.
const SEVERAL_TURNS: u32 = 20_000_000;

fn it_runs_when_its_creator_rests(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let probe = lab.launch_with(&page, tasks::SPIN, 0)?;
    for _ in 0..2 {
        let old = page.get(0);
        let moved = (0..SEVERAL_TURNS).any(|_| page.get(0) != old);
        check!(!moved, "it runs while its creator does")?;
        lab.rest()?;
        check!(
            page.get(0) != old,
            "it does not run while its creator rests"
        )?;
    }
    page.set(1, 1);
    lab.rest()?;
    check_eq!(probe.wait()?, code(0))
}

// Faults.

fn every_fault_ends_it_alone_and_is_reported(lab: &Lab) -> Outcome {
    SECRET_WORD.store(0x2222, SeqCst);
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    for (number, (name, expected)) in FAULTS.iter().enumerate() {
        if lab.way == Way::Copied && number as u64 == WRITING_CODE {
            // That is its own, in a copy.
            continue;
        }
        let status = lab.run(tasks::FAULT, number as u64, 0)?;
        check!(
            kind(status).is_some_and(expected),
            "{name}: the IC {status}"
        )?;
        page.until_not(0, page.get(0))?;
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))?;
    check_eq!(SECRET_WORD.load(SeqCst), 0x2222)?;
    lab.still_works()
}

fn what_it_wrote_before_it_died_is_gone(lab: &Lab) -> Outcome {
    check_eq!(written_before_death(lab)?, 0x2222)
}

fn what_it_wrote_before_it_died_stays(lab: &Lab) -> Outcome {
    check_eq!(written_before_death(lab)?, 0x5555)
}

/// What this program's secret word is after an IC has written 0x5555 to its own and died.
fn written_before_death(lab: &Lab) -> Outcome<u64> {
    SECRET_WORD.store(0x2222, SeqCst);
    let status = lab.run(tasks::WRITE_AND_FAULT, 0x5555, 0)?;
    check_eq!(kind(status), Some(FaultKind::Read(0)))?;
    Ok(SECRET_WORD.load(SeqCst))
}

// Teardown.

/// Waits until this program's budget is again what it was.
#[track_caller]
fn is_back(before: Budget) -> Outcome {
    let mut now = xos::manager().budget(Subject::Myself)?;
    for _ in 0..1000 {
        if now == before {
            break;
        }
        xos::thread::yield_now();
        now = xos::manager().budget(Subject::Myself)?;
    }
    check_eq!(now, before)
}

fn its_factory_gets_all_back(lab: &Lab) -> Outcome {
    let budget = || xos::manager().budget(Subject::Myself);
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    for running in [false, true] {
        let before = budget()?;
        let probe = if running {
            let probe = lab.launch_with(&page, tasks::SPIN, 0)?;
            page.until_not(0, page.get(0))?;
            probe
        } else {
            lab.make(Task {
                what: tasks::SPIN,
                a: page.address(),
                b: 0,
            })?
        };
        probe.ic().kill()?;
        let ended = probe.wait()?;
        check_eq!(ended, ExitStatus::Killed)?;
        is_back(before)?;
    }
    lab.still_works()
}

fn the_manager_alone_gets_all_back(lab: &Lab) -> Outcome {
    let budget = || xos::manager().budget(Subject::Myself);
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    for running in [false, true] {
        let before = budget()?;
        let probe = if running {
            let probe = lab.launch_with(&page, tasks::SPIN, 0)?;
            page.until_not(0, page.get(0))?;
            probe
        } else {
            lab.make(Task::NOTHING)?
        };
        // Its factory is not asked.
        while !matches!(
            xos::manager().destroy(probe.id()),
            Ok(true) | Err(Why::Gone)
        ) {
            xos::thread::yield_now();
        }
        // There is nobody to wait for: the handle is gone.
        let (id, ended) = (probe.id(), probe.wait());
        check!(ended.is_err())?;
        // But the slot of its session with the manager, an IC is all that its creator paid for.
        is_back(before)?;
        check!(xos::manager().stat(Subject::Ic(id)).is_err())?;
    }
    lab.still_works()
}

// Channels.

fn nothing_answers_it_but_manager_and_factory(lab: &Lab) -> Outcome {
    it_has_two_capabilities_and_no_more(lab)
}

fn it_cannot_connect_to_a_stranger(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    for id in [sibling.id(), xos::id()?, lab.factory.session().server()] {
        check_eq!(lab.run(tasks::REACH_OUT, id.word(), 0)?, code(0))?;
    }
    page.set(1, 1);
    check_eq!(sibling.wait()?, code(0))
}

fn a_channel_works_from_its_grant_to_its_end(lab: &Lab) -> Outcome {
    if lab.within {
        return Ok(());
    }
    let bell = xos::sync::notification()?;
    for granted in [true, false] {
        let task = Task {
            what: tasks::SIGNAL,
            ..Task::NOTHING
        };
        let ic = match lab.way {
            Way::Created => Specimen::Created(lab.factory.create(&spec(task).channel("bell"))?),
            Way::Copied | Way::Within => lab.make(task)?,
        };
        let session = ic.ic().connect(bell, 0)?;
        if !granted {
            xos::manager().close(session)?;
        }
        ic.start()?;
        check_eq!(ic.wait()?, code(0))?;
        let (_, bits) = bell.poll();
        check_eq!(bits != 0, granted)?;
    }
    Ok(())
}

/// The code of a probe that did what is impossible.
pub fn survived(status: ExitStatus) -> bool {
    status == code(SURVIVED)
}
