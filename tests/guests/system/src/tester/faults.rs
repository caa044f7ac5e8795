// SPDX-License-Identifier: BSD-2-Clause
//! What programs die of, and what is reported of it. The ways to die, and what each should be reported
//! as, are those of the program `crash`.

use core::ops::Range;

use crash::{End, WAYS};
use xos_test_kit::check_eq;

use super::*;

/// Where programs have their code: behind the first page, which holds their constants.
const CODE: Range<u64> = 0x20_1000..0x30_0000;

/// Has a program die in each of these ways, and compares.
fn die(t: &mut Tester, names: &[&str]) -> Outcome {
    for name in names {
        let index = WAYS.iter().position(|way| way.name == *name);
        let index = index.ok_or("no such way")?;
        t.tried |= 1 << index;
        let mut arguments = heapless::String::<64>::new();
        for word in ["crash", name] {
            arguments.push_str(word).map_err(|_| "too long a name")?;
            arguments.push('\0').map_err(|_| "too long a name")?;
        }
        let job = t.start("crash", &arguments)?;
        let end = WAYS[index].end;
        if end == End::Killed {
            t.timer.sleep(20 * MS)?;
            job.handle().kill()?;
        }
        let status = t.wait(job)?;
        check!(end.is(status, CODE), "{name}: {status}, not {end:?}")?;
    }
    Ok(())
}

macro_rules! ways {
    ($($case:ident: $names:expr;)*) => {
        $(pub fn $case(t: &mut Tester) -> Outcome {
            die(t, &$names)
        })*
    };
}

ways! {
    null_pointers_are_reported_exactly: ["null", "null-read", "null-call"];
    accesses_to_where_nothing_is_are_reported_exactly: ["read", "write", "jump"];
    accesses_to_the_kernels_memory_are_reported_exactly:
        ["kernel-read", "kernel-write", "kernel-jump"];
    writes_to_constants_and_code_are_reported_exactly: ["write-constant", "write-code"];
    data_is_executed_as_the_documentation_says: ["execute-data"];
    a_stack_overflow_is_reported_exactly: ["stack"];
    addresses_that_are_none_are_reported_exactly:
        ["non-canonical", "non-canonical-jump", "unaligned"];
    illegal_and_privileged_instructions_are_reported_exactly:
        ["illegal", "linux", "privileged", "interrupts", "port", "interrupt"];
    divisions_by_zero_are_reported_exactly: ["divide", "divide-overflow", "float"];
    breakpoints_and_steps_are_reported_exactly: ["breakpoint", "step"];
    panics_are_reported_as_panics: ["panic", "abort", "memory"];
    a_capability_that_is_not_there_is_reported_exactly: ["capability"];
    a_system_call_that_is_none_is_reported_exactly: ["syscall"];
    what_does_not_end_by_itself_is_killed: ["spin", "sleep", "wait"];
}

pub fn every_way_to_die_was_tried(t: &mut Tester) -> Outcome {
    die(t, &["exit", "exit-negative"])?;
    check_eq!(t.tried, (1 << WAYS.len()) - 1)
}

pub fn a_fault_message_that_was_made_up_harms_its_maker_alone(t: &mut Tester) -> Outcome {
    t.run(PROBE, "p\0part\0lie\0")?;
    t.level(|t| {
        let status = t.run(PROBE, "p\0part\0lie\0")?;
        check!(
            matches!(status, ExitStatus::Fault(_) | ExitStatus::Code(0)),
            "{status}"
        )
    })?;
    check_eq!(t.run("hello", "")?, ExitStatus::Code(0))
}
