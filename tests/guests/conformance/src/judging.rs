// SPDX-License-Identifier: BSD-2-Clause
//! What the judges of all systems of this suite have in common: a module of each.

use core::fmt::{self, Write};
use core::time::Duration;

use sel4::cap;
use sel4_microkit::{Channel, panicking, var};
use test_conformance::{Ask, Board, EXAMINE, EXAMINERS_BOARD, JUDGES_BOARD, NURSERY, PROBE};
use xos_client::{Console, Factory, Handle, Manager, Slots, Timer};
use xos_protocol::factory::Spec;
use xos_protocol::manager::{Consent, Free, Open, Payer, RegionCreate, Rights, Share};
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, domain, leaf};
use xos_protocol::{Error, ExitStatus, IcId, IcState, Name, RegionId, Result, Subject};
use xos_test_kit::{Failure, Outcome, check};

// Identifiers of the system descriptions.
const MANAGER: Channel = Channel::new(0);
const CONSOLE: Channel = Channel::new(1);
const TIMER: Channel = Channel::new(2);

/// Heap of a judge, in bytes.
pub const HEAP_SIZE: usize = 64 * 1024;
/// Bytes that an examiner may cost in all.
const EXAMINERS_MEMORY: u64 = 24 << 20;
/// ICs and sessions that it may pay for.
const EXAMINERS_ICS: u16 = 400;
/// The same where one of the two is to run out: fewer than it has slots for.
const FEWER_ICS: u16 = 230;
/// Bytes that a factory which is a program may cost in all, the ICs and sessions that it may pay for, and its
/// stack: what the monitor's `factory` gives one.
const FACTORYS_MEMORY: u64 = 8 << 20;
const FACTORYS_ICS: u16 = 1024;
const FACTORYS_STACK: u32 = 256 << 10;
/// Longest that a case may take, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;
/// Turns that everything together takes at most while steps count.
const MOST_TURNS: u32 = 200_000;
/// Turns that all others get before something is done that the examiner wanted soon.
const SOON: u32 = 50;
/// How long the judge rests when it is asked to.
const REST: Duration = Duration::from_millis(50);
/// Turns within which a server that was restarted has registered, and the manager's reaper is done.
const PATIENCE: u32 = 20_000;

/// A judge and what it works with.
pub struct Judge {
    pub manager: Manager,
    pub timer: Timer,
    slots: Slots,
    /// Root slot of the session with the nursery.
    nursery: Option<u32>,
    /// The factory under test, if a program registered it: the program and the root slot of its handle.
    loaded: Option<(&'static str, u32)>,
    /// What is done when a factory's steps are to be counted, and no more.
    pub begin_or_end: fn(bool) -> Outcome,
    /// Steps count, and somebody whom everybody else depends on may be standing still: nobody is asked for
    /// anything.
    pub counting: bool,
    /// Whom the examiner's case is about, as far as it has said.
    pub subject: IcId,
}

impl Judge {
    /// A judge. Its panics are failures of the case that runs.
    pub fn new() -> Self {
        panicking::set_hook(&|info| {
            xos_test_kit::panicked(format_args!("{info}"), &mut Screen);
            power_off(false)
        });
        Self {
            manager: Manager::new(MANAGER.endpoint()),
            timer: Timer::new(TIMER.endpoint()),
            slots: Slots::new(domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX),
            nursery: None,
            loaded: None,
            begin_or_end: |_| check!(false, "the factory under test is no mutant"),
            counting: false,
            subject: IcId::NONE,
        }
    }

    /// The server that is registered under a name.
    ///
    /// # Errors
    /// The manager's; `NotFound`.
    pub fn server(&self, name: &str) -> Result<IcId> {
        let name = Name::new(name);
        let all = self.manager.all_services::<64>()?;
        let service = all.iter().find(|service| service.name == name);
        service.map(|found| found.server).ok_or(Error::NotFound)
    }

    /// Waits until something is registered under a name by another than `old`.
    ///
    /// # Errors
    /// When nothing is for long.
    #[allow(dead_code, reason = "not every judge restarts servers")]
    pub fn successor(&self, name: &str, old: IcId) -> Outcome<IcId> {
        for _ in 0..PATIENCE {
            match self.server(name) {
                Ok(new) if new != old => return Ok(new),
                _ => sel4::r#yield(),
            }
        }
        check!(false, "nobody registered as `{name}` again").map(|()| old)
    }

    /// A session with a factory, in a root slot.
    pub fn open(&mut self, name: &str) -> Result<(Factory, u32)> {
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        let open = Open {
            name: Name::new(name),
            slot,
            consent: Consent::default(),
        };
        match self.manager.open(&open) {
            Ok(_) => Ok((Factory::new(endpoint(slot)), slot)),
            Err(error) => {
                self.slots.give(slot);
                Err(error)
            }
        }
    }

    fn nursery(&mut self) -> Result<Factory> {
        if let Some(slot) = self.nursery {
            let factory = Factory::new(endpoint(slot));
            if factory.describe().is_ok() {
                return Ok(factory);
            }
            // Its capability is gone with the session.
            self.slots.give(slot);
            self.nursery = None;
        }
        for _ in 0..PATIENCE {
            match self.open(NURSERY) {
                Ok((factory, slot)) => {
                    self.nursery = Some(slot);
                    return Ok(factory);
                }
                Err(Error::NotFound) => sel4::r#yield(),
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotFound)
    }

    /// Starts a program that registers a factory, and waits until it has.
    ///
    /// # Errors
    /// The nursery's; when it does not register that name.
    #[allow(dead_code, reason = "other judges have boot domains only")]
    pub fn load(&mut self, program: &'static str, factory: &str) -> Outcome {
        let nursery = self.nursery()?;
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        let spec = Spec {
            image: program,
            memory: FACTORYS_MEMORY,
            ics: FACTORYS_ICS,
            stack: FACTORYS_STACK,
            cspace_radix: 8,
            composes: true,
            ..Spec::default()
        };
        nursery.create(slot, &spec)?;
        Handle::new(endpoint(slot)).start()?;
        self.loaded = Some((program, slot));
        self.successor(factory, IcId::NONE).map(drop)
    }

    /// Ends the server of the factory under test: it crashes at whatever it is doing. Whoever started it
    /// starts it again, the root task or, if it is a program, this judge.
    fn end_factory(&mut self, factory: &str) -> Outcome {
        let server = self.server(factory)?;
        self.manager.destroy(server)?;
        if let Some((program, slot)) = self.loaded.take() {
            let _ = Handle::new(endpoint(slot)).wait();
            self.slots.give(slot);
            self.load(program, factory)?;
        }
        Ok(())
    }

    /// Has an examiner run a case against a factory, and sees to it that nothing is left behind.
    ///
    /// # Errors
    /// The examiner's failure; its crash; bytes, slots, ICs or sessions that did not come back.
    pub fn examine(&mut self, factory: &str, case: &str) -> Outcome {
        let before = self.manager.free()?;
        let outcome = self.examine_within(factory, case, |_, _| Ok(()));
        // Even after a failure: the next case counts from here.
        let back = self.all_is_back(before);
        outcome.and(back)
    }

    /// Checks that the manager has again what it had.
    ///
    /// # Errors
    /// When it has not, and does not get it soon.
    pub fn all_is_back(&self, before: Free) -> Outcome {
        let mut now = self.manager.free()?;
        for _ in 0..PATIENCE {
            if now == before {
                return Ok(());
            }
            sel4::r#yield();
            now = self.manager.free()?;
        }
        check!(false, "left of the manager's {before:?}: {now:?}")
    }

    /// Has an examiner run a case. `meanwhile` is called again and again until it has ended.
    ///
    /// # Errors
    /// The examiner's failure; its crash; what `meanwhile` returns.
    pub fn examine_within(
        &mut self,
        factory: &str,
        case: &str,
        mut meanwhile: impl FnMut(&mut Self, IcId) -> Outcome,
    ) -> Outcome {
        let mut arguments = heapless::String::<256>::new();
        for argument in [PROBE, EXAMINE, factory, case] {
            let _ = write!(arguments, "{argument}\0");
        }
        let nursery = self.nursery()?;
        let slot = self.slots.take().ok_or(Error::TableFull)?;
        let spec = Spec {
            image: PROBE,
            arguments: &arguments,
            memory: EXAMINERS_MEMORY,
            ics: match case.starts_with("running_out") {
                true => FEWER_ICS,
                false => EXAMINERS_ICS,
            },
            cspace_radix: 8,
            composes: true,
            ..Spec::default()
        };
        let id = nursery.create(slot, &spec)?;
        let handle = Handle::new(endpoint(slot));
        let region = self.board_for(id);
        let outcome = match region {
            Ok(region) => {
                let outcome = handle
                    .start()
                    .map_err(Failure::from)
                    .and_then(|()| self.follow(factory, id, handle, &mut meanwhile));
                let _ = self.manager.region_destroy(region);
                outcome
            }
            Err(error) => Err(error.into()),
        };
        if outcome.is_err() {
            let _ = handle.kill();
            let _ = handle.wait();
        }
        self.slots.give(slot);
        outcome
    }

    fn board_for(&self, id: IcId) -> Result<RegionId> {
        let region = self.manager.region_create(&RegionCreate {
            payer: Payer::Myself,
            pages: 1,
            large: false,
            place: 0,
        })?;
        let rights = Rights::RW;
        let share = |target, address| {
            self.manager.share(&Share {
                region,
                target,
                address,
                rights,
            })
        };
        share(Subject::Myself, JUDGES_BOARD)?;
        share(Subject::Ic(id), EXAMINERS_BOARD)?;
        Ok(region)
    }

    /// Does what an examiner asks for, until it has ended.
    fn follow(
        &mut self,
        factory: &str,
        id: IcId,
        handle: Handle,
        meanwhile: &mut impl FnMut(&mut Self, IcId) -> Outcome,
    ) -> Outcome {
        // SAFETY: the region is mapped there until this has returned.
        let board = unsafe { Board::at(JUDGES_BOARD) };
        let start = self.now()?;
        let mut turn = 0_u32;
        self.counting = false;
        loop {
            sel4::r#yield();
            turn = turn.wrapping_add(1);
            self.subject = IcId::from_word(board.subject());
            meanwhile(self, id)?;
            if let Some((ask, argument)) = board.asked() {
                self.fulfil(factory, ask, argument)?;
                board.done();
            }
            if self.counting {
                check!(turn < MOST_TURNS, "it hangs at a step")?;
                continue;
            }
            if turn.is_multiple_of(16)
                && !matches!(handle.stat(), Ok((state, _)) if state != IcState::Dead)
            {
                break;
            }
            if turn.is_multiple_of(256) {
                let passed = self.now()?.saturating_sub(start);
                check!(passed < LONGEST, "it hangs")?;
            }
        }
        let status = handle.wait();
        let mut buffer = [0; _];
        if let Some(reason) = board.reason(&mut buffer) {
            return Err(Failure::new(format_args!("{reason}")));
        }
        check!(
            status == Ok(ExitStatus::Code(0)),
            "the examiner ended with {status:?}"
        )
    }

    fn fulfil(&mut self, factory: &str, ask: Ask, argument: u64) -> Outcome {
        if matches!(ask, Ask::EndFactorySoon | Ask::DestroySoon) {
            (0..SOON).for_each(|_| sel4::r#yield());
        }
        match ask {
            Ask::EndFactory | Ask::EndFactorySoon => return self.end_factory(factory),
            Ask::Destroy | Ask::DestroySoon => {
                self.manager.destroy(IcId::from_word(argument))?;
            }
            Ask::Rest => self.timer.sleep(REST)?,
            // Only where the factory under test is a mutant.
            Ask::Begin | Ask::End => {
                self.counting = ask == Ask::Begin;
                return (self.begin_or_end)(self.counting);
            }
        }
        Ok(())
    }

    /// The time in nanoseconds.
    ///
    /// # Errors
    /// The timer's.
    pub fn now(&self) -> Result<u64> {
        // The timer may be being restarted.
        let mut now = self.timer.now();
        for _ in 0..PATIENCE {
            if now.is_ok() {
                break;
            }
            sel4::r#yield();
            now = self.timer.now();
        }
        now.map(|now| now.as_nanos() as u64)
    }
}

fn endpoint(slot: u32) -> cap::Endpoint {
    cap::Endpoint::from_bits(leaf(slot))
}

/// The console, for frames: whole lines.
pub struct Screen;

impl Write for Screen {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let console = Console::new(CONSOLE.endpoint());
        for piece in text.as_bytes().chunks(256) {
            // The driver may be being restarted.
            let mut sent = console.write(piece);
            for _ in 0..PATIENCE {
                if sent.is_ok() {
                    break;
                }
                sel4::r#yield();
                sent = console.write(piece);
            }
        }
        Ok(())
    }
}

/// Ends the machine.
pub fn power_off(success: bool) -> ! {
    let _ = Console::new(CONSOLE.endpoint()).flush();
    let _ = Manager::new(MANAGER.endpoint()).power_off(u32::from(!success));
    loop {
        core::hint::spin_loop();
    }
}

/// The text of a file of the initial tree.
#[allow(dead_code, reason = "not every judge reads files")]
pub fn file(name: &str) -> Option<&'static str> {
    let start = *var!(files: usize = 0);
    let length = *var!(files_len: usize = 0);
    // SAFETY: the system description maps that many bytes there, for good, and nobody writes them.
    let bytes = unsafe { core::slice::from_raw_parts(start as *const u8, length) };
    let archive = tar_no_std::TarArchiveRef::new(bytes).ok()?;
    let entry = archive
        .entries()
        .find(|entry| entry.filename().as_str() == Ok(name))?;
    core::str::from_utf8(entry.data()).ok().map(str::trim)
}
