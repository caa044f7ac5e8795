// SPDX-License-Identifier: BSD-2-Clause
//! How processes live, what is refused, and what remains of them: nothing.

use xos_protocol::IcState;
use xos_protocol::factory::When;
use xos_protocol::ic::{Fault, FaultKind};
use xos_test_kit::check_eq;

use super::*;

pub fn a_process_is_made_started_and_waited_for(t: &mut Tester) -> Outcome {
    let job = t.start("hello", "hello\0world\0")?;
    check_eq!(t.wait(job)?, ExitStatus::Code(0))
}

pub fn exit_codes_arrive_as_they_were_given(t: &mut Tester) -> Outcome {
    for (text, code) in [
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("255", 255),
        ("256", 256),
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
    ] {
        let mut arguments = heapless::String::<64>::new();
        for word in ["hello", "--exit", text] {
            arguments.push_str(word).map_err(|_| "too long")?;
            arguments.push('\0').map_err(|_| "too long")?;
        }
        check_eq!(t.run("hello", &arguments)?, ExitStatus::Code(code))?;
    }
    Ok(())
}

pub fn a_process_goes_through_the_states_of_its_life(t: &mut Tester) -> Outcome {
    let job = t.make(&Spec {
        image: "crash",
        arguments: "crash\0spin\0",
        ..Spec::default()
    })?;
    let handle = job.handle();
    check_eq!(handle.stat()?, (IcState::Ready, job.id))?;
    check_eq!(t.manager.stat(Subject::Ic(job.id))?.state, IcState::Ready)?;
    handle.start()?;
    check_eq!(handle.stat()?.0, IcState::Running)?;
    handle.suspend()?;
    check_eq!(handle.stat()?.0, IcState::Suspended)?;
    check_eq!(
        t.manager.stat(Subject::Ic(job.id))?.state,
        IcState::Suspended
    )?;
    handle.resume()?;
    check_eq!(handle.stat()?.0, IcState::Running)?;
    handle.kill()?;
    check_eq!(handle.stat()?.0, IcState::Dead)?;
    check_eq!(t.wait(job)?, ExitStatus::Killed)
}

pub fn a_process_that_was_never_started_can_be_killed(t: &mut Tester) -> Outcome {
    t.level(|t| {
        let job = t.make(&Spec {
            image: "hello",
            ..Spec::default()
        })?;
        check_eq!(t.kill(job)?, ExitStatus::Killed)
    })
}

pub fn what_the_state_of_a_process_does_not_allow_is_refused(t: &mut Tester) -> Outcome {
    let job = t.start("crash", "crash\0spin\0")?;
    let handle = job.handle();
    check_eq!(handle.start(), Err(Error::BadState))?;
    check_eq!(handle.resume(), Err(Error::BadState))?;
    handle.suspend()?;
    check_eq!(handle.suspend(), Err(Error::BadState))?;
    // It computes.
    check_eq!(handle.snapshot(When::Now), Err(Error::BadState))?;
    check_eq!(handle.clone_to(1), Err(Error::BadState))?;
    handle.kill()?;
    // To kill what has ended is no error: it has the state that was wanted.
    handle.kill()?;
    check_eq!(handle.resume(), Err(Error::BadState))?;
    check_eq!(t.wait(job)?, ExitStatus::Killed)
}

pub fn a_handle_is_gone_when_its_process_has_been_waited_for(t: &mut Tester) -> Outcome {
    let job = t.start("nothing", "")?;
    let handle = job.handle();
    check_eq!(t.wait(job)?, ExitStatus::Code(0))?;
    check_eq!(handle.wait(), Err(Error::Gone))?;
    check_eq!(handle.kill(), Err(Error::Gone))?;
    check_eq!(handle.stat(), Err(Error::Gone))
}

pub fn a_watcher_is_told_of_an_end_before_and_after_it(t: &mut Tester) -> Outcome {
    let notification = cap::Notification::from_bits(domain::NOTIFICATION);
    let job = t.start("crash", "crash\0spin\0")?;
    t.manager.watch(Subject::Ic(job.id), 0)?;
    let _ = notification.poll();
    job.handle().kill()?;
    notification.wait();
    // It has ended: who asks now is told at once.
    t.manager.watch(Subject::Ic(job.id), 0)?;
    notification.wait();
    check_eq!(t.wait(job)?, ExitStatus::Killed)
}

pub fn an_id_is_never_given_out_again(t: &mut Tester) -> Outcome {
    let mut last = IcId::NONE;
    let mut first = None;
    for _ in 0..50 {
        let job = t.start("nothing", "")?;
        check!(job.id > last && job.id.serial() > last.serial())?;
        last = job.id;
        let first = *first.get_or_insert(job.id);
        t.wait(job)?;
        check_eq!(t.manager.stat(Subject::Ic(first)).err(), Some(Error::Gone))?;
        check_eq!(t.manager.destroy(first), Err(Error::Gone))?;
    }
    Ok(())
}

pub fn an_image_that_is_not_there_is_an_error_and_costs_nothing(t: &mut Tester) -> Outcome {
    for image in ["nosuch", "", "../hello", "bin", "/bin/hello"] {
        t.level(|t| {
            let slot = t.slot()?;
            let made = t.processes.create(
                slot,
                &Spec {
                    image,
                    ..Spec::default()
                },
            );
            t.slots.give(slot);
            check!(made == Err(Error::NoImage), "{image:?}: {made:?}")
        })?;
    }
    Ok(())
}

pub fn an_image_that_is_no_program_is_an_error_and_costs_nothing(t: &mut Tester) -> Outcome {
    for image in ["etc/text", "etc/empty", "etc/truncated"] {
        t.level(|t| {
            let slot = t.slot()?;
            let made = t.processes.create(
                slot,
                &Spec {
                    image,
                    ..Spec::default()
                },
            );
            t.slots.give(slot);
            check!(made == Err(Error::BadImage), "{image:?}: {made:?}")
        })?;
    }
    Ok(())
}

macro_rules! images {
    (refused: [$($refused:ident),* $(,)?], run: [$($run:ident),* $(,)?] $(,)?) => {
        (
            &[$(concat!("elf/", stringify!($refused))),*],
            &[$(concat!("elf/", stringify!($run))),*],
        )
    };
}

/// Images that nobody's linker makes: those that are refused, and those that run.
const IMAGES: (&[&str], &[&str]) = include!("../images.rs");

pub fn hostile_images_are_errors_and_change_nothing(t: &mut Tester) -> Outcome {
    for image in IMAGES.0 {
        t.level(|t| {
            let slot = t.slot()?;
            let spec = Spec {
                image,
                memory: MEMORY,
                ..Spec::default()
            };
            let made = t.processes.create(slot, &spec);
            t.slots.give(slot);
            check!(made == Err(Error::BadImage), "{image}: {made:?}")
        })?;
    }
    check_eq!(t.run("hello", "")?, ExitStatus::Code(0))
}

pub fn strange_images_run_and_harm_nobody(t: &mut Tester) -> Outcome {
    for image in IMAGES.1 {
        let run = |t: &mut Tester| {
            let status = t.run(image, "")?;
            let illegal = matches!(
                status,
                ExitStatus::Fault(Fault {
                    kind: FaultKind::Exception(6),
                    ..
                })
            );
            check!(illegal, "{image}: {status}")
        };
        // Once for what is made once: its pages are loaded.
        run(t)?;
        t.level(run)?;
    }
    check_eq!(t.run("hello", "")?, ExitStatus::Code(0))
}

pub fn a_slot_that_is_occupied_is_refused_and_nothing_is_made(t: &mut Tester) -> Outcome {
    let spec = Spec {
        image: "hello",
        ..Spec::default()
    };
    let job = t.make(&spec)?;
    t.level(|t| {
        check_eq!(t.processes.create(job.slot, &spec), Err(Error::BadSlot))?;
        check_eq!(t.processes.create(0, &spec), Err(Error::BadSlot))?;
        check_eq!(t.processes.create(4096, &spec), Err(Error::BadSlot))
    })?;
    t.kill(job).map(drop)
}

pub fn more_than_the_payer_has_is_refused_and_nothing_is_made(t: &mut Tester) -> Outcome {
    let left = t.manager.budget(Subject::Myself)?;
    let left = (left.quota - left.spent) * 4096;
    for memory in [left + 4096, 1 << 35, 1 << 40, u64::MAX] {
        t.level(|t| {
            let slot = t.slot()?;
            let spec = Spec {
                image: "hello",
                memory,
                ..Spec::default()
            };
            let made = t.processes.create(slot, &spec);
            t.slots.give(slot);
            check!(made == Err(Error::OverBudget), "{memory}: {made:?}")
        })?;
    }
    Ok(())
}

pub fn a_process_that_uses_more_than_its_budget_faults_alone(t: &mut Tester) -> Outcome {
    let eat = |t: &mut Tester| {
        let other = t.start("crash", "crash\0spin\0")?;
        let job = t.make(&Spec {
            image: PROBE,
            arguments: "p\0part\0eat\0",
            memory: 512 << 10,
            stack: 16 << 20,
            ..Spec::default()
        })?;
        job.handle().start()?;
        let status = t.wait(job)?;
        check!(matches!(status, ExitStatus::Fault(_)), "{status}")?;
        check_eq!(other.handle().stat()?.0, IcState::Running)?;
        t.kill(other).map(drop)
    };
    eat(t)?;
    t.level(eat)
}

pub fn the_supervisor_ends_an_ic_and_its_waiter_learns_of_it(t: &mut Tester) -> Outcome {
    t.level(|t| {
        let mut job = t.start("crash", "crash\0spin\0")?;
        t.manager.destroy(job.id)?;
        // The handle went with it, or says how it ended: both are answers.
        let waited = job.handle().wait();
        check!(
            matches!(waited, Err(Error::Gone) | Ok(ExitStatus::Killed)),
            "{waited:?}"
        )?;
        t.gone(&mut job);
        Ok(())
    })
}

pub fn what_a_process_pays_for_ends_with_it(t: &mut Tester) -> Outcome {
    let family = |t: &mut Tester| {
        let job = t.start(PROBE, "p\0part\0family\0")?;
        let begin = t.timer.now()?;
        loop {
            let (mut all, mut within) = (0, 0);
            t.manager.each_ic(|ic| {
                all += u32::from(ic.payer == job.id);
                within += u32::from(ic.within == job.id);
            })?;
            if (all, within) == (6, 3) {
                break;
            }
            check!(
                t.timer.now()? < begin + PATIENCE,
                "{all} of its own, {within} within"
            )?;
            t.timer.sleep(MS)?;
        }
        check_eq!(t.kill(job)?, ExitStatus::Killed)
    };
    family(t)?;
    t.level(family)
}

pub fn a_key_value_service_and_its_clients_end_as_they_should(t: &mut Tester) -> Outcome {
    check_eq!(t.run("kv", "kv\0")?, ExitStatus::Code(0))?;
    t.level(|t| check_eq!(t.run("kv", "kv\0")?, ExitStatus::Code(0)))
}

pub fn threads_share_work_and_give_everything_back(t: &mut Tester) -> Outcome {
    let arguments = "parallel\x008\x0020000\0";
    check_eq!(t.run("parallel", arguments)?, ExitStatus::Code(0))?;
    t.level(|t| check_eq!(t.run("parallel", arguments)?, ExitStatus::Code(0)))
}

pub fn a_thousand_ics_are_alive_at_the_same_time(t: &mut Tester) -> Outcome {
    const COUNT: usize = 1000;
    let mut jobs = heapless::Vec::<Job, COUNT>::new();
    t.level(|t| {
        let before = t.manager.free()?.ics;
        for _ in 0..COUNT {
            let job = t.make(&Spec {
                image: PROBE,
                arguments: "p\0part\0yield\0",
                memory: 128 << 10,
                ics: 0,
                ..Spec::default()
            })?;
            job.handle().start()?;
            jobs.push(job).map_err(|_| "too many")?;
        }
        check_eq!(t.manager.free()?.ics, before + COUNT as u64)?;
        let (mut listed, mut running) = (0, 0);
        t.manager.each_ic(|ic| {
            listed += 1;
            running += u64::from(ic.state == IcState::Running && ic.name == Name::new(PROBE));
        })?;
        check_eq!(listed, before + COUNT as u64)?;
        check_eq!(running, COUNT as u64)?;
        for job in &jobs {
            check_eq!(job.handle().stat()?, (IcState::Running, job.id))?;
        }
        while let Some(job) = jobs.pop() {
            check_eq!(t.kill(job)?, ExitStatus::Killed)?;
        }
        Ok(())
    })
}

pub fn ten_thousand_processes_leave_all_exactly_as_it_was(t: &mut Tester) -> Outcome {
    t.run("nothing", "")?;
    let before = t.quiet()?;
    for round in 0..10_000 {
        let job = t.make(&Spec {
            image: "nothing",
            ..Spec::default()
        })?;
        job.handle().start()?;
        check_eq!(t.wait(job)?, ExitStatus::Code(0))?;
        if round % 1000 == 0 {
            check_eq!(t.manager.free()?, before)?;
        }
    }
    check_eq!(t.manager.free()?, before)
}
