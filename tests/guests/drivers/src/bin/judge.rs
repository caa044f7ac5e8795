// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases, as a client of both drivers.
#![no_std]
#![no_main]

use core::fmt;
use core::time::Duration;

use sel4::cap;
use sel4_microkit::{Channel, Handler, IoPort, NullHandler, panicking, protection_domain};
use test_drivers::{CONSOLE, Deed, HEAP_SIZE, Note, OTHER, TIMER, console, read, timer, write};
use xos_client::{Console, Manager, Port, Timer};
use xos_image::console::{EXIT_FAILURE, EXIT_PORT, EXIT_SUCCESS};
use xos_protocol::manager::{Consent, Open};
use xos_protocol::slots::{domain, leaf};
use xos_protocol::{Error, Name, console as console_protocol, timer as timer_protocol};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

const MANAGER: Channel = Channel::new(0);
/// When the simulator's clock starts in runs that repeat, of which this suite is one: 2026-01-01, 00:00 UTC.
const START: u64 = 1_767_225_600;

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Screen::new());
        power_off(false)
    });
    let cases: &[Case<()>] = include!("../cases.rs");
    let passed = xos_test_kit::run(cases, &mut (), &mut Screen::new());
    let _ = console().flush();
    power_off(passed);
    #[allow(unreachable_code, reason = "the entry wants a handler")]
    NullHandler::new()
}

fn power_off(success: bool) -> ! {
    let code = if success { EXIT_SUCCESS } else { EXIT_FAILURE };
    let _ = IoPort::new(0).cap().ioport_out8(EXIT_PORT, code);
    loop {
        // The simulator ends here; without one, the host sees a machine that hangs.
        core::hint::spin_loop();
    }
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
                console().write(line).map_err(|_| fmt::Error)?;
            }
        }
        Ok(())
    }
}

/// Waits for notifications on channels; gives their bits.
fn notified() -> u64 {
    let ((), bits) = cap::Notification::from_bits(domain::NOTIFICATION).wait();
    bits
}

/// Takes notifications that have come.
fn clear() -> u64 {
    let (_, bits) = cap::Notification::from_bits(domain::NOTIFICATION).poll();
    bits
}

fn bit(channel: Channel) -> u64 {
    1 << channel.index()
}

/// Tells the peer to do something.
fn tell(deed: Deed, argument: u64) {
    clear();
    write(Note::Deed, deed as u64);
    write(Note::Argument, argument);
    write(Note::Result, 0);
    OTHER.notify();
}

/// Waits until it has done it; gives the result.
fn told() -> u64 {
    while read(Note::Result) == 0 {
        notified();
    }
    read(Note::Result)
}

const MS: Duration = Duration::from_millis(1);
/// How late somebody may be woken: an emulator on a busy machine may stand still for that long.
const LATE: Duration = Duration::from_millis(200);

fn time_goes_on_and_never_back(_: &mut ()) -> Outcome {
    let first = timer().now()?;
    let mut last = first;
    for _ in 0..1000 {
        let now = timer().now()?;
        check!(now >= last, "{now:?} after {last:?}")?;
        last = now;
    }
    check!(last > first)
}

fn a_sleep_is_never_short_and_little_longer(_: &mut ()) -> Outcome {
    for time in [0, 1, 1_000, 100_000, 1_000_000, 10_000_000, 50_000_000] {
        let time = Duration::from_nanos(time);
        let begin = timer().now()?;
        timer().sleep(time)?;
        let slept = timer().now()? - begin;
        check!(slept >= time, "{slept:?} of {time:?}")?;
        check!(slept < time + LATE, "{slept:?} of {time:?}")?;
    }
    Ok(())
}

fn an_endless_sleep_keeps_nobody_else_waiting(_: &mut ()) -> Outcome {
    // The peer sleeps long enough that the judge is done before.
    tell(Deed::Sleep, (1000 * MS).as_nanos() as u64);
    timer().sleep(5 * MS)?;
    check_eq!(read(Note::Result), 0)?;
    check!(told() > 1)
}

fn sleepers_wake_in_the_order_of_their_deadlines(_: &mut ()) -> Outcome {
    for (mine, others) in [(10, 40), (40, 10)] {
        tell(Deed::Sleep, (others * MS).as_nanos() as u64);
        timer().sleep(mine * MS)?;
        let now = timer().now()?.as_nanos() as u64;
        let other = told();
        check_eq!(now < other, mine < others)?;
    }
    Ok(())
}

fn an_alarm_notifies_at_its_time_and_once(_: &mut ()) -> Outcome {
    clear();
    let time = timer().now()? + 5 * MS;
    timer().alarm(Some(time))?;
    check_eq!(notified(), bit(TIMER))?;
    let now = timer().now()?;
    check!(now >= time && now < time + LATE, "{now:?} for {time:?}")?;
    timer().sleep(5 * MS)?;
    check_eq!(clear(), 0)
}

fn an_alarm_that_was_cancelled_does_not_notify(_: &mut ()) -> Outcome {
    clear();
    let now = timer().now()?;
    timer().alarm(Some(now + 5 * MS))?;
    timer().alarm(None)?;
    timer().sleep(10 * MS)?;
    check_eq!(clear(), 0)?;
    // One that replaces another is the only one.
    let now = timer().now()?;
    timer().alarm(Some(now + 2 * MS))?;
    timer().alarm(Some(now + 20 * MS))?;
    timer().sleep(5 * MS)?;
    check_eq!(clear(), 0)?;
    check_eq!(notified(), bit(TIMER))
}

fn the_date_is_that_of_the_machine(_: &mut ()) -> Outcome {
    let date = timer().real_time()?;
    check!(
        (START..START + 3600).contains(&date.as_secs()),
        "{date:?} since 1970"
    )?;
    timer().sleep(20 * MS)?;
    let passed = timer().real_time()? - date;
    check!(passed >= 20 * MS && passed < 20 * MS + LATE, "{passed:?}")
}

fn what_the_timer_does_not_know_is_refused(_: &mut ()) -> Outcome {
    let last = timer_protocol::Op::Counter.label();
    for label in [0, 0x31f, last + 1, u64::MAX >> 12] {
        let answer = ask(TIMER, label, [0; 4], 4);
        check_eq!(answer, Err(Error::NoSuchOperation))?;
    }
    let alarm = timer_protocol::Op::Alarm.label();
    check_eq!(ask(TIMER, alarm, [1, 1, 0, 0], 2), Err(Error::Malformed))
}

/// Calls a driver with words of the caller's choice; gives the first words of the answer.
fn ask(channel: Channel, label: u64, words: [u64; 4], length: usize) -> Result<[u64; 4], Error> {
    Port::call(&channel.endpoint(), label, words, length).map(|answer| answer.words)
}

/// Opens a service by name, as any program does.
fn open(name: &str, slot: u32) -> Outcome<cap::Endpoint> {
    Manager::new(MANAGER.endpoint()).open(&Open {
        name: Name::new(name),
        slot,
        consent: Consent::default(),
    })?;
    Ok(cap::Endpoint::from_bits(leaf(slot)))
}

fn a_session_sleeps_and_has_no_alarm(_: &mut ()) -> Outcome {
    let timer = Timer::new(open("timer", domain::FIRST_FREE_ROOT)?);
    let begin = timer.now()?;
    timer.sleep(2 * MS)?;
    check!(timer.now()? >= begin + 2 * MS)?;
    check_eq!(timer.alarm(Some(begin)), Err(Error::NotSupported))
}

fn a_message_of_any_length_is_taken_whole(_: &mut ()) -> Outcome {
    let text = [b'.'; console_protocol::MAX_BYTES];
    for length in (0..=text.len()).step_by(59) {
        console().write(&text[..length])?;
    }
    console().write(b"\n")?;
    Ok(())
}

fn output_of_two_clients_leaves_whatever_its_amount(_: &mut ()) -> Outcome {
    tell(Deed::Print, 200);
    for _ in 0..200 {
        console().write(b"judge: several times what the driver's queue has room for\n")?;
    }
    check_eq!(told(), 1)
}

fn a_flush_returns_when_all_has_left(_: &mut ()) -> Outcome {
    console().write(&[b'-'; 900])?;
    console().write(b"\n")?;
    console().flush()?;
    console().flush()?;
    Ok(())
}

fn reading_without_waiting_gives_nothing_when_nothing_was_typed(_: &mut ()) -> Outcome {
    let mut buffer = [0; 64];
    check_eq!(console().read(&mut buffer, false)?.len(), 0)?;
    // Nothing is wanted: that is no reason to wait.
    check_eq!(console().read(&mut [], true)?.len(), 0)
}

fn a_count_beyond_the_message_is_refused(_: &mut ()) -> Outcome {
    let write = console_protocol::Op::Write.label();
    for count in [25, console_protocol::MAX_BYTES as u64 + 1, u64::MAX] {
        let answer = ask(CONSOLE, write, [count, 0x2e2e_2e2e, 0, 0], 4);
        check_eq!(answer, Err(Error::Malformed))?;
    }
    check_eq!(
        ask(CONSOLE, write, [0; 4], 0),
        Ok(ask(CONSOLE, write, [0; 4], 1)?)
    )
}

fn what_the_console_does_not_know_is_refused(_: &mut ()) -> Outcome {
    let last = console_protocol::Op::Flush.label();
    for label in [0, 0x2ff, last + 1, u64::MAX >> 12] {
        let answer = ask(CONSOLE, label, [0; 4], 4);
        check_eq!(answer, Err(Error::NoSuchOperation))?;
    }
    let read = console_protocol::Op::Read.label();
    check_eq!(ask(CONSOLE, read, [1, 2, 0, 0], 2), Err(Error::Malformed))?;
    let interrupts = console_protocol::Op::Interrupts.label();
    check_eq!(
        ask(CONSOLE, interrupts, [2, 0, 0, 0], 1),
        Err(Error::Malformed)
    )
}

fn only_the_supervisor_is_told_of_the_interrupt_character(_: &mut ()) -> Outcome {
    console().intercept(true)?;
    console().intercept(false)?;
    tell(Deed::Intercept, 0);
    check_eq!(told(), 2 + Error::NotAllowed.label())
}

fn the_console_is_opened_by_name(_: &mut ()) -> Outcome {
    let console = Console::new(open("console", domain::FIRST_FREE_ROOT + 1)?);
    console.write(b"a session prints\n")?;
    check_eq!(console.intercept(true), Err(Error::NotAllowed))
}
