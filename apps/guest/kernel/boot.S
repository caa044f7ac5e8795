/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the kernel begins, where interrupts arrive, and what C cannot say. */

    .set MAGIC, 0x1badb002
    /* Modules at pages, and memory information. */
    .set FLAGS, 3

    .section .multiboot, "a"
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    mov $stack_end, %esp
    xor %ebp, %ebp
    cld
    push %ebx
    push %eax
    call kernel_main

    .globl stop
stop:
    cli
    hlt
    jmp stop

/* int guarded(void (*function)(uint32_t), uint32_t argument): calls the function; 0, or one more than the
   number of the exception that ended it. */
    .globl guarded
guarded:
    push %ebp
    push %ebx
    push %esi
    push %edi
    mov %esp, guard
    push 24(%esp)
    call *24(%esp)
    add $4, %esp
    xor %eax, %eax
leave_guarded:
    movl $0, guard
    pop %edi
    pop %esi
    pop %ebx
    pop %ebp
    ret

/* Where the handler of an exception returns to then, with EAX set. */
    .globl guard_resume
guard_resume:
    mov guard, %esp
    cld
    jmp leave_guarded

/* One entry for each vector: each pushes an error code, if the processor does not, and its number. */
    .altmacro
    .macro entry number
entry_\number:
    .if (\number == 8) || ((\number >= 10) && (\number <= 14)) || (\number == 17)
    .else
    push $0
    .endif
    push $\number
    jmp trapped
    .endm
    .macro name number
    .long entry_\number
    .endm

    .set number, 0
    .rept 49
    entry %number
    .set number, number + 1
    .endr

trapped:
    pusha
    cld
    push %esp
    call trap
    add $4, %esp
    popa
    add $8, %esp
    iret

    .section .rodata
    .balign 4
    .globl entries
entries:
    .set number, 0
    .rept 49
    name %number
    .set number, number + 1
    .endr

    .bss
    .balign 4
    .globl guard
guard:
    .long 0
    .balign 16
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
