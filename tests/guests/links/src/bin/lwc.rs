// SPDX-License-Identifier: BSD-2-Clause
//! Programs with light-weight contexts: one thing that they should, or should not, be able to do for each word.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use lwc_factory::client::{DEFAULT_STACK, Lwcs, View};
use lwc_factory::control::PROGRAM;
use xos::protocol::Error as Why;
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::Rights;
use xos::region::Region;
use xos::{ExitStatus, IcId, MiB, Spec, eprintln};

xos::main!(main, heap = 16 * 1024);

fn main() -> i32 {
    let done = match xos::args().nth(1) {
        Some("views") => views(),
        Some("control") => control(),
        Some("allowed") => allowed(),
        Some("crash") => crash(),
        Some("overlay") => overlay(),
        Some("confined") => confined(),
        Some("wait") => wait(),
        Some("load") => load(),
        _ => return 2,
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            1
        }
    }
}

/// The place of a claim that does not hold.
fn holds(claim: bool, what: &str) -> xos::Result<()> {
    if claim {
        return Ok(());
    }
    eprintln!("not so: {what}");
    Err(Why::BadState.into())
}

static WORD: AtomicU64 = AtomicU64::new(1);

/// What each writes the other does not see; both began with what there was.
fn views() -> xos::Result<()> {
    WORD.store(5, Ordering::SeqCst);
    let lwcs = Lwcs::open()?;
    let body = |view: View, mut asked: lwc_factory::client::Switched| {
        loop {
            let old = WORD.swap(asked.word, Ordering::SeqCst);
            asked = match view.back(old) {
                Ok(next) => next,
                Err(_) => return 1,
            };
        }
    };
    let one = lwcs.create(DEFAULT_STACK, body)?;
    WORD.store(6, Ordering::SeqCst);
    let other = lwcs.create(DEFAULT_STACK, body)?;
    holds(
        one.switch(10)?.word == 5,
        "one sees what was there when it was created",
    )?;
    holds(other.switch(20)?.word == 6, "so does the other")?;
    holds(one.switch(11)?.word == 10, "one sees what it wrote")?;
    holds(WORD.load(Ordering::SeqCst) == 6, "the program does not")
}

/// A computation in the middle of which control goes away and comes back.
fn control() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let sum = lwcs.create(DEFAULT_STACK, |view, first| {
        let mut sum = first.word;
        for _ in 0..100 {
            match view.back(sum) {
                Ok(next) if next.from == PROGRAM => sum += next.word,
                _ => return 1,
            }
        }
        9
    })?;
    let mut expected = 0;
    for n in 1..=100 {
        expected += n;
        let told = sum.switch(n)?;
        holds(told.word == expected && told.from == sum.id(), "the sum")?;
    }
    let over = sum.switch(1);
    holds(
        over.is_err_and(|e| e.why == Why::Gone),
        "it ends instead of switching back",
    )?;
    holds(
        sum.wait()? == ExitStatus::Code(9),
        "with the code that it returned",
    )
}

/// One that tries to switch to the lwC whose id it is told, and tells what came of it.
fn visitor(view: View, mut asked: lwc_factory::client::Switched) -> i32 {
    loop {
        let told = match view.switch(IcId::from_word(asked.word), 3) {
            Ok(told) => told.word,
            Err(error) => 1000 + error.why.label(),
        };
        asked = match view.back(told) {
            Ok(next) => next,
            Err(_) => return 1,
        };
    }
}

fn allowed() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let one = lwcs.create(DEFAULT_STACK, visitor)?;
    let other = lwcs.create(DEFAULT_STACK, |view, mut asked| {
        loop {
            asked = match view.switch(asked.from, asked.word * 7) {
                Ok(next) => next,
                Err(_) => return 1,
            };
        }
    })?;
    let no = 1000 + Why::NotAllowed.label();
    holds(one.switch(other.id().word())?.word == no, "not yet allowed")?;
    holds(one.switch(one.id().word())?.word == no, "never to itself")?;
    one.allow(&other)?;
    other.allow(&one)?;
    holds(one.switch(other.id().word())?.word == 21, "allowed")?;
    holds(other.switch(5)?.word == 35, "and back to whoever switches")
}

fn crash() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let one = lwcs.create(DEFAULT_STACK, |_, asked| {
        // SAFETY: nothing is mapped there: this is the crash.
        unsafe { (asked.word as *const u8).read_volatile() };
        0
    })?;
    let over = one.switch(0xdead_0000);
    holds(over.is_err_and(|e| e.why == Why::Gone), "control is back")?;
    let status = one.wait()?;
    let ExitStatus::Fault(fault) = status else {
        return holds(false, "a fault");
    };
    holds(fault.kind == FaultKind::Read(0xdead_0000), "which one")?;
    // The program's own memory, by an address that means something else in the lwC's.
    let two = lwcs.create(DEFAULT_STACK, |_, _| panic!("last words of an lwC"))?;
    holds(two.switch(0).is_err(), "a panic")?;
    let ExitStatus::Fault(fault) = two.wait()? else {
        return holds(false, "a fault");
    };
    holds(fault.kind == FaultKind::Panic, "which is told as one")
}

fn overlay() -> xos::Result<()> {
    let region = Region::new(1)?;
    let memory = region.map(Rights::RW)?;
    let word = memory.start().cast::<u64>().as_ptr();
    let lwcs = Lwcs::open()?;
    let address = word as u64;
    let one = lwcs.create(DEFAULT_STACK, move |view, _| {
        let word = address as *mut u64;
        loop {
            // SAFETY: the overlay is there, or this is the crash that is wanted.
            let old = unsafe {
                let old = word.read_volatile();
                word.write_volatile(old + 1);
                old
            };
            if view.back(old).is_err() {
                return 1;
            }
        }
    })?;
    one.overlay(&memory, Rights::RW)?;
    // SAFETY: mapped, and the lwC is not in control.
    unsafe { word.write_volatile(50) };
    holds(one.switch(0)?.word == 50, "it sees what the program wrote")?;
    // SAFETY: as above.
    let now = unsafe { word.read_volatile() };
    holds(now == 51, "and the program what it wrote")?;
    one.unlay(&memory)?;
    holds(one.switch(0).is_err(), "taken back")?;
    let ExitStatus::Fault(fault) = one.wait()? else {
        return holds(false, "a fault");
    };
    holds(
        fault.kind == FaultKind::Read(address),
        "where the overlay was",
    )
}

fn confined() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let opens = |view: View, _| {
        let opened = xos::service::open("timer").map_or_else(|e| e.why.label(), |_| 0);
        i32::from(view.back(opened).is_err())
    };
    let free = lwcs.create(DEFAULT_STACK, opens)?;
    holds(
        free.switch(0)?.word == 0,
        "one that is not confined opens the timer",
    )?;
    let one = lwcs.create(DEFAULT_STACK, opens)?;
    one.confine()?;
    holds(
        one.switch(0)?.word == Why::Gone.label(),
        "one that is confined does not",
    )
}

/// Passes control to one that keeps it.
fn wait() -> xos::Result<()> {
    let lwcs = Lwcs::open()?;
    let one = lwcs.create(DEFAULT_STACK, |_, _| {
        loop {
            xos::thread::yield_now();
        }
    })?;
    let died = one.switch(0);
    holds(
        died.is_err_and(|e| e.why == Why::ServerDied),
        "the factory died",
    )
}

/// Loads the factory itself, on its own budget.
fn load() -> xos::Result<()> {
    let spec = Spec::image("lwc-factory")
        .composes()
        .cspace_radix(8)
        .ics(256)
        .memory(MiB(2));
    let factory = xos::factory("process")?.create(&spec)?;
    factory.start()?;
    for _ in 0..1_000_000 {
        if Lwcs::open().is_ok() {
            return control().and_then(|()| views());
        }
        xos::thread::yield_now();
    }
    holds(false, "it registers")
}
