// SPDX-License-Identifier: BSD-2-Clause
//! Everything that is done with ICs, and with drivers, once. Somebody may die at any step of the
//! manager's, the factory's or the driver's meanwhile: then this program is told so in clear words, or
//! nothing at all happens to it.

use core::panic::Location;
use core::time::Duration;

use test_conformance::Ask;
use xos::protocol::manager::{ObjectKind, Rights};
use xos::protocol::wire::MAX_WORDS;
use xos::protocol::{Error as Why, Subject, console};
use xos::region::Region;
use xos::{Session, service};
use xos_test_kit::{Outcome, check};

use crate::deaths::{is_clear, until, waited};
use crate::lab::{Lab, PAGE_OF_PROBE, Page, Specimen};
use crate::tasks::{STAY, Task};

/// Turns that an IC gets to begin; one that has died never does.
const BEGINNING: u32 = 200;
/// Where a region is in an IC for a while.
const FOR_A_WHILE: u64 = PAGE_OF_PROBE + (1 << 30);

/// Why something was refused, and in which line.
#[derive(Clone, Copy, Debug)]
struct Told {
    why: Why,
    #[allow(dead_code, reason = "printed")]
    line: u32,
}

impl From<Why> for Told {
    #[track_caller]
    fn from(why: Why) -> Self {
        Self {
            why,
            line: Location::caller().line(),
        }
    }
}

impl From<xos::Error> for Told {
    #[track_caller]
    fn from(error: xos::Error) -> Self {
        error.why.into()
    }
}

pub fn operations(lab: &Lab, whole: bool) -> Outcome {
    let regions = [Region::new(1)?, Region::new(1)?];
    let [page, own] = [Page::new(&regions[0])?, Page::new(&regions[1])?];
    let sibling = lab.launch_with(&own, STAY, 0)?;
    own.until_not(0, 0)?;

    lab.ask(Ask::Begin, None);
    let done = everything(lab, &page);
    lab.ask(Ask::End, None);
    match done {
        Ok(()) => {}
        Err(told) if !whole && (is_clear(told.why) || told.why == Why::Kernel) => {}
        Err(told) => return check!(false, "what was tried came to {told:?}"),
    }
    // Whoever is left goes on.
    let lab = lab.reopen()?;
    lab.still_works()?;
    own.set(1, 1);
    let _ = waited(sibling);
    Ok(())
}

fn everything(lab: &Lab, page: &Page<'_>) -> Result<(), Told> {
    let a = if lab.within {
        page.address()
    } else {
        PAGE_OF_PROBE
    };
    let task = Task {
        what: STAY,
        a,
        b: 0,
    };
    // One that ends by itself, one that is killed, and one that is taken from its factory.
    for end in 0..3 {
        page.set(0, 0);
        page.set(1, 0);
        let ic = lab.try_make(task)?;
        lab.tell(ic.id());
        let lived = live(lab, page, &ic);
        let lived = lived.and_then(|()| match end {
            0 => {
                page.set(1, 1);
                Ok(())
            }
            1 => Ok(ic.ic().kill()?),
            _ => Ok(xos::manager().destroy(ic.id()).map(drop)?),
        });
        if let Err(told) = lived {
            ic.leave();
            return Err(told);
        }
        match waited(ic) {
            Ok(_) => {}
            // Told in words, which are the same for all errors: `operations` finds out who is still there.
            Err(_) => return Err(Why::Gone.into()),
        }
    }
    Ok(())
}

/// What is done with an IC before its end.
fn live(lab: &Lab, page: &Page<'_>, ic: &Specimen) -> Result<(), Told> {
    let (manager, id) = (xos::manager(), ic.id());
    let bell = xos::take_slot()?;
    // What is made stays there.
    bell.keep();
    manager.make(ObjectKind::Notification, bell.number())?;
    manager.watch(Subject::Ic(id), bell.number())?;
    if !lab.within {
        let share = |region: &Region, at, rights| region.share(id, at, rights);
        share(page.region, PAGE_OF_PROBE, Rights::RW)?;
        let door = service::endpoint()?;
        let session = ic.ic().connect(door, 1)?;
        ic.ic().start()?;
        let region = Region::new(2)?;
        share(&region, FOR_A_WHILE, Rights::R)?;
        region.unshare(id)?;
        manager.region_resize(region.id(), 4, 0)?;
        drop(region);
        manager.close(session)?;
    }
    for _ in 0..BEGINNING {
        if page.get(0) != 0 {
            break;
        }
        xos::thread::yield_now();
    }
    ic.ic().suspend()?;
    ic.ic().stat()?;
    Ok(ic.ic().resume()?)
}

/// Uses a driver while two threads of this program wait for it. Whoever is refused is told clearly.
pub fn use_driver(server: &'static str) -> Outcome {
    // Threads are made before anything counts.
    let regions = [Region::new(1)?, Region::new(1)?];
    let lab = Lab::open("process")?;
    let mut waiting = heapless::Vec::<_, 2>::new();
    for region in &regions {
        let page = Page::new(region)?;
        let (address, timer) = (page.address(), server == "timer");
        let wait = move || wait_for(address, timer);
        let thread = xos::thread::spawn(wait)?;
        page.until_not(0, 0)?;
        let _ = waiting.push((page, thread));
    }
    lab.ask(Ask::Begin, None);
    let mut refused = None;
    for (page, _) in &waiting {
        // They begin to wait when these are set.
        page.set(1, 1);
    }
    (0..BEGINNING).for_each(|_| xos::thread::yield_now());
    for _ in 0..2 {
        let used = match server {
            "timer" => ask_for_time(),
            _ => say(server),
        };
        if let Err(error) = used {
            refused = Some(error.why);
        }
    }
    lab.ask(Ask::End, None);
    if let Some(why) = refused {
        check!(is_clear(why), "who used it was told {why:?}")?;
    }
    for (page, thread) in waiting {
        // One that waits on is ended; one that does not was told why.
        if page.get(2) == 0 {
            (0..BEGINNING).for_each(|_| xos::thread::yield_now());
        }
        if page.get(2) == 0 {
            check!(
                refused.is_none(),
                "{server} died, and who waited for it waits on"
            )?;
            thread.ic().kill()?;
        }
        if let Ok(told) = thread.join() {
            check!(told.is_none_or(is_clear), "who waited was told {told:?}")?;
        }
    }
    until(|| service::open(server).is_ok(), "it is registered again")?;
    until(
        || say("console").is_ok() && xos::timer::sleep(Duration::from_millis(1)).is_ok(),
        "drivers serve",
    )
}

/// All that a program can ask of the timer.
fn ask_for_time() -> xos::Result<()> {
    xos::timer::sleep(Duration::from_micros(300))?;
    xos::timer::now()?;
    xos::timer::counter()?;
    xos::timer::real_time().map(drop)
}

/// A line on the console, and its way out.
fn say(console: &str) -> xos::Result<()> {
    let session = service::open(console)?;
    let mut message = [0; MAX_WORDS];
    let text = b"a line of twenty-four..\n";
    message[0] = text.len() as u64;
    for (word, bytes) in message[1..].iter_mut().zip(text.chunks_exact(8)) {
        *word = u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]);
    }
    session.exchange(console::Op::Write.label(), &mut message, 4)?;
    session.call(console::Op::Flush.label(), []).map(drop)
}

/// Waits for a driver for long: why it does no more.
fn wait_for(page: u64, timer: bool) -> Option<Why> {
    let word = |index| crate::lab::word(page, index);
    use core::sync::atomic::Ordering::SeqCst;
    word(0).store(1, SeqCst);
    while word(1).load(SeqCst) == 0 {
        xos::thread::yield_now();
    }
    let told = if timer {
        xos::timer::sleep(Duration::from_secs(10_000)).map_err(|error| error.why)
    } else {
        read_a_byte().map_err(|error| error.why)
    };
    word(2).store(1, SeqCst);
    told.err()
}

fn read_a_byte() -> xos::Result<()> {
    let session: Session = service::open("console")?;
    let mut message = [0; MAX_WORDS];
    message[..2].copy_from_slice(&[1, 1]);
    session
        .exchange(console::Op::Read.label(), &mut message, 2)
        .map(drop)
}
