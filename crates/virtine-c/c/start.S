/* SPDX-License-Identifier: BSD-2-Clause */
/* The beginning of an image, and of a call; and how either says something to the monitor. */
.intel_syntax noprefix
.section .text
.globl _start
_start:
    call xos_prepare
    ud2

/* ESI: address of the argument; EDI: its length. */
.weak xos_begin
xos_begin:
    sub esp, 8
    push edi
    push esi
    call xos_call
    ud2

/* uint32_t xos_say(what, number, bytes, length, answer), as factories/virtine/src/vcpu/layout.rs has it.
   SYSEXIT goes on at EDX, with the stack at ECX. */
.globl xos_say
xos_say:
    push ebx
    push esi
    push edi
    push ebp
    mov eax, [esp + 20]
    mov ebx, [esp + 24]
    mov esi, [esp + 28]
    mov edi, [esp + 32]
    mov ebp, [esp + 36]
    mov ecx, esp
    mov edx, offset 1f
    sysenter
1:  pop ebp
    pop edi
    pop esi
    pop ebx
    ret
.section .note.GNU-stack, "", @progbits
