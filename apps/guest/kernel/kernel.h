/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the kernel know of each other. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* ---- hypercalls (the numbers are those of the virtual machine's interface) ---- */

enum { CALL_VERSION, CALL_WRITE, CALL_READ, CALL_TIME, CALL_POWER_OFF };
#define NO_SUCH_CALL ((uint32_t)-1)
#define BAD_ADDRESS ((uint32_t)-2)

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
uint32_t new_page(void);
extern uint32_t pages_supplied;
enum { PRESENT = 1, WRITABLE = 2, USER = 4 };

/* ---- probes.c: what tries the machine ---- */

struct command { const char *name, *help; void (*run)(const char *arguments); };
extern const struct command probes[];

/* ---- main.c ---- */

/* The number at *text, decimal or 0x, which is moved on. */
uint32_t number(const char **text);
bool starts(const char *text, const char *word);
void start_again(void);
void power_off(uint8_t code) __attribute__((noreturn));
extern uint32_t memory_size;

#endif
