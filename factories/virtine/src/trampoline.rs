// SPDX-License-Identifier: BSD-2-Clause
//! The code that runs in a virtine before any of its own does.
//!
//! It is in a page that no virtine can write, and the factory alone says when it runs: by setting the
//! instruction pointer. So a virtine puts itself back, with no help of the factory's and without the factory
//! having a page of it mapped; but it cannot keep from doing so, nor from doing it right. What the trampoline
//! reads is in the [`Plan`], which the virtine cannot write either, and in registers.
//!
//! | register | at the beginning |
//! | --- | --- |
//! | RIP | the trampoline |
//! | RSP | the end of the stack |
//! | RFLAGS | nothing set but interrupts |
//! | RAX | 0 |
//! | RBX, RCX | which of the plan's pages are to be looked at: bit 0 of RBX is the first |
//!
//! At the function's beginning all are 0 but RSP, RDI (the address of the argument) and RSI (its length). The
//! registers of the FPU and of SSE are as at a processor's reset, the segment registers hold the null selector.
//! (Nobody else changes those in this kernel: they would tell of the last call.)

use core::arch::global_asm;
use core::mem::offset_of;

use xos_protocol::slots::{ic, leaf};
use xos_protocol::virtine::{Hypercall, PLAN, Plan, SAVED};

/// Bits of a message's tag below its label (seL4_MessageInfo).
const LABEL_SHIFT: u32 = 12;

global_asm!(
    ".pushsection .rodata.xos_trampoline, \"a\"",
    ".balign 4096",
    "xos_trampoline:",
    "mov r8d, {plan}",
    "lea r9, [r8 + {pages}]",
    "mov r10d, {saved}",
    "mov r11, rcx",
    // The next page of this half.
    "2:",
    "bsf rdx, rbx",
    "jz 6f",
    "btr rbx, rdx",
    "mov rdi, [r9 + 8 * rdx]",
    "mov edx, edi",
    "and edx, 3",
    "sub rdi, rdx",
    "mov ecx, 512",
    "dec edx",
    "jz 4f",
    "jns 5f",
    // Put::Zero.
    "rep stosq",
    "jmp 2b",
    // Put::Back.
    "4:",
    "lea rsi, [rdi + r10]",
    "rep movsq",
    "jmp 2b",
    // Put::Aside.
    "5:",
    "mov rsi, rdi",
    "add rdi, r10",
    "rep movsq",
    "jmp 2b",
    // The other half.
    "6:",
    "mov rbx, r11",
    "xor r11d, r11d",
    "add r9, 512",
    "test rbx, rbx",
    "jnz 2b",
    // Some processors do not load the FPU's last instruction and operand addresses unless an exception is
    // pending (AMD's manual, volume 2, section 11.4.4): this load makes them those of this page.
    "emms",
    "fild dword ptr [r8 + {zero}]",
    "fxrstor64 [rip + 9f]",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov fs, eax",
    "mov gs, eax",
    "lea rdi, [r8 + {argument}]",
    "mov rsi, [r8 + {length}]",
    "mov rax, [r8 + {entry}]",
    "test rax, rax",
    "jz 7f",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "jmp rax",
    // A call of the factory's, without words.
    "7:",
    "mov rax, {call}",
    "mov edi, {itself}",
    "mov esi, {restored}",
    "mov rcx, rsp",
    "lea rdx, [rip + 8f]",
    "8:",
    "sysenter",
    "jmp 7b",
    // The registers of the FPU and of SSE after a reset (Intel SDM volume 1, section 10.5.1).
    ".balign 64",
    "9:",
    ".short 0x37f, 0, 0, 0",
    ".quad 0, 0",
    ".long 0x1f80, 0",
    ".zero 480",
    "xos_trampoline_end:",
    ".popsection",
    plan = const PLAN,
    saved = const SAVED,
    pages = const offset_of!(Plan, pages),
    argument = const offset_of!(Plan, argument),
    length = const offset_of!(Plan, length),
    entry = const offset_of!(Plan, entry),
    zero = const offset_of!(Plan, zero),
    call = const sel4::sys::syscall_id::Call,
    itself = const leaf(ic::ITSELF),
    restored = const Hypercall::Restored.label() << LABEL_SHIFT,
);

unsafe extern "C" {
    static xos_trampoline: [u8; 0];
    static xos_trampoline_end: [u8; 0];
}

/// The code, to be copied to the start of a page.
pub fn code() -> &'static [u8] {
    let start = (&raw const xos_trampoline).cast::<u8>();
    let len = (&raw const xos_trampoline_end) as usize - start as usize;
    // SAFETY: these are bytes of this program between two of its own labels, which nobody changes.
    unsafe { core::slice::from_raw_parts(start, len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xos_protocol::manager::PAGE;

    #[test]
    fn it_fits_into_its_page() {
        assert!((600..PAGE as usize).contains(&code().len()));
    }
}
