// SPDX-License-Identifier: BSD-2-Clause
//! What snapshots and their clones are, for factories that make them.

use alloc::vec::Vec;

use test_conformance::Ask;
use xos::protocol::manager::Rights;
use xos::protocol::{Error as Why, Subject};
use xos::region::Region;
use xos::{ExitStatus, Ic, IcState, Snapshot};
use xos_test_kit::{Outcome, check, check_eq};

use crate::deaths::is_told_what_happened;
use crate::lab::{Lab, PAGE_OF_PROBE, Page, Specimen, code};
use crate::tasks::{self, clone};

/// What the model has in its memory.
const MINE: u64 = 77;

fn why<T>(outcome: xos::Result<T>) -> Result<T, Why> {
    outcome.map_err(|error| error.why)
}

/// An IC that has been frozen where it stands; `None` when this factory makes no clones.
fn model(lab: &Lab) -> Outcome<Option<Specimen>> {
    if lab.within {
        return Ok(None);
    }
    let ic = lab.launch(tasks::PREPARE_AND_STAND, PAGE_OF_PROBE, MINE)?;
    match why(ic.ic().snapshot()) {
        Ok(_) => Ok(Some(ic)),
        Err(Why::NotSupported) => Ok(None),
        Err(why) => check!(false, "it is not frozen: {why}").map(|()| None),
    }
}

/// A clone that runs and shares a page with this program.
fn launch<'a>(model: &Specimen, region: &'a Region) -> Outcome<(Ic, Page<'a>)> {
    let page = Page::new(region)?;
    let ic = snapshot(model).new_clone()?;
    check_eq!(ic.stat()?, IcState::Ready)?;
    region.share(ic.id(), PAGE_OF_PROBE, Rights::RW)?;
    ic.start()?;
    Ok((ic, page))
}

/// It was frozen already.
fn snapshot(model: &Specimen) -> Snapshot<'_> {
    Snapshot::of(model.ic())
}

/// Has a clone do something.
#[track_caller]
fn tell(page: &Page<'_>, what: u64) -> Outcome {
    page.set(0, what);
    page.until_not(0, what).map(drop)
}

/// Checks that a clone has a word everywhere in its memory, and nothing that it was not given.
#[track_caller]
fn has(page: &Page<'_>, word: u64) -> Outcome {
    tell(page, clone::LOOK)?;
    let found = [1, 2, 3, 4].map(|index| page.get(index));
    check_eq!(found, [word, word, word, 0])
}

pub fn who_makes_no_clones_says_so_and_stops_nobody(lab: &Lab) -> Outcome {
    if model(lab)?.is_some() {
        return Ok(());
    }
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
    page.until_not(0, 0)?;
    check_eq!(
        why(ic.ic().snapshot_now().map(drop)),
        Err(Why::NotSupported)
    )?;
    check_eq!(
        why(Snapshot::of(ic.ic()).new_clone().map(drop)),
        Err(Why::NotSupported)
    )?;
    page.until_not(0, page.get(0))?;
    page.set(1, 1);
    check_eq!(ic.wait()?, code(0))
}

pub fn a_clone_has_what_its_snapshot_had_and_nothing_of_others(lab: &Lab) -> Outcome {
    let Some(model) = model(lab)? else {
        return Ok(());
    };
    let regions = [Region::new(1)?, Region::new(1)?, Region::new(1)?];
    let (first, one) = launch(&model, &regions[0])?;
    let (second, two) = launch(&model, &regions[1])?;
    for page in [&one, &two] {
        has(page, MINE)?;
    }
    one.set(5, 1000);
    tell(&one, clone::FILL)?;
    has(&one, 1000)?;
    has(&two, MINE)?;
    two.set(5, 2000);
    tell(&two, clone::FILL)?;
    has(&one, 1000)?;
    // One that comes afterwards.
    let (third, three) = launch(&model, &regions[2])?;
    has(&three, MINE)?;
    // The end of one is nothing to the others.
    first.kill()?;
    check_eq!(first.wait()?, ExitStatus::Killed)?;
    has(&two, 2000)?;
    has(&three, MINE)?;
    for (ic, page) in [(second, two), (third, three)] {
        page.set(0, clone::END);
        check_eq!(ic.wait()?, code(0))?;
    }
    Ok(())
}

pub fn what_a_clone_reads_costs_nothing_and_what_it_writes_is_its_own(lab: &Lab) -> Outcome {
    let Some(model) = model(lab)? else {
        return Ok(());
    };
    // Beside what this program takes itself.
    let spent = || -> Outcome<u64> {
        let own = xos::manager().stat(Subject::Myself)?.arena;
        Ok(xos::manager().budget(Subject::Myself)?.spent - u64::from(own))
    };
    let before = spent()?;
    let region = Region::new(1)?;
    let (ic, page) = launch(&model, &region)?;
    let pages = || -> Outcome<u32> { Ok(xos::manager().stat(Subject::Ic(ic.id()))?.arena) };
    has(&page, MINE)?;
    has(&page, MINE)?;
    let read = pages()?;
    tell(&page, clone::FILL)?;
    let written = pages()?;
    // Eight pages of scratch words.
    check!(
        written >= read + 8 && written <= read + 32,
        "{read} pages when all was read, {written} when all was written"
    )?;
    // The creator pays for it.
    let paid = spent()? - before;
    check!(paid >= u64::from(written), "{paid} pages paid of {written}")?;
    page.set(0, clone::END);
    check_eq!(ic.wait()?, code(0))?;
    drop(page);
    drop(region);
    check_eq!(spent()?, before)
}

pub fn clones_are_made_after_their_snapshots_session_was_closed(lab: &Lab) -> Outcome {
    if lab.within {
        return Ok(());
    }
    let other = lab.reopen()?;
    let Some(model) = model(&other)? else {
        return Ok(());
    };
    drop(other);
    let before = xos::manager().budget(Subject::Myself)?.spent;
    let region = Region::new(1)?;
    let (ic, page) = launch(&model, &region)?;
    has(&page, MINE)?;
    check!(xos::manager().budget(Subject::Myself)?.spent > before)?;
    page.set(0, clone::END);
    check_eq!(ic.wait()?, code(0))
}

pub fn clones_end_with_their_snapshot(lab: &Lab) -> Outcome {
    for destroyed in [false, true] {
        let Some(model) = model(lab)? else {
            return Ok(());
        };
        let regions = [Region::new(1)?, Region::new(1)?];
        let (idle, one) = launch(&model, &regions[0])?;
        let (waited_for, two) = launch(&model, &regions[1])?;
        has(&one, MINE)?;
        has(&two, MINE)?;
        let ready = snapshot(&model).new_clone()?;
        if destroyed {
            lab.ask_soon(Ask::DestroySoon, Some(model.id()));
            let ended = why(waited_for.wait());
            check!(
                matches!(ended, Ok(ExitStatus::Killed) | Err(Why::Gone)),
                "who waited got {ended:?}"
            )?;
            let _ = model.ic().wait();
        } else {
            model.ic().kill()?;
            // Its memory is there until it has been waited for.
            has(&one, MINE)?;
            check_eq!(
                why(snapshot(&model).new_clone().map(drop)),
                Err(Why::BadState)
            )?;
            check_eq!(model.ic().wait()?, ExitStatus::Killed)?;
            check_eq!(waited_for.wait()?, ExitStatus::Killed)?;
        }
        for ic in [idle, ready] {
            check_eq!(ic.wait()?, ExitStatus::Killed)?;
        }
        // Nothing of theirs runs any more.
        one.set(0, clone::LOOK);
        (0..20).for_each(|_| xos::thread::yield_now());
        check_eq!(one.get(0), clone::LOOK)?;
    }
    lab.still_works()
}

pub fn clones_and_snapshots_end_with_their_creator(lab: &Lab) -> Outcome {
    // This program ends with them in every state; the judge counts what the manager has afterwards.
    for order in 0..3 {
        let Some(model) = model(lab)? else {
            return Ok(());
        };
        let region = Region::new(1)?;
        let mut all = Vec::new();
        if order != 0 {
            let (running, page) = launch(&model, &region)?;
            has(&page, MINE)?;
            core::mem::forget(page);
            let ended = snapshot(&model).new_clone()?;
            ended.kill()?;
            all.extend([running, ended, snapshot(&model).new_clone()?]);
        }
        if order == 2 {
            model.ic().kill()?;
        }
        all.into_iter().for_each(Ic::leave);
        model.leave();
        core::mem::forget(region);
    }
    Ok(())
}

pub fn a_handle_means_nothing_after_its_snapshots_end(lab: &Lab) -> Outcome {
    let Some(model) = model(lab)? else {
        return Ok(());
    };
    let (id, ic) = (model.id(), model.ic());
    for outcome in [ic.start(), ic.resume(), ic.suspend()] {
        check_eq!(why(outcome), Err(Why::BadState))?;
    }
    check_eq!(why(ic.snapshot_now().map(drop)), Err(Why::BadState))?;
    // Not even by the manager, for who pays for it.
    check!(xos::manager().resume(id).is_err())?;
    ic.kill()?;
    check_eq!(ic.wait()?, ExitStatus::Killed)?;
    // Others take its index.
    let others = [(); 3].map(|()| lab.launch(tasks::RETURN, 0, 0));
    check_eq!(why(snapshot(&model).new_clone().map(drop)), Err(Why::Gone))?;
    check_eq!(why(ic.snapshot_now().map(drop)), Err(Why::Gone))?;
    for other in others {
        check_eq!(other?.wait()?, code(0))?;
    }
    Ok(())
}

/// The life of a clone from its making to its end, beside its snapshot. Somebody may die at any step of the
/// factory's.
pub fn a_clones_life(lab: &Lab) -> Outcome {
    let Some(model) = model(lab)? else {
        return check!(false, "this factory makes no clones");
    };
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    page.set(0, clone::LOOK);
    lab.ask(Ask::Begin, None);
    let life = || -> xos::Result<ExitStatus> {
        let ic = snapshot(&model).new_clone()?;
        region.share(ic.id(), PAGE_OF_PROBE, Rights::RW)?;
        ic.start()?;
        for _ in 0..1000 {
            if page.get(0) != clone::LOOK {
                break;
            }
            xos::thread::yield_now();
        }
        page.set(0, clone::END);
        ic.wait()
    };
    let ended = why(life());
    lab.ask(Ask::End, None);
    is_told_what_happened("the clone", ended)?;
    let lab = lab.reopen()?;
    lab.still_works()?;
    let _ = model.ic().kill();
    let _ = model.ic().wait();
    Ok(())
}
