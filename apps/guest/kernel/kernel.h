/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the kernel know of each other. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interface.h"

/* ---- the processor ---- */

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" :: "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void interrupts_on(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void interrupts_off(void) { __asm__ volatile("cli" ::: "memory"); }
/* Waits for one: nothing can come between the two instructions. */
static inline void wait_for_interrupt(void) { __asm__ volatile("sti; hlt" ::: "memory"); }

#define CONTROL_REGISTER(n) \
    static inline uint32_t read_cr##n(void) \
    { \
        uint32_t value; \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value)); \
        return value; \
    } \
    static inline void write_cr##n(uint32_t value) \
    { \
        __asm__ volatile("mov %0, %%cr" #n :: "r"(value) : "memory"); \
    }
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)

struct leaf { uint32_t eax, ebx, ecx, edx; };

static inline struct leaf cpuid(uint32_t number)
{
    struct leaf l;
    __asm__ volatile("cpuid" : "=a"(l.eax), "=b"(l.ebx), "=c"(l.ecx), "=d"(l.edx)
                     : "a"(number), "c"(0));
    return l;
}

/* ---- hypercalls (interface.h has the numbers of the virtual machine's interface) ---- */

/* Whether there is somebody who answers them. */
extern bool has_hypercalls;

static inline uint32_t hypercall(uint32_t number, uint32_t first, uint32_t second)
{
    uint32_t high;
    __asm__ volatile("vmcall" : "+a"(number), "=d"(high) : "b"(first), "c"(second) : "memory");
    return number;
}

/* Milliseconds by the machine's clock; it starts anew after 4 seconds. */
uint32_t milliseconds(void);

/* ---- links.c: what there is to do with others ---- */

struct message { uint64_t label, words[MESSAGE_WORDS], who; };

/* Calls, and gives the label of the reply: 0, or an error. The words are those of the reply then. */
uint32_t call(uint32_t channel, uint32_t label, uint64_t words[MESSAGE_WORDS]);
/* The same of the IC manager. */
uint32_t ask(uint32_t operation, uint64_t first, uint64_t second, uint64_t third, uint64_t fourth);
/* The first word of its reply. */
extern uint64_t asked;
/* Opens what is registered under a name, into a channel. */
uint32_t open(const char *name, uint32_t channel);
/* Lets others open this machine under a name. */
uint32_t serve(const char *name);
/* Waits for a message. */
void receive(struct message *message);
/* Its interrupt. */
void link_interrupt(void);
extern volatile uint32_t link_interrupts;
/* The other end of a session or connection. */
#define OTHER_END(link) ((uint64_t)1 << 63 | (uint32_t)(link))
/* An address of this machine's, for those who share memory with it. */
#define PLACE(address) ((uint64_t)1 << 63 | (uint32_t)(address))

/* ---- console.c: the serial port ---- */

void console_start(void);
void put(char c);
/* %s, %u, %x, %c. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The next byte that arrived, or -1. */
int get(void);
/* Its interrupt. */
void console_interrupt(void);

/* ---- traps.c: descriptors, exceptions, interrupts ---- */

struct frame {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags;
};

enum { DIVIDE = 0, BREAKPOINT = 3, OPCODE = 6, NOT_PRESENT = 11, STACK = 12, PROTECTION = 13, PAGE = 14 };
enum { CODE = 0x08, DATA = 0x10, IRQ = 0x20, SOFTWARE = 0x30 };

/* The segments and the interrupt table. */
void descriptors_start(void);
/* The interrupt controllers and a timer that ticks so many times a second. */
void interrupts_start(uint32_t rate);
extern volatile uint32_t ticks;
/* Software interrupts that arrived, and interrupts of no device. */
extern volatile uint32_t software_interrupts, strays;
/* What the last exception was. */
extern struct { uint32_t vector, error, eip, address; } last;
int guarded(void (*function)(uint32_t), uint32_t argument);
extern char guard_resume[];
extern uint32_t guard;
void stop(void) __attribute__((noreturn));

struct __attribute__((packed)) table { uint16_t limit; uint32_t base; };
extern uint64_t gdt[16];
extern struct table gdt_register, idt_register;

/* ---- paging.c ---- */

/* Pages of 4 MiB map memory to itself; at ZONE, a page comes when it is touched. */
#define ZONE 0xc0000000u
#define PAGE_SIZE 4096u
void paging_start(uint32_t memory);
bool page_fault(uint32_t address, uint32_t error);
void map(uint32_t address, uint32_t physical, uint32_t flags);
/* Maps the first 4 MiB of what others share to itself. */
void map_shared(void);
uint32_t new_page(void);
/* Where the memory begins that nobody has taken yet; it ends with memory. */
uint32_t free_memory(void);
extern uint32_t pages_supplied;
enum { PRESENT = 1, WRITABLE = 2, USER = 4 };

/* ---- probes.c: what tries the machine ---- */

struct command { const char *name, *help; void (*run)(const char *arguments); };
extern const struct command probes[];
/* isolation.c: what tries whether the machine is alone. */
extern const struct command isolation[];
/* links.c: what talks to others. */
extern const struct command links[];
/* links-probes.c: what tries to, and cannot. */
void lonely(const char *arguments);

/* ---- main.c ---- */

/* The number at *text, decimal or 0x, which is moved on. */
uint32_t number(const char **text);
bool starts(const char *text, const char *word);
void start_again(void);
void power_off(uint8_t code) __attribute__((noreturn));
extern uint32_t memory_size;

#endif
