/* SPDX-License-Identifier: BSD-2-Clause */
/* What tries the machine: everything that a guest can do, asked for and not, and deliberate ends. */

#include "kernel.h"

/* ---- paging and exceptions ---- */

static void touch(uint32_t address) { *(volatile uint32_t *)address = 1; }
static void look(uint32_t address) { (void)*(volatile uint32_t *)address; }

static void divide(uint32_t by)
{
    uint32_t low = 1;
    __asm__ volatile("divl %1" : "+a"(low) : "r"(by), "d"(0));
}

static void undefined(uint32_t unused) { (void)unused; __asm__ volatile("ud2"); }

static void load_segment(uint32_t selector)
{
    __asm__ volatile("mov %w0, %%fs" :: "r"(selector));
}

static void expect(const char *what, void (*function)(uint32_t), uint32_t argument)
{
    int outcome = guarded(function, argument);
    if (outcome)
        print("%s: exception %u, error %x, address %x\n", what, last.vector, last.error, last.address);
    else
        print("%s: nothing\n", what);
}

static void faults(const char *arguments)
{
    (void)arguments;
    expect("divide", divide, 0);
    expect("opcode", undefined, 0);
    expect("no such segment", load_segment, 0x60 | 3);
    expect("no page", look, 0xd0000000);
    uint32_t page = new_page(), there = ZONE + 600 * PAGE_SIZE;
    map(there, page, PRESENT);
    expect("read only", touch, there);
    map(there, page, PRESENT | WRITABLE);
    expect("writable again", touch, there);
    map(there, 0, 0);
    expect("unmapped", look, there);
}

static void pages(const char *arguments)
{
    uint32_t count = number(&arguments);
    for (uint32_t i = 0; i < count; i++)
        *(volatile uint32_t *)(ZONE + i * PAGE_SIZE) = i ^ 0x5a5a5a5a;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++)
        wrong += *(volatile uint32_t *)(ZONE + i * PAGE_SIZE) != (i ^ 0x5a5a5a5a);
    /* One page at two addresses. */
    uint32_t page = new_page(), a = ZONE + 700 * PAGE_SIZE, b = a + PAGE_SIZE;
    map(a, page, PRESENT | WRITABLE);
    map(b, page, PRESENT | WRITABLE);
    *(volatile uint32_t *)a = 42;
    wrong += *(volatile uint32_t *)b != 42;
    print("%u pages supplied, %u wrong\n", pages_supplied, wrong);
}

/* Paging off and on again: what lies at its own address stays there. */
static void unpaged(const char *arguments)
{
    (void)arguments;
    interrupts_off();
    uint32_t on = read_cr0(), table = read_cr3();
    *(volatile uint32_t *)ZONE = 7;
    write_cr0(on & 0x7fffffff);
    uint32_t seen = read_cr0() >> 31, kept = read_cr3() == table;
    write_cr0(on);
    kept &= *(volatile uint32_t *)ZONE == 7;
    interrupts_on();
    print("paging was %s, and is on again: %s\n", seen ? "on" : "off", kept ? "all is there" : "LOST");
}

/* ---- hypercalls ---- */

static void calls(const char *arguments)
{
    (void)arguments;
    static const char text[] = "by hypercall\n";
    print("version %u, written %u\n", hypercall(CALL_VERSION, 0, 0),
          hypercall(CALL_WRITE, (uint32_t)text, sizeof text - 1));
    uint32_t refused = 0, tried = 0;
    static const uint32_t numbers[] = { CALL_SIGNALS + 1, 12, 100, 0x7fffffff, 0x80000000, NO_SUCH_CALL };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++, tried++)
        refused += hypercall(numbers[i], 0, 0) == NO_SUCH_CALL;
    /* Addresses outside of memory, at its end, and lengths that wrap around. */
    const uint32_t places[][2] = {
        { memory_size, 1 }, { memory_size - 1, 2 }, { 0xffffffff, 1 }, { 0xffffffff, 0xffffffff },
        { 0xfffff000, 0x1000 }, { 0x80000000, 0x80000000 }, { memory_size, 0 + 4096 },
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (uint32_t call = CALL_WRITE; call <= CALL_READ; call++, tried++)
            refused += hypercall(call, places[i][0], places[i][1]) == BAD_ADDRESS;
    print("%u of %u bad calls refused\n", refused, tried);
}

/* ---- ports, registers, CPUID ---- */

static uint32_t seed = 12345;
static uint32_t random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

/* Ports whose writing ends the machine or is the console. */
static bool is_spared(uint32_t port)
{
    return port == 0xf4 || port == 0x604 || port == 0x64 || port == 0x92 || port == 0xcf9
        || (port >= 0x3f8 && port < 0x400);
}

static void ports(const char *arguments)
{
    (void)arguments;
    interrupts_off();
    uint32_t answering = 0;
    for (uint32_t port = 0; port < 0x10000; port++) {
        if (in8(port) == 0xff)
            continue;
        answering++;
    }
    for (uint32_t port = 0; port < 0x10000; port++)
        if (!is_spared(port))
            out8(port, port * 37);
    start_again();
    interrupts_on();
    print("%u ports answer\n", answering);
}

static void read_msr(uint32_t number)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
}

static void write_msr(uint32_t number)
{
    __asm__ volatile("wrmsr" :: "a"(0x1234), "d"(0), "c"(number));
}

static void msrs(const char *arguments)
{
    (void)arguments;
    static const uint32_t ranges[][2] = {
        { 0, 0x2000 }, { 0x40000000, 0x40000200 }, { 0xc0000000, 0xc0002000 }, { 0xfffffff0, 0xffffffff },
    };
    uint32_t tried = 0;
    print("registers:");
    for (size_t range = 0; range < sizeof ranges / sizeof *ranges; range++)
        for (uint32_t i = ranges[range][0]; i < ranges[range][1]; i++, tried++) {
            if (!guarded(read_msr, i))
                print(" %x", i);
            guarded(write_msr, i);
        }
    print(", of %u tried\n", tried);
}

static void leaves(const char *arguments)
{
    (void)arguments;
    static const uint32_t starts[] = { 0, 0x20000000, 0x40000000, 0x7fffff00, 0x80000000, 0xc0000000, 0xffffff00 };
    print("leaves:");
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        for (uint32_t leaf = starts[i]; leaf - starts[i] < 0x100; leaf++) {
            struct leaf l = cpuid(leaf);
            if (l.eax | l.ebx | l.ecx | l.edx)
                print(" %x", leaf);
        }
    /* And a thousand that are any. */
    uint32_t told = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t leaf = random() | 0x00010000;
        struct leaf l = cpuid(leaf);
        told += (l.eax | l.ebx | l.ecx | l.edx) != 0;
    }
    print("; %u of others\n", told);
}

static uint32_t wanted;
static void set_cr0(uint32_t value) { write_cr0(value); }
static void set_cr4(uint32_t value) { write_cr4(value); }
static void set_dr(uint32_t value)
{
    __asm__ volatile("mov %0, %%dr0; mov %0, %%dr3; mov %0, %%dr6; mov %0, %%dr7" :: "r"(value));
}

/* Every bit of the control registers but the one without which there is no protected mode, which is an end of
   the machine, and the one without which there is no paging, which `unpaged` is about. */
static void control(const char *arguments)
{
    (void)arguments;
    interrupts_off();
    uint32_t cr0 = read_cr0(), cr4 = read_cr4(), refused0 = 0, refused4 = 0;
    for (uint32_t bit = 1; bit < 31; bit++) {
        wanted = cr0 ^ 1u << bit;
        refused0 += guarded(set_cr0, wanted) != 0;
        write_cr0(cr0);
    }
    for (uint32_t bit = 0; bit < 32; bit++) {
        /* Our table has pages of 4 MiB, and no entries of 64 bits: with paging off nobody uses it. */
        bool of_paging = bit == 4 || bit == 5;
        if (of_paging)
            write_cr0(cr0 & 0x7fffffff);
        wanted = cr4 ^ 1u << bit;
        refused4 += guarded(set_cr4, wanted) != 0;
        write_cr4(cr4);
        if (of_paging)
            write_cr0(cr0);
    }
    uint32_t back = read_cr0() == cr0 && read_cr4() == cr4;
    for (uint32_t bit = 0; bit < 32; bit++)
        guarded(set_dr, 1u << bit);
    set_dr(0);
    interrupts_on();
    print("refused: %u of CR0, %u of CR4; %s\n", refused0, refused4, back ? "all is as it was" : "CHANGED");
}

/* ---- descriptor tables, interrupts, code ---- */

static void load_local_table(uint32_t selector) { __asm__ volatile("lldt %w0" :: "r"(selector)); }
static void load_task(uint32_t selector) { __asm__ volatile("ltr %w0" :: "r"(selector)); }

/* Selectors of descriptors that are anything, and of none. */
static void tables(const char *arguments)
{
    (void)arguments;
    uint32_t refused = 0, loaded = 0;
    interrupts_off();
    for (int round = 0; round < 2000; round++) {
        gdt[3] = (uint64_t)random() << 32 | random();
        if (guarded(load_segment, 3 << 3 | (random() & 3)))
            refused++;
        else
            loaded++;
        if (guarded(load_segment, random() & 0xffff))
            refused++;
        else
            loaded++;
        /* A local table, and a task, of either. */
        uint32_t selector = round & 1 ? 3 << 3 : random() & 0xffff;
        if (guarded(load_local_table, selector))
            refused++;
        else
            loaded++;
        if (guarded(load_task, selector))
            refused++;
        else
            loaded++;
    }
    load_local_table(0);
    gdt[3] = 0;
    load_segment(DATA);
    /* A table that ends in the middle of a descriptor, or lies nowhere. */
    static const struct table bad[] = { { 3, 0 }, { 0xffff, 0xfffffff0 }, { 0x17, 0xe0000000 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        __asm__ volatile("lgdt %0" :: "m"(bad[i]));
        /* The exception's own entry needs a code segment: ours again before anything can happen. */
        __asm__ volatile("lgdt %0" :: "m"(gdt_register));
    }
    interrupts_on();
    print("%u selectors refused, %u loaded\n", refused, loaded);
}

static void storm(const char *arguments)
{
    uint32_t rounds = number(&arguments);
    uint32_t before = software_interrupts;
    for (uint32_t i = 0; i < rounds; i++)
        __asm__ volatile("int $0x30");
    /* The timer about as fast as it can be served, every line let through. */
    interrupts_off();
    interrupts_start(2000);
    out8(0x21, 0);
    out8(0xa1, 0);
    while (ticks < 20)
        __asm__ volatile("sti; nop; cli");
    start_again();
    interrupts_on();
    print("%u software interrupts, and the timer's\n", software_interrupts - before);
}

static void selfmod(const char *arguments)
{
    uint32_t rounds = number(&arguments), wrong = 0;
    uint8_t *code = (uint8_t *)new_page();
    for (uint32_t i = 0; i < rounds; i++) {
        /* mov $i, %eax; ret */
        code[0] = 0xb8;
        *(volatile uint32_t *)(code + 1) = i;
        code[5] = 0xc3;
        wrong += ((uint32_t (*)(void))code)() != i;
    }
    print("%u times modified, %u wrong\n", rounds, wrong);
}

/* Counts in a register, and in memory how often it began: a guest that is taken out of its processor at any
   instruction, and put back, has done each of them once. */
static void count(const char *arguments)
{
    static volatile uint32_t begun, steps;
    uint32_t rounds = number(&arguments), counted = 0;
    begun = 0;
    steps = 0;
    begun++;
    for (uint32_t i = 0; i < rounds; i++) {
        steps++;
        __asm__ volatile("incl %0" : "+r"(counted));
    }
    print("counted %u in a register, %u in memory, begun %u times\n", counted, steps, begun);
    if (begun != 1 || steps != rounds || counted != rounds)
        power_off(1);
}

/* ---- ends ---- */

static void die(const char *arguments)
{
    interrupts_off();
    if (starts(arguments, "triple")) {
        static const struct table none = { 0, 0 };
        __asm__ volatile("lidt %0; int3" :: "m"(none));
    } else if (starts(arguments, "halt")) {
        __asm__ volatile("hlt");
    } else if (starts(arguments, "spin")) {
        for (;;)
            ;
    } else if (starts(arguments, "storm")) {
        /* Faster than anybody can serve: nothing else happens any more. */
        interrupts_start(0xffffffff);
        interrupts_on();
        for (;;)
            ;
    } else if (starts(arguments, "task")) {
        /* To another task, by a far jump. */
        static uint32_t tasks[2][26];
        static const uint32_t far[2] = { 0, 5 << 3 };
        for (int i = 0; i < 2; i++) {
            uint32_t at = (uint32_t)tasks[i];
            gdt[4 + i] = (uint64_t)(at >> 24) << 56 | (uint64_t)0x89 << 40 | (uint64_t)(at & 0xffffff) << 16 | 103;
        }
        load_task(4 << 3);
        __asm__ volatile("ljmp *%0" :: "m"(far));
    } else if (starts(arguments, "reset")) {
        out8(0x64, 0xfe);
    } else if (starts(arguments, "real")) {
        write_cr0(read_cr0() & 0x7fffffff);
        write_cr0(read_cr0() & ~1u);
    } else if (starts(arguments, "at ")) {
        /* A physical address, with paging off. */
        arguments += 3;
        uint32_t address = number(&arguments);
        write_cr0(read_cr0() & 0x7fffffff);
        look(address);
        print("there is something at %x\n", address);
    } else if (starts(arguments, "call")) {
        hypercall(CALL_POWER_OFF, 42, 0);
    } else if (starts(arguments, "acpi")) {
        out16(0x604, 0x2000);
    } else if (starts(arguments, "bad table")) {
        /* A page directory that is no memory: the next instruction cannot be fetched. */
        write_cr3(0xfffff000);
    } else if (starts(arguments, "random ")) {
        /* Bytes that are anything, as code: whatever comes of it. */
        arguments += 7;
        seed = number(&arguments) | 1;
        uint32_t *code = (uint32_t *)new_page();
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < 8; i++)
                code[i] = random();
            guarded((void (*)(uint32_t))code, random());
        }
        print("200 pieces of anything did nothing\n");
    } else {
        print("die triple | halt | spin | storm | task | reset | real | at ADDRESS | call | acpi | bad table | random SEED\n");
        interrupts_on();
        return;
    }
    print("still here\n");
    power_off(1);
}

const struct command probes[] = {
    { "faults", "makes exceptions, and says which came", faults },
    { "pages", "N: touches N pages", pages },
    { "count", "N: counts to N, each step once", count },
    { "unpaged", "switches paging off and on", unpaged },
    { "calls", "makes hypercalls, good and bad", calls },
    { "ports", "reads and writes every port", ports },
    { "msrs", "reads and writes model-specific registers", msrs },
    { "leaves", "asks CPUID for everything", leaves },
    { "control", "changes every bit of the control registers", control },
    { "tables", "loads descriptors that are anything", tables },
    { "storm", "N: interrupts without end", storm },
    { "selfmod", "N: writes the code that it runs", selfmod },
    { "die", "HOW: an end of the machine", die },
    { 0, 0, 0 },
};
