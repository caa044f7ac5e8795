/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's life: it comes up, does what the command line says, or what is typed, and powers off. */

#include "kernel.h"

struct multiboot {
    uint32_t flags, lower, upper, boot, line, modules, module_list;
};

struct module { uint32_t start, end, string, reserved; };

enum { LOADED = 0x2badb002, HAS_MEMORY = 1, HAS_LINE = 4, HAS_MODULES = 8, TICKS = 100 };

bool has_hypercalls;
uint32_t memory_size;
/* Of the first module: how many bytes, and their sum. */
static uint32_t module_bytes, module_sum;

uint32_t milliseconds(void)
{
    return has_hypercalls ? hypercall(CALL_TIME, 0, 0) / 1000000 : ticks * (1000 / TICKS);
}

uint32_t number(const char **text)
{
    uint32_t value = 0, base = 10;
    while (**text == ' ')
        ++*text;
    if (starts(*text, "0x")) {
        base = 16;
        *text += 2;
    }
    for (;; ++*text) {
        char c = **text;
        uint32_t digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

bool starts(const char *text, const char *word)
{
    while (*word)
        if (*text++ != *word++)
            return false;
    return true;
}

void power_off(uint8_t code)
{
    out8(0xf4, code);
    stop();
}

void start_again(void)
{
    interrupts_start(TICKS);
    console_start();
}

/* ---- commands ---- */

static void run(const char *line);

static void info(const char *arguments)
{
    (void)arguments;
    struct leaf name = cpuid(0x40000000);
    uint32_t text[4] = { name.ebx, name.ecx, name.edx, 0 };
    print("memory %u KiB, hypervisor %s, version %u\n", memory_size >> 10, (char *)text,
          has_hypercalls ? hypercall(CALL_VERSION, 0, 0) : 0);
}

static void say(const char *arguments)
{
    print("%s\n", arguments);
}

static size_t read_line(char *line, size_t size)
{
    size_t length = 0;
    for (;;) {
        interrupts_off();
        int c = get();
        if (c < 0) {
            wait_for_interrupt();
            continue;
        }
        interrupts_on();
        if (c == '\r' || c == '\n')
            break;
        if (c == '\b' || c == 0x7f)
            length -= length > 0;
        else if (length + 1 < size)
            line[length++] = c;
        /* A terminal sees what it types. */
        put(c);
    }
    line[length] = 0;
    put('\n');
    return length;
}

static void echo(const char *arguments)
{
    (void)arguments;
    char line[128];
    read_line(line, sizeof line);
    print("you said: %s\n", line);
}

static void tick(const char *arguments)
{
    uint32_t wanted = number(&arguments);
    uint32_t start = milliseconds(), first = ticks;
    while (ticks - first < wanted)
        wait_for_interrupt();
    print("%u ticks in %u ms\n", wanted, milliseconds() - start);
}

static void spin(const char *arguments)
{
    uint32_t wanted = number(&arguments), first = ticks;
    while (ticks - first < wanted)
        ;
    print("spun for %u ticks\n", wanted);
}

static void off(const char *arguments)
{
    power_off(number(&arguments));
}

static void module(const char *arguments)
{
    (void)arguments;
    print("a module of %u bytes, whose sum is %u\n", module_bytes, module_sum);
    power_off(module_sum);
}

static void help(const char *arguments);

static const struct command commands[] = {
    { "info", "says what machine it is", info },
    { "say", "TEXT: says it", say },
    { "echo", "reads a line, and says it", echo },
    { "tick", "N: sleeps for N ticks of the timer", tick },
    { "spin", "N: is busy for N ticks", spin },
    { "module", "powers off with the sum of the module's bytes", module },
    { "off", "CODE: powers off", off },
    { "help", "this", help },
    { 0, 0, 0 },
};

/* All of them; the last is none. */
static const struct command *const all[] = { commands, probes, isolation, links, 0 };

static void help(const char *arguments)
{
    (void)arguments;
    for (int i = 0; all[i]; i++)
        for (const struct command *c = all[i]; c->name; c++)
            print("%s %s\n", c->name, c->help);
}

static void run(const char *line)
{
    while (*line == ' ')
        line++;
    if (!*line)
        return;
    for (int i = 0; all[i]; i++) {
        for (const struct command *c = all[i]; c->name; c++) {
            const char *rest = line;
            if (!starts(line, c->name))
                continue;
            for (const char *n = c->name; *n; n++)
                rest++;
            if (*rest && *rest != ' ')
                continue;
            while (*rest == ' ')
                rest++;
            c->run(rest);
            return;
        }
    }
    print("no command %s\n", line);
}

/* What is divided by semicolons, one after the other. */
static void run_all(const char *line)
{
    char part[128];
    while (*line) {
        size_t length = 0;
        for (; *line && *line != ';'; line++)
            if (length + 1 < sizeof part)
                part[length++] = *line;
        part[length] = 0;
        line += *line == ';';
        run(part);
    }
}

void kernel_main(uint32_t magic, const struct multiboot *information)
{
    console_start();
    if (magic != LOADED || !(information->flags & HAS_MEMORY)) {
        print("not started by a Multiboot loader\n");
        power_off(1);
    }
    memory_size = (information->upper + 1024) << 10;
    /* The loader's pages are not ours to keep: the line is copied. */
    static char line[512];
    if (information->flags & HAS_LINE)
        for (size_t i = 0; i + 1 < sizeof line && ((const char *)information->line)[i]; i++)
            line[i] = ((const char *)information->line)[i];
    if (information->flags & HAS_MODULES && information->modules) {
        const struct module *first = (const struct module *)information->module_list;
        module_bytes = first->end - first->start;
        for (uint32_t i = 0; i < module_bytes; i++)
            module_sum += ((const uint8_t *)first->start)[i];
    }
    struct leaf name = cpuid(0x40000000);
    has_hypercalls = name.ebx == 0x6f534f78;    /* "xOSo...", the hypervisor's name */

    descriptors_start();
    paging_start(memory_size);
    start_again();
    interrupts_on();
    print("guest: up, with %u KiB of memory\n", memory_size >> 10);
    if (*line) {
        run_all(line);
        power_off(0);
    }
    print("`help` lists what there is\n");
    for (;;) {
        print("guest> ");
        if (read_line(line, sizeof line))
            run_all(line);
    }
}
