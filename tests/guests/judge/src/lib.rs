// SPDX-License-Identifier: BSD-2-Clause
//! What judges have in common: domains that run a suite's cases in the monitor's place, so that they may see and
//! end everything.
//!
//! A judge's description gives it the manager, the console and the timer as its first three channels. It calls
//! [`begin`] first, and [`end`] last, which is the end of the machine.
#![no_std]

extern crate alloc;

use alloc::string::String;
use core::fmt::{self, Write};
use core::time::Duration;

use sel4::cap::Endpoint;
use sel4_microkit::{abi, panicking};
use xos_client::{Console, Factory, Handle, Manager, Slots, Timer};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Free, Open};
use xos_protocol::slots::leaf;
use xos_protocol::{Error, ExitStatus, IcId, Name, Result};
use xos_test_kit::{Failure, Outcome};

/// The IC manager.
pub const MANAGER: Manager = Manager::new(abi::endpoint(0));
/// The console.
pub const CONSOLE: Console = Console::new(abi::endpoint(1));
/// The timer.
pub const TIMER: Timer = Timer::new(abi::endpoint(2));

/// How often what another program does is looked for.
const PATIENCE: u32 = 4000;
/// What is between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// The console as something to write to, a line at a time: frames are not to be interrupted.
#[derive(Debug, Default)]
pub struct Screen(String);

impl Write for Screen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.ends_with('\n') {
            CONSOLE.write(self.0.as_bytes()).map_err(|_| fmt::Error)?;
            self.0.clear();
        }
        Ok(())
    }
}

/// From here on, a panic is reported, and is the end of the machine.
pub fn begin() {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Screen::default());
        end(false)
    });
}

/// Ends the machine, when all has been printed.
pub fn end(passed: bool) -> ! {
    let _ = CONSOLE.flush();
    MANAGER.power_off(u32::from(!passed));
    loop {
        // The simulator has ended; without one, the host sees a machine that hangs.
        core::hint::spin_loop();
    }
}

/// Waits until something holds.
///
/// # Errors
/// When it does not for long; what looking for it gives.
pub fn until(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    for _ in 0..PATIENCE {
        if holds()? {
            return Ok(());
        }
        pause();
    }
    Err(Failure::new(format_args!("{what}: waited in vain")))
}

/// Lets everybody else run for a while.
pub fn pause() {
    let _ = TIMER.sleep(PAUSE);
    sel4::r#yield();
}

/// Who serves what is registered under a name, if anybody does.
///
/// # Errors
/// The manager's.
pub fn server(name: &str) -> Result<Option<IcId>> {
    let all = MANAGER.all_services::<64>()?;
    let service = all.iter().find(|service| service.name == Name::new(name));
    Ok(service.map(|service| service.server))
}

/// Waits until somebody serves what is registered under a name who is not `old`.
///
/// # Errors
/// When nobody does for long; the manager's.
pub fn successor(name: &str, old: IcId) -> Outcome<IcId> {
    let mut found = IcId::NONE;
    until(name, || {
        found = server(name)?.unwrap_or(old);
        Ok(found != old)
    })?;
    Ok(found)
}

/// Waits until something is registered under a name.
///
/// # Errors
/// When nothing is for long; the manager's.
pub fn served(name: &str) -> Outcome {
    until(name, || Ok(server(name)?.is_some()))
}

/// Opens a session on a factory, which is registered.
///
/// # Errors
/// When there is no slot left; the manager's.
pub fn open(slots: &mut Slots, name: &str) -> Outcome<Factory> {
    let slot = slots.take().ok_or("no slot")?;
    let open = Open {
        name: Name::new(name),
        slot,
        consent: Consent::default(),
    };
    MANAGER.open(&open)?;
    Ok(Factory::new(Endpoint::from_bits(leaf(slot))))
}

/// What is left when nothing is going on.
///
/// # Errors
/// When something always is; the manager's.
pub fn rest() -> Outcome<Free> {
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

/// Waits until as much is left as before.
///
/// # Errors
/// When it is not for long; the manager's.
pub fn given_back(before: Free) -> Outcome {
    let mut now = before;
    until("what was left before", || {
        now = MANAGER.free()?;
        Ok(now == before)
    })
    .map_err(|failure| {
        let reason = failure.reason();
        Failure::new(format_args!("{reason}: of {before:?} there is {now:?}"))
    })
}

/// The factory of this name, by the session in this root slot, which an earlier case may have opened. It may still be
/// on its way to be registered.
pub fn factory(name: &str, slot: u32) -> Factory {
    let open = Open {
        name: Name::new(name),
        slot,
        consent: Consent::default(),
    };
    loop {
        match MANAGER.open(&open) {
            // There already, of a case before.
            Ok(_) | Err(Error::BadSlot) => return Factory::new(Endpoint::from_bits(leaf(slot))),
            Err(_) => sel4::r#yield(),
        }
    }
}

/// Makes an IC, with its handle in this root slot: what a case that failed has left there is ended.
///
/// # Errors
/// The factory's.
pub fn create(factory: Factory, slot: u32, spec: &Spec<'_>) -> Result<(IcId, Handle)> {
    let handle = Handle::new(Endpoint::from_bits(leaf(slot)));
    let id = match factory.create(slot, spec) {
        Err(Error::BadSlot) => {
            handle.kill()?;
            handle.wait()?;
            factory.create(slot, spec)?
        }
        made => made?,
    };
    Ok((id, handle))
}

/// A program that was started.
#[derive(Debug)]
pub struct Job {
    /// Its IC.
    pub id: IcId,
    slot: u32,
}

impl Job {
    /// Starts one by a factory.
    ///
    /// # Errors
    /// When there is no slot left; the factory's.
    pub fn start(slots: &mut Slots, factory: Factory, spec: &Spec<'_>) -> Outcome<Self> {
        let slot = slots.take().ok_or("no slot")?;
        let id = factory.create(slot, spec)?;
        let job = Self { id, slot };
        job.handle().start()?;
        Ok(job)
    }

    /// Its handle.
    pub fn handle(&self) -> Handle {
        Handle::new(Endpoint::from_bits(leaf(self.slot)))
    }

    /// Waits for its end, and gives its slot back.
    ///
    /// # Errors
    /// The factory's.
    pub fn wait(self, slots: &mut Slots) -> Outcome<ExitStatus> {
        let status = self.handle().wait()?;
        slots.give(self.slot);
        Ok(status)
    }
}
