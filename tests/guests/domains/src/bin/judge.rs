// SPDX-License-Identifier: BSD-2-Clause
//! Runs the cases of the system without a manager.
#![no_std]
#![no_main]

use sel4::{Fault, cap};
use sel4_microkit::{
    Channel, Child, Handler, IoPort, MessageInfo, NullHandler, abi, get_mr, panicking,
    protection_domain, set_mr,
};
use test_domains::{Ask, Deed, HEAP_SIZE, Note, Serial, got, power_off, read, until, write};
use xos_protocol::Error;
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

const SERVERS: [Channel; 15] = {
    let mut channels = [Channel::new(0); 15];
    let mut index = 0;
    while index < channels.len() {
        channels[index] = Channel::new(index);
        index += 1;
    }
    channels
};
/// The server that survives all cases but those about it.
const SERVER: Channel = SERVERS[14];
/// The server that dies until it is given up.
const HOPELESS: Channel = Channel::new(15);
const CALLER_A: Channel = Channel::new(16);
const CALLER_B: Channel = Channel::new(17);
const CHILD: Child = Child::new(20);

/// Where regions are mapped.
const CONTENTS: usize = 0x1100_0000;
const FIRMWARE: usize = 0x1200_0000;
const CONTENTS_IN_LARGE_PAGE: usize = 0x1400_0000;
const CONTENTS_WRITTEN: usize = 0x1500_0000;
const FIRMWARE_SIZE: usize = 0x1_0000;

/// What cases work with.
struct Context {
    /// Where the child's program begins.
    child_entry: u64,
}

#[protection_domain(heap_size = HEAP_SIZE)]
fn init() -> impl Handler {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Serial);
        power_off(false)
    });
    // The child has a lower priority: it has not run yet.
    let child = CHILD.tcb().tcb_read_all_registers(false);
    let mut context = Context {
        child_entry: child.map_or(0, |registers| *registers.pc()),
    };
    let cases: &[Case<Context>] = include!("../../supervision.rs");
    if xos_test_kit::run(cases, &mut context, &mut Serial) {
        power_off(true);
    }
    power_off(false);
    #[allow(unreachable_code)]
    NullHandler::new()
}

/// Calls a server; gives label and first word of its answer.
fn ask(server: Channel, ask: Ask, word: u64) -> (u64, u64) {
    set_mr(0, word);
    let answer = server.pp_call(MessageInfo::new(ask.label(), 1));
    (
        answer.label(),
        if answer.count() > 0 { get_mr(0) } else { 0 },
    )
}

fn a_call_reaches_the_server_and_its_answer_the_caller(_: &mut Context) -> Outcome {
    check_eq!(ask(SERVER, Ask::Echo, 41), (0, 42))
}

fn a_notification_carries_the_receivers_id(_: &mut Context) -> Outcome {
    // Caller A answers nothing but the server's echo of nothing: it was notified.
    write(Note::CommandA, Ask::Count.label());
    write(Note::AnswerA, 0);
    CALLER_A.notify();
    until(|| read(Note::AnswerA) != 0, "caller A")?;
    check!(read(Note::AnswerA) >= got(0, 1))?;
    check_eq!(read(Note::AnswerB), 0)
}

/// Checks that a region of so many bytes begins with its contents and goes on with zeroes.
#[track_caller]
fn has_contents(vaddr: usize, size: usize) -> Outcome {
    const EXPECTED: &[u8] = include_bytes!("../../contents.txt");
    // SAFETY: the description maps as much there, and nobody else writes it.
    let region = unsafe { core::slice::from_raw_parts(vaddr as *const u8, size) };
    check!(region.starts_with(EXPECTED))?;
    check!(region[EXPECTED.len()..].iter().all(|byte| *byte == 0))
}

fn contents_of_a_region_are_there(_: &mut Context) -> Outcome {
    has_contents(CONTENTS, 4096)
}

fn contents_in_a_large_page_are_there(_: &mut Context) -> Outcome {
    has_contents(CONTENTS_IN_LARGE_PAGE, 2 << 20)
}

fn who_writes_contents_writes_a_copy(_: &mut Context) -> Outcome {
    has_contents(CONTENTS_WRITTEN, 4096)?;
    // SAFETY: the description maps a page there, writable.
    unsafe { (CONTENTS_WRITTEN as *mut u8).write_volatile(0) };
    // The packer keeps equal contents once.
    has_contents(CONTENTS, 4096)
}

fn physical_memory_is_where_the_description_says(_: &mut Context) -> Outcome {
    // SAFETY: the description maps it there; the BIOS keeps its tables at 0xf0000 in the PC.
    let firmware = unsafe { core::slice::from_raw_parts(FIRMWARE as *const u8, FIRMWARE_SIZE) };
    // ACPI specification, 5.2.5.1: on a 16-byte boundary.
    check!(
        firmware
            .chunks(16)
            .any(|line| line.starts_with(b"RSD PTR "))
    )
}

fn a_region_is_the_same_memory_in_all_who_map_it(_: &mut Context) -> Outcome {
    // Every instance of a server counts itself on the board.
    check!(read(Note::Starts) >= SERVERS.len() as u64)
}

fn ports_that_were_not_given_are_refused(_: &mut Context) -> Outcome {
    let ports = IoPort::new(0).cap();
    check!(ports.ioport_in8(0x3fd).is_ok())?;
    check!(ports.ioport_in8(0x3f7).is_err())?;
    check!(ports.ioport_in8(0x400).is_err())?;
    check!(ports.ioport_in16(0x3ff).is_err())
}

fn interrupts_arrive(_: &mut Context) -> Outcome {
    let before = read(Note::Ticks);
    until(|| read(Note::Ticks) >= before + 3, "three interrupts")
}

fn interrupts_go_on_after_their_driver_died(_: &mut Context) -> Outcome {
    write(Note::ClockDies, 1);
    until(|| read(Note::ClockDies) == 0, "the clock's death")?;
    let before = read(Note::Ticks);
    until(|| read(Note::Ticks) >= before + 3, "three interrupts")
}

fn whoever_waits_for_a_server_that_dies_gets_an_answer(_: &mut Context) -> Outcome {
    for (deed, server) in Deed::ALL.into_iter().zip(SERVERS) {
        let (label, _) = ask(server, Ask::Die, deed as u64);
        check!(
            label == Error::ServerDied.label(),
            "{deed:?} is answered with {label}"
        )?;
        let (label, calls) = ask(server, Ask::Count, 0);
        check!((label, calls) == (0, 1), "after {deed:?}: {label}, {calls}")?;
    }
    Ok(())
}

fn a_server_that_died_starts_from_its_first_state(_: &mut Context) -> Outcome {
    let starts = read(Note::Starts);
    while ask(SERVER, Ask::Count, 0).1 < 5 {}
    ask(SERVER, Ask::Die, Deed::ReadNull as u64);
    check_eq!(ask(SERVER, Ask::Count, 0), (0, 1))?;
    check_eq!(read(Note::Starts), starts + 1)
}

fn a_crash_leaves_other_servers_as_they_were(_: &mut Context) -> Outcome {
    let (_, calls) = ask(SERVERS[0], Ask::Count, 0);
    ask(SERVER, Ask::Die, Deed::ReadNull as u64);
    check_eq!(ask(SERVERS[0], Ask::Count, 0), (0, calls + 1))
}

fn queued_callers_are_served_by_the_next_instance(_: &mut Context) -> Outcome {
    for answer in [Note::AnswerA, Note::AnswerB] {
        write(answer, 0);
    }
    write(Note::CommandA, Ask::WaitAndDie.label());
    write(Note::CommandB, Ask::Count.label());
    // Both run before we do: A is received and not answered, B queues.
    CALLER_A.notify();
    CALLER_B.notify();
    check_eq!((read(Note::AnswerA), read(Note::AnswerB)), (0, 0))?;
    SERVER.notify();
    until(|| read(Note::AnswerA) != 0, "an answer to A")?;
    until(|| read(Note::AnswerB) != 0, "an answer to B")?;
    check_eq!(read(Note::AnswerA), got(Error::ServerDied.label(), 0))?;
    check_eq!(read(Note::AnswerB), got(0, 1))
}

fn a_server_that_keeps_dying_rests_and_its_callers_get_errors(_: &mut Context) -> Outcome {
    let starts = read(Note::Starts);
    for attempt in 0..12 {
        let (label, _) = ask(HOPELESS, Ask::Die, Deed::Panic as u64);
        check!(
            label == Error::ServerDied.label(),
            "call {attempt} is answered with {label}"
        )?;
    }
    // Five times at once, and after each of six rests; then it is given up.
    check_eq!(read(Note::Starts), starts + 11)
}

/// What arrives at this domain's own endpoint: the badge and the message's tag.
fn receive() -> (u64, sel4::MessageInfo) {
    let (info, badge) = cap::Endpoint::from_bits(abi::INPUT_SLOT).recv(());
    (badge, info)
}

/// Lets the child run from its first instruction, on a fresh stack. Its memory stays as it is.
fn start_child(context: &Context, deed: Deed) -> Outcome {
    write(Note::ChildDeed, deed as u64);
    let mut registers = sel4::UserContext::default();
    *registers.pc_mut() = context.child_entry;
    *registers.sp_mut() = xos_image::STACK_TOP;
    Ok(CHILD.tcb().tcb_write_all_registers(true, &mut registers)?)
}

fn a_childs_fault_reaches_its_parent_alone(_: &mut Context) -> Outcome {
    let (badge, info) = receive();
    check_eq!(badge, 1 << abi::FAULT_BADGE_BIT | CHILD.index() as u64)?;
    let fault = MessageInfo::from_inner(info).fault();
    check!(matches!(fault, Fault::VmFault(_)))
}

fn a_parent_can_start_its_child_again(context: &mut Context) -> Outcome {
    start_child(context, Deed::InvalidInstruction)?;
    let (badge, info) = receive();
    check_eq!(badge, 1 << abi::FAULT_BADGE_BIT | CHILD.index() as u64)?;
    let fault = MessageInfo::from_inner(info).fault();
    check!(matches!(fault, Fault::UserException(_)))
}
