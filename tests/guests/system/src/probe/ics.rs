// SPDX-License-Identifier: BSD-2-Clause
//! Cases about what a program does with other ICs: memory, budgets, services, connections.

use alloc::format;
use alloc::vec::Vec;

use test_system::{PROBE, SHARED};
use xos::protocol::ic::FaultKind;
use xos::protocol::manager::{Budget, Rights};
use xos::protocol::{Error, Subject, Who};
use xos::region::Region;
use xos::server::{Deferred, Outcome as Answered, Reply, Request, Server};
use xos::service::Listener;
use xos::{ExitStatus, Fault, Ic, KiB, MiB, Spec, service, thread};
use xos_test_kit::{check, check_eq};

use super::*;

/// A program that plays a part.
fn part(words: &[&str]) -> Spec {
    let words = ["part"].into_iter().chain(words.iter().copied());
    Spec::image(PROBE).args(words).memory(KiB(512))
}

fn budget() -> Outcome<Budget> {
    Ok(xos::manager().budget(Subject::Myself)?)
}

pub fn a_region_is_shared_with_a_child_and_taken_back(_: &mut ()) -> Outcome {
    let processes = xos::factory("process")?;
    share_and_take_back(&processes)?;
    // Once for what is made once: the session with the timer, paging structures.
    let before = budget()?;
    share_and_take_back(&processes)?;
    check_eq!(budget()?, before)
}

fn share_and_take_back(processes: &xos::Factory) -> Outcome {
    let region = Region::new(2)?;
    let mapping = region.map(Rights::RW)?;
    let word = mapping.start().cast::<u64>();
    // SAFETY: two pages are mapped there, and words are read and written whole.
    let read = || unsafe { word.read_volatile() };
    // SAFETY: as above.
    let write = |value| unsafe { word.write_volatile(value) };

    // Both write, and each reads what the other wrote.
    let child = processes.create(&part(&["answer"]))?;
    region.share(child.id(), SHARED, Rights::RW)?;
    write(20);
    child.start()?;
    check_eq!(child.wait()?, ExitStatus::Code(20))?;
    check_eq!(read(), 21)?;

    // Who may only read cannot write.
    let child = processes.create(&part(&["answer"]))?;
    region.share(child.id(), SHARED, Rights::R)?;
    child.start()?;
    let status = child.wait()?;
    check!(
        matches!(
            status,
            ExitStatus::Fault(Fault {
                kind: FaultKind::Write(SHARED),
                ..
            })
        ),
        "{status}"
    )?;
    check_eq!(read(), 21)?;

    // What was taken back is gone from the one, while the other still has it.
    let child = processes.create(&part(&["watch"]))?;
    region.share(child.id(), SHARED, Rights::RW)?;
    write(0);
    child.start()?;
    until(|| Ok(read() != 0))?;
    region.unshare(child.id())?;
    let status = child.wait()?;
    check!(
        matches!(
            status,
            ExitStatus::Fault(Fault {
                kind: FaultKind::Write(SHARED) | FaultKind::Read(SHARED),
                ..
            })
        ),
        "{status}"
    )?;
    check!(read() != 0)?;

    // Nobody maps it into a stranger.
    let stranger = xos::IcId::new(1, 0).ok_or("no id")?;
    check!(region.share(stranger, SHARED, Rights::R).is_err())
}

pub fn a_region_larger_than_the_budget_is_refused(_: &mut ()) -> Outcome {
    let before = budget()?;
    let left = (before.quota - before.spent) as u32;
    for pages in [left + 1, 1 << 20, (1 << 24) - 1] {
        let refused = Region::new(pages).map_err(|error| error.why).err();
        // There may be no piece of memory of that size in the machine either.
        check!(
            matches!(refused, Some(Error::OverBudget | Error::NoMemory)),
            "{pages}: {refused:?}"
        )?;
    }
    check_eq!(budget()?, before)
}

pub fn ics_beyond_the_budget_are_refused_and_the_rest_lives(_: &mut ()) -> Outcome {
    let processes = xos::factory("process")?;
    drop(processes.create(&Spec::image("hello"))?);
    let before = budget()?;
    let mut all = Vec::<Ic>::new();
    let refusal = loop {
        match processes.create(&Spec::image("nothing").memory(KiB(128))) {
            Ok(ic) => all.push(ic),
            Err(error) => break error,
        }
        check!(all.len() <= before.ics_left as usize, "there is no end")?;
    };
    check_eq!(refusal.why, Error::OverBudget)?;
    check!(all.len() > 20, "{}", all.len())?;
    for ic in &all {
        ic.start()?;
        check_eq!(ic.wait()?, ExitStatus::Code(0))?;
    }
    drop(all);
    check_eq!(budget()?, before)?;
    // A child of a child draws on the child's budget, not on ours.
    let child = processes.create(&part(&["greedy"]).memory(MiB(1)).ics(100))?;
    child.start()?;
    let over = ExitStatus::Code(Error::OverBudget.label() as i32);
    check_eq!(child.wait()?, over)?;
    check_eq!(budget()?, before)
}

pub fn a_service_is_registered_once_and_found_by_name(_: &mut ()) -> Outcome {
    let missing = service::open("not there").err().map(|error| error.why);
    check_eq!(missing, Some(Error::NotFound))?;
    let listener = service::register("probe")?;
    for name in ["probe", "process", "console"] {
        let taken = service::register(name).err().map(|error| error.why);
        check_eq!(taken, Some(Error::NameTaken))?;
    }
    let client = thread::spawn(|| -> Outcome {
        let session = service::open("probe")?;
        check_eq!(session.call(7, [1, 2, 3])?.words[..3], [6, 7, 0])
    })?;
    let mut once = Once(None);
    listener.serve_while(&mut once, |once| once.0.is_none());
    client.join()?
}

/// Answers with the sum of the words and the label, and remembers who asked.
struct Once(Option<Who>);

impl Server for Once {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        _: &mut Deferred<'_>,
    ) -> Answered {
        self.0 = Some(who);
        reply.ok(&[request.words().iter().sum(), request.label()])
    }
}

pub fn a_connection_carries_the_badge_that_the_manager_gave_it(_: &mut ()) -> Outcome {
    let processes = xos::factory("process")?;
    let endpoint = service::endpoint()?;
    let mut indices = Vec::new();
    for _ in 0..3 {
        let child = processes.create(&part(&["ring"]).channel("other").channel("door"))?;
        let index = child.connect(endpoint, 1)?;
        indices.push(index);
        // The place is taken.
        let again = child.connect(endpoint, 1).err().map(|error| error.why);
        check_eq!(again, Some(Error::BadSlot))?;
        child.start()?;
        let mut once = Once(None);
        Listener::new(endpoint).serve_while(&mut once, |once| once.0.is_none());
        check_eq!(once.0, Some(Who::Session(index)))?;
        check_eq!(child.wait()?, ExitStatus::Code(33))?;
    }
    // None is given out again before its end was read of.
    check!(indices[0] != indices[1] && indices[1] != indices[2])
}

pub fn a_server_that_dies_leaves_no_caller_waiting(_: &mut ()) -> Outcome {
    let processes = xos::factory("process")?;
    // By a crash, by an end, and by being killed.
    for how in ["crash", "exit", "kill"] {
        let name = format!("mortal-{how}");
        let server = processes.create(&part(&["serve", &name, how]))?;
        server.start()?;
        until(|| match service::open(&name) {
            Ok(_) => Ok(true),
            Err(error) if error.why == Error::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        })?;
        // One is served, the others stand behind it.
        let callers = (0..4)
            .map(|_| {
                let name = name.clone();
                thread::spawn(move || -> Outcome<Option<Error>> {
                    let session = service::open(&name)?;
                    Ok(session.call(1, []).err().map(|error| error.why))
                })
            })
            .collect::<xos::Result<Vec<_>>>()?;
        xos::timer::sleep(20 * MS)?;
        if how == "kill" {
            server.kill()?;
        }
        for caller in callers {
            let error = caller.join()??;
            check!(
                matches!(error, Some(Error::ServerDied | Error::Gone)),
                "{how}: {error:?}"
            )?;
        }
        server.wait()?;
        let gone = service::open(&name).err().map(|error| error.why);
        check_eq!(gone, Some(Error::NotFound))?;
    }
    Ok(())
}
