// SPDX-License-Identifier: BSD-2-Clause
//! System calls of x86_64 kernels that are entered by `sysenter`.
//!
//! RAX holds the number, RDI the capability (on return the badge), RSI the message's tag, R10, R8,
//! R9, R15 its first words. RCX carries the stack pointer and RDX the address *of* the `sysenter`:
//! the kernel returns behind it. Everything else is preserved, but for the arithmetic flags. The
//! kernel never touches the user's stack.
//!
//! It preserves vector registers as well, but tells nobody what is in them: an execution that is begun
//! anew elsewhere with all registers that it had in a system call would lack these. So the compiler is
//! told to keep nothing there across a system call.

use core::arch::asm;
use core::mem::offset_of;

use crate::{seL4_IPCBuffer, seL4_Word};

/// Message words that travel in registers.
pub(crate) const MESSAGE_REGISTERS: usize = 4;

/// One message's words in registers.
pub(crate) type Registers = [seL4_Word; MESSAGE_REGISTERS];

/// The body of every system call: operands differ, this does not.
macro_rules! sysenter {
    ($($operands:tt)*) => {
        asm!(
            "mov rcx, rsp",
            "lea rdx, [rip + 2f]",
            "2:",
            "sysenter",
            $($operands)*
            out("rcx") _,
            out("rdx") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        )
    };
}

/// With the feature `steps`, every system call is a step of the program.
#[inline(always)]
fn step() {
    #[cfg(feature = "steps")]
    crate::steps::step();
}

/// Sends a message and does not wait for one.
#[inline(always)]
pub(crate) fn send(number: isize, dest: seL4_Word, tag: seL4_Word, mrs: Registers) {
    step();
    // SAFETY: the kernel checks its arguments and writes no memory of the caller but its IPC
    // buffer, which the compiler assumes changed.
    unsafe {
        sysenter!(
            in("rax") number,
            in("rdi") dest,
            in("rsi") tag,
            in("r10") mrs[0],
            in("r8") mrs[1],
            in("r9") mrs[2],
            in("r15") mrs[3],
        );
    }
}

/// Sends a message of no words.
#[inline(always)]
pub(crate) fn send_null(number: isize, dest: seL4_Word, tag: seL4_Word) {
    step();
    // SAFETY: as in `send`.
    unsafe {
        sysenter!(
            in("rax") number,
            in("rdi") dest,
            in("rsi") tag,
        );
    }
}

/// Waits for a message: its tag, badge and first words.
#[inline(always)]
pub(crate) fn recv(number: isize, src: seL4_Word) -> (seL4_Word, seL4_Word, Registers) {
    step();
    let (tag, badge, mr0, mr1, mr2, mr3);
    // SAFETY: as in `send`.
    unsafe {
        sysenter!(
            in("rax") number,
            inlateout("rdi") src => badge,
            lateout("rsi") tag,
            lateout("r10") mr0,
            lateout("r8") mr1,
            lateout("r9") mr2,
            lateout("r15") mr3,
        );
    }
    (tag, badge, [mr0, mr1, mr2, mr3])
}

/// Sends a message, then waits for one: its tag, badge and first words.
#[inline(always)]
pub(crate) fn send_recv(
    number: isize,
    dest: seL4_Word,
    tag: seL4_Word,
    mrs: Registers,
) -> (seL4_Word, seL4_Word, Registers) {
    step();
    exchange(number, dest, tag, mrs)
}

#[inline(always)]
fn exchange(
    number: isize,
    dest: seL4_Word,
    tag: seL4_Word,
    mrs: Registers,
) -> (seL4_Word, seL4_Word, Registers) {
    let [mut mr0, mut mr1, mut mr2, mut mr3] = mrs;
    let (out_tag, badge);
    // SAFETY: as in `send`.
    unsafe {
        sysenter!(
            in("rax") number,
            inlateout("rdi") dest => badge,
            inlateout("rsi") tag => out_tag,
            inlateout("r10") mr0,
            inlateout("r8") mr1,
            inlateout("r9") mr2,
            inlateout("r15") mr3,
        );
    }
    (out_tag, badge, [mr0, mr1, mr2, mr3])
}

/// A system call without arguments or results.
#[inline(always)]
pub(crate) fn null(number: isize) {
    step();
    bare(number);
}

/// A call that is no step.
#[cfg(feature = "steps")]
pub(crate) fn call_unseen(dest: seL4_Word, tag: seL4_Word, mrs: Registers) {
    exchange(crate::syscall_id::Call, dest, tag, mrs);
}

/// The same for `Yield`.
#[cfg(feature = "steps")]
pub(crate) fn yield_unseen() {
    bare(crate::syscall_id::Yield);
}

#[inline(always)]
fn bare(number: isize) {
    // SAFETY: as in `send`.
    unsafe {
        sysenter!(
            in("rax") number,
            out("rdi") _,
            out("rsi") _,
        );
    }
}

/// The word of the current thread's IPC buffer that the kernel leaves to the user. The kernel keeps
/// the buffer's address in GS base.
#[inline(always)]
pub(crate) fn user_data() -> seL4_Word {
    let value;
    // SAFETY: a read of the thread's own IPC buffer. A thread without one faults.
    unsafe {
        asm!(
            "mov {}, gs:[{at}]",
            out(reg) value,
            at = const offset_of!(seL4_IPCBuffer, userData),
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    value
}

/// Replaces the word that [`user_data`] reads.
#[inline(always)]
pub(crate) fn set_user_data(value: seL4_Word) {
    // SAFETY: a write to the thread's own IPC buffer, to the word that is the user's.
    unsafe {
        asm!(
            "mov gs:[{at}], {}",
            in(reg) value,
            at = const offset_of!(seL4_IPCBuffer, userData),
            options(nostack, preserves_flags),
        );
    }
}
