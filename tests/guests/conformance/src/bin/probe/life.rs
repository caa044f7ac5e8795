// SPDX-License-Identifier: BSD-2-Clause
//! What every factory does, whatever it promises: the life of its ICs.

use xos::protocol::factory::Entry;
use xos::protocol::{Error as Why, Subject};
use xos::region::Region;
use xos::{ExitStatus, Factory, IcState, KiB, MiB, Spec};
use xos_test_kit::{Outcome, check, check_eq};

use crate::copies::settle;
use crate::lab::{Lab, Page, Specimen, Way, code, spec};
use crate::tasks::{self, Task};

pub fn an_ics_exit_status_reaches_who_waits(lab: &Lab) -> Outcome {
    for status in [0, 1, -1, 255, 256, i32::MIN, i32::MAX] {
        let ended = lab.run(tasks::RETURN, status as u32 as u64, 0)?;
        check_eq!(ended, code(status))?;
    }
    Ok(())
}

pub fn operations_in_the_wrong_state_are_refused(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let why = |outcome: xos::Result<()>| outcome.map_err(|error| error.why);
    if lab.way == Way::Created {
        let ready = lab.make(Task::NOTHING)?;
        check_eq!(ready.ic().stat()?, IcState::Ready)?;
        check_eq!(why(ready.ic().suspend()), Err(Why::BadState))?;
        check_eq!(why(ready.ic().resume()), Err(Why::BadState))?;
        ready.ic().start()?;
        check_eq!(ready.wait()?, code(0))?;
    }
    let running = lab.launch_with(&page, tasks::SPIN, 0)?;
    check_eq!(running.ic().stat()?, IcState::Running)?;
    check_eq!(why(running.ic().start()), Err(Why::BadState))?;
    check_eq!(why(running.ic().resume()), Err(Why::BadState))?;
    page.set(1, 1);
    for _ in 0..10_000 {
        if running.ic().stat()? == IcState::Dead {
            break;
        }
        xos::thread::yield_now();
    }
    check_eq!(running.ic().stat()?, IcState::Dead)?;
    check_eq!(why(running.ic().start()), Err(Why::BadState))?;
    check_eq!(why(running.ic().suspend()), Err(Why::BadState))?;
    // Killing the dead changes nothing, and is no error.
    check_eq!(why(running.ic().kill()), Ok(()))?;
    check_eq!(running.ic().wait()?, code(0))?;
    // Nobody can wait twice.
    check_eq!(why(running.ic().wait().map(drop)), Err(Why::Gone))
}

pub fn a_suspended_ic_stands_still_until_it_is_resumed(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
    for _ in 0..3 {
        page.until_not(0, page.get(0))?;
        ic.ic().suspend()?;
        check_eq!(ic.ic().stat()?, IcState::Suspended)?;
        let stopped = page.get(0);
        for _ in 0..20 {
            xos::thread::yield_now();
        }
        check_eq!(page.get(0), stopped)?;
        ic.ic().resume()?;
        page.until_not(0, stopped)?;
    }
    page.set(1, 1);
    check_eq!(ic.wait()?, code(0))
}

pub fn who_is_killed_ends_as_killed_and_only_once(lab: &Lab) -> Outcome {
    let region = Region::new(1)?;
    let page = Page::new(&region)?;
    for suspended in [false, true] {
        let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
        if suspended {
            ic.ic().suspend()?;
        }
        ic.ic().kill()?;
        ic.ic().kill()?;
        check_eq!(ic.ic().stat()?, IcState::Dead)?;
        check_eq!(ic.wait()?, ExitStatus::Killed)?;
    }
    if !lab.within {
        let ready = lab.make(Task::NOTHING)?;
        ready.ic().kill()?;
        check_eq!(ready.wait()?, ExitStatus::Killed)?;
    }
    Ok(())
}

pub fn many_ics_live_at_once_and_end_in_any_order(lab: &Lab) -> Outcome {
    const MANY: usize = 10;
    let regions = (0..MANY)
        .map(|_| Region::new(1))
        .collect::<Result<heapless::Vec<_, MANY>, _>>()?;
    let mut all = heapless::Vec::<(Page<'_>, Option<Specimen>), MANY>::new();
    for region in &regions {
        let page = Page::new(region)?;
        let ic = lab.launch_with(&page, tasks::SPIN, 0)?;
        let _ = all.push((page, Some(ic)));
    }
    for (page, _) in &all {
        page.until_not(0, 0)?;
    }
    // 3 is no divisor of the count: each once.
    for turn in 0..MANY {
        let (page, ic) = &mut all[turn * 3 % MANY];
        page.set(1, 1);
        let Some(ic) = ic.take() else {
            return check!(false, "twice the same");
        };
        check_eq!(ic.wait()?, code(0))?;
    }
    Ok(())
}

pub fn a_hundred_lives_leave_nothing_behind(lab: &Lab) -> Outcome {
    // The first makes what stays: tables above the window of an IC within this program, say.
    check_eq!(lab.run(tasks::RETURN, 0, 0)?, code(0))?;
    settle()?;
    let slots = xos::available_slots();
    let budget = xos::manager().budget(Subject::Myself)?;
    for life in 0..100 {
        check_eq!(lab.run(tasks::RETURN, life, 0)?, code(life as i32))?;
    }
    settle()?;
    check_eq!(xos::manager().budget(Subject::Myself)?, budget)?;
    check_eq!(xos::available_slots(), slots)
}

pub fn requests_that_make_no_sense_are_refused(lab: &Lab) -> Outcome {
    let budget = xos::manager().budget(Subject::Myself)?;
    if lab.way != Way::Created {
        let spawn = |factory: &Factory, stack| {
            let entry = Entry {
                ip: 0,
                argument: 0,
                handle: 0,
                stack,
                pager: 0,
            };
            factory.spawn(entry).map(drop).map_err(|error| error.why)
        };
        check!(spawn(&lab.factory, 0).is_err())?;
        check!(spawn(&lab.factory, u16::MAX).is_err())?;
        if lab.within {
            // The client did not consent to ICs within it.
            check_eq!(spawn(&xos::factory(lab.name)?, 1), Err(Why::NoConsent))?;
        }
    } else {
        let why = |spec: Spec| lab.factory.create(&spec).map(drop).map_err(|e| e.why);
        check_eq!(why(Spec::image("nothing of this name")), Err(Why::NoImage))?;
        check!(why(Spec::image("")).is_err())?;
        check!(
            why(Spec::image("etc/factory")).is_err(),
            "text was taken for a program"
        )?;
        check!(why(Spec::image("../../bin")).is_err())?;
        check!(why(spec(Task::NOTHING).cspace_radix(3)).is_err())?;
        check!(why(spec(Task::NOTHING).cspace_radix(200)).is_err())?;
        check!(why(spec(Task::NOTHING).stack(MiB(1024))).is_err())?;
        // Less than its image takes, and more than there is.
        check!(why(spec(Task::NOTHING).memory(KiB(8))).is_err())?;
        check_eq!(
            why(spec(Task::NOTHING).memory(MiB(1 << 20))),
            Err(Why::OverBudget)
        )?;
    }
    check_eq!(xos::manager().budget(Subject::Myself)?.spent, budget.spent)?;
    lab.still_works()
}
