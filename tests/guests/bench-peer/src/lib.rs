// SPDX-License-Identifier: BSD-2-Clause
//! The loops whose messages are measured, to the instruction.
//!
//! A message is measured twice, between two address spaces made by hand and between two that the
//! system made. Both run what is here: code that depends on no address, so that it can be copied
//! into a page of its own ([`code`]), and that touches no memory but its stack.
//!
//! What a loop does per message is a system call and five instructions around it, none of which
//! depends on the message.

#![cfg_attr(not(test), no_std)]

use core::arch::global_asm;
use sel4::sys::syscall_id;

global_asm!(
    ".pushsection .text.bench_loops, \"ax\", @progbits",
    ".balign 64",
    "bench_loops_start:",
    // A system call: its number, capability and tag are given, the words are left as they are.
    ".macro bench_syscall number",
    "mov rax, \\number",
    "mov rcx, rsp",
    "lea rdx, [rip + 771f]",
    "771:",
    "sysenter",
    ".endm",
    // The time-stamp counter in RAX.
    ".macro bench_ticks",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    ".endm",
    //
    ".global bench_call",
    "bench_call:",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov r12, rdi",
    "mov r13, rsi",
    "mov r14, rdx",
    "bench_ticks",
    "mov rbx, rax",
    "2:",
    "mov rdi, r12",
    "mov rsi, r13",
    "bench_syscall {call}",
    "dec r14",
    "jnz 2b",
    "bench_ticks",
    "sub rax, rbx",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "ret",
    //
    ".global bench_serve",
    "bench_serve:",
    "mov r12, rdi",
    "mov r13, rsi",
    "bench_syscall {recv}",
    "2:",
    "mov rdi, r12",
    "mov rsi, r13",
    "bench_syscall {reply_recv}",
    "jmp 2b",
    //
    ".global bench_call_and_report",
    "bench_call_and_report:",
    "push rcx",
    "push r8",
    "call bench_call",
    "pop rsi",
    "pop rdi",
    "mov r10, rax",
    // No `ret`: nobody called.
    ".global bench_report",
    "bench_report:",
    "bench_syscall {call}",
    "ud2",
    "bench_loops_end:",
    ".purgem bench_syscall",
    ".purgem bench_ticks",
    ".popsection",
    call = const syscall_id::Call,
    recv = const syscall_id::Recv,
    reply_recv = const syscall_id::ReplyRecv,
);

unsafe extern "C" {
    static bench_loops_start: u8;
    static bench_loops_end: u8;
    fn bench_call(endpoint: u64, tag: u64, count: u64) -> u64;
    fn bench_serve(endpoint: u64, tag: u64) -> !;
    fn bench_call_and_report() -> !;
    fn bench_report() -> !;
}

/// Calls `endpoint` `count` times (1 or more) with a message of this tag, whose words are whatever
/// the registers hold. Gives the ticks of the time-stamp counter that this took.
///
/// The tag says at most four words and no capabilities, so that nothing but registers travels.
#[must_use]
pub fn call(endpoint: sel4::cap::Endpoint, tag: sel4::MessageInfo, count: u64) -> u64 {
    // SAFETY: a function by the ABI that it is declared with; it makes system calls whose messages
    // are in registers alone, and those change no memory of ours.
    unsafe { bench_call(endpoint.bits(), word(tag), count) }
}

/// Receives from `endpoint` and answers every message with one of this tag, whose words are those of
/// the message.
pub fn serve(endpoint: sel4::cap::Endpoint, tag: sel4::MessageInfo) -> ! {
    // SAFETY: as in `call`.
    unsafe { bench_serve(endpoint.bits(), word(tag)) }
}

/// The time-stamp counter. Where the emulator counts instructions, it is their number.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: every processor that this kernel runs on has it, and the kernel lets everybody read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A tag as the loops take it.
#[must_use]
pub fn word(tag: sel4::MessageInfo) -> u64 {
    tag.into_inner().into_words()[0]
}

/// Where a thread begins that is made by hand, as an offset in [`code`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// [`serve`]. RDI: the endpoint; RSI: the tag.
    Serve,
    /// [`call`], and then [`Entry::Report`]. RDI: the endpoint; RSI: the tag; RDX: how often; RCX and
    /// R8: endpoint and tag of the report, whose first word is what `call` gives. With a stack.
    CallAndReport,
    /// One call, which is not expected to return. RDI: the endpoint; RSI: the tag; R10: the first word.
    Report,
}

impl Entry {
    /// Offset of its first instruction.
    #[must_use]
    pub fn offset(self) -> usize {
        self.address() - &raw const bench_loops_start as usize
    }

    /// Address of its first instruction in this program itself, for a thread of it.
    #[must_use]
    pub fn address(self) -> usize {
        match self {
            Self::Serve => bench_serve as *const () as usize,
            Self::CallAndReport => bench_call_and_report as *const () as usize,
            Self::Report => bench_report as *const () as usize,
        }
    }
}

/// All of this as bytes that run wherever they are mapped.
#[must_use]
pub fn code() -> &'static [u8] {
    let start = &raw const bench_loops_start;
    let end = &raw const bench_loops_end;
    // SAFETY: what the assembler put between the two labels, which is never written.
    unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lie_within_the_code_and_the_code_within_a_page() {
        assert!(code().len() <= 4096);
        for entry in [Entry::Serve, Entry::CallAndReport, Entry::Report] {
            assert!(entry.offset() < code().len(), "{entry:?}");
        }
    }
}
