// SPDX-License-Identifier: BSD-2-Clause
//! The judge of steps: at each entry into the kernel that the manager, a factory or a driver makes while
//! everything is done that can be done, somebody dies. Each time whoever is left is told in clear words
//! and goes on, and everything is back afterwards.
//!
//! The programs are those of `system.xml`, built so that they can be stopped (`sel4_sys::steps`).
#![no_std]
#![no_main]

#[path = "../judging.rs"]
#[allow(dead_code, reason = "no case here is the conformance suite's")]
mod judging;

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use core::time::Duration;

use ic_manager::pool::{self, Part};
use judging::{HEAP_SIZE, Judge, Screen, power_off};
use sel4::sys::steps::{CRASH, GO_ON, STAND, STRIKE, Steps};
use sel4_microkit::{NullHandler, protection_domain};
use test_conformance::{OPERATIONS, USE, WARM_UP, WHOLE_OPERATIONS};
use xos_protocol::supervisor::boot;
use xos_protocol::{Error, IcId};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

const CASES: &[Case<Judge>] = include!("../../../steps/cases.rs");

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    let mut judge = Judge::new();
    judge.begin_or_end = begin_or_end;
    let passed = xos_test_kit::run(CASES, &mut judge, &mut Screen);
    power_off(passed)
}

/// A program whose steps are looked at: the address of its page.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Program {
    Manager = 0x1000_0000,
    Processes = 0x1000_1000,
    Threads = 0x1000_2000,
    Console = 0x1000_3000,
    Timer = 0x1000_4000,
}

impl Program {
    fn steps(self) -> &'static Steps {
        // SAFETY: the description maps the page of each there; all fields are atomic.
        unsafe { &*(self as u64 as *const Steps) }
    }
}

/// Who dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The IC on which something is done.
    Ic,
    /// Another one.
    Sibling,
    /// Who has it done.
    Client,
    /// The factory that made them.
    Factory,
    /// The program at whose steps we are.
    Itself,
}

/// The program whose steps count from `Ask::Begin` on, the step at which it stands, and what it does there.
static PROGRAM: AtomicU64 = AtomicU64::new(0);
static STEP: AtomicU64 = AtomicU64::new(0);
static DEED: AtomicU64 = AtomicU64::new(STAND);

fn begin_or_end(begin: bool) -> Outcome {
    let page = PROGRAM.load(SeqCst) as *const Steps;
    // SAFETY: it is a program's page, or null.
    if let Some(steps) = unsafe { page.as_ref() } {
        steps.at.store(0, SeqCst);
        // A part of it may still be standing at the end: it is seen to by who has it stand.
        if begin {
            steps.taken.store(0, SeqCst);
            steps.deed.store(DEED.load(SeqCst), SeqCst);
            steps.at.store(STEP.load(SeqCst), SeqCst);
        }
    }
    Ok(())
}

/// Restarts that a domain gets within a while.
const RESTARTS: u64 = 5;
/// That while, and a bit.
const WHILE: Duration = Duration::from_secs(61);
/// Steps that everything takes, however it is looked at: fewer would mean that something is not counted.
const LEAST: u64 = 20;
/// Nothing takes so many.
const MOST: u64 = 5_000;

/// At each step of a program's while an examiner runs `case`, somebody dies. `whole` is the case when nobody
/// does.
fn at_each_step(
    judge: &mut Judge,
    program: Program,
    victim: Victim,
    server: &str,
    case: &str,
    whole: &str,
) -> Outcome {
    let steps = program.steps();
    let restarts = matches!(victim, Victim::Factory | Victim::Itself);
    let run_whole = |judge: &mut Judge| {
        PROGRAM.store(0, SeqCst);
        judge.examine_within(server, whole, |_, _| Ok(()))
    };
    run_whole(judge)?;
    let before = judge.manager.free()?;
    for step in 1..MOST {
        if restarts && step % RESTARTS == 1 {
            pass(judge, WHILE)?;
        }
        PROGRAM.store(program as u64, SeqCst);
        STEP.store(step, SeqCst);
        // A driver that stood still would let nobody see it: all others are below it in priority.
        let itself = victim == Victim::Itself;
        DEED.store(if itself { CRASH } else { STAND }, SeqCst);
        // One that crashed where it stood has not said that it stands no more.
        steps.standing.store(0, SeqCst);
        let factory = judge.server(server)?;
        let mut died = false;
        let mut present = true;
        let outcome = judge.examine_within(server, case, |judge, client| {
            if steps.standing.load(SeqCst) == 0 || died {
                return Ok(());
            }
            died = true;
            let id = match victim {
                Victim::Client => client,
                Victim::Ic => judge.subject,
                Victim::Factory => factory,
                // It says that it stands, and then it crashes: for good.
                Victim::Itself => return Ok(()),
                Victim::Sibling => sibling(judge, client)?,
            };
            present = id != IcId::NONE;
            if matches!(program, Program::Manager) {
                steps.victim.store(execution(id, victim), SeqCst);
                steps
                    .deed
                    .store(if present { STRIKE } else { GO_ON }, SeqCst);
            } else {
                // Where there is none yet, or none any more, nobody dies.
                let _ = judge.manager.destroy(id);
                steps.deed.store(GO_ON, SeqCst);
            }
            // It will never say that it is done.
            judge.counting &= victim != Victim::Client;
            Ok(())
        });
        steps.at.store(0, SeqCst);
        steps.deed.store(GO_ON, SeqCst);
        if let (Err(failure), false) = (&outcome, victim == Victim::Client && died) {
            return check!(false, "at step {step}: {}", failure.reason());
        }
        if restarts {
            let new = judge.successor(server, IcId::NONE)?;
            check!(
                !died || new != factory || !present,
                "at step {step} it did not die"
            )?;
            // The new one has loaded what the old one had.
            run_whole(judge)?;
        } else {
            let now = judge.server(server)?;
            check!(now == factory, "at step {step} its server died as well")?;
        }
        if let Err(failure) = judge.all_is_back(before) {
            return check!(false, "after step {step}: {}", failure.reason());
        }
        if !died {
            let _ = writeln!(Screen, "there are {} steps", step - 1);
            return check!(step > LEAST, "there are {step} steps");
        }
    }
    check!(false, "there is no end")
}

/// Lets time pass. Not asleep: a simulator that counts instructions is slow when nobody does anything.
fn pass(judge: &Judge, time: Duration) -> Outcome {
    let end = judge.now()? + time.as_nanos() as u64;
    while judge.now()? < end {
        (0..200).for_each(|_| sel4::r#yield());
    }
    Ok(())
}

/// The capability to what executes in an IC, in the manager's CSpace.
fn execution(id: IcId, victim: Victim) -> u64 {
    boot::pool(match victim {
        Victim::Factory => pool::domain(id.index(), boot::DOMAIN_TCB),
        _ => pool::ic(id.index(), Part::Execution),
    })
}

/// The IC that an examiner had made first.
fn sibling(judge: &Judge, client: IcId) -> Outcome<IcId> {
    let mut first = IcId::NONE;
    judge.manager.each_ic(|ic| {
        if ic.payer == client && (first == IcId::NONE || ic.id.serial() < first.serial()) {
            first = ic.id;
        }
    })?;
    Ok(first)
}

macro_rules! each {
    ($($name:ident: $program:ident, $victim:ident, $server:literal;)*) => {
        $(fn $name(judge: &mut Judge) -> Outcome {
            let (program, victim) = (Program::$program, Victim::$victim);
            at_each_step(judge, program, victim, $server, OPERATIONS, WHOLE_OPERATIONS)
        })*
    };
}

each! {
    a_process_may_die_at_each_step_of_the_manager: Manager, Ic, "process";
    the_client_of_a_process_may_die_at_each_step_of_the_manager: Manager, Client, "process";
    the_process_factory_may_die_at_each_step_of_the_manager: Manager, Factory, "process";
    a_thread_may_die_at_each_step_of_the_manager: Manager, Ic, "thread";
    the_client_of_a_thread_may_die_at_each_step_of_the_manager: Manager, Client, "thread";
    the_thread_factory_may_die_at_each_step_of_the_manager: Manager, Factory, "thread";
    a_process_may_die_at_each_step_of_its_factory: Processes, Ic, "process";
    a_sibling_may_die_at_each_step_of_the_process_factory: Processes, Sibling, "process";
    the_client_may_die_at_each_step_of_the_process_factory: Processes, Client, "process";
    the_process_factory_may_die_at_each_of_its_steps: Processes, Itself, "process";
    a_thread_may_die_at_each_step_of_its_factory: Threads, Ic, "thread";
    a_sibling_may_die_at_each_step_of_the_thread_factory: Threads, Sibling, "thread";
    the_client_may_die_at_each_step_of_the_thread_factory: Threads, Client, "thread";
    the_thread_factory_may_die_at_each_of_its_steps: Threads, Itself, "thread";
}

fn the_console_may_die_at_each_of_its_steps_while_clients_wait(judge: &mut Judge) -> Outcome {
    at_each_step(judge, Program::Console, Victim::Itself, "console", USE, USE)
}

fn the_timer_may_die_at_each_of_its_steps_while_clients_wait(judge: &mut Judge) -> Outcome {
    at_each_step(judge, Program::Timer, Victim::Itself, "timer", USE, USE)
}

fn after_all_that_everything_works(judge: &mut Judge) -> Outcome {
    PROGRAM.store(0, SeqCst);
    for factory in ["process", "thread"] {
        judge.examine_within(factory, WARM_UP, |_, _| Ok(()))?;
    }
    Ok(())
}

/// Longer than the longest rest, in nanoseconds.
const LONGEST_REST: u64 = 40_000_000_000;

fn a_domain_that_keeps_dying_rests_ever_longer_and_is_given_up(judge: &mut Judge) -> Outcome {
    // It begins anew.
    pass(judge, WHILE)?;
    let mut rests = heapless::Vec::<Duration, 16>::new();
    loop {
        let old = judge.server("thread")?;
        let start = judge.now()?;
        judge.manager.destroy(old)?;
        let is_back = |judge: &Judge| matches!(judge.server("thread"), Ok(new) if new != old);
        while !is_back(judge) && judge.now()? < start + LONGEST_REST {
            (0..50).for_each(|_| sel4::r#yield());
        }
        if !is_back(judge) {
            break;
        }
        let rest = Duration::from_nanos(judge.now()? - start);
        check!(rests.push(rest).is_ok(), "it is started again and again")?;
    }
    let second = Duration::from_secs(1);
    // What a restart takes by itself: a second or two, on a clock on which instructions are slow. Who rests does so while
    // a part of that is done.
    let itself = rests.first().copied().unwrap_or_default();
    check!(itself < 3 * second, "the first came after {itself:?}")?;
    for (n, rest) in rests.iter().enumerate() {
        let least = match n.checked_sub(RESTARTS as usize) {
            Some(doubled) => second * (1 << doubled),
            None => Duration::ZERO,
        };
        let is_so = *rest >= least && *rest < least + itself + second / 2;
        check!(is_so, "restart {n} came after {rest:?}, not {least:?}")?;
    }
    check_eq!(rests.len(), 11)?;
    check_eq!(judge.open("thread").map(drop), Err(Error::NotFound))?;
    judge.examine_within("process", WARM_UP, |_, _| Ok(()))
}
