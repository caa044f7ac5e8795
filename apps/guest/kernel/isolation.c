/* SPDX-License-Identifier: BSD-2-Clause */
/* What is the machine's own, and whether it is: memory, and who answers when a kernel is called. */

#include "kernel.h"

enum { FOUND = 3, SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };
/* What lies where others may share memory is in pages of this size at least. */
#define SHARED_STEP (2u << 20)

static void failed(const char *what, uint32_t detail)
{
    print("not so: %s (%x)\n", what, detail);
    power_off(1);
}

static uint32_t argument_of(const char *arguments) { return number(&arguments); }

/* ---- memory ---- */

/* What lies in all memory that is nobody's yet. */
static void mark(const char *arguments)
{
    uint32_t word = argument_of(arguments);
    for (uint32_t at = free_memory(); at < memory_size; at += sizeof word)
        *(volatile uint32_t *)at = word;
    print("marked with %x\n", word);
}

static void kept(const char *arguments)
{
    uint32_t word = argument_of(arguments);
    for (uint32_t at = free_memory(); at < memory_size; at += sizeof word)
        if (*(volatile uint32_t *)at != word)
            failed("a mark is kept", at);
    print("all is marked with %x\n", word);
}

/* Looks for a word in all memory, at whatever byte it begins. Its complement is what is said, and what is compared,
   so that it is not in memory because it is looked for. */
static void find(const char *arguments)
{
    uint32_t complement = argument_of(arguments);
    for (uint32_t at = 0; at <= memory_size - sizeof complement; at++) {
        uint32_t there = ~*(volatile uint32_t *)at;
        /* Or else the compiler compares with the word itself. */
        __asm__("" : "+r"(there));
        if (there == complement) {
            print("found at %x\n", at);
            power_off(FOUND);
        }
    }
    print("not found\n");
}

static void look(uint32_t address) { (void)*(volatile uint32_t *)address; }

/* Where others share memory with a machine, nothing is before they do. */
static void unshared(const char *arguments)
{
    (void)arguments;
    interrupts_off();
    uint32_t paging = read_cr0();
    write_cr0(paging & 0x7fffffff);
    for (uint32_t at = SHARED; at < SHARED_END; at += SHARED_STEP)
        if (!guarded(look, at) || last.vector != PROTECTION)
            failed("nothing is shared", at);
    write_cr0(paging);
    interrupts_on();
    print("nothing is shared\n");
}

/* ---- who answers ---- */

/* What `sysenter` with these registers comes to: 0 if it is this kernel that is entered. */
static uint32_t enter(uint32_t number, uint32_t first)
{
    uint32_t answered = 1;
    __asm__ volatile(
        "mov %[cs], %%ecx; mov %[code], %%eax; xor %%edx, %%edx; wrmsr\n"
        "mov %[esp], %%ecx; mov %%esp, %%eax; wrmsr\n"
        "mov %[eip], %%ecx; mov $1f, %%eax; wrmsr\n"
        "mov %%esi, %%eax; mov %%edi, %%ebx; sysenter\n"
        /* Who was answered by somebody else comes here. */
        "jmp 2f\n"
        "1: movl $0, %[answered]\n"
        "2:\n"
        : [answered] "+m"(answered)
        : "S"(number), "D"(first), [cs] "i"(SYSENTER_CS), [esp] "i"(SYSENTER_ESP), [eip] "i"(SYSENTER_EIP),
          [code] "i"(CODE)
        : "eax", "ebx", "ecx", "edx", "memory");
    return answered;
}

static void call_of_64_bits(uint32_t number) { __asm__ volatile("syscall" :: "a"(number) : "ecx", "memory"); }

static void execute(uint32_t code) { ((void (*)(void))code)(); }

/* The system below this machine is called by every way that leads into a kernel, with all numbers of its calls (the
   last sixteen, whatever is there) and of capabilities: it is this kernel that is entered, or the processor that
   refuses, or the call is none that a machine may make. */
static void own(const char *arguments)
{
    (void)arguments;
    interrupts_off();
    uint16_t segment;
    __asm__("mov %%cs, %0" : "=r"(segment));
    if (segment != CODE)
        failed("a kernel has its own segments", segment);
    uint8_t *code = (uint8_t *)new_page();
    uint32_t tried = 0;
    for (uint32_t call = -16; call; call++) {
        for (uint32_t capability = 0; capability < OWN_CHANNELS_END; capability++, tried++) {
            uint32_t answer = hypercall(call, capability, 0x700);
            if (answer != NO_SUCH_CALL)
                failed("a system call is no hypercall", answer);
        }
        if (enter(call, MANAGER_CHANNEL))
            failed("sysenter enters this kernel", call);
        if (!guarded(call_of_64_bits, call) || last.vector != OPCODE)
            failed("there is no other system call", call);
    }
    /* Interrupts for which this kernel has no entry. */
    for (uint32_t vector = SOFTWARE + 1; vector < 256; vector++, tried++) {
        const uint8_t interrupt[] = { 0xcd, vector, 0xc3 };
        for (size_t i = 0; i < sizeof interrupt; i++)
            code[i] = interrupt[i];
        if (!guarded(execute, (uint32_t)code) || last.vector != PROTECTION)
            failed("an interrupt is this kernel's", vector);
    }
    interrupts_on();
    print("%u calls of the system's tried\n", tried);
}

const struct command isolation[] = {
    { "mark", "N: fills all free memory with a word", mark },
    { "kept", "N: checks that it still is", kept },
    { "find", "N: looks for the complement of a word in all memory", find },
    { "unshared", "looks where others could share memory", unshared },
    { "own", "calls the system below this machine in every way", own },
    { 0, 0, 0 },
};
