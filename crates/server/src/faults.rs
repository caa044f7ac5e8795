// SPDX-License-Identifier: BSD-2-Clause
//! Fault messages: what an IC did, as its handler learns it.

use sel4::{Fault, MessageInfo, UserContext, cap, sys};
use xos_protocol::ic::FaultKind;
use xos_protocol::{Error, ExitStatus, Result};
use xos_runtime::guarded;
use xos_runtime::panic_report::{EXCEPTION, PanicReport};

use crate::Request;
use crate::factory::Fate;

/// Labels below this are fault messages of the kernel's (seL4 reference manual 5.0, section 6.2). An IC
/// can make one up by calling its fault endpoint: what it does to itself by that is its own affair, and a
/// handler must not take an address in it for a checked one.
pub const END: u64 = 0x20;

/// Bit of x86's page-fault error code (Intel SDM volume 3, section 4.7): the access was a write.
const WRITE: u64 = 1 << 1;

/// The fault in a request, if it is a fault message.
pub fn read(request: &Request<'_>) -> Option<Fault> {
    if request.label() == 0 || request.label() >= END {
        return None;
    }
    let info = MessageInfo::new(request.label(), 0, 0, request.words().len());
    Fault::from_words(request.words(), &info)
}

/// The fault as protocols tell it.
pub fn describe(fault: &Fault) -> xos_protocol::Fault {
    let (ip, kind) = match fault {
        Fault::NullFault(_) => (0, FaultKind::Syscall(0)),
        Fault::CapFault(fault) => {
            let fault = fault.inner();
            (fault.get_IP(), FaultKind::Capability(fault.get_Addr()))
        }
        Fault::UnknownSyscall(fault) => {
            let fault = fault.inner();
            (fault.get_FaultIP(), FaultKind::Syscall(fault.get_Syscall()))
        }
        Fault::UserException(fault) => {
            let fault = fault.inner();
            (
                fault.get_FaultIP(),
                FaultKind::Exception(fault.get_Number() as u8),
            )
        }
        Fault::VmFault(fault) => {
            let fault = fault.inner();
            let (ip, write) = (fault.get_IP(), fault.get_FSR() & WRITE != 0);
            let fetch = fault.get_PrefetchFault() != 0;
            let kind = FaultKind::page_fault(ip, fault.get_Addr(), write, fetch);
            (ip, kind)
        }
    };
    xos_protocol::Fault { ip, kind }
}

/// The panic behind a fault, if it is one. `report` gives the registers of the execution, as [`report_registers`]; it is
/// asked only if they matter.
pub fn panic<E>(
    fault: &Fault,
    report: impl FnOnce() -> core::result::Result<[u64; 3], E>,
) -> Option<PanicReport> {
    match fault {
        Fault::UserException(fault) if fault.inner().get_Number() == EXCEPTION => {
            let [rax, rdi, rsi] = report().ok()?;
            PanicReport::from_registers(rax, rdi, rsi)
        }
        _ => None,
    }
}

/// What a fault comes to where the execution is a program of this system's: a call or send to a capability
/// that it does not have is refused, and it goes on; everything else is its end, a panic told as such. The
/// words of a panic are in its memory: who wants them reads them there.
///
/// `refuse` and `report` are [`refuse`](fn@refuse), with [`Error::Gone`], and [`report_registers`], by a
/// `kernel`.
pub fn fate<K>(
    fault: &Fault,
    kernel: &mut K,
    refuse: impl FnOnce(&mut K) -> Result<bool>,
    report: impl FnOnce(&mut K) -> Result<[u64; 3]>,
) -> Fate {
    let mut told = describe(fault);
    match fault {
        Fault::CapFault(fault)
            if fault.inner().get_InRecvPhase() == 0 && refuse(kernel) == Ok(true) =>
        {
            return Fate::GoesOn;
        }
        _ if panic(fault, || report(kernel)).is_some() => told.kind = FaultKind::Panic,
        _ => {}
    }
    Fate::Ends(ExitStatus::Fault(told))
}

/// Registers as far as RDI, in the kernel's order: those that this module looks at.
const UP_TO_RDI: u64 = 9;
/// The same as far as R9.
const UP_TO_R9: u64 = 12;
/// RIP alone.
const IP: u64 = 1;
/// All of them.
const ALL: u64 = 19;
/// Bytes of the `sysenter` instruction.
const SYSENTER: u64 = 2;

/// The registers RAX, RDI and RSI of an execution that stands still: a panic leaves its report there
/// (`xos_runtime::panic_report`).
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished.
pub fn report_registers(tcb: cap::Tcb) -> Result<[u64; 3]> {
    let context = tcb
        .tcb_read_registers(false, UP_TO_RDI)
        .map_err(|_| Error::Kernel)?;
    let raw = context.inner();
    Ok([raw.rax, raw.rdi, raw.rsi])
}

/// Lets an execution go on that copies from or to memory which is not there any more, where it says that it wants
/// to ([`guarded`]): whether it does.
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished.
pub fn land(tcb: cap::Tcb) -> Result<bool> {
    let mut context = tcb
        .tcb_read_registers(false, UP_TO_R9)
        .map_err(|_| Error::Kernel)?;
    let raw = context.inner_mut();
    let Some(landing) = guarded::landing(raw.r8, raw.r9) else {
        return Ok(false);
    };
    raw.rip = landing;
    tcb.tcb_write_registers(true, IP, &mut context)
        .map_err(|_| Error::Kernel)?;
    Ok(true)
}

/// Has an execution that stands still make a call through the capability `through`, with two words, by the
/// `sysenter` at `at`: its registers as they were. The system call leaves all others as they are, vectors
/// included.
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished.
pub fn have_call(
    tcb: cap::Tcb,
    at: u64,
    through: u64,
    label: u64,
    words: [u64; 2],
) -> Result<UserContext> {
    let before = tcb
        .tcb_read_registers(false, ALL)
        .map_err(|_| Error::Kernel)?;
    let mut context = before.clone();
    let raw = context.inner_mut();
    (raw.rip, raw.rdx, raw.rcx) = (at, at, raw.rsp);
    raw.rax = sys::syscall_id::Call as u64;
    raw.rdi = through;
    raw.rsi = MessageInfo::new(label, 0, 0, words.len())
        .into_inner()
        .into_words()[0];
    [raw.r10, raw.r8] = words;
    tcb.tcb_write_registers(true, ALL, &mut context)
        .map_err(|_| Error::Kernel)?;
    Ok(before)
}

/// What an execution has been answered that made a call and has done nothing since.
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished, else what it was told.
pub fn answered(tcb: cap::Tcb) -> Result<()> {
    let context = tcb
        .tcb_read_registers(false, UP_TO_RDI)
        .map_err(|_| Error::Kernel)?;
    let tag = sys::seL4_MessageInfo::from_words([context.inner().rsi]);
    Error::from_label(MessageInfo::from_inner(tag).label())
}

/// Lets an execution go on with these registers.
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished.
pub fn go_on(tcb: cap::Tcb, registers: &UserContext) -> Result<()> {
    tcb.tcb_write_registers(true, ALL, &mut registers.clone())
        .map_err(|_| Error::Kernel)
}

/// Lets an execution go on that called or sent to a capability it does not have ([`Fault::CapFault`], not
/// in the receive phase): a call is answered with `error`, as the kernel would answer one through an empty
/// slot; a send does nothing. Whether it was one of the two.
///
/// The instruction is skipped where the execution itself says that it is, as the kernel does when a
/// system call succeeds. One that lies about that, or that made the fault message up, harms itself.
///
/// # Errors
/// [`Error::Kernel`] when the execution has vanished.
pub fn refuse(tcb: cap::Tcb, error: Error) -> Result<bool> {
    let mut context = tcb
        .tcb_read_registers(false, UP_TO_RDI)
        .map_err(|_| Error::Kernel)?;
    if !answer(&mut context, error) {
        return Ok(false);
    }
    tcb.tcb_write_registers(true, UP_TO_RDI, &mut context)
        .map_err(|_| Error::Kernel)?;
    Ok(true)
}

/// Sets the registers to what they are after a call that was answered with `error`, if it was a call or a
/// send.
fn answer(context: &mut UserContext, error: Error) -> bool {
    let raw = context.inner_mut();
    let [call, send] = [sys::syscall_id::Call, sys::syscall_id::Send].map(|id| id as u64);
    if raw.rax != call && raw.rax != send {
        return false;
    }
    raw.rip = raw.rip.wrapping_add(SYSENTER);
    raw.rdi = 0;
    raw.rsi = MessageInfo::new(error.label(), 0, 0, 0)
        .into_inner()
        .into_words()[0];
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(label: u64, words: &[u64]) -> Option<xos_protocol::Fault> {
        read(&Request::new(label, words)).map(|fault| describe(&fault))
    }

    #[test]
    fn a_page_fault_says_what_was_tried() {
        // Words: instruction, address, instruction fetch, error code.
        for (fetch, code, kind) in [
            (0, 4, FaultKind::Read(0x1000)),
            (0, 6, FaultKind::Write(0x1000)),
            (1, 0x14, FaultKind::Execute(0x1000)),
        ] {
            let fault = described(5, &[0x40_0000, 0x1000, fetch, code]).unwrap();
            assert_eq!((fault.ip, fault.kind), (0x40_0000, kind));
        }
    }

    #[test]
    fn an_exception_says_its_vector() {
        let fault = described(3, &[0x40_0000, 0x7000, 0x202, 13, 0]).unwrap();
        assert_eq!(fault.kind, FaultKind::Exception(13));
    }

    #[test]
    fn a_request_is_no_fault() {
        assert_eq!(described(0x220, &[0; 4]), None);
        assert_eq!(described(0, &[]), None);
    }

    #[test]
    fn a_fault_message_that_is_cut_short_is_none() {
        assert_eq!(described(5, &[1]), None);
    }

    #[test]
    fn a_call_is_answered_and_a_receive_is_not() {
        let mut context = UserContext::default();
        context.inner_mut().rip = 0x20_1000;
        context.inner_mut().rax = sys::syscall_id::Recv as u64;
        assert!(!answer(&mut context, Error::Gone));
        assert_eq!(context.inner().rip, 0x20_1000);

        context.inner_mut().rax = sys::syscall_id::Call as u64;
        assert!(answer(&mut context, Error::Gone));
        let raw = context.inner();
        assert_eq!((raw.rip, raw.rdi), (0x20_1002, 0));
        // A tag: the label above 12 bits, and no words.
        assert_eq!(raw.rsi, Error::Gone.label() << 12);
    }

    fn fate_of(label: u64, words: &[u64], refused: bool, rax: u64) -> Fate {
        let fault = read(&Request::new(label, words)).unwrap();
        fate(&fault, &mut (), |()| Ok(refused), |()| Ok([rax, 0, 0]))
    }

    #[test]
    fn a_panic_is_told_as_such_and_another_invalid_instruction_is_not() {
        use xos_runtime::panic_report::MAGIC;
        for (number, rax, kind) in [
            (6, MAGIC, FaultKind::Panic),
            (6, 0, FaultKind::Exception(6)),
            (13, MAGIC, FaultKind::Exception(13)),
        ] {
            let fate = fate_of(3, &[0x40_0000, 0x7000, 0x202, number, 0], false, rax);
            let ip = 0x40_0000;
            let told = xos_protocol::Fault { ip, kind };
            assert_eq!(fate, Fate::Ends(ExitStatus::Fault(told)));
        }
    }

    #[test]
    fn who_calls_through_nothing_goes_on_if_it_can_be_told_so() {
        // Words: instruction, CPtr, in the receive phase, lookup failure.
        let words = |receives| [0x40_0000, 0x900, receives, 0];
        assert_eq!(fate_of(1, &words(0), true, 0), Fate::GoesOn);
        for (receives, refused) in [(0, false), (1, true)] {
            let fate = fate_of(1, &words(receives), refused, 0);
            assert!(matches!(fate, Fate::Ends(_)), "{fate:?}");
        }
    }

    #[test]
    fn an_instruction_pointer_at_the_end_of_memory_is_no_panic() {
        let mut context = UserContext::default();
        context.inner_mut().rip = u64::MAX;
        context.inner_mut().rax = sys::syscall_id::Send as u64;
        assert!(answer(&mut context, Error::Gone));
    }
}
