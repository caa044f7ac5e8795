// SPDX-License-Identifier: BSD-2-Clause
//! What every area works with: the machine's services, as a client of the system, and the host.

use core::fmt::{self, Write};

use alloc::boxed::Box;
use alloc::string::String;
use bench_loops::ticks;
use sel4::cap;
use sel4_microkit::Channel;
use xos_client::{Console, Factory, Handle, Manager, Session, Slots};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Open};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain, leaf};
use xos_protocol::{Error, ExitStatus, Name};
use xos_test_kit::{Failure, Outcome, check_eq};

use crate::by_hand::{self, ByHand};

// Identifiers of the system description.
const MANAGER: Channel = Channel::new(0);
const CONSOLE: Channel = Channel::new(1);

/// Unit of what the time-stamp counter counts.
const TICKS: &str = "ticks";

/// The benchmark, as a client of the system.
pub struct Bench {
    pub manager: Manager,
    pub by_hand: &'static ByHand,
    pub slots: Slots,
    pub processes: Factory,
    /// Ticks of a message and its reply by hand, as soon as that is measured.
    pub round_trip: u64,
}

impl Bench {
    pub fn new() -> Outcome<Self> {
        let manager = Manager::new(MANAGER.endpoint());
        let by_hand = Box::leak(Box::new(ByHand::new(&manager)?));
        by_hand.prepare()?;
        let first = domain::FIRST_FREE_ROOT + by_hand::ROOT_SLOTS;
        let mut slots = Slots::new(first, 1 << DOMAIN_ROOT_RADIX);
        let slot = slots.take().ok_or(Error::TableFull)?;
        let (_, processes) = open(&manager, "process", slot)?;
        Ok(Self {
            manager,
            by_hand,
            slots,
            processes,
            round_trip: 0,
        })
    }

    /// Reports a number of ticks.
    pub fn ticks(&self, name: &str, number: u64) {
        self.value(name, number, TICKS);
    }

    /// Reports a number of anything.
    pub fn value(&self, name: &str, number: u64, unit: &str) {
        xos_test_kit::value(name, number, unit, &mut Screen::default());
    }

    /// Tells the host the time-stamp counter.
    pub fn clock(&self) {
        self.ticks("clock", ticks());
    }

    /// A process, made and ready.
    pub fn create(&mut self, image: &str, arguments: &str) -> Outcome<Process> {
        self.create_from(&Spec {
            image,
            arguments,
            ..Spec::default()
        })
    }

    /// A process, made and ready.
    pub fn create_from(&mut self, spec: &Spec<'_>) -> Outcome<Process> {
        self.create_at(self.processes, spec)
    }

    /// A process of this session, made and ready.
    pub fn create_at(&mut self, factory: Factory, spec: &Spec<'_>) -> Outcome<Process> {
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        factory.create(slot, spec)?;
        Ok(Process { slot })
    }

    /// A clone of a process that is a snapshot, made and ready.
    pub fn clone_of(&mut self, model: Process) -> Outcome<Process> {
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        model.handle().clone_to(slot)?;
        Ok(Process { slot })
    }

    /// Waits for the end of a process: its exit code.
    pub fn wait(&mut self, process: Process) -> Outcome<i32> {
        let status = process.handle().wait()?;
        self.slots.give(process.slot);
        match status {
            ExitStatus::Code(code) => Ok(code),
            other => Err(Failure::new(format_args!("ended: {other:?}"))),
        }
    }

    /// Ends a process and waits until it is gone.
    pub fn end(&mut self, process: Process) -> Outcome {
        process.handle().kill()?;
        let status = process.handle().wait()?;
        self.slots.give(process.slot);
        check_eq!(status, ExitStatus::Killed)
    }

    /// Runs a program to its end: its exit code.
    pub fn run(&mut self, image: &str, arguments: &str) -> Outcome<i32> {
        let process = self.create(image, arguments)?;
        process.handle().start()?;
        self.wait(process)
    }
}

/// A session on what is registered under `name`, as soon as it is.
pub fn open(manager: &Manager, name: &str, slot: u32) -> Outcome<(Session, Factory)> {
    loop {
        let opened = manager.open(&Open {
            name: Name::new(name),
            slot,
            consent: Consent::default(),
        });
        match opened {
            Err(Error::NotFound) => sel4::r#yield(),
            Err(error) => return Err(error.into()),
            Ok(session) => {
                let factory = Factory::new(cap::Endpoint::from_bits(leaf(slot)));
                return Ok((session, factory));
            }
        }
    }
}

/// A process that the system made.
#[derive(Clone, Copy)]
pub struct Process {
    slot: u32,
}

impl Process {
    pub fn handle(&self) -> Handle {
        Handle::new(cap::Endpoint::from_bits(leaf(self.slot)))
    }
}

/// The console, a line at a time: frames are not to be interrupted.
#[derive(Default)]
struct Screen(String);

impl Write for Screen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if text.ends_with('\n') {
            let line = core::mem::take(&mut self.0);
            console().write(line.as_bytes()).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}

fn console() -> Console {
    Console::new(CONSOLE.endpoint())
}

/// Says what went wrong, and ends the machine.
pub fn fail(reason: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(Screen::default(), "bench: {reason}\n");
    power_off(false)
}

pub fn power_off(success: bool) -> ! {
    let _ = console().flush();
    let _ = Manager::new(MANAGER.endpoint()).power_off(u32::from(!success));
    loop {
        // The machine is off; without that, the host sees one that hangs.
        core::hint::spin_loop();
    }
}
