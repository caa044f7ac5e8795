// SPDX-License-Identifier: BSD-2-Clause
//! What runs the cases, in the monitor's place: it may see and end everything.
//!
//! After each case the manager has to have what it had before. It is a part of both judges: which factory's
//! virtines are to be tested, and by which cases, each says itself.

use alloc::format;
use alloc::string::String;

use test_virtines::{IMAGE, TRACE};
use xos_client::{Factory, Slots};
use xos_protocol::factory::Spec;
use xos_protocol::manager::IcInfo;
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain};
use xos_protocol::{ExitStatus, IcId, IcState, Name};
use xos_test_judge::{
    Job, MANAGER, Screen, begin, end, given_back, open, pause, rest, served, until,
};
use xos_test_kit::{Case, Outcome, check_eq};

pub struct Context {
    slots: Slots,
    process: Factory,
    /// The virtines' factory.
    pub factory: &'static str,
}

impl Context {
    pub fn start(&mut self, case: &str, factory: &str) -> Outcome<Job> {
        self.start_program("test-virtines-app", case, factory)
    }

    /// Starts another program: `IMAGE CASE FACTORY`.
    pub fn start_program(&mut self, image: &str, case: &str, factory: &str) -> Outcome<Job> {
        let arguments: String = [image, case, factory]
            .into_iter()
            .flat_map(|word| [word, "\0"])
            .collect();
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
        Job::start(&mut self.slots, self.process, &spec)
    }

    /// Waits for the end of a program.
    pub fn wait(&mut self, job: Job) -> Outcome<ExitStatus> {
        job.wait(&mut self.slots)
    }

    /// Runs a program to its end.
    pub fn run(&mut self, case: &str, factory: &str) -> Outcome<ExitStatus> {
        let job = self.start(case, factory)?;
        self.wait(job)
    }

    /// Runs a case, after which there is what there was before it.
    pub fn case(&mut self, case: &str) -> Outcome {
        self.nothing_lost(|c| check_eq!(c.run(case, c.factory)?, ExitStatus::Code(0)))
    }

    pub fn nothing_lost(&mut self, f: impl Fn(&mut Self) -> Outcome) -> Outcome {
        // Once for what is loaded and kept.
        f(self)?;
        let before = rest()?;
        f(self)?;
        given_back(before)
    }
}

/// Waits until a virtine of a program's runs a call: its id.
pub fn calling(of: &Job) -> Outcome<IcId> {
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
pub fn run(factory: &'static str, services: &[&str], cases: &[Case<Context>]) -> ! {
    begin();
    let context = || {
        services.iter().try_for_each(|name| served(name))?;
        let mut slots = Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX);
        let process = open(&mut slots, "process")?;
        Outcome::Ok(Context {
            slots,
            process,
            factory,
        })
    };
    end(context()
        .is_ok_and(|mut context| xos_test_kit::run(cases, &mut context, &mut Screen::default())))
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
