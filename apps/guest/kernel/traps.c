/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments, the interrupt table, exceptions and interrupts. */

#include "kernel.h"

enum { VECTORS = 49, PIC1 = 0x20, PIC2 = 0xa0, PIT = 0x40, HERTZ = 1193182 };

uint64_t gdt[16] = {
    [CODE / 8] = 0x00cf9b000000ffff,
    [DATA / 8] = 0x00cf93000000ffff,
};
static uint64_t idt[256];
struct table gdt_register, idt_register;
volatile uint32_t ticks, software_interrupts, strays;
typeof(last) last;

extern const uint32_t entries[VECTORS];

void descriptors_start(void)
{
    for (int i = 0; i < VECTORS; i++) {
        uint32_t address = entries[i];
        idt[i] = (uint64_t)(address >> 16) << 48 | (uint64_t)0x8e00 << 32 | CODE << 16 | (address & 0xffff);
    }
    gdt_register = (struct table){ sizeof gdt - 1, (uint32_t)gdt };
    idt_register = (struct table){ sizeof idt - 1, (uint32_t)idt };
    __asm__ volatile("lgdt %0\n"
                     "lidt %1\n"
                     "ljmp %2, $1f\n"
                     "1: mov %w3, %%ds\n"
                     "mov %w3, %%es\n"
                     "mov %w3, %%fs\n"
                     "mov %w3, %%gs\n"
                     "mov %w3, %%ss\n"
                     :: "m"(gdt_register), "m"(idt_register), "i"(CODE), "r"(DATA) : "memory");
}

void interrupts_start(uint32_t rate)
{
    /* Vectors from IRQ on; the timer, the second controller, the serial port and messages are let through. */
    static const uint8_t steps[][2] = {
        { PIC1, 0x11 }, { PIC1 + 1, IRQ }, { PIC1 + 1, 4 }, { PIC1 + 1, 1 }, { PIC1 + 1, 0xca },
        { PIC2, 0x11 }, { PIC2 + 1, IRQ + 8 }, { PIC2 + 1, 2 }, { PIC2 + 1, 1 }, { PIC2 + 1, 0xff },
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        out8(steps[i][0], steps[i][1]);
    uint32_t divisor = HERTZ / rate;
    if (divisor < 2)
        divisor = 2;
    out8(PIT + 3, 0x34);        /* counter 0, both bytes, mode 2 */
    out8(PIT, divisor);
    out8(PIT, divisor >> 8);
    ticks = 0;
}

void trap(struct frame *frame)
{
    uint32_t vector = frame->vector;
    if (vector == SOFTWARE) {
        software_interrupts++;
        return;
    }
    if (vector >= IRQ) {
        if (vector == IRQ)
            ticks++;
        else if (vector == IRQ + 4)
            console_interrupt();
        else if (vector == IRQ + LINK_INTERRUPT)
            link_interrupt();
        else
            strays++;
        if (vector >= IRQ + 8)
            out8(PIC2, 0x20);
        out8(PIC1, 0x20);
        return;
    }
    uint32_t address = vector == PAGE ? read_cr2() : 0;
    if (vector == PAGE && page_fault(address, frame->error))
        return;
    last.vector = vector;
    last.error = frame->error;
    last.eip = frame->eip;
    last.address = address;
    if (guard) {
        frame->eax = vector + 1;
        frame->eip = (uint32_t)guard_resume;
        frame->cs = CODE;
        return;
    }
    print("exception %u, error %x, at %x, address %x\n", vector, frame->error, frame->eip, address);
    power_off(1);
}
