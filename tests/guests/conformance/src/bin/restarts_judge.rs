// SPDX-License-Identifier: BSD-2-Clause
//! The judge of restarts: brings down each domain of the system in turn, and all of them again and again
//! under load, and sees to it that clients are told and go on.
#![no_std]
#![no_main]

#[path = "../judging.rs"]
#[allow(dead_code, reason = "no case here is the conformance suite's")]
mod judging;

use core::fmt::Write;

use judging::{HEAP_SIZE, Judge, Screen, power_off};
use sel4_microkit::{NullHandler, protection_domain};
use test_conformance::{BLOCKED, LOAD, WARM_UP};
use xos_protocol::{Error, IcId};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

const CASES: &[Case<Judge>] = include!("../../restarts.rs");

/// What is registered by the domains that can be restarted.
const SERVERS: [&str; 4] = ["process", "thread", "console", "timer"];

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> NullHandler {
    let mut judge = Judge::new();
    let passed = xos_test_kit::run(CASES, &mut judge, &mut Screen);
    power_off(passed)
}

/// Brings down the domain that serves a name: the server as it was.
fn bring_down(judge: &Judge, name: &str) -> Outcome<IcId> {
    let server = judge.server(name)?;
    judge.manager.destroy(server)?;
    Ok(server)
}

/// Whether everything that the system is for works.
fn all_work(judge: &mut Judge) -> Outcome {
    judge.examine_within("process", WARM_UP, |_, _| Ok(()))?;
    judge.examine_within("thread", WARM_UP, |_, _| Ok(()))?;
    let _ = writeln!(Screen, "the console works");
    let now = judge.now()?;
    check!(judge.now()? >= now)
}

fn each_domain_is_restarted_in_turn_and_serves_again(judge: &mut Judge) -> Outcome {
    all_work(judge)?;
    for name in SERVERS {
        let old = bring_down(judge, name)?;
        judge.successor(name, old)?;
        check_eq!(judge.manager.destroy(old), Err(Error::Gone))?;
        all_work(judge)?;
    }
    Ok(())
}

fn what_a_domain_had_is_back_when_it_has_restarted(judge: &mut Judge) -> Outcome {
    // Everything that instances load is loaded.
    all_work(judge)?;
    let before = judge.manager.free()?;
    for name in ["process", "thread"] {
        let old = bring_down(judge, name)?;
        judge.successor(name, old)?;
        all_work(judge)?;
        judge.all_is_back(before)?;
    }
    Ok(())
}

fn the_manager_cannot_be_brought_down(judge: &mut Judge) -> Outcome {
    let mut manager = IcId::NONE;
    judge.manager.each_ic(|ic| {
        if ic.name.as_str() == "ic_manager" {
            manager = ic.id;
        }
    })?;
    check_eq!(judge.manager.destroy(manager), Err(Error::NotAllowed))
}

/// Brings a server down while an examiner is blocked on it.
fn while_a_client_is_blocked(judge: &mut Judge, name: &str) -> Outcome {
    let old = judge.server(name)?;
    let mut turns = 0;
    judge.examine_within(name, BLOCKED, |judge, _| {
        turns += 1;
        if turns == 300 {
            judge.manager.destroy(old)?;
        }
        Ok(())
    })?;
    judge.successor(name, old)?;
    all_work(judge)
}

fn who_sleeps_when_the_timer_dies_gets_an_error_and_goes_on(judge: &mut Judge) -> Outcome {
    while_a_client_is_blocked(judge, "timer")
}

fn who_reads_when_the_console_dies_gets_an_error_and_goes_on(judge: &mut Judge) -> Outcome {
    while_a_client_is_blocked(judge, "console")
}

fn domains_die_again_and_again_under_load_and_clients_go_on(judge: &mut Judge) -> Outcome {
    let mut turns = 0_usize;
    let mut down = 0;
    judge.examine_within("thread", LOAD, |judge, _| {
        turns += 1;
        // Each of them once more, one after the other.
        if turns.is_multiple_of(20) && down < SERVERS.len() {
            let name = SERVERS[down];
            let old = bring_down(judge, name)?;
            judge.successor(name, old)?;
            down += 1;
        }
        Ok(())
    })?;
    check_eq!(down, SERVERS.len())?;
    all_work(judge)
}

fn a_domain_that_keeps_dying_is_not_there_at_once_and_nobody_hangs(judge: &mut Judge) -> Outcome {
    let mut restarts = 0;
    // The last time, nobody comes.
    while let Ok(old) = bring_down(judge, "thread") {
        restarts += 1;
        if judge.successor("thread", old).is_err() {
            break;
        }
        check!(restarts < 10, "it is started again and again")?;
    }
    check!(restarts > 0)?;
    check_eq!(judge.open("thread").map(drop), Err(Error::NotFound))?;
    judge.examine_within("process", WARM_UP, |_, _| Ok(()))
}
