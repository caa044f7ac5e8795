// SPDX-License-Identifier: BSD-2-Clause
//! Cases that run a kernel in a whole machine.

use crate::machine::Machine;
use crate::pc::{Pc, Ran, failed};
use vm_factory::machine::{End, reason};
use xos_test_kit::{Outcome, check, check_eq};

pub fn a_kernel_comes_up_and_does_what_its_command_line_says(m: &mut Machine<'_>) -> Outcome {
    Pc::new(m)?.expect(
        m,
        "info; say hello",
        "",
        &[
            "guest: up, with 8192 KiB of memory",
            "memory 8192 KiB, hypervisor xOSonseL4VM, version 2",
            "hello",
        ],
    )
}

/// The number in the only line that begins and ends so.
fn number(ran: &Ran, begin: &str, end: &str) -> Outcome<u32> {
    let mut lines = ran.output.lines();
    let text = lines.find_map(|line| line.strip_prefix(begin)?.strip_suffix(end));
    Ok(text.ok_or_else(|| failed(ran, begin))?.parse()?)
}

pub fn a_guests_timer_ticks_as_often_as_it_wants_even_while_it_spins(
    m: &mut Machine<'_>,
) -> Outcome {
    let ran = Pc::new(m)?.run(m, "tick 20; spin 5; tick 1", "")?;
    let took = number(&ran, "20 ticks in ", " ms")?;
    check!((190..=215).contains(&took), "20 ticks of 10 ms took {took} ms")?;
    check!(ran.output.contains("spun for 5 ticks\r\n"))?;
    check_eq!(ran.end, End::PowerOff(0))
}

pub fn a_guest_has_paging_and_exceptions_of_its_own(m: &mut Machine<'_>) -> Outcome {
    Pc::new(m)?.expect(
        m,
        "faults; pages 100; unpaged; pages 100",
        "",
        &[
            "divide: exception 0, error 0, address 0",
            "opcode: exception 6, error 0, address 0",
            "no such segment: exception 13, error 60, address 0",
            "no page: exception 14, error 0, address d0000000",
            "read only: exception 14, error 3, address c0258000",
            "writable again: nothing",
            "unmapped: exception 14, error 0, address c0258000",
            "100 pages supplied, 0 wrong",
            "paging was off, and is on again: all is there",
            "100 pages supplied, 0 wrong",
        ],
    )
}

pub fn what_is_typed_to_a_guest_comes_back(m: &mut Machine<'_>) -> Outcome {
    let lines = ["guest> say once", "once", "guest> echo", "twice", "you said: twice"];
    Pc::new(m)?.expect(m, "", "say once\recho\rtwice\roff 0\r", &lines)
}

pub fn hypercalls_are_answered_and_bad_ones_refused(m: &mut Machine<'_>) -> Outcome {
    let lines = ["by hypercall", "version 2, written 13", "20 of 20 bad calls refused"];
    Pc::new(m)?.expect(m, "calls", "", &lines)
}

pub fn each_end_of_a_machine_is_told_for_what_it_is(m: &mut Machine<'_>) -> Outcome {
    let pc = Pc::new(m)?;
    for (line, is_right) in [
        ("off 7", (|end| end == End::PowerOff(7)) as fn(End) -> bool),
        ("die call", |end| end == End::PowerOff(42)),
        ("die acpi", |end| end == End::PowerOff(0)),
        ("die reset", |end| end == End::Reset),
        ("die halt", |end| matches!(end, End::Halted(_))),
        ("die triple", |end| matches!(end, End::TripleFault(_))),
        ("die real", |end| matches!(end, End::RealMode(_))),
        ("die bad table", |end| {
            matches!(end, End::NoMemory { address: 0xffff_f000.., .. })
        }),
        ("die task", |end| matches!(end, End::Unsupported { reason: reason::TASK_SWITCH, .. })),
        ("die spin", |end| end == End::Stopped),
        ("die storm", |end| end == End::Stopped),
    ] {
        let ran = pc.run(m, line, "")?;
        if !is_right(ran.end) {
            return Err(failed(&ran, line));
        }
    }
    Ok(())
}

pub fn addresses_outside_of_a_guests_memory_end_it(m: &mut Machine<'_>) -> Outcome {
    let pc = Pc::new(m)?;
    // Behind its end, where a PC has devices, and the last byte.
    for (line, wanted) in [
        ("die at 0x800000", 0x80_0000),
        ("die at 0xa00000", 0xa0_0000),
        ("die at 0x40000000", 0x4000_0000),
        ("die at 0xfec00000", 0xfec0_0000),
        ("die at 0xfee01000", 0xfee0_1000),
        ("die at 0xfffffffc", 0xffff_fffc),
    ] {
        let ran = pc.run(m, line, "")?;
        if !matches!(ran.end, End::NoMemory { address, .. } if address == wanted) {
            return Err(failed(&ran, line));
        }
    }
    Ok(())
}

pub fn every_port_is_the_boards_and_the_machine_survives_all(m: &mut Machine<'_>) -> Outcome {
    let ran = Pc::new(m)?.run(m, "ports; tick 2", "")?;
    // Two interrupt controllers with what they are triggered by, the timer's counters and gate, the clock's
    // data, the serial port, the keyboard controller's state, and the address line.
    let answering = number(&ran, "", " ports answer")?;
    check!((8..=24).contains(&answering), "{answering} ports answer")?;
    check!(ran.output.contains("2 ticks in "))?;
    check_eq!(ran.end, End::PowerOff(0))
}

pub fn registers_of_a_model_are_those_that_work_and_no_other(m: &mut Machine<'_>) -> Outcome {
    let lines = ["registers: 17 8b 174 175 176 1a0, of 16911 tried"];
    Pc::new(m)?.expect(m, "msrs", "", &lines)
}

pub fn what_a_guest_learns_of_its_processor_is_what_there_is_for_it(
    m: &mut Machine<'_>,
) -> Outcome {
    let lines = ["leaves: 0 1 40000000 80000000 80000002 80000003 80000004; 0 of others"];
    Pc::new(m)?.expect(m, "leaves", "", &lines)
}

pub fn any_bit_of_a_control_register_is_taken_or_refused(m: &mut Machine<'_>) -> Outcome {
    let lines = ["refused: 0 of CR0, 21 of CR4; all is as it was", "paging was off, and is on again: all is there"];
    Pc::new(m)?.expect(m, "control; unpaged", "", &lines)
}

/// The guest does something of which it says this, and then ticks.
fn survives(m: &mut Machine<'_>, line: &str, wanted: &str) -> Outcome {
    let ran = Pc::new(m)?.run(m, line, "")?;
    for wanted in [wanted, "2 ticks in "] {
        if !ran.output.contains(wanted) {
            return Err(failed(&ran, wanted));
        }
    }
    check_eq!(ran.end, End::PowerOff(0))
}

pub fn malformed_descriptors_are_refused_and_harm_nobody(m: &mut Machine<'_>) -> Outcome {
    survives(m, "tables; tick 2", " selectors refused, ")
}

pub fn a_storm_of_interrupts_passes(m: &mut Machine<'_>) -> Outcome {
    survives(m, "storm 2000; tick 2", "2000 software interrupts, and the timer's\r\n")
}

pub fn code_that_changes_itself_is_what_it_was_changed_to(m: &mut Machine<'_>) -> Outcome {
    survives(m, "selfmod 1000; tick 2", "1000 times modified, 0 wrong\r\n")
}

pub fn a_guest_that_executes_anything_ends_or_does_not(m: &mut Machine<'_>) -> Outcome {
    let pc = Pc::new(m)?;
    for line in ["die random 1", "die random 2", "die random 3", "die random 4"] {
        // However it ends, it is told, and the next one runs.
        let ran = pc.run(m, line, "")?;
        check!(ran.output.contains("guest: up"), "{}", ran.end)?;
    }
    pc.expect(m, "say still here", "", &["still here"])
}
