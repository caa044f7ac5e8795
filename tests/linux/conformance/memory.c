// SPDX-License-Identifier: BSD-2-Clause
// Memory: mappings, their rights, what happens where there are none.
#include "conform.h"
#include <setjmp.h>
#include <sys/resource.h>

static sigjmp_buf back;
static volatile int got_signal, got_code;
static void *volatile got_address;

static void fault(int number, siginfo_t *info, void *context) {
    (void)context;
    got_signal = number, got_code = info->si_code, got_address = info->si_addr;
    siglongjmp(back, 1);
}

static void catch(void) {
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (int at = 0; at < 5; at++)
        sigaction(numbers[at], &action, NULL);
}

// What a piece of code ends in.
#define FAULT(code, address)                                                                                           \
    do {                                                                                                               \
        if (sigsetjmp(back, 1) == 0) {                                                                                 \
            code;                                                                                                      \
            printf("%s: goes through\n", #code);                                                                       \
        } else                                                                                                         \
            printf("%s: SIG%s code %d, address %s\n", #code, sigabbrev_np(got_signal), got_code,                       \
                   got_address == (void *)(address) ? "as expected" : "another");                                      \
    } while (0)

void memory(void) {
    const size_t page = 4096;
    catch ();
    PART("mmap");
    char *p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    IS(p != MAP_FAILED && (uintptr_t)p % page == 0 && p[0] == 0 && p[4 * page - 1] == 0);
    VALUE((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_ANONYMOUS, -1, 0));
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, 99, 0));
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, -1, 0));
    VALUE((long)mmap((void *)1, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    VALUE((long)mmap((void *)(1ul << 47), page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    VALUE((long)mmap(NULL, 1ul << 48, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    VALUE((long)mmap(NULL, -1ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    VALUE((long)(mmap(p + page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + page));
    VALUE((long)mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    FAULT(p[page] = 1, p + page);
    FAULT(p[0] = 1, 0);
    PART("mprotect and munmap");
    VALUE(mprotect(p, page, PROT_NONE));
    FAULT((void)*(volatile char *)p, p);
    VALUE(mprotect(p, page, PROT_READ));
    FAULT(p[5] = 1, p + 5);
    IS(p[0] == 1);
    VALUE(mprotect(p + 1, page, PROT_READ));
    VALUE(mprotect(p, page, 0x100));
    VALUE(munmap(p + 2 * page, page));
    FAULT(p[2 * page] = 1, p + 2 * page);
    VALUE(mprotect(p, 4 * page, PROT_READ | PROT_WRITE));
    VALUE(munmap(p + 1, page));
    VALUE(munmap(p, 0));
    VALUE(munmap(p + 2 * page, page));
    VALUE(munmap((void *)(-1ul << 12), page));
    FAULT(p[0] = 1, 0);
    FAULT(p[3 * page] = 1, 0);
    FAULT(*(volatile char *)8 = 1, 8);
    FAULT(*(volatile char *)0xffffffff80000000 = 1, 0xffffffff80000000);
    FAULT(*(volatile char *)0x8000000000000000 = 1, 0);
    PART("files");
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    IS(write(fd, "contents", 8) == 8 && ftruncate(fd, page + 10) == 0);
    char *shared = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    IS(!memcmp(shared, "contents", 8) && !memcmp(private, "contents", 8) && shared[page + 10] == 0);
    shared[0] = 'C';
    IS(private[0] == 'C');
    private[1] = 'O';
    IS(shared[1] == 'o');
    char bytes[9] = {0};
    VALUE(pread(fd, bytes, 8, 0));
    IS(!strcmp(bytes, "Contents"));
    VALUE(pwrite(fd, "X", 1, 2));
    IS(shared[2] == 'X' && private[2] == 'n');
    FAULT(shared[2 * page] = 1, shared + 2 * page);
    VALUE(ftruncate(fd, 10));
    FAULT(shared[page] = 1, shared + page);
    VALUE(msync(shared, page, MS_SYNC));
    VALUE(msync(shared + 1, page, MS_SYNC));
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 1));
    int only = open("f", O_RDONLY), writes = open("f", O_WRONLY);
    VALUE((long)mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, only, 0));
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, writes, 0));
    IS(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, only, 0) != MAP_FAILED);
    VALUE((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0));
    shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHILD("shared memory") {
        shared[0] = 7;
        p[0] = 9;
    }
    IS(shared[0] == 7 && p[0] == 1);
    PART("mremap");
    p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 5;
    char *q = mremap(p, 2 * page, 64 * page, MREMAP_MAYMOVE);
    IS(q != MAP_FAILED && q[0] == 5 && q[63 * page] == 0);
    IS(mremap(q, 64 * page, page, 0) == q);
    FAULT(q[page] = 1, q + page);
    VALUE((long)mremap(q + 1, page, page, 0));
    VALUE((long)mremap(q, page, 0, 0));
    VALUE((long)mremap((void *)(1ul << 46), page, 2 * page, MREMAP_MAYMOVE));
    VALUE((long)mremap(q, page, 1ul << 47, MREMAP_MAYMOVE));
    PART("brk");
    char *end = sbrk(0);
    IS(sbrk(100000) == end);
    end[99999] = 1;
    IS(sbrk(-100000) != (void *)-1 && sbrk(0) == end);
    IS(syscall(SYS_brk, 0) == (long)end && syscall(SYS_brk, 1ul << 60) == (long)end);
    PART("madvise");
    p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 1;
    VALUE(madvise(p, page, MADV_DONTNEED));
    IS(p[0] == 0);
    VALUE(madvise(p + 1, page, MADV_DONTNEED));
    VALUE(madvise(p, page, 9999));
    VALUE(madvise(p, page, MADV_WILLNEED));
    PART("other faults");
    volatile int zero = 0;
    FAULT(zero = 1 / zero, got_address);
    FAULT(__asm__ volatile("ud2"), got_address);
    FAULT(__asm__ volatile("int3"), got_address);
    FAULT(__asm__ volatile("hlt"), 0);
    FAULT(__asm__ volatile("cli"), 0);
    PART("a stack that has an end");
    CHILD("endless recursion") {
        signal(SIGSEGV, SIG_DFL);
        struct rlimit limit = {1 << 20, 1 << 20};
        setrlimit(RLIMIT_STACK, &limit);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        volatile char *deep;
        for (;;) {
            deep = __builtin_alloca(4000);
            *deep = 1;
        }
    }
    PART("limits");
    CHILD("address space") {
        struct rlimit limit = {1 << 28, 1 << 28};
        VALUE(setrlimit(RLIMIT_AS, &limit));
        VALUE((long)mmap(NULL, 1 << 28, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        IS(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    }
}
