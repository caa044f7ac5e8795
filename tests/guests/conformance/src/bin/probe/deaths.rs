// SPDX-License-Identifier: BSD-2-Clause
//! What has to hold when somebody dies: the IC, its creator, its factory.

use core::time::Duration;

use test_conformance::Ask;
use xos::protocol::wire::MAX_WORDS;
use xos::protocol::{Error as Why, Subject, console};
use xos::region::Region;
use xos::{ExitStatus, Result};
use xos_test_kit::{Outcome, check, check_eq};

use crate::lab::{Lab, Page, Specimen, code};
use crate::tasks;

/// Rounds of load while servers die.
const LOADS: u32 = 400;

/// Lets others run until something holds.
#[track_caller]
pub fn until(mut holds: impl FnMut() -> bool, what: &str) -> Outcome {
    for _ in 0..20_000 {
        if holds() {
            return Ok(());
        }
        xos::thread::yield_now();
    }
    check!(false, "waited in vain until {what}")
}

pub fn an_ic_that_its_payer_destroys_is_gone_for_its_factory_too(lab: &Lab) -> Outcome {
    let regions = [Region::new(1)?, Region::new(1)?];
    let pages = [Page::new(&regions[0])?, Page::new(&regions[1])?];
    let sibling = lab.launch_with(&pages[0], tasks::SPIN, 0)?;
    for _ in 0..10 {
        let ic = lab.launch_with(&pages[1], tasks::SPIN, 0)?;
        pages[1].until_not(0, pages[1].get(0))?;
        xos::manager().destroy(ic.id())?;
        check!(ic.wait().is_err())?;
        pages[0].until_not(0, pages[0].get(0))?;
    }
    pages[0].set(1, 1);
    check_eq!(sibling.wait()?, code(0))?;
    lab.still_works()
}

pub fn ics_end_with_their_creator(lab: &Lab) -> Outcome {
    // This program ends with ICs in every state; the judge counts what the manager has afterwards.
    for _ in 0..3 {
        let region = Region::new(1)?;
        let page = Page::new(&region)?;
        let running = lab.launch_with(&page, tasks::SPIN, 0)?;
        page.until_not(0, 0)?;
        let suspended = lab.launch_with(&page, tasks::SPIN, 0)?;
        suspended.ic().suspend()?;
        let ended = lab.launch(tasks::RETURN, 0, 0)?;
        let ready = lab.make(tasks::Task::NOTHING)?;
        for ic in [running, suspended, ended, ready] {
            ic.leave();
        }
        core::mem::forget(page);
        core::mem::forget(region);
    }
    Ok(())
}

pub fn who_waits_for_an_ic_that_the_supervisor_destroys_is_told(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    for _ in 0..3 {
        let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
        page.until_not(0, page.get(0))?;
        lab.ask_soon(Ask::DestroySoon, Some(ic.id()));
        check_eq!(waited(ic)?, ExitStatus::Killed)?;
    }
    lab.still_works()
}

/// Waits; somebody who was told that it is gone knows that it was killed.
pub fn waited(ic: Specimen) -> Outcome<ExitStatus> {
    let ended: Result<ExitStatus> = ic.ic().wait();
    match ended {
        Err(error) if error.why == Why::Gone => Ok(ExitStatus::Killed),
        ended => Ok(ended?),
    }
}

pub fn when_the_factory_dies_who_waits_gets_an_error_and_goes_on(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
    page.until_not(0, 0)?;
    lab.ask_soon(Ask::EndFactorySoon, None);
    let waited = ic.ic().wait().map_err(|error| error.why);
    check!(
        matches!(waited, Err(Why::ServerDied | Why::Gone)),
        "who waited got {waited:?}"
    )?;
    // The old session is gone, and says so.
    until(
        || lab.factory.describe().is_err(),
        "the old session is closed",
    )?;
    ic.leave();
    lab.reopen()?.still_works()
}

pub fn when_the_factory_dies_its_ics_go_as_its_registration_says(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
    let id = ic.id();
    page.until_not(0, 0)?;
    lab.ask(Ask::EndFactory, None);
    // None of the factories here has a successor for its ICs.
    until(
        || xos::manager().stat(Subject::Ic(id)) == Err(Why::Gone),
        "the IC is gone",
    )?;
    let count = page.get(0);
    (0..20).for_each(|_| xos::thread::yield_now());
    check_eq!(page.get(0), count)?;
    ic.leave();
    lab.reopen()?.still_works()
}

pub fn a_factory_that_was_restarted_serves_again(lab: &Lab) -> Outcome {
    // While it is asked for something all the time.
    lab.ask_soon(Ask::EndFactorySoon, None);
    let mut lives = 0;
    while let Ok(status) = lab.run(tasks::RETURN, 3, 0) {
        check!(status == code(3) || status == ExitStatus::Killed)?;
        lives += 1;
        check!(lives < 100_000, "it does not die")?;
    }
    let lab = lab.reopen()?;
    for _ in 0..20 {
        check_eq!(lab.run(tasks::RETURN, 4, 0)?, code(4))?;
    }
    Ok(())
}

/// Whether whoever lived a life beside somebody who died was told so in clear words: how `who` ended, or why there
/// is nobody to say it.
#[track_caller]
pub fn is_told_what_happened(who: &str, ended: core::result::Result<ExitStatus, Why>) -> Outcome {
    match ended {
        Ok(status) => check!(
            status == code(0) || status == ExitStatus::Killed,
            "{who} {status}"
        ),
        Err(why) => check!(
            matches!(
                why,
                Why::Gone | Why::ServerDied | Why::Kernel | Why::NotFound | Why::BadState
            ),
            "who asked for it was told {why:?}"
        ),
    }
}

/// The life of an IC from its creation to its end, beside a sibling. Somebody may die at any step of the
/// factory's: then this program is told so in clear words, or nothing at all happens to it.
pub fn a_life(lab: &Lab, whole: bool) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let sibling = lab.launch_with(&page, tasks::SPIN, 0)?;
    page.until_not(0, 0)?;
    lab.ask(Ask::Begin, None);
    let ended = lab.small_life();
    lab.ask(Ask::End, None);
    check!(
        !whole || ended == Ok(code(0)),
        "nobody died, and the IC came to {ended:?}"
    )?;
    is_told_what_happened("the IC", ended)?;
    // Whoever is left goes on.
    let lab = lab.reopen()?;
    lab.still_works()?;
    page.set(1, 1);
    let _ = waited(sibling);
    Ok(())
}

/// Blocks on a driver that is brought down meanwhile: it is told so, and the driver serves it again.
pub fn blocked(server: &str) -> Outcome {
    let why = match server {
        "timer" => xos::timer::sleep(Duration::from_secs(1000)).map_err(|error| error.why),
        _ => {
            let console = xos::service::open(server)?;
            let mut message = [0; MAX_WORDS];
            // Waits for at least a byte.
            message[..2].copy_from_slice(&[1, 1]);
            let read = console.exchange(console::Op::Read.label(), &mut message, 2);
            read.map(drop).map_err(|error| error.why)
        }
    };
    check!(
        matches!(why, Err(Why::ServerDied | Why::Gone)),
        "who was blocked got {why:?}"
    )?;
    until(
        || xos::service::open(server).is_ok(),
        "it is registered again",
    )?;
    xos::println!("after the death of {server}");
    until(|| xos::timer::now().is_ok(), "there is time")
}

/// Refusals that say clearly that a server is not there.
pub fn is_clear(why: Why) -> bool {
    matches!(
        why,
        Why::ServerDied | Why::Gone | Why::NotFound | Why::BadState
    )
}

/// Lives of both kinds, words on the console and looks at the clock, while all servers die now and then.
pub fn load() -> Outcome {
    for round in 0..LOADS {
        for name in ["process", "thread"] {
            let lived = Lab::open(name).and_then(|lab| lab.run(tasks::RETURN, 9, 0));
            // Why it could not is told in words by the failure; here it is enough that nobody hangs and that
            // nothing wrong comes.
            if let Ok(status) = lived {
                check!(
                    status == code(9) || status == ExitStatus::Killed,
                    "it {status}"
                )?;
            }
        }
        xos::println!("round {round}");
        if let Err(error) = xos::timer::now() {
            check!(is_clear(error.why), "the timer says {error}")?;
        }
        xos::thread::yield_now();
    }
    for name in ["process", "thread"] {
        until(|| Lab::open(name).is_ok(), "the factory is there again")?;
        Lab::open(name)?.still_works()?;
    }
    Ok(())
}
