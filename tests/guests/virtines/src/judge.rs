// SPDX-License-Identifier: BSD-2-Clause
//! What runs the cases, in the monitor's place: it may see and end everything.
//!
//! After each case the manager has to have what it had before. It is a part of both judges: which factory's
//! virtines are to be tested, and by which cases, each says itself.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};
use core::time::Duration;

use sel4::cap::Endpoint;
use sel4_microkit::{Channel, NullHandler, panicking};
use test_virtines::{IMAGE, TRACE};
use xos_client::{Console, Factory, Handle, Manager, Slots, Timer};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Free, IcInfo, Open};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain, leaf};
use xos_protocol::{ExitStatus, IcId, IcState, Name};
use xos_test_kit::{Case, Failure, Outcome, check_eq};

/// By the channel of that number.
const MANAGER: Manager = Manager::new(Endpoint::from_bits(sel4_microkit::abi::BASE_ENDPOINT));
const CONSOLE: Channel = Channel::new(1);
const TIMER: Channel = Channel::new(2);
/// How often what another program does is looked for, every two milliseconds.
const PATIENCE: u32 = 4000;
/// The console as something to write to.
struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Console::new(CONSOLE.endpoint())
            .write(text.as_bytes())
            .map(drop)
            .map_err(|_| fmt::Error)
    }
}

pub struct Context {
    slots: Slots,
    process: Factory,
    /// The virtines' factory.
    pub factory: &'static str,
}

/// A program that was started.
pub struct Job {
    id: IcId,
    slot: u32,
}

impl Job {
    fn handle(&self) -> Handle {
        Handle::new(Endpoint::from_bits(leaf(self.slot)))
    }
}

impl Context {
    fn start(&mut self, case: &str, factory: &str) -> Outcome<Job> {
        self.start_program("test-virtines-app", case, factory)
    }

    /// Starts another program: `IMAGE CASE FACTORY`.
    pub fn start_program(&mut self, image: &str, case: &str, factory: &str) -> Outcome<Job> {
        let arguments: String = [image, case, factory]
            .into_iter()
            .flat_map(|word| [word, "\0"])
            .collect();
        let slot = self.slots.take().ok_or("no slot")?;
        let spec = Spec {
            image,
            arguments: &arguments,
            memory: 48 << 20,
            ics: 200,
            stack: 256 << 10,
            // Four contexts on virtual processors take two slots each, beside what threads take.
            cspace_radix: 6,
            ..Spec::default()
        };
        let id = self.process.create(slot, &spec)?;
        let job = Job { id, slot };
        job.handle().start()?;
        Ok(job)
    }

    /// Waits for the end of a program.
    pub fn wait(&mut self, job: Job) -> Outcome<ExitStatus> {
        let status = job.handle().wait()?;
        self.slots.give(job.slot);
        Ok(status)
    }

    /// Runs a program to its end.
    fn run(&mut self, case: &str, factory: &str) -> Outcome<ExitStatus> {
        let job = self.start(case, factory)?;
        self.wait(job)
    }

    /// Runs a case, after which there is what there was before it.
    pub fn case(&mut self, case: &str) -> Outcome {
        self.nothing_lost(|c| check_eq!(c.run(case, c.factory)?, ExitStatus::Code(0)))
    }

    fn nothing_lost(&mut self, f: impl Fn(&mut Self) -> Outcome) -> Outcome {
        // Once for what is loaded and kept.
        f(self)?;
        let before = rest()?;
        f(self)?;
        until("what is left is what was left before", || {
            Ok(MANAGER.free()? == before)
        })
    }
}

/// What is left when nothing is going on.
fn rest() -> Outcome<Free> {
    let mut before = MANAGER.free()?;
    until("rest", || {
        pause();
        let now = MANAGER.free()?;
        let same = now == before;
        before = now;
        Ok(same)
    })?;
    Ok(before)
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    for _ in 0..PATIENCE {
        if holds()? {
            return Ok(());
        }
        pause();
    }
    Err(Failure::new(format_args!("{what}: waited in vain")))
}

fn pause() {
    let _ = Timer::new(TIMER.endpoint()).sleep(Duration::from_millis(2));
    sel4::r#yield();
}

fn is_there(name: &str) -> Outcome<bool> {
    let all = MANAGER.all_services::<64>()?;
    Ok(all.iter().any(|service| service.name == Name::new(name)))
}

/// Waits until a virtine of a program's runs a call: its id.
fn calling(of: &Job) -> Outcome<IcId> {
    let mut found = None;
    until("a virtine", || {
        MANAGER.each_ic(|ic: &IcInfo| {
            if ic.payer == of.id && ic.name == Name::new(IMAGE) && ic.state == IcState::Running {
                found = Some(ic.id);
            }
        })?;
        Ok(found.is_some())
    })?;
    // It is called a moment later.
    (0..20).for_each(|_| pause());
    Ok(found.ok_or("none")?)
}

/// Runs the cases for the virtines of a factory, when all these services are there, and ends the machine.
pub fn run(factory: &'static str, services: &[&str], cases: &[Case<Context>]) -> NullHandler {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Serial);
        MANAGER.power_off(1);
    });
    let mut slots = Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX);
    let slot = slots.take().expect("a slot");
    let there = until("all factories", || {
        services
            .iter()
            .try_fold(true, |all, name| Ok(all && is_there(name)?))
    });
    let open = Open {
        name: Name::new("process"),
        slot,
        consent: Consent::default(),
    };
    let passed = match (there, MANAGER.open(&open)) {
        (Ok(()), Ok(_)) => {
            let mut context = Context {
                slots,
                process: Factory::new(Endpoint::from_bits(leaf(slot))),
                factory,
            };
            xos_test_kit::run(cases, &mut context, &mut Serial)
        }
        _ => false,
    };
    let _ = Console::new(CONSOLE.endpoint()).flush();
    MANAGER.power_off(u32::from(!passed));
    NullHandler::new()
}

/// Cases that are the program's.
macro_rules! run_in_the_program {
    ($($name:ident: $case:literal;)*) => {
        $(fn $name(c: &mut Context) -> Outcome { c.case($case) })*
    };
}

pub fn a_caller_that_dies_in_a_call_leaves_nothing_behind(c: &mut Context) -> Outcome {
    c.nothing_lost(|c| {
        let job = c.start("wait", c.factory)?;
        calling(&job)?;
        job.handle().kill()?;
        check_eq!(c.wait(job)?, ExitStatus::Killed)?;
        check_eq!(c.run("results", c.factory)?, ExitStatus::Code(0))
    })
}

pub fn who_calls_when_the_virtine_is_killed_is_told(c: &mut Context) -> Outcome {
    c.nothing_lost(|c| {
        let job = c.start("wait_killed", c.factory)?;
        let virtine = calling(&job)?;
        MANAGER.destroy(virtine)?;
        check_eq!(c.wait(job)?, ExitStatus::Code(0))?;
        check_eq!(c.run("results", c.factory)?, ExitStatus::Code(0))
    })
}

pub fn who_calls_when_the_factory_dies_is_told_and_loads_again(c: &mut Context) -> Outcome {
    let job = c.start("wait_killed", c.factory)?;
    calling(&job)?;
    // The domain is called like what it registers.
    let domain = format!("{}_factory", c.factory.replace('-', "_"));
    let mut factory = None;
    MANAGER.each_ic(|ic: &IcInfo| {
        if ic.name == Name::new(&domain) {
            factory = Some(ic.id);
        }
    })?;
    MANAGER.destroy(factory.ok_or("no factory")?)?;
    check_eq!(c.wait(job)?, ExitStatus::Code(0))?;
    check_eq!(c.run("again", c.factory)?, ExitStatus::Code(0))?;
    c.case("results")
}

/// A factory that forgets something is caught.
pub fn caught(c: &mut Context, mutant: &str) -> Outcome {
    check_eq!(c.run("traces", mutant)?, ExitStatus::Code(TRACE))
}
