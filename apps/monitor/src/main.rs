// SPDX-License-Identifier: BSD-2-Clause
//! The monitor: plugs the command line of the library into the system.
//!
//! It has one thread, which waits either for a line of input or for the program in the foreground. For
//! the latter it waits on its notification: the manager signals when a watched IC ends, the console
//! when Ctrl-C is pressed.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use monitor::command::LINUX;
use monitor::line::Line;
use monitor::{Shell, Start, System};
use sel4::cap;
use sel4_microkit::{Channel, NullHandler, memory_region_bytes, protection_domain};
use xos_client::{Console, Container, Factory, Handle, Manager, Slots, Timer};
use xos_container_line::{Containers, Cost, FACTORY, Input, MAX_INPUT, Piece, Run};
use xos_protocol::container::{Stream, Streams};
use xos_protocol::factory::{Spec, When};
use xos_protocol::manager::{
    Consent, Edge, Free, IcInfo, Open, PAGE, Payer, RegionCreate, Rights, ServiceInfo, Share,
};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, NODE_BITS, domain, leaf};
use xos_protocol::wire::MAX_BYTES;
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

/// The server of Linux programs, in the file tree.
const LINUX_SERVER: &str = "legacy-posix";
/// Radix of its CSpace: it composes ICs itself, of many parts.
const LINUX_RADIX: u8 = 12;
/// Bytes of its stack.
const LINUX_STACK: u32 = 256 << 10;
/// ICs and sessions that it may pay for: one for each process, and its regions.
const LINUX_ICS: u16 = 4000;
/// Of the budget that is left, what a server of Linux programs may take: three quarters.
const LINUX_SHARE: (u64, u64) = (3, 4);
/// Where the file tree is mapped in it, and here while it is copied. Nothing else is there.
const TREE: u64 = 0x5000_0000_0000;
const LARGE: u64 = 2 << 20;

/// A program, until it has been waited for.
struct Job {
    /// Whether it reads the interrupt character itself.
    reads_interrupts: bool,
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
    /// A copy of the file tree that can be shared, once it is wanted.
    tree: Option<RegionId>,
    /// The line that is being typed for a container.
    line: Option<Line>,
}

impl Machine {
    fn new() -> Self {
        Self {
            manager: Manager::new(MANAGER.endpoint()),
            console: Console::new(CONSOLE.endpoint()),
            timer: Timer::new(TIMER.endpoint()),
            slots: Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX),
            factories: Vec::new(),
            tree: None,
            line: None,
        }
    }

    /// A region with the file tree. (The memory that the system description fills with it belongs to the
    /// root task, which shares it with nobody else.)
    fn tree(&mut self) -> Result<RegionId> {
        if let Some(tree) = self.tree {
            return Ok(tree);
        }
        let files = files();
        let large = (files.len() as u64).div_ceil(LARGE).max(1);
        let region = self.manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages: (large * (LARGE / PAGE)) as u32,
            large: true,
            place: 0,
        })?;
        let share = Share {
            region,
            target: Subject::Myself,
            address: TREE,
            rights: Rights::RW,
        };
        if let Err(error) = self.manager.share(&share) {
            let _ = self.manager.region_destroy(region);
            return Err(error);
        }
        // SAFETY: so many bytes are mapped there now, writable, and nothing else knows of them.
        unsafe { core::ptr::copy_nonoverlapping(files.as_ptr(), TREE as *mut u8, files.len()) };
        self.tree = Some(region);
        Ok(region)
    }

    /// Creates a server of Linux programs whose first one is what is to be started.
    fn create_linux(&mut self, start: &Start) -> Result<Job> {
        let tree = self.tree()?;
        let (address, length) = (TREE.to_string(), files().len().to_string());
        let own = [LINUX_SERVER, &address, &length, &start.image];
        let arguments = own
            .into_iter()
            .chain(start.arguments.iter().map(String::as_str));
        let arguments = joined(arguments);
        let environment = joined(start.environment.iter().map(String::as_str));
        let budget = self.manager.budget(Subject::Myself)?;
        let left = budget.quota.saturating_sub(budget.spent) * PAGE;
        let memory = match start.memory {
            0 => left / LINUX_SHARE.1 * LINUX_SHARE.0,
            memory => memory,
        };
        let ics = budget.ics_left / LINUX_SHARE.1 * LINUX_SHARE.0;
        let spec = Spec {
            image: LINUX_SERVER,
            arguments: &arguments,
            environment: &environment,
            memory,
            ics: LINUX_ICS.min(u16::try_from(ics).unwrap_or(LINUX_ICS)),
            stack: LINUX_STACK,
            cspace_radix: LINUX_RADIX,
            composes: true,
            ..Spec::default()
        };
        let mut job = self.create("process", &spec)?;
        job.reads_interrupts = true;
        let shared = self.manager.share(&Share {
            region: tree,
            target: Subject::Ic(job.id),
            address: TREE,
            rights: Rights::R,
        });
        // Its shell is where a person lives: what can be done here can be done from there (`/proc/ic`).
        let empowered = shared.and_then(|()| self.manager.empower(job.id));
        if let Err(error) = empowered {
            self.abandon(job);
            return Err(error);
        }
        Ok(job)
    }

    /// Creates a program.
    fn create(&mut self, factory: &str, spec: &Spec<'_>) -> Result<Job> {
        self.with_factory(factory, |factory, slots| {
            let slot = slots.take().ok_or(Error::TableFull)?;
            match factory.create(slot, spec) {
                Ok(id) => Ok(Job {
                    reads_interrupts: false,
                    id,
                    slot,
                }),
                Err(error) => {
                    slots.give(slot);
                    Err(error)
                }
            }
        })
    }

    /// Lets a program run.
    fn begin(&mut self, job: Job) -> Result<(IcId, Job)> {
        // Watched before it is started: its end is not missed.
        let watched = self.manager.watch(Subject::Ic(job.id), 0);
        match watched.and_then(|()| job.handle().start()) {
            Ok(()) => Ok((job.id, job)),
            Err(error) => {
                self.abandon(job);
                Err(error)
            }
        }
    }

    /// Ends a program that has not been started.
    fn abandon(&mut self, job: Job) {
        let _ = job.handle().kill();
        let _ = job.handle().wait();
        self.slots.give(job.slot);
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

    fn has_linux(&self) -> bool {
        monitor::has_program(files(), LINUX_SERVER)
    }

    fn has_container(&self, name: &str) -> bool {
        monitor::has_container(files(), name)
    }

    fn has_virtual_processors(&self) -> bool {
        sel4::sel4_cfg_bool!(VTX)
    }

    fn start(&mut self, start: &Start) -> Result<(IcId, Job)> {
        let job = if start.factory == LINUX {
            self.create_linux(start)?
        } else {
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
            self.create(&start.factory, &spec)?
        };
        self.begin(job)
    }

    fn snapshot(&mut self, job: &Job) -> Result<()> {
        // Not when it stands: nobody knows whether it ever does.
        job.handle().snapshot(When::Now)
    }

    fn start_clone(&mut self, of: &Job) -> Result<(IcId, Job)> {
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        match of.handle().clone_to(slot) {
            Ok(id) => self.begin(Job {
                reads_interrupts: false,
                id,
                slot,
            }),
            Err(error) => {
                self.slots.give(slot);
                Err(error)
            }
        }
    }

    fn finish(&mut self, mut job: Job) -> Result<ExitStatus> {
        // A Ctrl-C of long ago is not meant for this program.
        let _ = cap::Notification::from_bits(domain::NOTIFICATION).poll();
        let intercepts = !job.reads_interrupts && self.console.intercept(true).is_ok();
        while !self.ended(&mut job) {
            if self.notified() & 1 << CONSOLE.index() != 0 && intercepts {
                let _ = job.handle().kill();
            }
        }
        if intercepts {
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

    fn power_off(&mut self, success: bool) -> Result<()> {
        let _ = self.console.flush();
        Err(self.manager.power_off(u32::from(!success)))
    }
}

impl Containers for Machine {
    type Container = (u32, Container);
    type Error = Error;

    fn show(&mut self, _: Stream, bytes: &[u8]) {
        self.print(&String::from_utf8_lossy(bytes));
    }

    fn create_container(&mut self, _: &str, run: &Run) -> Result<(u64, Self::Container)> {
        let arguments = joined(run.arguments.iter().map(String::as_str));
        let environment = joined(run.environment.iter().map(String::as_str));
        let spec = Spec {
            image: &run.image,
            arguments: &arguments,
            environment: &environment,
            memory: run.memory,
            ..Spec::default()
        };
        let job = self.create(FACTORY, &spec)?;
        let container = Container::new(job.handle());
        Ok((job.id.serial(), (job.slot, container)))
    }

    fn attach_container(&mut self, (_, container): Self::Container, terminal: bool) -> Result<()> {
        container.attach(terminal)
    }

    fn container_input(
        &mut self,
        (_, container): Self::Container,
        of: u32,
        bytes: &[u8],
    ) -> Result<bool> {
        match container.input(of, bytes) {
            Err(Error::TableFull) => Ok(false),
            given => given.map(|()| true),
        }
    }

    fn take_input(&mut self, input: Option<Input>) {
        self.line = (input == Some(Input::Lines)).then(Line::default);
    }

    fn typed(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = [0; MAX_INPUT];
        // Without a console there is nobody who could type.
        let typed = self.console.read(&mut buffer, false).unwrap_or_default();
        match &mut self.line {
            _ if typed.is_empty() => Vec::new(),
            None => alloc::vec![typed.to_vec()],
            Some(line) => {
                let (shown, input) = line.take(typed);
                self.print(&String::from_utf8_lossy(&shown));
                input
            }
        }
    }

    fn start_container(&mut self, (_, container): Self::Container) -> Result<()> {
        container.handle().start()
    }

    fn container_state(&mut self, (_, container): Self::Container) -> Result<String> {
        let mut buffer = [0; MAX_BYTES];
        container.state(&mut buffer).map(String::from)
    }

    fn container_log(
        &mut self,
        (_, container): Self::Container,
        of: u32,
        from: u64,
    ) -> Result<Piece> {
        let mut buffer = [0; MAX_BYTES];
        let log = container.log(of, from, false, &mut buffer)?;
        Ok(Piece {
            bytes: log.bytes.to_vec(),
            stream: log.stream,
            next: log.next,
            end: log.end,
        })
    }

    fn signal_container(&mut self, (_, container): Self::Container, signal: u8) -> Result<()> {
        container.signal(signal)
    }

    fn exec_in(
        &mut self,
        (_, container): Self::Container,
        arguments: &[String],
        environment: &[String],
        cwd: &str,
        input: Option<Input>,
    ) -> Result<u32> {
        let streams = match input {
            None => Streams::Output,
            Some(Input::Lines) => Streams::Input,
            Some(Input::Raw) => Streams::Terminal,
        };
        let arguments = joined(arguments.iter().map(String::as_str));
        let environment = joined(environment.iter().map(String::as_str));
        container.exec_with(&arguments, &environment, cwd, streams)
    }

    fn wait_for_exec(&mut self, (_, container): Self::Container, number: u32) -> Result<u8> {
        container.exec_wait(number)
    }

    fn wait_for_container(&mut self, (_, container): Self::Container) -> Result<u8> {
        container.wait()
    }

    fn remove_container(&mut self, (slot, container): Self::Container) -> Result<()> {
        // It may have ended already.
        let _ = container.handle().kill();
        let ended = container.handle().wait();
        self.slots.give(slot);
        match ended {
            // Somebody was faster.
            Ok(_) | Err(Error::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn container_cost(&mut self, number: u64) -> Result<Option<Cost>> {
        Ok(Cost::of(&self.ics()?, number))
    }

    fn take_interrupts(&mut self, take: bool) {
        // One of long ago is not meant.
        let _ = cap::Notification::from_bits(domain::NOTIFICATION).poll();
        // Without a console there is nobody who could type it.
        let _ = self.console.intercept(take);
    }

    fn pause(&mut self) {
        // There may be no timer. Without it, and where the clock goes on while the machine stands still,
        // this is what gives the others their turn: who yields is the last in the queue.
        let _ = self.timer.sleep(PAUSE);
        sel4::r#yield();
    }

    fn interrupted(&mut self) -> bool {
        let (_, bits) = cap::Notification::from_bits(domain::NOTIFICATION).poll();
        bits & 1 << CONSOLE.index() != 0
    }
}

/// The initial file tree.
fn files() -> &'static [u8] {
    // SAFETY: the system description maps the tree for reading only, whoever has it.
    unsafe { memory_region_bytes!(files, files_len) }
}

#[protection_domain(heap_size = 4 * 1024 * 1024)]
fn init() -> NullHandler {
    Shell::new(Machine::new()).boot(files());
    panic!("there is no more input, or the machine cannot be powered off")
}
