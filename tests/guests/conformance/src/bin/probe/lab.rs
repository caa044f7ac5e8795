// SPDX-License-Identifier: BSD-2-Clause
//! Making ICs of the factory under test, in whichever [`Way`] it makes them. Everything else in this suite
//! is the same for all.

use alloc::string::ToString;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use core::time::Duration;

use test_conformance::{Ask, Board, DO, EXAMINERS_BOARD, PROBE};
use xos::protocol::manager::{Consent, Rights};
use xos::protocol::{Error as Why, Subject};
use xos::region::{Mapping, Region};
use xos::thread::{DEFAULT_STACK, JoinError, JoinHandle};
use xos::{Contract, ExitStatus, Factory, Ic, IcId, IcState, MiB, Spec};
use xos_test_kit::{Outcome, check, check_eq};

use crate::copies::{Copies, Copy};
use crate::tasks::{Task, What};

/// Where a page that examiner and probe share is in an IC that has its own address space.
pub const PAGE_OF_PROBE: u64 = 0x5800_0000_0000;
/// Bytes that an IC may cost in all.
pub const MEMORY: MiB = MiB(1);
/// A program that takes little: few steps make it.
const SMALL: &str = "hello";
/// How long a rest is: the judge's is longer, and begins later.
const REST: Duration = Duration::from_millis(20);
/// Turns within which something happens that does not depend on what other ICs compute.
const PATIENCE: u32 = 20_000;

/// How ICs of a factory come to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Created from an image, and started.
    Created,
    /// They begin within their creator, and run at once.
    Within,
    /// They begin in a copy that their creator makes of itself, once control is passed to them.
    Copied,
}

/// The factory under test.
pub struct Lab {
    pub name: &'static str,
    pub factory: Factory,
    pub contract: Contract,
    pub way: Way,
    /// Whether its ICs execute within their creator.
    pub within: bool,
    copies: Copies,
}

/// An IC of the factory under test.
pub enum Specimen {
    /// One that was created.
    Created(Ic),
    /// One that executes within this program.
    Within(JoinHandle<i32>),
    /// One that executes in a copy of this program.
    Copied(Copy),
}

/// The exit status of a probe that returned this.
pub const fn code(code: i32) -> ExitStatus {
    ExitStatus::Code(code)
}

impl Lab {
    /// Opens a factory and finds out which kind it is.
    pub fn open(name: &'static str) -> Outcome<Self> {
        let factory = open(name)?;
        let contract = factory.describe()?;
        let way = way(&factory)?;
        let copies = Copies::new(name);
        if way == Way::Copied {
            copies.prepare()?;
        }
        Ok(Self {
            name,
            factory,
            contract,
            way,
            within: way == Way::Within,
            copies,
        })
    }

    /// Opens it again: it was restarted.
    pub fn reopen(&self) -> Outcome<Self> {
        for _ in 0..PATIENCE {
            match Self::open(self.name) {
                Ok(lab) => return Ok(lab),
                Err(_) => xos::thread::yield_now(),
            }
        }
        Self::open(self.name)
    }

    /// An IC that runs, and does this.
    pub fn launch(&self, what: What, a: u64, b: u64) -> Outcome<Specimen> {
        let specimen = self.make(Task { what, a, b })?;
        specimen.start()?;
        Ok(specimen)
    }

    /// An IC that runs, and does this with a page that this program has as well.
    pub fn launch_with(&self, page: &Page<'_>, what: What, b: u64) -> Outcome<Specimen> {
        let a = if self.within {
            page.address()
        } else {
            PAGE_OF_PROBE
        };
        let specimen = self.make(Task { what, a, b })?;
        if !self.within {
            page.region
                .share(specimen.id(), PAGE_OF_PROBE, Rights::RW)?;
        }
        specimen.start()?;
        Ok(specimen)
    }

    /// An IC that does this when it is started. If it is within this program, it is already.
    pub fn make(&self, task: Task) -> Outcome<Specimen> {
        Ok(self.try_make(task)?)
    }

    /// The same, with the error as it is.
    pub fn try_make(&self, task: Task) -> xos::Result<Specimen> {
        Ok(match self.way {
            Way::Created => Specimen::Created(self.factory.create(&spec(task))?),
            Way::Within => Specimen::Within(begin(&self.factory, task)?),
            Way::Copied => Specimen::Copied(self.copies.make(task)?),
        })
    }

    /// Says whom this case is about: the judge may end it.
    pub fn tell(&self, subject: IcId) {
        board().tell(subject.word());
    }

    /// Has an IC do this, and tells how it ended.
    pub fn run(&self, what: What, a: u64, b: u64) -> Outcome<ExitStatus> {
        self.launch(what, a, b)?.wait()
    }

    /// Has a small program live from beginning to end: why it could not be made or waited for.
    pub fn small_life(&self) -> Result<ExitStatus, Why> {
        let life = || {
            let ic = self.factory.create(&Spec::image(SMALL))?;
            ic.start()?;
            ic.wait()
        };
        life().map_err(|error: xos::Error| error.why)
    }

    /// Checks that the factory still does what it is there for.
    #[track_caller]
    pub fn still_works(&self) -> Outcome {
        check_eq!(self.factory.describe()?, self.contract)?;
        check_eq!(self.run(crate::tasks::RETURN, 7, 0)?, code(7))
    }

    /// Leaves the processor to whoever runs when neither this program nor the judge does.
    pub fn rest(&self) -> Outcome {
        self.ask_soon(Ask::Rest, None);
        Ok(xos::timer::sleep(REST)?)
    }

    /// Asks the judge for something.
    pub fn ask(&self, ask: Ask, id: Option<IcId>) {
        board().ask(ask, id.map_or(0, IcId::word));
    }

    /// Asks the judge for something that is to happen when this program is blocked.
    pub fn ask_soon(&self, ask: Ask, id: Option<IcId>) {
        board().ask_soon(ask, id.map_or(0, IcId::word));
    }
}

fn board() -> &'static Board {
    // SAFETY: the judge mapped a board there, for as long as this program lives.
    unsafe { Board::at(EXAMINERS_BOARD) }
}

/// A session with a factory, with all consent that factories need.
pub fn open(name: &str) -> xos::Result<Factory> {
    let consent = Consent {
        within: true,
        ..Consent::default()
    };
    xos::factory_with(name, consent)
}

/// Finds out how a factory makes ICs.
fn way(factory: &Factory) -> Outcome<Way> {
    match factory.create(&spec(Task::NOTHING)) {
        Ok(_) => return Ok(Way::Created),
        Err(error) if error.why == Why::NotSupported => {}
        Err(error) => return Err(error.into()),
    }
    let first = begin(factory, Task::NOTHING)?;
    // One that waits for control waits for ever.
    let waits = xos::manager()
        .stat(Subject::Ic(first.id()))
        .is_ok_and(|info| info.state == IcState::Ready);
    if waits {
        first.ic().kill()?;
    }
    match (waits, first.join()) {
        (true, _) => Ok(Way::Copied),
        (false, Ok(0)) => Ok(Way::Within),
        (false, ended) => check!(false, "its first IC {ended:?}").map(|()| Way::Within),
    }
}

/// An IC that begins within this program, and does this.
fn begin(factory: &Factory, task: Task) -> xos::Result<JoinHandle<i32>> {
    xos::thread::spawn_by(factory, DEFAULT_STACK, move || task.perform())
}

/// What an IC that does this is made from.
pub fn spec(task: Task) -> Spec {
    let Task { what, a, b } = task;
    Spec::image(PROBE)
        .arg(DO)
        .arg(&what.to_string())
        .arg(&a.to_string())
        .arg(&b.to_string())
        .memory(MEMORY)
}

impl Specimen {
    pub fn ic(&self) -> &Ic {
        match self {
            Self::Created(ic) => ic,
            Self::Within(thread) => thread.ic(),
            Self::Copied(copy) => copy.ic(),
        }
    }

    pub fn id(&self) -> IcId {
        self.ic().id()
    }

    pub fn start(&self) -> Outcome {
        match self {
            Self::Created(ic) => Ok(ic.start()?),
            Self::Within(_) => Ok(()),
            Self::Copied(copy) => Ok(copy.start()?),
        }
    }

    /// Waits until it has ended. What a probe within this program returned is its exit code.
    pub fn wait(self) -> Outcome<ExitStatus> {
        match self {
            Self::Created(ic) => Ok(ic.wait()?),
            Self::Within(thread) => match thread.join() {
                Ok(code) => Ok(ExitStatus::Code(code)),
                Err(JoinError::Ended(status)) => Ok(status),
                Err(JoinError::Refused(error)) => Err(error.into()),
            },
            Self::Copied(copy) => Ok(copy.wait()?),
        }
    }

    /// Forgets it without ending it.
    pub fn leave(self) {
        match self {
            Self::Created(ic) => ic.leave(),
            Self::Within(thread) => drop(thread),
            Self::Copied(copy) => copy.leave(),
        }
    }
}

/// A page that this program and probes map: words.
pub struct Page<'a> {
    pub region: &'a Region,
    mapping: Mapping<'a>,
}

impl<'a> Page<'a> {
    pub fn new(region: &'a Region) -> Outcome<Self> {
        let mapping = region.map(Rights::RW)?;
        Ok(Self { region, mapping })
    }

    pub fn address(&self) -> u64 {
        self.mapping.start().as_ptr() as u64
    }

    pub fn word(&self, index: usize) -> &AtomicU64 {
        word(self.address(), index)
    }

    pub fn get(&self, index: usize) -> u64 {
        self.word(index).load(SeqCst)
    }

    pub fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, SeqCst);
    }

    /// Lets others run until a word has changed from `old`.
    #[track_caller]
    pub fn until_not(&self, index: usize, old: u64) -> Outcome<u64> {
        for _ in 0..PATIENCE {
            let now = self.get(index);
            if now != old {
                return Ok(now);
            }
            xos::thread::yield_now();
        }
        check!(false, "word {index} stays {old}").map(|()| old)
    }
}

/// A word of a page that is mapped.
pub fn word(page: u64, index: usize) -> &'static AtomicU64 {
    // SAFETY: callers name pages that are mapped, and used as words by all who map them.
    unsafe { &*(page as *const AtomicU64).add(index) }
}
