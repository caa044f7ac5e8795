// SPDX-License-Identifier: BSD-2-Clause
//! The page that is mapped, read-only, in every domain: what a dead thread is made to run.
//!
//! Four entries. [`answer`] replies once and faults; the second, for the IC manager, sends through
//! further reply capabilities before it faults; [`resting`] answers whoever calls until a time has come,
//! and faults; [`undertaker`] receives and replies for ever. All
//! take everything from registers, touch no memory (the dead program's stack may be anywhere) and
//! need nothing of the program's but capabilities in its CSpace.
//!
//! | register | holds |
//! | --- | --- |
//! | RBX | CPtr of the endpoint; of the first reply capability |
//! | R12 | the tag of the reply, which has no words |
//! | R13 | how many reply capabilities |
//! | R14 | the time, in ticks of the time-stamp counter |
//!
//! This is the one place beside the bindings that knows how the kernel is entered.

use core::arch::global_asm;

use sel4::sys::syscall_id;
use sel4::{MessageInfo, UserContext};
use xos_protocol::Error;
use xos_protocol::slots::{NODE_BITS, domain};
use xos_protocol::supervisor::STUB_DRAIN;
use xos_root_task::layout::STUB_VADDR;

global_asm!(
    ".pushsection .rodata.xos_stub, \"a\", @progbits",
    ".balign 4096",
    "xos_stub:",
    // Answer.
    "mov rax, {reply}",
    "mov rsi, r12",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "3: ud2",
    "jmp 3b",
    // Answer, and answer those that were kept.
    ".org xos_stub + {drain}, 0xcc",
    "mov rax, {reply}",
    "mov rsi, r12",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "3: test r13, r13",
    "jz 4f",
    "mov rax, {nb_send}",
    "mov rdi, rbx",
    "mov rsi, r12",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "add rbx, {next}",
    "dec r13",
    "jmp 3b",
    "4: ud2",
    "jmp 4b",
    // Answer whoever calls, let others run, look at the clock.
    "xos_stub_resting:",
    "mov rax, {nb_recv}",
    "mov rdi, rbx",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    // Without a message there is no badge.
    "test rdi, rdi",
    "jz 3f",
    "mov rax, {reply}",
    "mov rsi, r12",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "3: mov rax, {let_run}",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "cmp rax, r14",
    "jb xos_stub_resting",
    "3: ud2",
    "jmp 3b",
    // Receive.
    "xos_stub_undertaker:",
    "mov rax, {recv}",
    "mov rdi, rbx",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    // Reply and receive.
    "3:",
    "mov rax, {reply_recv}",
    "mov rdi, rbx",
    "mov rsi, r12",
    "mov rcx, rsp",
    "lea rdx, [rip + 2f]",
    "2: sysenter",
    "jmp 3b",
    ".balign 4096, 0xcc",
    ".popsection",
    drain = const STUB_DRAIN,
    next = const 1 << NODE_BITS,
    reply = const syscall_id::Reply,
    nb_send = const syscall_id::NBSend,
    nb_recv = const syscall_id::NBRecv,
    let_run = const syscall_id::Yield,
    recv = const syscall_id::Recv,
    reply_recv = const syscall_id::ReplyRecv,
);

unsafe extern "C" {
    static xos_stub: [u8; 0];
    static xos_stub_resting: [u8; 0];
    static xos_stub_undertaker: [u8; 0];
}

/// Where the page is in the root task's memory.
pub fn address() -> usize {
    &raw const xos_stub as usize
}

fn registers(entry: usize) -> UserContext {
    let mut context = UserContext::default();
    let registers = context.inner_mut();
    registers.rip = STUB_VADDR + (entry - address()) as u64;
    registers.rbx = domain::INPUT;
    registers.r12 = tag();
    context
}

/// The tag of a reply that says that the server died.
fn tag() -> u64 {
    died().into_inner().into_words()[0]
}

/// That the server died.
pub fn died() -> MessageInfo {
    MessageInfo::new(Error::ServerDied.label(), 0, 0, 0)
}

/// Registers of a thread that answers its last caller.
pub fn answer() -> UserContext {
    registers(address())
}

/// Registers of a thread that answers all callers until this time, and faults.
pub fn resting(until: u64) -> UserContext {
    let mut context = registers(&raw const xos_stub_resting as usize);
    context.inner_mut().r14 = until;
    context
}

/// Registers of a thread that answers all callers.
pub fn undertaker() -> UserContext {
    registers(&raw const xos_stub_undertaker as usize)
}
