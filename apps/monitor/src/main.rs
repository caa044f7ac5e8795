// SPDX-License-Identifier: BSD-2-Clause
//! The monitor: plugs the command line of the library into the system.
//!
//! It has one thread, which waits either for a line of input or for the program in the foreground. For
//! the latter it waits on its notification: the manager signals when a watched IC ends, the console
//! when Ctrl-C is pressed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use monitor::{Shell, Start, System};
use sel4::cap;
use sel4_microkit::{Channel, NullHandler, protection_domain, var};
use xos_client::{Console, Factory, Handle, Manager, Slots, Timer};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Edge, Free, IcInfo, Open, ServiceInfo};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, NODE_BITS, domain, leaf};
use xos_protocol::{Contract, Error, ExitStatus, IcId, IcState, Name, RegionId, Result, Subject};

// Identifiers of `system.xml`.
const MANAGER: Channel = Channel::new(0);
const CONSOLE: Channel = Channel::new(1);
const TIMER: Channel = Channel::new(2);

/// How long a pause is.
const PAUSE: Duration = Duration::from_millis(2);
/// ICs and sessions that a program may pay for itself.
const ICS: u16 = 64;
/// The same of a program that makes ICs for others.
const FACTORY_ICS: u16 = 1024;
/// Bytes of its stack: requests and replies lie there.
const FACTORY_STACK: u32 = 256 << 10;
/// Names that are listed.
const SERVICES: usize = 256;

/// A program, until it has been waited for.
struct Job {
    id: IcId,
    /// Root slot of its handle.
    slot: u32,
}

impl Job {
    fn handle(&self) -> Handle {
        Handle::new(cap::Endpoint::from_bits(leaf(self.slot)))
    }
}

struct Machine {
    manager: Manager,
    console: Console,
    timer: Timer,
    /// Root slots that are free.
    slots: Slots,
    /// Factories that were opened: names and root slots.
    factories: Vec<(String, u32)>,
}

impl Machine {
    fn new() -> Self {
        Self {
            manager: Manager::new(MANAGER.endpoint()),
            console: Console::new(CONSOLE.endpoint()),
            timer: Timer::new(TIMER.endpoint()),
            slots: Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX),
            factories: Vec::new(),
        }
    }

    /// The session on a factory; it is opened once. If the factory has died since, `f` is tried with a
    /// new session.
    fn with_factory<T>(
        &mut self,
        name: &str,
        mut f: impl FnMut(Factory, &mut Slots) -> Result<T>,
    ) -> Result<T> {
        let session = |slot| Factory::new(cap::Endpoint::from_bits(leaf(slot)));
        if let Some(index) = self.factories.iter().position(|known| known.0 == name) {
            let slot = self.factories[index].1;
            match f(session(slot), &mut self.slots) {
                Err(Error::Gone) => {
                    self.factories.swap_remove(index);
                    self.slots.give(slot);
                }
                result => return result,
            }
        }
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        let opened = self.manager.open(&Open {
            name: Name::new(name),
            slot,
            consent: Consent::default(),
        });
        if let Err(error) = opened {
            self.slots.give(slot);
            return Err(error);
        }
        self.factories.push((name.into(), slot));
        f(session(slot), &mut self.slots)
    }

    /// Waits for notifications.
    fn notified(&self) -> u64 {
        let ((), bits) = cap::Notification::from_bits(domain::NOTIFICATION).wait();
        bits
    }
}

/// Each text ended by a NUL byte.
fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.flat_map(|text| [text, "\0"]).collect()
}

impl System for Machine {
    type Job = Job;

    fn print(&mut self, text: &str) {
        // There is nobody to be told that nobody can be told anything.
        let _ = self.console.write(text.as_bytes());
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.console.read(buffer, true).map(|given| given.len())
    }

    fn ics(&mut self) -> Result<Vec<IcInfo>> {
        let mut all = Vec::new();
        self.manager.each_ic(|ic| all.push(*ic))?;
        Ok(all)
    }

    fn services(&mut self) -> Result<Vec<ServiceInfo>> {
        let all = self.manager.all_services::<SERVICES>()?;
        Ok(all.iter().copied().collect())
    }

    fn edges(&mut self) -> Result<Vec<Edge>> {
        let mut all = Vec::new();
        self.manager.each_edge(|edge| all.push(*edge))?;
        Ok(all)
    }

    fn free(&mut self) -> Result<Free> {
        self.manager.free()
    }

    fn contract(&mut self, factory: &str) -> Result<Contract> {
        self.with_factory(factory, |factory, _| factory.describe())
    }

    fn start(&mut self, start: &Start) -> Result<(IcId, Job)> {
        let arguments = core::iter::once(&start.image).chain(&start.arguments);
        let arguments = joined(arguments.map(String::as_str));
        let environment = joined(start.environment.iter().map(String::as_str));
        let spec = Spec {
            image: &start.image,
            arguments: &arguments,
            environment: &environment,
            memory: start.memory,
            ics: if start.composes { FACTORY_ICS } else { ICS },
            stack: if start.composes { FACTORY_STACK } else { 0 },
            cspace_radix: if start.composes { NODE_BITS as u8 } else { 0 },
            composes: start.composes,
            ..Spec::default()
        };
        let job = self.with_factory(&start.factory, |factory, slots| {
            let slot = slots.take().ok_or(Error::TableFull)?;
            match factory.create(slot, &spec) {
                Ok(id) => Ok(Job { id, slot }),
                Err(error) => {
                    slots.give(slot);
                    Err(error)
                }
            }
        })?;
        // Watched before it is started: its end is not missed.
        let watched = self.manager.watch(Subject::Ic(job.id), 0);
        match watched.and_then(|()| job.handle().start()) {
            Ok(()) => Ok((job.id, job)),
            Err(error) => {
                let _ = job.handle().kill();
                let _ = job.handle().wait();
                self.slots.give(job.slot);
                Err(error)
            }
        }
    }

    fn finish(&mut self, mut job: Job) -> Result<ExitStatus> {
        // A Ctrl-C of long ago is not meant for this program.
        let _ = cap::Notification::from_bits(domain::NOTIFICATION).poll();
        let intercepted = self.console.intercept(true);
        while !self.ended(&mut job) {
            if self.notified() & 1 << CONSOLE.index() != 0 {
                let _ = job.handle().kill();
            }
        }
        if intercepted.is_ok() {
            let _ = self.console.intercept(false);
        }
        let status = match job.handle().wait() {
            // Somebody else ended it: there is nothing left to ask.
            Err(Error::Gone) => Ok(ExitStatus::Killed),
            status => status,
        };
        self.slots.give(job.slot);
        status
    }

    fn ended(&mut self, job: &mut Job) -> bool {
        // Without a handle there is nothing to wait for either.
        !matches!(job.handle().stat(), Ok((state, _)) if state != IcState::Dead)
    }

    fn close(&mut self, link: u32) -> Result<()> {
        self.manager.close(link)
    }

    fn unshare(&mut self, region: RegionId, from: IcId) -> Result<()> {
        self.manager.unshare(region, Subject::Ic(from))
    }

    fn destroy(&mut self, id: IcId) -> Result<()> {
        self.manager.destroy(id).map(drop)
    }

    fn now(&mut self) -> Option<u64> {
        let now = self.timer.now().ok()?;
        u64::try_from(now.as_nanos()).ok()
    }

    fn pause(&mut self) {
        // There may be no timer. Without it, and where the clock goes on while the machine stands still,
        // this is what gives the others their turn: who yields is the last in the queue.
        let _ = self.timer.sleep(PAUSE);
        sel4::r#yield();
    }

    fn power_off(&mut self, success: bool) -> Result<()> {
        let _ = self.console.flush();
        Err(self.manager.power_off(u32::from(!success)))
    }
}

/// The initial file tree.
fn files() -> &'static [u8] {
    let start = *var!(files: usize = 0);
    let length = *var!(files_len: usize = 0);
    if start == 0 || length == 0 {
        return &[];
    }
    // SAFETY: the system description maps that many bytes there, for good, and nobody writes them.
    unsafe { core::slice::from_raw_parts(start as *const u8, length) }
}

#[protection_domain(heap_size = 4 * 1024 * 1024)]
fn init() -> NullHandler {
    Shell::new(Machine::new()).boot(files());
    panic!("there is no more input, or the machine cannot be powered off")
}
