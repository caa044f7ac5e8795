// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases, as a client of the vm factory.
#![no_std]
#![no_main]

extern crate alloc;

mod claims;
mod mutants;
mod steps;

use alloc::format;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use sel4_microkit::{NullHandler, protection_domain, var};
use xos_client::{Factory, Handle};
use xos_protocol::factory::Spec;
use xos_protocol::manager::Free;
use xos_protocol::slots::domain;
use xos_protocol::{Error, ExitStatus, IcId, Result, Subject};
use xos_test_judge::{MANAGER, Screen, TIMER, begin, end, successor};
use xos_test_kit::mutants::Knob;
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

use claims::*;
use mutants::MUTANTS;
use steps::a_monitor_killed_at_each_of_its_steps_harms_its_own_machine_only;

/// Root slots: the sessions on the factories, that on a machine, and the handles of machines.
const SESSION: u32 = domain::FIRST_FREE_ROOT;
const STEPS_SESSION: u32 = SESSION + 1;
const CHANNEL: u32 = SESSION + 2;
const HANDLES: u32 = SESSION + 3;
/// How many of these are used.
const HANDLES_USED: u32 = 5;

/// What there is to say of machines, and claim for claim of their contract.
const CASES: &[Case<()>] = include!("cases.rs");
const CLAIMS: &[Case<()>] = include!("cases_claims.rs");

/// ICs when there is no machine: the boot domains.
static BOOT_DOMAINS: AtomicU64 = AtomicU64::new(0);

#[protection_domain(heap_size = 64 * 1024)]
fn init() -> NullHandler {
    begin();
    if let Ok(free) = MANAGER.free() {
        BOOT_DOMAINS.store(free.ics, Relaxed);
    }
    let mut screen = Screen::default();
    let passed = match *var!(knob: usize = 0) {
        0 => {
            let claims = xos_test_kit::run(CLAIMS, &mut (), &mut screen);
            xos_test_kit::run(CASES, &mut (), &mut screen) && claims
        }
        // SAFETY: the description of the system with the broken factory maps it there, and so it does in that.
        knob => xos_test_kit::run(MUTANTS, &mut unsafe { Knob::at(knob) }, &mut screen),
    };
    end(passed)
}

/// The factory.
fn factory() -> Factory {
    factory_of("vm")
}

/// A factory. It may still be on its way to be registered.
fn factory_of(name: &str) -> Factory {
    let slot = match name {
        "vm" => SESSION,
        _ => STEPS_SESSION,
    };
    xos_test_judge::factory(name, slot)
}

/// A machine with its handle.
struct Machine {
    id: IcId,
    handle: Handle,
}

/// Makes one, with its handle in the `number`th slot for handles.
fn create(number: u32, image: &str, line: &str, memory: u64) -> Result<Machine> {
    create_by("vm", number, image, line, memory)
}

/// The same by the factory of that name.
fn create_by(name: &str, number: u32, image: &str, line: &str, memory: u64) -> Result<Machine> {
    create_with(name, number, image, line, "", memory)
}

/// The same with an environment.
fn create_with(
    name: &str,
    number: u32,
    image: &str,
    line: &str,
    environment: &str,
    memory: u64,
) -> Result<Machine> {
    let arguments = format!("{image}\0{line}\0");
    let spec = Spec {
        image,
        arguments: &arguments,
        environment,
        memory,
        ..Spec::default()
    };
    let (id, handle) = xos_test_judge::create(factory_of(name), HANDLES + number, &spec)?;
    Ok(Machine { id, handle })
}

/// Makes and starts one of the default size, with our own kernel.
fn start(number: u32, line: &str) -> Result<Machine> {
    let machine = create(number, "guest", line, 0)?;
    machine.handle.start()?;
    Ok(machine)
}

/// How a machine with this command line ends.
fn run(line: &str) -> Result<ExitStatus> {
    start(0, line)?.handle.wait()
}

fn a_machine_runs_a_kernel_and_its_exit_code_reaches_who_waits(_: &mut ()) -> Outcome {
    check_eq!(run("info; say hello; off 7")?, ExitStatus::Code(7))?;
    check_eq!(run("calls; faults; off 0")?, ExitStatus::Code(0))
}

fn each_end_of_a_machine_has_a_code(_: &mut ()) -> Outcome {
    for (line, code) in [
        ("die halt", 128),
        ("die reset", 129),
        ("die triple", 130),
        ("die at 0xfee01000", 131),
        ("die at 0x40000000", 131),
        ("die real", 132),
    ] {
        let status = run(line)?;
        check!(status == ExitStatus::Code(code), "{line}: {status}")?;
    }
    Ok(())
}

fn what_is_no_kernel_or_too_small_is_refused_or_ends(_: &mut ()) -> Outcome {
    let made = |image, memory| create(0, image, "", memory).map(|_| ());
    check_eq!(made("nothing", 0), Err(Error::NoImage))?;
    check_eq!(made("../bin/hello", 0), Err(Error::NoImage))?;
    check_eq!(made("guest", 4 << 20), Err(Error::OverBudget))?;
    let machine = create(0, "etc/text", "", 0)?;
    machine.handle.start()?;
    check_eq!(machine.handle.wait()?, ExitStatus::Code(125))
}

fn a_machine_has_the_memory_that_was_paid_for(_: &mut ()) -> Outcome {
    // 2 MiB are its monitor's.
    let machine = create(0, "guest", "pages 500; die at 0x600000", 8 << 20)?;
    machine.handle.start()?;
    check_eq!(machine.handle.wait()?, ExitStatus::Code(131))?;
    let machine = create(0, "guest", "pages 500; die at 0x600000", 10 << 20)?;
    machine.handle.start()?;
    // There is memory: it prints that it is still there.
    check_eq!(machine.handle.wait()?, ExitStatus::Code(1))
}

fn a_kernel_finds_its_module(_: &mut ()) -> Outcome {
    let sum: u8 = "not a kernel\n"
        .bytes()
        .fold(0, |sum, byte| sum.wrapping_add(byte));
    for (environment, code) in [
        ("initrd=etc/text\0", sum),
        ("input=none\0initrd=etc/text\0", sum),
        ("", 0),
    ] {
        let machine = create_with("vm", 0, "guest", "module", environment, 0)?;
        machine.handle.start()?;
        check_eq!(machine.handle.wait()?, ExitStatus::Code(code.into()))?;
    }
    check!(
        create_with("vm", 0, "guest", "", "initrd=nothing\0", 0).is_err(),
        "a module that there is not"
    )
}

fn a_machine_that_is_told_so_waits_for_no_input(_: &mut ()) -> Outcome {
    // Whoever waits for what is typed is a thread in the machine's IC.
    let threads = |machine: &Machine| -> Result<u32> {
        let mut count = 0;
        MANAGER.each_ic(|ic| count += u32::from(ic.within == machine.id))?;
        Ok(count)
    };
    let made = |number, environment| -> Result<Machine> {
        let machine = create_with("vm", number, "guest", "tick 1000000", environment, 0)?;
        machine.handle.start()?;
        Ok(machine)
    };
    let deaf = made(0, "input=none\0")?;
    let other = made(1, "")?;
    for _ in 0..1000 {
        if threads(&other)? != 0 {
            break;
        }
        TIMER.sleep(Duration::from_millis(10))?;
    }
    check_eq!((threads(&other)?, threads(&deaf)?), (1, 0))?;
    for machine in [deaf, other] {
        machine.handle.kill()?;
        machine.handle.wait()?;
    }
    Ok(())
}

fn machines_run_at_the_same_time_and_sleep_while_they_wait(_: &mut ()) -> Outcome {
    let begun = TIMER.now()?;
    let machines = [
        start(0, "tick 20; off 1")?,
        start(1, "tick 20; off 2")?,
        start(2, "spin 10; off 3")?,
    ];
    for (machine, code) in machines.iter().zip(1..) {
        check_eq!(machine.handle.wait()?, ExitStatus::Code(code))?;
    }
    let took = TIMER.now()? - begun;
    check!(took >= Duration::from_millis(200), "20 ticks took {took:?}")
}

fn a_machine_that_lets_nothing_through_holds_nobody_and_is_killed(_: &mut ()) -> Outcome {
    let machine = start(1, "die spin")?;
    for _ in 0..5 {
        TIMER.sleep(Duration::from_millis(10))?;
    }
    check_eq!(run("say meanwhile; off 3")?, ExitStatus::Code(3))?;
    machine.handle.kill()?;
    check_eq!(machine.handle.wait()?, ExitStatus::Killed)
}

fn a_machine_that_the_supervisor_destroys_is_gone_for_its_waiter(_: &mut ()) -> Outcome {
    let machine = start(2, "tick 1000000")?;
    TIMER.sleep(Duration::from_millis(20))?;
    MANAGER.destroy(machine.id)?;
    let status = machine.handle.wait();
    check!(
        matches!(status, Ok(ExitStatus::Killed) | Err(Error::Gone)),
        "{status:?}"
    )
}

fn a_factory_brought_down_loses_its_machines_and_serves_again(_: &mut ()) -> Outcome {
    let mut left = None;
    // The second time, what an instance loads was loaded by the one before as well.
    for _ in 0..2 {
        let machine = start(4, "tick 1000000")?;
        let old = successor("vm", IcId::NONE)?;
        MANAGER.destroy(old)?;
        let told = machine.handle.wait();
        check!(
            matches!(told, Err(Error::Gone | Error::ServerDied)),
            "who waits is told {told:?}"
        )?;
        let gone = MANAGER.stat(Subject::Ic(machine.id)).err();
        check_eq!(gone, Some(Error::Gone))?;
        successor("vm", old)?;
        check_eq!(run("off 5")?, ExitStatus::Code(5))?;
        let now = free()?;
        let before = *left.get_or_insert(now);
        check_eq!((now.bytes, now.ics), (before.bytes, before.ics))?;
    }
    Ok(())
}

fn a_machine_that_is_suspended_and_resumed_goes_on_where_it_was(_: &mut ()) -> Outcome {
    // It checks for itself that it has done everything once.
    let machine = start(0, "count 1000000; tick 5; count 1000000; off 9")?;
    for _ in 0..40 {
        TIMER.sleep(Duration::from_millis(7))?;
        if machine.handle.suspend().is_err() {
            break;
        }
        TIMER.sleep(Duration::from_millis(3))?;
        machine.handle.resume()?;
    }
    check_eq!(machine.handle.wait()?, ExitStatus::Code(9))
}

fn a_monitor_killed_at_any_moment_harms_its_own_machine_only(_: &mut ()) -> Outcome {
    run("off 0")?;
    let before = free()?;
    // Loading, faults, hypercalls, ports, sleep: a millisecond later each time, and beside one that has to do
    // each of its steps once.
    for moment in 0..40 {
        let other = start(1, "count 200000; off 5")?;
        let machine = start(0, "calls; faults; pages 100; tick 2; storm 100; die spin")?;
        TIMER.sleep(Duration::from_millis(moment))?;
        match moment % 2 {
            0 => machine.handle.kill()?,
            // By somebody whom neither its factory nor its client expects.
            _ => drop(MANAGER.destroy(machine.id)?),
        }
        let status = machine.handle.wait();
        let ended = matches!(status, Ok(ExitStatus::Killed) | Err(Error::Gone));
        check!(ended, "at {moment} ms: {status:?}")?;
        check_eq!(other.handle.wait()?, ExitStatus::Code(5))?;
    }
    check_eq!(free()?, before)
}

/// What the manager has left, once its reaper is done with all machines.
fn free() -> Result<Free> {
    for _ in 0..500 {
        let free = MANAGER.free()?;
        if free.ics == BOOT_DOMAINS.load(Relaxed) {
            return Ok(free);
        }
        TIMER.sleep(Duration::from_millis(20))?;
    }
    MANAGER.free()
}

fn machines_leave_nothing_behind(_: &mut ()) -> Outcome {
    // The kernel's image stays for the next one.
    run("off 0")?;
    let before = free()?;
    for line in ["off 0", "die triple", "pages 100; off 0"] {
        run(line)?;
    }
    let machine = start(3, "die spin")?;
    machine.handle.kill()?;
    machine.handle.wait()?;
    check_eq!(free()?, before)
}
