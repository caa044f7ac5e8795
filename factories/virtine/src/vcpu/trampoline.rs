// SPDX-License-Identifier: BSD-2-Clause
//! The code of a virtine on a virtual processor that is not its image's: the way in, and the way out.
//!
//! It runs in ring 0, in a page that the image cannot see, and the image runs in ring 3. A call begins at
//! [`begin`] or [`begin_floating`], whatever an earlier one left in registers; an image leaves by `SYSENTER`,
//! which ends up at [`exit`]: there the monitor is called, and afterwards the image goes on where EDX and ECX
//! say, as `SYSEXIT` has it.
//!
//! Loading CR3 makes the processor forget translations: it remembers with them that it has marked a page as
//! written, and the monitor has taken that mark away.
//!
//! At the function's beginning ESI is the address of the argument, EDI its length, ESP the end of the stack;
//! EDX and ECX are the function's address and that of the stack; all others are 0. Floating-point registers
//! are as after a reset.

use core::arch::global_asm;

use super::layout::{ARGUMENT, MAILBOX, STACK_END, TRAMPOLINE, mailbox, selector};

/// Where floating-point registers are as after a reset (Intel SDM volume 1, section 10.5.1).
const FLOATING: u32 = TRAMPOLINE + 0x200;

global_asm!(
    ".pushsection .rodata.xos_vcpu_trampoline, \"a\"",
    ".balign 64",
    ".code32",
    "xos_vcpu_trampoline:",
    "xor ebp, ebp",
    "jmp 2f",
    "xos_vcpu_begin_floating:",
    "mov ebp, 1",
    "2:",
    "mov eax, cr3",
    "mov cr3, eax",
    "mov esp, {stack_0}",
    "mov eax, {data_3}",
    "mov ds, eax",
    "mov es, eax",
    "xor eax, eax",
    "mov fs, eax",
    "mov gs, eax",
    "push 2",
    "popfd",
    "test ebp, ebp",
    "jz 3f",
    // As in the trampoline of address spaces: some processors keep the last instruction's address otherwise.
    "emms",
    "fild dword ptr ds:[{zero}]",
    "fxrstor ds:[{floating}]",
    "xor ebp, ebp",
    "3:",
    "mov esi, {argument}",
    "mov edi, ds:[{length}]",
    "mov edx, ds:[{entry}]",
    "mov ecx, {stack}",
    "xor ebx, ebx",
    "test edx, edx",
    "jz xos_vcpu_exit",
    "sti",
    "sysexit",
    // The way out. Whatever the image has in its data segments, this one is the code's.
    "xos_vcpu_exit:",
    "vmcall",
    "mov eax, cs:[{answer}]",
    "sti",
    "sysexit",
    ".org xos_vcpu_trampoline + {floating} - {trampoline}",
    ".short 0x37f, 0, 0, 0",
    ".quad 0, 0",
    ".long 0x1f80, 0",
    ".zero 480",
    "xos_vcpu_trampoline_end:",
    ".code64",
    ".popsection",
    data_3 = const selector::DATA_3,
    stack_0 = const mailbox::STACK_END,
    zero = const mailbox::ZERO,
    trampoline = const TRAMPOLINE,
    floating = const FLOATING,
    argument = const ARGUMENT,
    length = const mailbox::LENGTH,
    entry = const mailbox::ENTRY,
    answer = const mailbox::ANSWER,
    stack = const STACK_END,
);

unsafe extern "C" {
    static xos_vcpu_trampoline: [u8; 0];
    static xos_vcpu_begin_floating: [u8; 0];
    static xos_vcpu_exit: [u8; 0];
    static xos_vcpu_trampoline_end: [u8; 0];
}

fn offset(label: *const [u8; 0]) -> u32 {
    (label as usize - (&raw const xos_vcpu_trampoline) as usize) as u32
}

/// The code, to be copied to the start of a page.
pub fn code() -> &'static [u8] {
    let start = (&raw const xos_vcpu_trampoline).cast::<u8>();
    let len = offset(&raw const xos_vcpu_trampoline_end) as usize;
    // SAFETY: these are bytes of this program between two of its own labels, which nobody changes.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Where a call begins.
pub const fn begin() -> u32 {
    TRAMPOLINE
}

/// Where a call begins if an earlier one may have used floating-point registers.
pub fn begin_floating() -> u32 {
    TRAMPOLINE + offset(&raw const xos_vcpu_begin_floating)
}

/// The instruction by which a virtine calls its monitor, and no other.
pub fn exit() -> u32 {
    TRAMPOLINE + offset(&raw const xos_vcpu_exit)
}

const _: () = assert!(MAILBOX > TRAMPOLINE);

#[cfg(test)]
mod tests {
    use super::super::layout::DESCRIPTORS;
    use super::*;

    #[test]
    fn it_fits_into_its_page_before_the_descriptors() {
        assert!((1024..(DESCRIPTORS - TRAMPOLINE) as usize).contains(&code().len()));
    }

    #[test]
    fn the_way_out_is_the_one_call_of_the_monitor() {
        const VMCALL: [u8; 3] = [0x0f, 0x01, 0xc1];
        let calls: Vec<usize> = (0..code().len() - 2)
            .filter(|at| code()[*at..*at + 3] == VMCALL)
            .collect();
        assert_eq!(calls, [(exit() - TRAMPOLINE) as usize]);
    }
}
