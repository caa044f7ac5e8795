// SPDX-License-Identifier: BSD-2-Clause
//! The cases.

use crate::guest::{
    CODE, DATA, EPT_VIOLATION, Fields, Piece, VMCALL, arena, data, enter, load, make, processor,
    ready, run as run_piece, space,
};
use crate::machine::{Machine, Serial, at, retype};
use crate::whole::*;
use core::arch::asm;
use sel4::init_thread::slot;
use sel4::{
    CapRights, Fault, MessageInfo, ObjectBlueprint, VmEntry, VmExit, VmExitFault, cap, cap_type,
    vm_enter, with_ipc_buffer, with_ipc_buffer_mut,
};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};
use xos_vcpu::{Vmcs, cr0, field, guest, primary};

/// Binary logarithm of the bytes that a guest's objects are made from.
const ARENA: usize = 17;

pub fn run(bootinfo: &sel4::BootInfo) -> bool {
    let Some(mut machine) = Machine::new(bootinfo) else {
        return false;
    };
    load();
    let cases: &[Case<Machine<'_>>] = include!("cases.rs");
    xos_test_kit::run(cases, &mut machine, &mut Serial)
}

fn a_guest_runs_and_its_hypercall_arrives_with_its_registers(
    machine: &mut Machine<'_>,
) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let (vcpu, root) = ready(machine, arena)?;
    data(machine, arena, root)?;
    let wrote = run_piece(vcpu, Piece::Write, DATA as u64 + 8, 0x1234_5678)?;
    check_eq!(wrote.reason, VMCALL)?;
    let read = run_piece(vcpu, Piece::Read, DATA as u64 + 8, 0)?;
    check_eq!((read.reason, read.registers.ebx), (VMCALL, 0x1234_5678))?;
    check_eq!(read.instruction_length, 3)?;
    at(arena).revoke()?;
    Ok(())
}

fn what_is_forced_on_a_guest_is_told(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let vcpu = processor(machine, arena)?;
    let written = vcpu.vcpu_write_vmcs(guest::CR0.into(), 0)? as u32;
    check_eq!(written & (cr0::PE | cr0::PG), cr0::PE | cr0::PG)?;
    check_eq!(Fields(vcpu).read(guest::CR0)? as u32, written)?;
    let refused = vcpu.vcpu_write_vmcs(xos_vcpu::field::VMENTRY_CONTROLS.into(), 0);
    check_eq!(refused, Err(sel4::Error::IllegalOperation))?;
    at(arena).revoke()?;
    Ok(())
}

fn controls_that_would_use_memory_are_not_offered(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let vcpu = processor(machine, arena)?;
    let all = |field: u32| vcpu.vcpu_write_vmcs(field.into(), u32::MAX.into());
    // Posted interrupts; the virtual APIC page; its accesses, its x2APIC registers, shadow VMCS,
    // the page-modification log.
    check_eq!(all(field::PINBASED_EXEC_CONTROLS)? & (1 << 7), 0)?;
    check_eq!(all(field::PRIMARY_PROCBASED_EXEC_CONTROLS)? & (1 << 21), 0)?;
    let secondary = all(field::SECONDARY_PROCBASED_EXEC_CONTROLS)?;
    check_eq!(secondary & (1 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 14 | 1 << 17), 0)?;
    check_eq!(secondary & (1 << 1), 1 << 1)?;
    at(arena).revoke()?;
    Ok(())
}

fn memory_of_a_virtual_processor_is_not_given_away_again(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let (vcpu, root) = ready(machine, arena)?;
    // 2 pages of frames take the place of the processor if its memory counts as free.
    for _ in 0..8 {
        make::<cap_type::Granule>(machine, arena)?;
    }
    data(machine, arena, root)?;
    check_eq!(run_piece(vcpu, Piece::Read, DATA as u64, 1)?.reason, VMCALL)?;
    at(arena).revoke()?;
    Ok(())
}

fn a_virtual_processor_ends_with_its_memory(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let vcpu = processor(machine, arena)?;
    at(arena).revoke()?;
    check_eq!(
        vcpu.vcpu_read_vmcs(guest::CR3.into()),
        Err(sel4::Error::InvalidCapability)
    )
}

/// The exit of a guest that reads the data page once more, after it was seen to read it.
fn touch_again(vcpu: cap::VCpu, take_away: impl FnOnce() -> Outcome) -> Outcome<VmExitFault> {
    check_eq!(run_piece(vcpu, Piece::Read, DATA as u64, 1)?.reason, VMCALL)?;
    take_away()?;
    run_piece(vcpu, Piece::Read, DATA as u64, 1)
}

fn a_page_that_is_unmapped_is_gone_for_a_guest_that_touched_it(
    machine: &mut Machine<'_>,
) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let (vcpu, root) = ready(machine, arena)?;
    let frame = data(machine, arena, root)?;
    let exit = touch_again(vcpu, || Ok(frame.frame_unmap()?))?;
    check_eq!((exit.reason, exit.guest_physical), (EPT_VIOLATION, DATA as u64))?;
    at(arena).revoke()?;
    Ok(())
}

fn a_page_that_is_revoked_is_gone_for_a_guest_that_touched_it(
    machine: &mut Machine<'_>,
) -> Outcome {
    let (arena, other) = (arena(machine, ARENA)?, arena(machine, 12)?);
    let (vcpu, root) = ready(machine, arena)?;
    data(machine, other, root)?;
    let exit = touch_again(vcpu, || Ok(at(other).revoke()?))?;
    check_eq!((exit.reason, exit.guest_physical), (EPT_VIOLATION, DATA as u64))?;
    at(arena).revoke()?;
    Ok(())
}

fn a_new_root_inherits_nothing_from_one_at_the_same_address(
    machine: &mut Machine<'_>,
) -> Outcome {
    // The processor outlives its second stage, and the page too.
    let (processors, tables, pages) =
        (arena(machine, ARENA)?, arena(machine, ARENA)?, arena(machine, 12)?);
    let vcpu = processor(machine, processors)?;
    vcpu.vcpu_set_tcb(slot::TCB.cap())?;
    let root = space(machine, tables)?;
    slot::TCB.cap().tcb_set_ept_root(root)?;
    data(machine, pages, root)?;
    let exit = touch_again(vcpu, || {
        at(tables).revoke()?;
        let root = space(machine, tables)?;
        Ok(slot::TCB.cap().tcb_set_ept_root(root)?)
    })?;
    check_eq!((exit.reason, exit.guest_physical), (EPT_VIOLATION, DATA as u64))?;

    for arena in [pages, tables, processors] {
        at(arena).revoke()?;
    }
    Ok(())
}

fn a_guest_without_a_root_reaches_nothing(machine: &mut Machine<'_>) -> Outcome {
    let (processors, tables) = (arena(machine, ARENA)?, arena(machine, ARENA)?);
    let vcpu = processor(machine, processors)?;
    vcpu.vcpu_set_tcb(slot::TCB.cap())?;
    let root = space(machine, tables)?;
    slot::TCB.cap().tcb_set_ept_root(root)?;
    at(tables).revoke()?;
    let exit = run_piece(vcpu, Piece::Spin, 0, 0)?;
    check_eq!(exit.reason, EPT_VIOLATION)?;
    at(processors).revoke()?;
    Ok(())
}

fn words(count: usize) -> MessageInfo {
    MessageInfo::new(0, 0, 0, count)
}

fn entering_without_a_virtual_processor_is_an_unknown_system_call(
    machine: &mut Machine<'_>,
) -> Outcome {
    extern "C" fn thread(_: u64) -> ! {
        enter(CODE as u64);
        loop {
            sel4::r#yield();
        }
    }

    let faults = machine.make::<cap_type::Endpoint>()?;
    let thread = machine.start(faults, thread, 0)?;
    let (tag, _) = faults.recv(());
    let fault = with_ipc_buffer(|ipc_buffer| Fault::new(ipc_buffer, &tag));
    thread.tcb_suspend()?;
    check!(matches!(fault, Fault::UnknownSyscall(_)), "{fault:?}")
}

/// Enters its guest, which spins, and tells how that ended.
extern "C" fn spinning(answers: u64) -> ! {
    let reason = match enter(Piece::Spin.address()) {
        VmExit::Fault(fault) => fault.reason.into(),
        VmExit::Notification(badge) => badge << 32,
    };
    cap::Endpoint::from_bits(answers).send_with_mrs(words(1), [reason]);
    loop {
        sel4::r#yield();
    }
}

/// Lets the guest be interrupted. Processors leave it for an interrupt in any case; Bochs 2.7 does
/// not while the guest itself has interrupts off.
fn interruptible(vcpu: cap::VCpu) -> Outcome {
    const INTERRUPTS_ON: u64 = 1 << 9;
    Fields(vcpu).write(guest::RFLAGS, 2 | INTERRUPTS_ON)?;
    Ok(())
}

/// Lets another thread of the same priority run until its time is up.
fn step_aside() {
    sel4::r#yield();
}

fn a_guest_that_spins_is_preempted(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let root = space(machine, arena)?;
    let vcpu = processor(machine, arena)?;
    interruptible(vcpu)?;
    let thread = machine.start(cap::Endpoint::from_bits(0), spinning, 0)?;
    vcpu.vcpu_set_tcb(thread)?;
    thread.tcb_set_ept_root(root)?;
    // Each time, the guest runs until its time is up. It would never end by itself.
    for _ in 0..3 {
        step_aside();
    }
    thread.tcb_suspend()?;
    check_eq!(Fields(vcpu).read(guest::RIP)?, Piece::Spin.address())?;
    at(arena).revoke()?;
    Ok(())
}

fn a_thread_comes_back_when_its_guest_is_deleted(machine: &mut Machine<'_>) -> Outcome {
    let (processors, tables) = (arena(machine, ARENA)?, arena(machine, ARENA)?);
    let root = space(machine, tables)?;
    let vcpu = processor(machine, processors)?;
    interruptible(vcpu)?;
    let answers = machine.make::<cap_type::Endpoint>()?;
    let thread = machine.start(cap::Endpoint::from_bits(0), spinning, answers.bits())?;
    vcpu.vcpu_set_tcb(thread)?;
    thread.tcb_set_ept_root(root)?;
    step_aside();
    at(processors).revoke()?;
    let message = answers.recv_with_mrs(());
    check_eq!(message.msg[0], VmExitFault::NO_ENTRY.into())?;
    thread.tcb_suspend()?;
    at(tables).revoke()?;
    Ok(())
}

fn a_thread_deleted_before_its_virtual_processor_is_forgotten(
    machine: &mut Machine<'_>,
) -> Outcome {
    let (arena, threads) = (arena(machine, ARENA)?, arena(machine, 12)?);
    let vcpu = processor(machine, arena)?;
    let thread = make::<cap_type::Tcb>(machine, threads)?;
    vcpu.vcpu_set_tcb(thread)?;
    at(threads).revoke()?;
    // What lies there now must not be written to when the processor goes.
    let page = pattern(machine, threads)?;
    at(arena).revoke()?;
    page.check()?;
    at(threads).revoke()?;
    Ok(())
}

/// A page of this program's that is full of a pattern.
struct Pattern(*mut u64);

const WORDS: usize = 512;
const WORD: u64 = 0x5aa5_0ff0_1234_8765;
/// Where it is mapped, in a part of the address space that nobody uses.
const WINDOW: usize = 0x7000_0000_0000;

fn pattern(machine: &mut Machine<'_>, arena: sel4::init_thread::Slot) -> Outcome<Pattern> {
    let frame = make::<cap_type::Granule>(machine, arena)?;
    let vspace = slot::VSPACE.cap();
    let attributes = sel4::VmAttributes::DEFAULT;
    let map = || frame.frame_map(vspace, WINDOW, CapRights::all(), attributes);
    if map().is_err() {
        // The first time, its tables are missing.
        machine
            .make::<cap_type::PDPT>()?
            .pdpt_map(vspace, WINDOW, attributes)?;
        machine
            .make::<cap_type::PageDirectory>()?
            .page_directory_map(vspace, WINDOW, attributes)?;
        machine
            .make::<cap_type::PageTable>()?
            .page_table_map(vspace, WINDOW, attributes)?;
        map()?;
    }
    let words = WINDOW as *mut u64;
    for number in 0..WORDS {
        // SAFETY: the page that was just mapped.
        unsafe { words.add(number).write_volatile(WORD) };
    }
    Ok(Pattern(words))
}

impl Pattern {
    fn check(&self) -> Outcome {
        for number in 0..WORDS {
            // SAFETY: it is mapped as long as its arena is not revoked.
            let word = unsafe { self.0.add(number).read_volatile() };
            check!(word == WORD, "word {number} is {word:#x}")?;
        }
        Ok(())
    }
}

fn more_virtual_processors_than_tags_leave_other_memory_alone(
    machine: &mut Machine<'_>,
) -> Outcome {
    let tables = arena(machine, ARENA)?;
    let root = space(machine, tables)?;
    // The kernel has 64 tags. Each processor has one once it was entered; all have the same memory.
    let processors = arena(machine, 14)?;
    slot::TCB.cap().tcb_set_ept_root(root)?;
    for _ in 0..70 {
        let vcpu = processor(machine, processors)?;
        vcpu.vcpu_set_tcb(slot::TCB.cap())?;
        check_eq!(run_piece(vcpu, Piece::Read, CODE as u64, 0)?.reason, VMCALL)?;
        at(processors).revoke()?;
    }
    // Now other processors need tags, while the memory of the old ones is something else.
    let memory = processors.cap().cast::<cap_type::Untyped>();
    let rest = machine.slot()?;
    retype(memory, &ObjectBlueprint::Untyped { size_bits: 12 }, rest)?;
    let page = pattern(machine, processors)?;
    let others = arena(machine, 14)?;
    for _ in 0..70 {
        let vcpu = processor(machine, others)?;
        vcpu.vcpu_set_tcb(slot::TCB.cap())?;
        check_eq!(run_piece(vcpu, Piece::Read, CODE as u64, 0)?.reason, VMCALL)?;
        at(others).revoke()?;
    }
    page.check()?;
    for arena in [processors, tables] {
        at(arena).revoke()?;
    }
    Ok(())
}

fn a_guest_keeps_its_fault_address(machine: &mut Machine<'_>) -> Outcome {
    extern "C" fn faulting(_: u64) -> ! {
        let nowhere = core::ptr::without_provenance_mut::<u8>(0x1234_5000);
        // SAFETY: a fault of this thread, which is what the case is about.
        unsafe { asm!("mov byte ptr [{}], 0", in(reg) nowhere) };
        loop {
            sel4::r#yield();
        }
    }

    let arena = arena(machine, ARENA)?;
    let (vcpu, _) = ready(machine, arena)?;
    run_piece(vcpu, Piece::SetCr2, 0xdead_b000, 0)?;
    let faults = machine.make::<cap_type::Endpoint>()?;
    let thread = machine.start(faults, faulting, 0)?;
    faults.recv(());
    thread.tcb_suspend()?;
    let read = run_piece(vcpu, Piece::GetCr2, 0, 0)?;
    check_eq!(read.registers.eax, 0xdead_b000)?;
    at(arena).revoke()?;
    Ok(())
}

fn a_signal_takes_a_thread_out_of_its_guest(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let (_, _) = ready(machine, arena)?;
    let plain = machine.make_sized(&ObjectBlueprint::Notification)?;
    let badged = machine.slot()?;
    at(badged).mint(&at(plain), CapRights::all(), 5)?;
    let thread = slot::TCB.cap();
    thread.tcb_bind_notification(plain.cap().cast())?;
    badged.cap().cast::<cap_type::Notification>().signal();
    let entry = VmEntry {
        ip: Piece::Spin.address(),
        controls: primary::ALWAYS.into(),
        interruption: 0,
    };
    let (left, exit) = with_ipc_buffer_mut(|ipc_buffer| vm_enter(ipc_buffer, &entry));
    thread.tcb_unbind_notification()?;
    check_eq!((left.ip, exit), (entry.ip, VmExit::Notification(5)))?;
    at(arena).revoke()?;
    Ok(())
}

/// Enters its guest, and again wherever it was left for a signal, until it calls: how often that was, why it was
/// left at last, and with what in EAX.
extern "C" fn persistent(answers: u64) -> ! {
    let mut entry = VmEntry {
        ip: Piece::Once.address(),
        controls: primary::ALWAYS.into(),
        interruption: 0,
    };
    let mut signals = 0;
    let fault = loop {
        let (left, exit) = with_ipc_buffer_mut(|ipc_buffer| vm_enter(ipc_buffer, &entry));
        match exit {
            VmExit::Fault(fault) => break fault,
            VmExit::Notification(badge) => signals += 1 + (badge << 32),
        }
        entry = left;
    };
    let answer = [signals, fault.reason.into(), fault.registers.eax];
    cap::Endpoint::from_bits(answers).send_with_mrs(words(3), answer);
    loop {
        sel4::r#yield();
    }
}

fn a_guest_that_is_suspended_goes_on_where_it_was(machine: &mut Machine<'_>) -> Outcome {
    /// Some twenty time slices of this simulator's.
    const COUNT: u64 = 5_000_000;
    /// How often it is suspended.
    const TIMES: u64 = 5;
    let arena = arena(machine, ARENA)?;
    let root = space(machine, arena)?;
    data(machine, arena, root)?;
    let vcpu = processor(machine, arena)?;
    interruptible(vcpu)?;
    vcpu.vcpu_write_registers(&sel4::VCpuContext {
        ecx: COUNT,
        ..sel4::VCpuContext::default()
    })?;
    let answers = machine.make::<cap_type::Endpoint>()?;
    let thread = machine.start(cap::Endpoint::from_bits(0), persistent, answers.bits())?;
    vcpu.vcpu_set_tcb(thread)?;
    thread.tcb_set_ept_root(root)?;
    for _ in 0..TIMES {
        step_aside();
        thread.tcb_suspend()?;
        thread.tcb_resume()?;
    }
    let message = answers.recv_with_mrs(());
    check_eq!(message.msg[..3], [TIMES, VMCALL.into(), COUNT])?;
    thread.tcb_suspend()?;
    // It has begun once.
    vcpu.vcpu_set_tcb(slot::TCB.cap())?;
    slot::TCB.cap().tcb_set_ept_root(root)?;
    check_eq!(run_piece(vcpu, Piece::Read, DATA as u64, 0)?.registers.ebx, 1)?;
    at(arena).revoke()?;
    Ok(())
}

/// Steps on, instruction for instruction, and makes a system call on the way.
extern "C" fn stepper(_: u64) -> ! {
    // SAFETY: the system call is `Yield`; after that, it is the purpose of this thread to fault.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2:",
            "sysenter",
            "ud2",
            in("rax") sel4::sys::syscall_id::Yield,
            options(noreturn)
        )
    }
}

/// On a real processor, and in Bochs. QEMU makes no step of what enters the kernel.
fn a_thread_is_stepped_through_a_system_call(machine: &mut Machine<'_>) -> Outcome {
    const DEBUG: u64 = 1;
    const UNDEFINED: u64 = 6;
    let faults = machine.make::<cap_type::Endpoint>()?;
    let thread = machine.start(faults, stepper, 0)?;
    let (mut info, _) = faults.recv(());
    for steps in 0..100 {
        let fault = with_ipc_buffer(|buffer| Fault::try_new(buffer, &info)).ok_or(info)?;
        let Fault::UserException(fault) = fault else {
            return check!(false, "{fault:?}");
        };
        match fault.inner().get_Number() {
            DEBUG => info = faults.reply_recv(MessageInfo::new(0, 0, 0, 0), ()).0,
            number => {
                check_eq!(number, UNDEFINED)?;
                check!(steps > 1, "{steps} steps before the system call")?;
                return Ok(thread.tcb_suspend()?);
            }
        }
    }
    check!(false, "it steps without end")
}

fn cycles() -> u64 {
    // SAFETY: every processor with VT-x has it, and this kernel leaves it to everyone.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The least of some rounds: what is in the way of others (a timer tick) is not what is measured.
fn least(mut round: impl FnMut() -> Outcome) -> Outcome<u64> {
    let mut least = u64::MAX;
    for _ in 0..8 {
        let start = cycles();
        round()?;
        least = least.min(cycles() - start);
    }
    Ok(least)
}

/// The floors under everything that runs guests, measured with nothing above the kernel.
fn floors_are_measured_and_no_higher_than_they_were(machine: &mut Machine<'_>) -> Outcome {
    let arena = arena(machine, ARENA)?;
    let (vcpu, root) = ready(machine, arena)?;
    let frame = data(machine, arena, root)?;
    run_piece(vcpu, Piece::Read, DATA as u64, 0)?;
    let round_trip = least(|| match enter(Piece::Read.address()) {
        VmExit::Fault(VmExitFault { reason: VMCALL, .. }) => Ok(()),
        other => Err(xos_test_kit::Failure::new(format_args!("{other:?}"))),
    })?;
    // What resetting one page takes: the exit because it is not there, and its coming back.
    let reset = least(|| {
        frame.frame_unmap()?;
        match enter(Piece::Read.address()) {
            VmExit::Fault(VmExitFault { reason: EPT_VIOLATION, .. }) => {}
            other => return Err(xos_test_kit::Failure::new(format_args!("{other:?}"))),
        }
        let attributes = sel4::VmAttributes::DEFAULT;
        Ok(frame.frame_map_ept(root, DATA, CapRights::all(), attributes)?)
    })?;
    for (name, value) in [("guest-round-trip", round_trip), ("guest-page-reset", reset)] {
        xos_test_kit::value(name, value, "cycles", &mut Serial);
    }
    check!(round_trip < 600, "{round_trip} cycles into a guest and out of it")?;
    check!(reset < 2_500, "{reset} cycles to take a page away and give it back")?;
    at(arena).revoke()?;
    Ok(())
}
