// SPDX-License-Identifier: BSD-2-Clause
// System calls with everything that is not meant to be given to them.
#include "hostile.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

char *read_only, *writable, *hole;

uint64_t random_word(uint64_t *state) {
    // SplitMix64.
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// --- All registers.

// Registers are saved on the stack, and the stack in memory, since no register stays as it is.
__asm__(".bss\n"
        ".balign 8\n"
        "saved_stack: .skip 8\n"
        ".text\n"
        ".macro enter_with instruction, name\n"
        ".globl \\name\n"
        "\\name:\n"
        "  pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
        "  movq %rsp, saved_stack(%rip)\n"
        "  pushq 128(%rdi); popfq\n"
        "  movq 0(%rdi), %rax; movq 8(%rdi), %rbx; movq 16(%rdi), %rcx; movq 24(%rdi), %rdx\n"
        "  movq 32(%rdi), %rsi; movq 48(%rdi), %rbp; movq 56(%rdi), %rsp; movq 64(%rdi), %r8\n"
        "  movq 72(%rdi), %r9; movq 80(%rdi), %r10; movq 88(%rdi), %r11; movq 96(%rdi), %r12\n"
        "  movq 104(%rdi), %r13; movq 112(%rdi), %r14; movq 120(%rdi), %r15; movq 40(%rdi), %rdi\n"
        ".globl \\name\\()_at\n"
        "\\name\\()_at:\n"
        "  \\instruction\n"
        "  movq saved_stack(%rip), %rsp\n"
        "  pushq $0x202; popfq\n"
        "  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "  ret\n"
        ".endm\n"
        "enter_with syscall, with_syscall\n"
        "enter_with sysenter, with_sysenter\n");

void fill(struct registers *registers, uint64_t value) {
    uint64_t *words = (uint64_t *)registers;
    for (size_t at = 0; at < sizeof *registers / 8; at++)
        words[at] = value;
    registers->flags = 0x202;
}

// --- Memory.

void map_memory(void) {
    char *all = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        _exit(1);
    memset(all, 0, PAGE);
    strcpy(all, "name");
    // Nothing; what may be read; what may be written; nothing.
    read_only = all + PAGE;
    writable = all + 2 * PAGE;
    hole = all + 4 * PAGE;
    memset(read_only, 'r', PAGE);
    memset(writable, 0, 2 * PAGE);
    strcpy(writable, "name");
    munmap(all, PAGE);
    munmap(hole, 2 * PAGE);
    mprotect(read_only, PAGE, PROT_READ);
}

void check_memory(void) {
    // Whoever made it writable, or took it away, may have changed it.
    char map[8192];
    int file = open("/proc/self/maps", O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, map, sizeof map - 1);
    close(file);
    if (length <= 0)
        return;
    map[length] = 0;
    char line[64];
    snprintf(line, sizeof line, "%lx-%lx r--p", (long)read_only, (long)read_only + PAGE);
    if (!strstr(map, line))
        return;
    for (int at = 0; at < PAGE; at++)
        if (read_only[at] != 'r') {
            fail("a page that may only be read has been written to");
            return;
        }
}

void open_some(void) {
    int pair[2];
    // 3 to 12.
    if (open("name", O_RDWR | O_CREAT, 0600) != 3 || open(".", O_RDONLY | O_DIRECTORY) != 4 || pipe(pair) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || epoll_create1(0) != 9 || eventfd(1, 0) != 10 ||
        open("/dev/ptmx", O_RDWR | O_NOCTTY) != 11 || open("/proc/self/status", O_RDONLY) != 12)
        fail("a victim cannot open what it wants to try: %s", strerror(errno));
}

static void prepare(void) {
    map_memory();
    open_some();
}

// --- Every number in every register state.

#define STATES 12

static void number(long step) {
    shared->count++;
    long call = FIRST_CALL + step / STATES;
    struct registers registers;
    switch (step % STATES) {
    case 0: fill(&registers, 0); break;
    case 1: fill(&registers, ~0ul); break;
    case 2: fill(&registers, (uint64_t)writable + PAGE); break;
    case 3: fill(&registers, (uint64_t)read_only); break;
    case 4: fill(&registers, (uint64_t)hole); break;
    // The kernel's half, the gap between the halves, the last byte of ours.
    case 5: fill(&registers, 0xffff800000000000); break;
    case 6: fill(&registers, 0x8000000000000000); break;
    case 7: fill(&registers, 0x7fffffffffff); break;
    // An ordinary call, whose stack is nowhere.
    case 8:
        fill(&registers, 0);
        registers.rdi = 3, registers.rsi = (uint64_t)writable, registers.rdx = 8;
        break;
    // Its direction flag set, its alignment checked, another processor's identity.
    case 9:
        fill(&registers, (uint64_t)writable + 1);
        registers.flags = 0x240602;
        break;
    // The top half of the number is not nothing.
    case 10: fill(&registers, 3); break;
    default: fill(&registers, 0x100000000); break;
    }
    registers.rax = step % STATES == 11 ? 0x100000000 | (uint32_t)call : (uint64_t)call;
    with_syscall(&registers);
    check_memory();
}

void numbers(void) {
    victims(0, (LAST_CALL - FIRST_CALL + 1) * STATES, 20, prepare, number);
    others_go_on();
}

// --- Random arguments.

#define ROUNDS 30

static uint64_t random_argument(uint64_t *state) {
    uint64_t r = random_word(state);
    switch (r % 16) {
    case 0: return r >> 8 & 15;
    case 1: return r >> 8 & 4095;
    case 2: return 1ul << (r >> 8 & 63);
    case 3: return -(r >> 8 & 4095);
    case 4: return (uint64_t)writable + (r >> 8 & 1 ? 0 : r >> 16 & 8191);
    case 5: return (uint64_t)hole - (r >> 8 & 31);
    case 6: return (uint64_t)read_only + (r >> 8 & 4095);
    case 7: return (uint64_t)hole + (r >> 8 & 4095);
    case 8: return 0xffff800000000000 + (r >> 20);
    case 9: return getpid();
    case 10: return AT_FDCWD;
    case 11: return PAGE << (r >> 8 & 15);
    case 12: return (uint64_t)&shared;
    case 13: return (uint64_t)&random_argument;
    case 14: return r >> 8 & 255;
    default: return random_word(state);
    }
}

static void random_call(long step) {
    shared->count++;
    uint64_t state = step;
    struct registers registers;
    fill(&registers, 0);
    // What lies in memory is as wild.
    for (int at = 0; at < 32; at++)
        ((volatile uint64_t *)writable)[at + 8] = random_argument(&state);
    registers.rsp = (uint64_t)writable + 2 * PAGE;
    registers.rdi = random_argument(&state), registers.rsi = random_argument(&state);
    registers.rdx = random_argument(&state), registers.r10 = random_argument(&state);
    registers.r8 = random_argument(&state), registers.r9 = random_argument(&state);
    registers.rax = step % LINUX_CALLS;
    with_syscall(&registers);
}

void random_arguments(void) {
    victims(0, ROUNDS * LINUX_CALLS, 20, prepare, random_call);
    others_go_on();
}

// --- Bad pointers, one argument after the other, all others being good.

#define BAD 8

static void bad_pointer(long step) {
    shared->count++;
    const uint64_t bad[BAD] = {
        8, (uint64_t)hole, (uint64_t)hole - 1, (uint64_t)read_only, (uint64_t)writable - 1, 0xffff800000000000,
        0xfffffffffffff000, 0x800000000000,
    };
    long call = step / BAD / 6, which = step / BAD % 6;
    uint64_t words[6] = {3, (uint64_t)writable, 16, (uint64_t)writable + 512, 16, (uint64_t)writable + 1024};
    // Some take a path first, some a descriptor.
    if (step % 2)
        words[0] = (uint64_t)writable;
    words[which] = bad[step % BAD];
    struct registers registers;
    fill(&registers, 0);
    registers.rsp = (uint64_t)writable + 2 * PAGE;
    registers.rax = call;
    registers.rdi = words[0], registers.rsi = words[1], registers.rdx = words[2];
    registers.r10 = words[3], registers.r8 = words[4], registers.r9 = words[5];
    with_syscall(&registers);
    if (which == 5)
        check_memory();
}

void pointers(void) {
    victims(0, LINUX_CALLS * 6 * BAD, 20, prepare, bad_pointer);
    others_go_on();
}

// --- Memory that another thread changes and takes away while it is used.

#define RACES 20000

static void *change(void *unused) {
    (void)unused;
    uint64_t state = 5;
    for (;;) {
        uint64_t r = random_word(&state);
        switch (r % 6) {
        case 0: munmap(writable, PAGE); break;
        case 1:
            mmap(writable, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            break;
        case 2: mprotect(writable, PAGE, PROT_READ); break;
        case 3: mprotect(writable, PAGE, PROT_READ | PROT_WRITE); break;
        case 4: mmap(writable, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 3, 0); break;
        // Another name, or bytes that are none. By a call, which an address that is gone is no end for.
        default: (void)!pread(13, writable, 64, r >> 8 & 63);
        }
    }
    return NULL;
}

static void prepare_race(void) {
    prepare();
    pthread_t thread;
    fcntl(5, F_SETFL, O_NONBLOCK);
    fcntl(7, F_SETFL, O_NONBLOCK);
    fcntl(8, F_SETFL, O_NONBLOCK);
    int names = open("names", O_RDWR | O_CREAT, 0600);
    for (int at = 0; at < 16; at++)
        if (write(names, at % 2 ? "name\0--" : "/dev/nul", 8) != 8)
            names = -1;
    if (names != 13 || ftruncate(3, PAGE) || pthread_create(&thread, NULL, change, NULL))
        fail("a victim cannot make what it wants to try");
}

static void race(long step) {
    shared->count++;
    struct iovec *vector = (struct iovec *)(writable + 64);
    switch (step % 10) {
    case 0: (void)!write(6, writable, PAGE / 4); break;
    case 1: (void)!read(3, writable, PAGE); break;
    case 2: {
        int file = open(writable, O_RDWR);
        if (file >= 0)
            close(file);
        break;
    }
    case 3: (void)!writev(7, vector, 4); break;
    case 4: (void)!recvmsg(8, (struct msghdr *)writable, 0); break;
    case 5: (void)!stat("name", (struct stat *)writable); break;
    case 6: syscall(SYS_futex, writable, 1, 1); break;
    case 7: (void)!getcwd(writable, PAGE); break;
    case 8: execve(writable, (char **)writable, (char **)(writable + 8)); break;
    default: (void)!pwrite(3, writable, PAGE, 0);
    }
    // The thread that changes things is to come in between.
    if (step % 4 == 0)
        sched_yield();
}

void races(void) {
    victims(0, RACES, 200, prepare_race, race);
    others_go_on();
}
