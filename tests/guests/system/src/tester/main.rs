// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases, as the supervisor.
#![no_std]
#![no_main]

mod faults;
mod hostile;
mod inside;
mod life;

use core::fmt;
use core::time::Duration;

use sel4::cap;
use sel4_microkit::{Channel, NullHandler, panicking, protection_domain};
use test_system::{BOARD, BOARD_BYTES, CASE, PROBE};
use xos_client::{Console, Factory, Handle, Manager, Slots, Timer};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Free, Open, Payer, RegionCreate, Rights, Share};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain, leaf};
use xos_protocol::{Error, ExitStatus, IcId, Name, RegionId, Subject};
use xos_test_kit::{Case, Failure, Outcome, check};

use faults::*;
use hostile::*;
use life::*;

// Identifiers of the system description.
const MANAGER: Channel = Channel::new(0);
const CONSOLE: Channel = Channel::new(1);
const TIMER: Channel = Channel::new(2);

const MS: Duration = Duration::from_millis(1);
/// How long something that goes on by itself may take: long, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that a program gets here unless a case says otherwise.
const MEMORY: u64 = 4 << 20;

/// What cases work with.
pub struct Tester {
    manager: Manager,
    console: Console,
    timer: Timer,
    slots: Slots,
    /// The process factory.
    processes: Factory,
    /// Ways to die that were tried.
    tried: u64,
}

/// A program. Should a case fail and leave it, it is ended.
pub struct Job {
    id: IcId,
    slot: u32,
    over: bool,
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.handle().kill();
            let _ = self.handle().wait();
        }
    }
}

impl Job {
    /// Its handle.
    pub fn handle(&self) -> Handle {
        Handle::new(cap::Endpoint::from_bits(leaf(self.slot)))
    }
}

/// A session.
#[derive(Clone, Copy)]
pub struct Session {
    endpoint: cap::Endpoint,
    index: u32,
    slot: u32,
}

impl Tester {
    fn new() -> Self {
        let manager = Manager::new(MANAGER.endpoint());
        let timer = Timer::new(TIMER.endpoint());
        let mut slots = Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX);
        let slot = slots.take().unwrap_or_default();
        let args = Open {
            name: Name::new("process"),
            slot,
            consent: Consent::default(),
        };
        // All domains begin at the same time.
        while manager.open(&args) == Err(Error::NotFound) {
            let _ = timer.sleep(MS);
        }
        Self {
            manager,
            console: Console::new(CONSOLE.endpoint()),
            timer,
            slots,
            processes: Factory::new(cap::Endpoint::from_bits(leaf(slot))),
            tried: 0,
        }
    }

    /// Takes a free slot.
    fn slot(&mut self) -> Outcome<u32> {
        Ok(self.slots.take().ok_or("no slot is left")?)
    }

    /// Opens a session, waiting until somebody serves it.
    fn open(&mut self, name: &str) -> Outcome<Session> {
        self.open_with(name, Consent::default())
    }

    /// The same, letting the server do this.
    fn open_with(&mut self, name: &str, consent: Consent) -> Outcome<Session> {
        let slot = self.slot()?;
        let args = Open {
            name: Name::new(name),
            slot,
            consent,
        };
        let begin = self.timer.now()?;
        let session = loop {
            match self.manager.open(&args) {
                Ok(session) => break session,
                Err(Error::NotFound) if self.timer.now()? < begin + PATIENCE => {
                    self.timer.sleep(MS)?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Session {
            endpoint: cap::Endpoint::from_bits(leaf(slot)),
            index: session.index,
            slot,
        })
    }

    /// Ends a session; no matter if it has ended.
    fn close(&mut self, session: Session) {
        let _ = self.manager.close(session.index);
        self.slots.give(session.slot);
    }

    /// Makes a process.
    fn make(&mut self, spec: &Spec<'_>) -> Outcome<Job> {
        let slot = self.slot()?;
        match self.processes.create(slot, spec) {
            Ok(id) => Ok(Job {
                id,
                slot,
                over: false,
            }),
            Err(error) => {
                self.slots.give(slot);
                Err(error.into())
            }
        }
    }

    /// Makes a process and starts it. `arguments` are ended by a NUL byte each, the program's name first.
    fn start(&mut self, image: &str, arguments: &str) -> Outcome<Job> {
        let job = self.make(&Spec {
            image,
            arguments,
            memory: MEMORY,
            ics: 64,
            ..Spec::default()
        })?;
        job.handle().start()?;
        Ok(job)
    }

    /// Waits for its end.
    fn wait(&mut self, mut job: Job) -> Outcome<ExitStatus> {
        let status = job.handle().wait()?;
        self.gone(&mut job);
        Ok(status)
    }

    /// It is gone, and so is its handle.
    fn gone(&mut self, job: &mut Job) {
        job.over = true;
        self.slots.give(job.slot);
    }

    /// Kills it, and waits.
    fn kill(&mut self, job: Job) -> Outcome<ExitStatus> {
        job.handle().kill()?;
        self.wait(job)
    }

    /// Runs a program to its end.
    fn run(&mut self, image: &str, arguments: &str) -> Outcome<ExitStatus> {
        let job = self.start(image, arguments)?;
        self.wait(job)
    }

    /// Runs a case in a probe, which says on the board why it failed.
    fn inside(&mut self, case: &str) -> Outcome {
        let mut arguments = heapless::String::<200>::new();
        for word in [PROBE, CASE, case] {
            arguments.push_str(word).map_err(|_| "too long a name")?;
            arguments.push('\0').map_err(|_| "too long a name")?;
        }
        let region = self.region(BOARD_BYTES)?;
        let job = self.make(&Spec {
            image: PROBE,
            arguments: &arguments,
            environment: "NAME=a value\0EMPTY=\0",
            memory: 32 << 20,
            ics: 200,
            cspace_radix: 8,
            ..Spec::default()
        })?;
        let target = Subject::Ic(job.id);
        self.share(region, target, BOARD, Rights::RW)?;
        job.handle().start()?;
        let status = self.wait(job)?;
        let result = if status == ExitStatus::Code(0) {
            Ok(())
        } else {
            self.share(region, Subject::Myself, BOARD, Rights::R)?;
            let mut text = [0; 512];
            // SAFETY: the board is mapped there, and who wrote to it has ended.
            let reason = unsafe {
                let board = core::slice::from_raw_parts(BOARD as *const u8, BOARD_BYTES);
                let length = u64::from_le_bytes(board[..8].try_into()?) as usize;
                let length = length.min(text.len());
                text[..length].copy_from_slice(&board[8..8 + length]);
                core::str::from_utf8(&text[..length]).unwrap_or("what is no text")
            };
            Err(Failure::new(format_args!("{status}: {reason}")))
        };
        self.manager.region_destroy(region)?;
        result
    }

    fn region(&mut self, bytes: usize) -> Outcome<RegionId> {
        Ok(self.manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages: bytes.div_ceil(4096) as u32,
            large: false,
            place: 0,
        })?)
    }

    fn share(
        &mut self,
        region: RegionId,
        target: Subject,
        address: u64,
        rights: Rights,
    ) -> Outcome {
        Ok(self.manager.share(&Share {
            region,
            target,
            address,
            rights,
        })?)
    }

    /// What is free when nothing is being reclaimed any more.
    fn quiet(&mut self) -> Outcome<Free> {
        let mut free = self.manager.free()?;
        let mut same = 0;
        while same < 5 {
            self.timer.sleep(MS)?;
            let now = self.manager.free()?;
            same = if now == free { same + 1 } else { 0 };
            free = now;
        }
        Ok(free)
    }

    /// Waits until what is free is exactly `expected`; what has just ended may still be being reclaimed.
    #[track_caller]
    fn settles(&mut self, expected: Free) -> Outcome {
        let begin = self.timer.now()?;
        loop {
            let free = self.manager.free()?;
            if free == expected {
                return Ok(());
            }
            if self.timer.now()? > begin + PATIENCE {
                return check!(false, "{free:?}, before it was {expected:?}");
            }
            self.timer.sleep(MS)?;
        }
    }

    /// Runs something that has been run before, and checks that exactly as much is free afterwards.
    #[track_caller]
    fn level<T>(&mut self, deed: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let before = self.quiet()?;
        let result = deed(self)?;
        self.settles(before)?;
        Ok(result)
    }
}

#[protection_domain(heap_size = 64 * 1024)]
fn init() -> NullHandler {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Screen::new());
        let _ = Manager::new(MANAGER.endpoint()).power_off(1);
    });
    let mut tester = Tester::new();
    let passed = {
        use xos_test_kit::cases;
        let own: &[Case<Tester>] = include!("../cases.rs");
        let mut passed = true;
        for list in [inside::INSIDE, inside::MESSAGES, own] {
            passed &= xos_test_kit::run(list, &mut tester, &mut Screen::new());
        }
        passed
    };
    let _ = tester.console.flush();
    let error = tester.manager.power_off(u32::from(!passed));
    panic!("cannot power off: {error}")
}

/// The console, a line at a time: frames are not to be interrupted.
struct Screen {
    line: [u8; 900],
    used: usize,
}

impl Screen {
    fn new() -> Self {
        Self {
            line: [0; 900],
            used: 0,
        }
    }
}

impl fmt::Write for Screen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.line[self.used] = byte;
            self.used += 1;
            if byte == b'\n' || self.used == self.line.len() {
                let line = &self.line[..core::mem::take(&mut self.used)];
                let console = Console::new(CONSOLE.endpoint());
                console.write(line).map_err(|_| fmt::Error)?;
            }
        }
        Ok(())
    }
}
