// SPDX-License-Identifier: BSD-2-Clause
//! A machine whose monitor is killed at each of its entries into the kernel, from its first to its last.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;

use sel4_sys::steps::{STAND, Steps};
use xos_protocol::manager::{Payer, RegionCreate, Rights, Share};
use xos_protocol::{ExitStatus, IcState, RegionId, Subject};
use xos_test_judge::{MANAGER, TIMER};
use xos_test_kit::{Outcome, check, check_eq};

use crate::{Machine, create_by, free, start};

/// Where this program has the page, and where the monitor has it.
const STEPS: u64 = 0x3000_0000_0000;
const STEPS_IN_MONITOR: u64 = 0x2000_0000_0000;
/// Steps that are taken by no run of that kernel.
const TOO_MANY: u64 = 2000;
/// Machines that are killed between two looks at the one beside them.
const ROUND: u64 = 20;
/// What the small kernel powers off with, whose life is followed: it writes, talks to the IC manager, has an endpoint
/// made, and looks at a port and at its processor.
const OFF: ExitStatus = ExitStatus::Code(9);

fn share(region: RegionId, target: Subject, address: u64) -> Outcome {
    Ok(MANAGER.share(&Share {
        region,
        target,
        address,
        rights: Rights::RW,
    })?)
}

/// What became of a machine whose monitor was to stand still at a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It was killed there.
    Killed,
    /// It stood there, and had come to its end when it was to be killed: that was a thread which waits for others, and
    /// not the one that runs the guest.
    Outlived,
    /// It took no such step.
    Passed,
}

/// Runs the small kernel until its monitor stands still, and kills it there.
fn killed_at(step: u64, steps: &Steps, region: RegionId) -> Outcome<End> {
    let machine: Machine = create_by("vm-steps", 0, "etc/small", "", 6 << 20)?;
    share(region, Subject::Ic(machine.id), STEPS_IN_MONITOR)?;
    steps.taken.store(0, SeqCst);
    steps.standing.store(0, SeqCst);
    steps.at.store(step, SeqCst);
    machine.handle.start()?;
    for _ in 0..5000 {
        if steps.standing.load(SeqCst) != 0 {
            match step % 2 {
                0 => machine.handle.kill()?,
                // By somebody whom neither its factory nor its client expects.
                _ => drop(MANAGER.destroy(machine.id)?),
            }
            let status = machine.handle.wait();
            return match status {
                Ok(ExitStatus::Killed) | Err(xos_protocol::Error::Gone) => Ok(End::Killed),
                Ok(OFF) => Ok(End::Outlived),
                _ => check!(false, "at step {step}: {status:?}").map(|()| End::Killed),
            };
        }
        let state = MANAGER.stat(Subject::Ic(machine.id)).map(|ic| ic.state);
        if !matches!(state, Ok(IcState::Ready | IcState::Running)) {
            check_eq!(machine.handle.wait()?, OFF)?;
            return Ok(End::Passed);
        }
        TIMER.sleep(Duration::from_millis(1))?;
    }
    check!(false, "neither killed nor ended at step {step}").map(|()| End::Passed)
}

pub fn a_monitor_killed_at_each_of_its_steps_harms_its_own_machine_only(_: &mut ()) -> Outcome {
    let region = MANAGER.region_create(&RegionCreate {
        payer: Payer::Myself,
        pages: 1,
        large: false,
        place: 0,
    })?;
    share(region, Subject::Myself, STEPS)?;
    let page = NonNull::new(STEPS as *mut Steps).ok_or("no page")?;
    // SAFETY: the region is mapped there for as long as this case runs, zeroed, and all fields are atomic.
    let steps = unsafe { page.as_ref() };
    steps.deed.store(STAND, SeqCst);
    // One that is left alone: all images are loaded then.
    check_eq!(killed_at(0, steps, region)?, End::Passed)?;
    let all = steps.taken.load(SeqCst);
    check!((50..TOO_MANY).contains(&all), "{all} steps")?;
    let before = free()?;
    let mut beside = start(1, "tick 20; count 1000; off 5")?;
    let (mut step, mut outlived) = (1, 0);
    loop {
        match killed_at(step, steps, region)? {
            End::Killed => {}
            End::Outlived => outlived += 1,
            End::Passed => break,
        }
        step += 1;
        check!(step < TOO_MANY, "it does not end")?;
        if step % ROUND == 0 {
            check_eq!(beside.handle.wait()?, ExitStatus::Code(5))?;
            beside = start(1, "tick 20; count 1000; off 5")?;
        }
    }
    // Threads take turns, so that not every run has the same number of steps; but about.
    check!(step > all / 2, "{step} of {all} steps")?;
    // Those who wait take few: one entry to wait, and one more when there is something.
    check!(outlived < step / 8, "{outlived} of {step} steps")?;
    check_eq!(beside.handle.wait()?, ExitStatus::Code(5))?;
    check_eq!(free()?, before)?;
    Ok(MANAGER.region_destroy(region)?)
}
