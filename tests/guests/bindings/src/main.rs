// SPDX-License-Identifier: BSD-2-Clause
//! Tests of the seL4 bindings on the bare kernel: what no host can tell, that words, registers and
//! numbers are where this kernel has them.
//!
//! It is the root task of its machine, so there is nothing of ours beneath it but the bindings and
//! the runtime.
#![no_std]
#![no_main]

mod machine;

use core::arch::asm;
use machine::{GRANULE, Machine, Serial, at, power_off, retype};
use sel4::init_thread::{Slot, slot};
use sel4::{
    CapRights, Fault, MessageInfo, ObjectBlueprint, cap, with_ipc_buffer, with_ipc_buffer_mut,
};
use sel4_root_task::{Never, panicking, root_task};
use xos_test_kit::{Case, Outcome, cases, check, check_eq};

#[root_task(heap_size = 64 * 1024)]
fn main(bootinfo: &sel4::BootInfoPtr) -> Never {
    panicking::set_hook(&|info| {
        xos_test_kit::panicked(format_args!("{info}"), &mut Serial);
        power_off(false)
    });
    let Some(mut machine) = Machine::new(bootinfo) else {
        power_off(false)
    };
    let cases: &[Case<Machine<'_>>] = include!("cases.rs");
    power_off(xos_test_kit::run(cases, &mut machine, &mut Serial))
}

/// A message of so many words.
fn words(count: usize) -> MessageInfo {
    MessageInfo::new(0, 0, 0, count)
}

fn the_kernel_hands_over_memory_and_slots(machine: &mut Machine<'_>) -> Outcome {
    let bytes: u64 = machine
        .bootinfo
        .untyped_list()
        .iter()
        .filter(|untyped| !untyped.is_device())
        .map(|untyped| 1 << untyped.size_bits())
        .sum();
    check!(bytes > 400 << 20, "{bytes} bytes of 512 MiB")?;
    let slots = machine.bootinfo.empty().len();
    check!(slots > 60_000, "{slots} free slots of 65,536")
}

fn objects_of_every_fixed_size_are_made(machine: &mut Machine<'_>) -> Outcome {
    machine.make::<sel4::cap_type::Endpoint>()?;
    machine.make::<sel4::cap_type::Notification>()?;
    machine.make::<sel4::cap_type::Tcb>()?;
    machine.make::<sel4::cap_type::Granule>()?;
    machine.make::<sel4::cap_type::PML4>()?;
    machine.make::<sel4::cap_type::PDPT>()?;
    machine.make::<sel4::cap_type::PageDirectory>()?;
    machine.make::<sel4::cap_type::PageTable>()?;
    machine.make_sized(&ObjectBlueprint::CNode { size_bits: 3 })?;
    machine.make_sized(&ObjectBlueprint::Untyped { size_bits: 14 })?;
    Ok(())
}

fn an_invocation_that_fails_says_why(machine: &mut Machine<'_>) -> Outcome {
    let empty = machine.slot()?;
    check_eq!(at(empty).revoke(), Ok(()))?;
    check_eq!(
        empty
            .cap()
            .downcast::<sel4::cap_type::Untyped>()
            .untyped_retype(
                &ObjectBlueprint::Endpoint,
                &slot::CNODE.cap().absolute_cptr_for_self(),
                empty.index(),
                1
            ),
        Err(sel4::Error::InvalidCapability)
    )?;
    let endpoint = machine.make_sized(&ObjectBlueprint::Endpoint)?;
    check_eq!(
        at(endpoint).copy(&at(endpoint), CapRights::all()),
        Err(sel4::Error::DeleteFirst)
    )
}

fn a_notification_collects_badges(machine: &mut Machine<'_>) -> Outcome {
    let plain = machine.make_sized(&ObjectBlueprint::Notification)?;
    let notification = plain.cap().downcast::<sel4::cap_type::Notification>();
    check_eq!(notification.poll().1, 0)?;
    for badge in [0b001, 0b100] {
        let minted = machine.slot()?;
        at(minted).mint(&at(plain), CapRights::write_only(), badge)?;
        minted
            .cap()
            .downcast::<sel4::cap_type::Notification>()
            .signal();
    }
    check_eq!(notification.wait().1, 0b101)?;
    check_eq!(notification.poll().1, 0)
}

fn a_badge_of_a_notification_has_64_bits(machine: &mut Machine<'_>) -> Outcome {
    let plain = machine.make_sized(&ObjectBlueprint::Notification)?;
    let minted = machine.slot()?;
    at(minted).mint(&at(plain), CapRights::all(), u64::MAX)?;
    minted
        .cap()
        .downcast::<sel4::cap_type::Notification>()
        .signal();
    check_eq!(
        plain
            .cap()
            .downcast::<sel4::cap_type::Notification>()
            .wait()
            .1,
        u64::MAX
    )
}

fn a_badge_of_an_endpoint_has_28_bits(machine: &mut Machine<'_>) -> Outcome {
    let plain = machine.make_sized(&ObjectBlueprint::Endpoint)?;
    let server = machine.start(plain.cap().cast(), adder, plain.cptr_bits())?;
    let minted = machine.slot()?;
    at(minted).mint(&at(plain), CapRights::all(), 1 << 28 | 5)?;
    let answer = minted
        .cap()
        .downcast::<sel4::cap_type::Endpoint>()
        .call_with_mrs(words(0), []);
    check_eq!(answer.msg[1], 5)?;
    Ok(server.tcb_suspend()?)
}

/// Adds up the words of each message and answers with the sum and the badge.
extern "C" fn adder(endpoint: u64) -> ! {
    let endpoint = cap::Endpoint::from_bits(endpoint);
    let (mut info, mut badge) = endpoint.recv(());
    loop {
        with_ipc_buffer_mut(|buffer| {
            let sum = buffer.msg_regs()[..info.length()].iter().sum();
            buffer.msg_regs_mut()[..2].copy_from_slice(&[sum, badge]);
        });
        (info, badge) = endpoint.reply_recv(words(2), ());
    }
}

fn a_call_is_answered_with_words_and_badge(machine: &mut Machine<'_>) -> Outcome {
    let plain = machine.make_sized(&ObjectBlueprint::Endpoint)?;
    let minted = machine.slot()?;
    at(minted).mint(&at(plain), CapRights::all(), 77)?;
    let server = machine.start(plain.cap().cast(), adder, plain.cptr_bits())?;
    for _ in 0..100 {
        let answer = minted
            .cap()
            .downcast::<sel4::cap_type::Endpoint>()
            .call_with_mrs(words(4), [1, 20, 300, 4000]);
        check_eq!(
            (answer.info.length(), answer.msg[0], answer.msg[1]),
            (2, 4321, 77)
        )?;
    }
    Ok(server.tcb_suspend()?)
}

fn a_message_carries_all_its_words(machine: &mut Machine<'_>) -> Outcome {
    let endpoint = machine.make::<sel4::cap_type::Endpoint>()?;
    let server = machine.start(endpoint, adder, endpoint.bits())?;
    with_ipc_buffer_mut(|buffer| {
        for (index, word) in buffer.msg_regs_mut().iter_mut().enumerate() {
            *word = 1 << (index % 32);
        }
    });
    let sent = with_ipc_buffer(|buffer| buffer.msg_regs().iter().sum::<u64>());
    endpoint.call(words(sel4::NUM_MESSAGE_REGISTERS));
    check_eq!(with_ipc_buffer(|buffer| buffer.msg_regs()[0]), sent)?;
    Ok(server.tcb_suspend()?)
}

/// Signals the notification that comes with a message, and answers.
extern "C" fn signaller(argument: u64) -> ! {
    let (endpoint, receive) = (argument & 0xffff_ffff, (argument >> 32) as usize);
    let endpoint = cap::Endpoint::from_bits(endpoint);
    let receive: Slot = Slot::from_index(receive);
    with_ipc_buffer_mut(|buffer| buffer.set_recv_slot(&at(receive)));
    let (info, _) = endpoint.recv(());
    if info.extra_caps() == 1 {
        receive
            .cap()
            .downcast::<sel4::cap_type::Notification>()
            .signal();
    }
    endpoint.reply_recv(words(0), ());
    loop {
        sel4::r#yield();
    }
}

fn a_capability_travels_in_a_message(machine: &mut Machine<'_>) -> Outcome {
    let endpoint = machine.make::<sel4::cap_type::Endpoint>()?;
    let notification = machine.make::<sel4::cap_type::Notification>()?;
    let receive = machine.slot()?;
    let argument = (receive.index() as u64) << 32 | endpoint.bits();
    let server = machine.start(endpoint, signaller, argument)?;
    with_ipc_buffer_mut(|buffer| buffer.caps_or_badges_mut()[0] = notification.bits());
    endpoint.call(MessageInfo::new(0, 0, 1, 0));
    check!(
        notification.poll().1 == 0,
        "an unbadged signal has no badge"
    )?;
    server.tcb_suspend()?;
    // The capability is there, and it is that one.
    receive
        .cap()
        .downcast::<sel4::cap_type::Notification>()
        .signal();
    notification.wait();
    check_eq!(
        at(receive).copy(&at(receive), CapRights::all()),
        Err(sel4::Error::DeleteFirst)
    )
}

/// Calls with one word and signals when the answer is that word plus one.
extern "C" fn caller(argument: u64) -> ! {
    let (endpoint, done) = (argument & 0xffff_ffff, argument >> 32);
    let answer = cap::Endpoint::from_bits(endpoint).call_with_mrs(words(1), [41]);
    if answer.msg[0] == 42 {
        cap::Notification::from_bits(done).signal();
    }
    loop {
        sel4::r#yield();
    }
}

fn a_saved_reply_can_wait(machine: &mut Machine<'_>) -> Outcome {
    let endpoint = machine.make::<sel4::cap_type::Endpoint>()?;
    let done = machine.make::<sel4::cap_type::Notification>()?;
    let saved = machine.slot()?;
    let client = machine.start(endpoint, caller, done.bits() << 32 | endpoint.bits())?;
    let request = endpoint.recv_with_mrs(());
    at(saved).save_caller()?;
    for _ in 0..10 {
        sel4::r#yield();
    }
    saved
        .cap()
        .downcast::<sel4::cap_type::Endpoint>()
        .send_with_mrs(words(1), [request.msg[0] + 1]);
    done.wait();
    Ok(client.tcb_suspend()?)
}

fn a_revoked_object_is_gone(machine: &mut Machine<'_>) -> Outcome {
    let parent = machine.make_sized(&ObjectBlueprint::Untyped { size_bits: 12 })?;
    let memory = parent.cap().downcast::<sel4::cap_type::Untyped>();
    for _ in 0..3 {
        // All of it each time: what was carved is free again after the revocation.
        let (child, copy) = (machine.slot()?, machine.slot()?);
        retype(memory, &ObjectBlueprint::CNode { size_bits: 7 }, child)?;
        check_eq!(
            retype(memory, &ObjectBlueprint::Endpoint, copy),
            Err(sel4::Error::NotEnoughMemory)
        )?;
        at(copy).copy(&at(child), CapRights::all())?;
        at(parent).revoke()?;
        let elsewhere = machine.slot()?;
        check_eq!(
            at(elsewhere).copy(&at(copy), CapRights::all()),
            Err(sel4::Error::FailedLookup)
        )?;
    }
    Ok(())
}

fn a_frame_is_mapped_with_its_tables(machine: &mut Machine<'_>) -> Outcome {
    // Far from the image, so that every level of tables is new.
    const ADDRESS: usize = 1 << 40;
    let vspace = slot::VSPACE.cap();
    let attributes = sel4::VmAttributes::DEFAULT;
    let frame = machine.make::<sel4::cap_type::Granule>()?;
    check_eq!(
        frame.frame_map(vspace, ADDRESS, CapRights::read_write(), attributes),
        Err(sel4::Error::FailedLookup)
    )?;
    machine
        .make::<sel4::cap_type::PDPT>()?
        .pdpt_map(vspace, ADDRESS, attributes)?;
    let directory = machine.make::<sel4::cap_type::PageDirectory>()?;
    directory.page_directory_map(vspace, ADDRESS, attributes)?;
    machine
        .make::<sel4::cap_type::PageTable>()?
        .page_table_map(vspace, ADDRESS, attributes)?;
    frame.frame_map(vspace, ADDRESS, CapRights::read_write(), attributes)?;
    let pointer = ADDRESS as *mut u64;
    // SAFETY: a page that was just mapped there, and nothing else knows of.
    let (before, after) = unsafe {
        let before = pointer.read_volatile();
        pointer.write_volatile(0x0123_4567_89ab_cdef);
        (before, pointer.read_volatile())
    };
    check_eq!((before, after), (0, 0x0123_4567_89ab_cdef))?;
    frame.frame_unmap()?;
    // The same memory at another address of the same table.
    frame.frame_map(
        vspace,
        ADDRESS + GRANULE,
        CapRights::read_only(),
        attributes,
    )?;
    // SAFETY: as above.
    let moved = unsafe { ((ADDRESS + GRANULE) as *const u64).read_volatile() };
    check_eq!(moved, 0x0123_4567_89ab_cdef)?;
    Ok(frame.frame_unmap()?)
}

/// Sets registers that nothing else uses and spins.
extern "C" fn spinner(_: u64) -> ! {
    // SAFETY: does not come back, and touches no memory.
    unsafe {
        asm!("2: pause", "jmp 2b", in("r12") 0x1212_u64, in("r13") 0x1313_u64, options(noreturn))
    }
}

fn registers_are_read_and_written(machine: &mut Machine<'_>) -> Outcome {
    let faults = machine.make::<sel4::cap_type::Endpoint>()?;
    let thread = machine.start(faults, spinner, 0)?;
    sel4::r#yield();
    let mut context = thread.tcb_read_all_registers(true)?;
    let registers = context.inner();
    check_eq!((registers.r12, registers.r13), (0x1212, 0x1313))?;
    context.inner_mut().r12 = 0x2121;
    thread.tcb_write_all_registers(false, &mut context)?;
    check_eq!(thread.tcb_read_all_registers(false)?.inner().r12, 0x2121)
}

/// Runs a thread until it faults; gives the fault and the thread, which is still blocked on it.
fn fault_of(
    machine: &mut Machine<'_>,
    function: extern "C" fn(u64) -> !,
    argument: u64,
) -> Outcome<(Fault, cap::Tcb)> {
    let endpoint = machine.make::<sel4::cap_type::Endpoint>()?;
    let thread = machine.start(endpoint, function, argument)?;
    let (info, _) = endpoint.recv(());
    let fault = with_ipc_buffer(|buffer| Fault::try_new(buffer, &info)).ok_or(info)?;
    Ok((fault, thread))
}

extern "C" fn reader(address: u64) -> ! {
    // SAFETY: it is the purpose of this thread to fault here.
    unsafe { (address as *const u64).read_volatile() };
    spinner(0)
}

fn a_page_fault_tells_address_and_instruction(machine: &mut Machine<'_>) -> Outcome {
    let (fault, thread) = fault_of(machine, reader, 0xdead_b000)?;
    let Fault::VmFault(fault) = fault else {
        return check!(false, "{fault:?}");
    };
    check_eq!(fault.inner().get_Addr(), 0xdead_b000)?;
    check_eq!(fault.inner().get_PrefetchFault(), 0)?;
    check_eq!(
        *thread.tcb_read_all_registers(true)?.pc(),
        fault.inner().get_IP()
    )
}

extern "C" fn undefined(_: u64) -> ! {
    // SAFETY: it is the purpose of this thread to fault here.
    unsafe { asm!("ud2", options(noreturn)) }
}

fn an_undefined_instruction_is_exception_6(machine: &mut Machine<'_>) -> Outcome {
    let (fault, thread) = fault_of(machine, undefined, 0)?;
    let Fault::UserException(fault) = fault else {
        return check!(false, "{fault:?}");
    };
    check_eq!(fault.inner().get_Number(), 6)?;
    Ok(thread.tcb_suspend()?)
}

extern "C" fn foreign(_: u64) -> ! {
    // SAFETY: does not come back; the kernel reports the instruction and executes nothing.
    unsafe {
        asm!(
            "mov rsp, 0x7fff0000",
            "syscall",
            in("rax") 231, in("rdi") 1, in("rsi") 2, in("rdx") -1_i64, in("r10") 4, in("r8") 5,
            in("r9") 6, in("rcx") 7, in("r11") 8, in("r15") 15,
            options(noreturn)
        )
    }
}

fn a_foreign_system_call_leaves_every_register(machine: &mut Machine<'_>) -> Outcome {
    let (fault, thread) = fault_of(machine, foreign, 0)?;
    let Fault::UserException(fault) = fault else {
        return check!(false, "{fault:?}");
    };
    check_eq!(fault.inner().get_Number(), 6)?;
    let context = thread.tcb_read_all_registers(true)?;
    let r = context.inner();
    check_eq!((r.rax, r.rdi, r.rsi, r.rdx), (231, 1, 2, u64::MAX))?;
    check_eq!((r.r10, r.r8, r.r9, r.rcx), (4, 5, 6, 7))?;
    check_eq!((r.r11, r.r15, r.rsp), (8, 15, 0x7fff_0000))
}

extern "C" fn stray(cptr: u64) -> ! {
    cap::Endpoint::from_bits(cptr).call(words(0));
    // SAFETY: it is the purpose of this thread to fault, at the latest here.
    unsafe { asm!("ud2", options(noreturn)) }
}

fn a_failed_lookup_is_a_capability_fault(machine: &mut Machine<'_>) -> Outcome {
    // Beyond the 16 bits of the initial thread's CSpace.
    const NOWHERE: u64 = 1 << 40;
    let (fault, thread) = fault_of(machine, stray, NOWHERE)?;
    let Fault::CapFault(fault) = fault else {
        return check!(false, "{fault:?}");
    };
    check_eq!(fault.inner().get_Addr(), NOWHERE)?;
    check_eq!(fault.inner().get_InRecvPhase(), 0)?;
    Ok(thread.tcb_suspend()?)
}

fn an_empty_slot_is_an_error_not_a_fault(machine: &mut Machine<'_>) -> Outcome {
    let empty = machine.slot()?.cap().downcast::<sel4::cap_type::Endpoint>();
    let answer = empty.call_with_mrs(words(0), []);
    check_eq!(
        answer.info.label(),
        sel4::sys::seL4_Error::seL4_InvalidCapability as u64
    )
}

fn io_ports_outside_a_range_are_refused(machine: &mut Machine<'_>) -> Outcome {
    let slot = machine.slot()?;
    slot::IO_PORT_CONTROL
        .cap()
        .ioport_control_issue(0x3f8, 0x3ff, &at(slot))?;
    let ports = slot.cap().downcast::<sel4::cap_type::IOPort>();
    ports.ioport_in8(0x3fd)?;
    check!(ports.ioport_in8(0x3f7).is_err(), "the port below")?;
    check!(ports.ioport_in8(0x400).is_err(), "the port above")?;
    check!(ports.ioport_in16(0x3ff).is_err(), "a word over the end")
}

/// Counts in the word at `address`.
extern "C" fn counter(address: u64) -> ! {
    loop {
        // SAFETY: a word of the case's own, which outlives this thread.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(address as *mut u64) }
            .fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        sel4::r#yield();
    }
}

fn a_thread_that_is_suspended_stays_so(machine: &mut Machine<'_>) -> Outcome {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let faults = machine.make::<sel4::cap_type::Endpoint>()?;
    let thread = machine.start(faults, counter, COUNT.as_ptr() as u64)?;
    let run = || {
        for _ in 0..50 {
            sel4::r#yield();
        }
        COUNT.load(Relaxed)
    };
    let first = run();
    check!(first > 0, "the thread does not run")?;
    thread.tcb_suspend()?;
    let stopped = COUNT.load(Relaxed);
    check_eq!(run(), stopped)?;
    thread.tcb_resume()?;
    check!(run() > stopped, "the thread does not run again")?;
    Ok(thread.tcb_suspend()?)
}

/// Calls again and again, with the word that the last call was answered with.
extern "C" fn echo(endpoint: u64) -> ! {
    let endpoint = cap::Endpoint::from_bits(endpoint);
    let mut told = 0;
    loop {
        told = endpoint.call_with_mrs(words(1), [told]).msg[0];
    }
}

fn a_call_that_was_answered_is_not_made_again_after_a_suspension(
    machine: &mut Machine<'_>,
) -> Outcome {
    let endpoint = machine.make::<sel4::cap_type::Endpoint>()?;
    let thread = machine.start(endpoint, echo, endpoint.bits())?;
    // So that it does not run when it is answered.
    thread.tcb_set_priority(slot::TCB.cap(), 254)?;
    endpoint.recv(());
    for told in 1..10 {
        sel4::reply_with_mrs(words(1), [told]);
        thread.tcb_suspend()?;
        thread.tcb_resume()?;
        check_eq!(endpoint.recv_with_mrs(()).msg[0], told)?;
    }
    Ok(thread.tcb_suspend()?)
}

/// The flag "nested task": anyone may set it, and a system call leaves it as it is.
const NESTED: u64 = 1 << 14;

fn flags() -> u64 {
    let flags;
    // SAFETY: a look at the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags
}

/// Makes this thread one with this flag, or without: no code of the compiler's looks at it.
fn set_nested(nested: bool) {
    let flags = flags() & !NESTED | if nested { NESTED } else { 0 };
    // SAFETY: all other flags stay.
    unsafe { asm!("push {}", "popfq", in(reg) flags) };
}

fn a_nested_task_does_not_stop_the_kernel(machine: &mut Machine<'_>) -> Outcome {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let faults = machine.make::<sel4::cap_type::Endpoint>()?;
    // Who has not run yet is returned to as who was interrupted.
    let thread = machine.start(faults, counter, COUNT.as_ptr() as u64)?;
    set_nested(true);
    sel4::r#yield();
    let still = flags() & NESTED != 0;
    set_nested(false);
    thread.tcb_suspend()?;
    check!(COUNT.load(Relaxed) > 0, "the other thread has not run")?;
    check!(still, "the flag is gone")
}

/// Makes a thread while strings go backwards.
fn make_thread_backwards(memory: cap::Untyped, slot: Slot) -> Outcome {
    let to = slot::CNODE.cap().absolute_cptr_for_self();
    let tag = with_ipc_buffer_mut(|buffer| {
        buffer.caps_or_badges_mut()[0] = to.root().bits();
        buffer.msg_regs_mut()[4..6].copy_from_slice(&[slot.index() as u64, 1]);
        MessageInfo::new(sel4::sys::invocation_label::UntypedRetype.into(), 0, 1, 6)
    });
    let error: u64;
    // SAFETY: a system call, whose arguments the kernel checks; strings go forwards again before anything else happens.
    unsafe {
        asm!(
            "std",
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2:",
            "sysenter",
            "cld",
            in("rax") sel4::sys::syscall_id::Call,
            inlateout("rdi") memory.bits() => _,
            inlateout("rsi") tag.into_inner().into_words()[0] => error,
            inlateout("r10") u64::from(ObjectBlueprint::Tcb.ty().into_sys()) => _,
            inlateout("r8") 0_u64 => _,
            inlateout("r9") to.path().bits() => _,
            inlateout("r15") to.path().depth() as u64 => _,
            out("rcx") _,
            out("rdx") _,
        );
    }
    check_eq!(error, 0)
}

/// Stores its control word of vector instructions at `address`.
extern "C" fn controller(address: u64) -> ! {
    // SAFETY: a word of the case's own, which outlives this thread.
    unsafe { asm!("stmxcsr [{}]", in(reg) address) };
    spinner(0)
}

fn a_thread_that_is_made_while_strings_go_backwards_is_whole(machine: &mut Machine<'_>) -> Outcome {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static CONTROL: AtomicU64 = AtomicU64::new(0);
    let faults = machine.make::<sel4::cap_type::Endpoint>()?;
    let slot = machine.slot()?;
    make_thread_backwards(machine.memory, slot)?;
    let thread = slot.cap().downcast::<sel4::cap_type::Tcb>();
    machine.start_in(thread, faults, controller, CONTROL.as_ptr() as u64)?;
    sel4::r#yield();
    thread.tcb_suspend()?;
    // All exceptions masked, as the processor begins (Intel's manual, volume 1, 10.2.3).
    check_eq!(CONTROL.load(Relaxed), 0x1f80)
}
