// SPDX-License-Identifier: BSD-2-Clause
// Instructions that are for kernels, the ways into this one, and returns from handlers that nobody entered.
#include "hostile.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf way_back;
static char handlers_stack[16 * PAGE];
unsigned char *code;

static void caught(int signal) {
    siglongjmp(way_back, signal);
}

static void catch_all(void) {
    stack_t stack = {.ss_sp = handlers_stack, .ss_size = sizeof handlers_stack};
    struct sigaction action = {.sa_handler = caught, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    const int all[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP};
    for (size_t at = 0; at < sizeof all / sizeof *all; at++)
        sigaction(all[at], &action, NULL);
}

int attempt(void (*what)(void *), void *argument) {
    int signal = sigsetjmp(way_back, 1);
    if (signal == 0)
        what(argument);
    return signal;
}

void map_code(void) {
    code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (code == MAP_FAILED)
        _exit(1);
}

void execute(void *unused) {
    (void)unused;
    // All registers but one may be anything afterwards.
    __asm__ volatile("pushq %%rbp; callq *%0; popq %%rbp; cld"
                     :
                     : "r"(code)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
}

static void prepare(void) {
    map_memory();
    map_code();
    catch_all();
}

// --- The kernel's own calls. A program has nothing to name in them but what its faults are reported by.

#define STATES 16

static void enter(void *registers) {
    with_sysenter(registers);
}

static void own_call(long step) {
    struct registers registers;
    uint64_t state = step;
    fill(&registers, 0);
    switch (step % STATES) {
    case 0: break;
    case 1: fill(&registers, ~0ul); break;
    // What it reports its faults by: without a message, as a fault of each kind, with capabilities.
    case 2: registers.rdi = 0x400; break;
    case 3: registers.rdi = 0x400, registers.rsi = 3 << 12 | 5, registers.r10 = 6; break;
    case 4: registers.rdi = 0x400, registers.rsi = 5 << 12 | 4, registers.r8 = 0xffff800000000000; break;
    case 5: registers.rdi = 0x400, registers.rsi = 5 << 12 | 4, registers.r8 = (uint64_t)writable; break;
    case 6: registers.rdi = 0x400, registers.rsi = 2 << 12 | 19; break;
    case 7: registers.rdi = 0x400, registers.rsi = 127 | 3 << 7; break;
    case 8: registers.rdi = 0x400, registers.rsi = ~0ul; break;
    // Other places in its capability space.
    case 9: registers.rdi = 0x100 * (step / STATES % 64); break;
    case 10: registers.rdi = step / STATES % 4096; break;
    // As an invocation of whatever is there: retype, copy, write registers, map.
    case 11: registers.rdi = 0x100, registers.rsi = (step / STATES % 64) << 12 | 5; break;
    case 12: registers.rdi = 0x300, registers.rsi = (step / STATES % 64) << 12 | 2; break;
    case 13:
        registers.rdi = 0x400, registers.rsi = random_word(&state), registers.r10 = random_word(&state);
        registers.r8 = random_word(&state), registers.r9 = random_word(&state), registers.r15 = random_word(&state);
        break;
    case 14: registers.rdi = random_word(&state), registers.rsi = random_word(&state); break;
    // It comes back to nowhere.
    default: registers.rdi = 0x400; registers.rax = FIRST_CALL + step / STATES;
        registers.rcx = 0xffff800000000000, registers.rdx = step / STATES % 2 ? 0xffff800000000000 : 0x800000000000;
        attempt(enter, &registers);
        return;
    }
    registers.rax = FIRST_CALL + step / STATES;
    registers.rcx = (uint64_t)writable + PAGE;
    registers.rdx = (uint64_t)with_sysenter_at;
    attempt(enter, &registers);
    check_memory();
}

void own_calls(void) {
    victims(0, (LAST_CALL - FIRST_CALL + 1) * STATES, 20, prepare, own_call);
    others_go_on();
}

// A trap for each instruction is pending when the kernel is entered; returns from interrupts are nested.
#define FLAGS 8

static void step_on(int unused) {
    (void)unused;
}

static void own_call_with_flags(long step) {
    const uint64_t flags[FLAGS] = {0x100, 0x4000, 0x4100, 0x40000, 0x40100, 0x3000, 0x10100, 0x247f00};
    struct registers registers;
    fill(&registers, 0);
    registers.rax = -1 - step / FLAGS;
    registers.rdi = 0x400;
    registers.rcx = (uint64_t)writable + PAGE;
    registers.rdx = (uint64_t)with_sysenter_at;
    registers.rsp = (uint64_t)writable + PAGE;
    registers.flags = 0x202 | flags[step % FLAGS];
    signal(SIGTRAP, SIG_DFL);
    struct sigaction action = {.sa_handler = step_on, .sa_flags = SA_ONSTACK};
    sigaction(SIGTRAP, &action, NULL);
    attempt(enter, &registers);
    with_syscall(&(struct registers){.rax = SYS_getpid, .rsp = (uint64_t)writable + PAGE,
                                     .flags = 0x202 | flags[step % FLAGS]});
}

void own_calls_with_flags(void) {
    victims(0, 40 * FLAGS, 100, prepare, own_call_with_flags);
    others_go_on();
}

// --- Interrupts.

static void interrupt(long step) {
    // The ends of the table, with Linux's old way in.
    int vector = step < 256 ? (int)step : 0x80;
    int call = (int)step - 256 + FIRST_CALL;
    // mov $call, %eax; int $vector; ret
    const unsigned char bytes[] = {0xb8, call, call >> 8, call >> 16, call >> 24, 0xcd, vector, 0xc3};
    memcpy(code, bytes, sizeof bytes);
    int expected = vector == 3 ? SIGTRAP : SIGSEGV;
    int got = attempt(execute, NULL);
    if (got != expected)
        fail("int %#x ends in signal %d, not %d", vector, got, expected);
    shared->count++;
}

void interrupts(void) {
    victims(0, 256 + LAST_CALL - FIRST_CALL + 1, 200, prepare, interrupt);
    if (shared->count != 256 + LAST_CALL - FIRST_CALL + 1)
        fail("only %ld interrupts came back", shared->count);
    others_go_on();
}

// --- What only kernels may.

static const struct {
    const char *name;
    unsigned char bytes[8];
} instructions[] = {
    {"hlt", {0xf4}},
    {"cli", {0xfa}},
    {"sti", {0xfb}},
    {"in (%dx), %al", {0xec}},
    {"out %al, (%dx)", {0xee}},
    {"in $0x60, %al", {0xe4, 0x60}},
    {"out %al, $0x64", {0xe6, 0x64}},
    {"insb", {0x6c}},
    {"outsb", {0x6e}},
    {"mov %cr0, %rax", {0x0f, 0x20, 0xc0}},
    {"mov %rax, %cr0", {0x0f, 0x22, 0xc0}},
    {"mov %cr3, %rax", {0x0f, 0x20, 0xd8}},
    {"mov %rax, %cr3", {0x0f, 0x22, 0xd8}},
    {"mov %rax, %cr4", {0x0f, 0x22, 0xe0}},
    {"mov %rax, %cr8", {0x44, 0x0f, 0x22, 0xc0}},
    {"mov %rax, %db7", {0x0f, 0x23, 0xf8}},
    {"mov %db7, %rax", {0x0f, 0x21, 0xf8}},
    {"lgdt (%rsp)", {0x0f, 0x01, 0x14, 0x24}},
    {"lidt (%rsp)", {0x0f, 0x01, 0x1c, 0x24}},
    {"lldt %ax", {0x0f, 0x00, 0xd0}},
    {"ltr %ax", {0x0f, 0x00, 0xd8}},
    {"lmsw %ax", {0x0f, 0x01, 0xf0}},
    {"clts", {0x0f, 0x06}},
    {"invd", {0x0f, 0x08}},
    {"wbinvd", {0x0f, 0x09}},
    {"invlpg (%rsp)", {0x0f, 0x01, 0x3c, 0x24}},
    {"rdmsr", {0x0f, 0x32}},
    {"wrmsr", {0x0f, 0x30}},
    {"rdpmc", {0x0f, 0x33}},
    {"swapgs", {0x0f, 0x01, 0xf8}},
    {"sysretq", {0x48, 0x0f, 0x07}},
    {"sysexitq", {0x48, 0x0f, 0x35}},
    {"vmlaunch", {0x0f, 0x01, 0xc2}},
    {"vmresume", {0x0f, 0x01, 0xc3}},
    {"vmxoff", {0x0f, 0x01, 0xc4}},
    {"xsetbv", {0x0f, 0x01, 0xd1}},
    {"monitor", {0x0f, 0x01, 0xc8}},
    {"mwait", {0x0f, 0x01, 0xc9}},
    {"stac", {0x0f, 0x01, 0xcb}},
    {"rsm", {0x0f, 0xaa}},
    {"getsec", {0x0f, 0x37}},
    {"ud2", {0x0f, 0x0b}},
    {"into", {0xce}},
    // Not privileged, but as deadly.
    {"too many prefixes", {0x66}},
    {"a jump into the kernel", {0x48}},
};
#define INSTRUCTIONS (long)(sizeof instructions / sizeof *instructions)

static void privileged_instruction(long step) {
    memset(code, 0xc3, 64);
    memcpy(code, instructions[step].bytes, 8);
    // What is shorter is followed by a return.
    for (int at = 7; at > 0 && instructions[step].bytes[at] == 0; at--)
        code[at] = 0xc3;
    if (step == INSTRUCTIONS - 2)
        memset(code, 0x66, 32);
    if (step == INSTRUCTIONS - 1) {
        // mov $-0x80000000, %rax; jmp *%rax
        const unsigned char jump[] = {0x48, 0xc7, 0xc0, 0, 0, 0, 0x80, 0xff, 0xe0};
        memcpy(code, jump, sizeof jump);
    }
    int got = attempt(execute, NULL);
    if (got != SIGSEGV && got != SIGILL)
        fail("%s ends in signal %d", instructions[step].name, got);
    shared->count++;
}

void privileged(void) {
    victims(0, INSTRUCTIONS, 200, prepare, privileged_instruction);
    if (shared->count != INSTRUCTIONS)
        fail("only %ld instructions came back", shared->count);
    others_go_on();
}

// --- Segments: what is loaded, and what is jumped to by way of them.

static void segment(long step) {
    unsigned selector = step & 0xff;
    memset(code, 0xc3, 64);
    switch (step >> 8) {
    // mov %eax, %ds; %es; %fs; %gs; %ss
    case 0 ... 4: {
        const unsigned char which[] = {0xd8, 0xc0, 0xe0, 0xe8, 0xd0};
        const unsigned char bytes[] = {0xb8, selector, 0, 0, 0, 0x8e, which[step >> 8], 0xc3};
        memcpy(code, bytes, sizeof bytes);
        break;
    }
    // push $selector; push $code + 32; lretq
    case 5: {
        uint32_t to = (uint32_t)(uintptr_t)code + 32;
        const unsigned char bytes[] = {0x68, selector, 0, 0, 0, 0x68, to, to >> 8, to >> 16, to >> 24, 0x48, 0xcb};
        memcpy(code, bytes, sizeof bytes);
        // int $0x80; sysenter; hlt: where that is 32-bit code, too.
        memcpy(code + 32, "\xcd\x80\x0f\x34\xf4", 5);
        break;
    }
    // A return from an interrupt, to that segment.
    default: {
        uint32_t to = (uint32_t)(uintptr_t)code + 48;
        const unsigned char bytes[] = {
            0x6a, 0x23, 0x54, 0x68, 0x02, 0x32, 0, 0, 0x68, selector, 0, 0, 0, 0x68, to, to >> 8, to >> 16, to >> 24,
            0x48, 0xcf,
        };
        memcpy(code, bytes, sizeof bytes);
        memcpy(code + 48, "\x0f\x34\xf4", 3);
    }
    }
    attempt(execute, NULL);
    // Nothing has been gained by it.
    memcpy(code, "\xfa\xc3", 2);
    int got = attempt(execute, NULL);
    if (got != SIGSEGV)
        fail("after step %ld cli ends in signal %d", step, got);
    shared->count++;
}

void segments(void) {
    victims(0, 7 * 256, 200, prepare, segment);
    if (shared->count < 256)
        fail("only %ld segments were tried", shared->count);
    others_go_on();
}

// --- Returns from handlers that were not entered, by way of stacks that somebody has made up.

#define ROUNDS 4000

static void come_back(void) {
    siglongjmp(way_back, 64);
}

static void return_from_nothing(void *registers) {
    with_syscall(registers);
}

static void frame(long step) {
    uint64_t state = step;
    struct registers registers;
    fill(&registers, 0);
    registers.rax = SYS_rt_sigreturn;
    ucontext_t *context = (ucontext_t *)(writable + 1024);
    memset(writable, 0, 2 * PAGE);
    greg_t *saved = context->uc_mcontext.gregs;
    saved[REG_RIP] = (greg_t)come_back;
    saved[REG_RSP] = (greg_t)(writable + PAGE - 8);
    saved[REG_CSGSFS] = 0x33 | 0x2bl << 48;
    saved[REG_EFL] = 0x202;
    context->uc_mcontext.fpregs = NULL;
    registers.rsp = (uint64_t)context;
    const uint64_t bad[] = {0, 8, (uint64_t)hole, (uint64_t)hole - 8, (uint64_t)read_only, 0xffff800000000000,
                            0xfffffffffffffff8, 0x800000000000, 0x7ffffffff000, ~0ul};
    uint64_t wild = bad[random_word(&state) % (sizeof bad / sizeof *bad)];
    switch (step % 10) {
    case 0: break;
    // The stack itself.
    case 1: registers.rsp = wild; break;
    case 2: saved[REG_RIP] = wild; break;
    case 3: saved[REG_RSP] = wild; break;
    case 4: saved[REG_EFL] = random_word(&state); break;
    case 5: saved[REG_EFL] = 0x202 | 1ul << random_word(&state) % 32; break;
    case 6: saved[REG_CSGSFS] = random_word(&state); break;
    case 7: context->uc_mcontext.fpregs = (void *)wild; break;
    // What looks like a floating-point state, with bits that there are not.
    case 8:
        context->uc_mcontext.fpregs = (void *)(writable + PAGE);
        for (int at = 0; at < 64; at++)
            ((uint64_t *)(writable + PAGE))[at] = random_word(&state);
        break;
    // Everything, and the alternate stack and the mask with it.
    default:
        for (size_t at = 0; at < sizeof *context / 8; at++)
            ((uint64_t *)context)[at] = random_word(&state);
    }
    int got = attempt(return_from_nothing, &registers);
    if (step % 10 == 0 && got != 64)
        fail("a return with a stack that is right ends in signal %d", got);
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    if (flags & 0x3000)
        fail("after step %ld it may use ports", step);
    // An alternate stack may have been set.
    catch_all();
    shared->count++;
}

void frames(void) {
    victims(0, ROUNDS, 100, prepare, frame);
    if (shared->count < ROUNDS / 2)
        fail("only %ld returns came back", shared->count);
    others_go_on();
}
