// SPDX-License-Identifier: BSD-2-Clause
// Programs that take all that they can get of something, and keep it. Each is run by many processes at a time until
// all have met a limit, and for all that the others must go on, at the time and afterwards.
#include "hostile.h"
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

// Seconds after which a bomb that meets no limit has failed, or rather, we have.
#define LIMIT 60

static void (*taker)(void);

static void take(void) {
    taker();
    __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

// Lets so many processes take what they can.
static void bomb(int processes, void (*what)(void)) {
    taker = what;
    shared->count = 0;
    int started = 0, ended = 0;
    for (; started < processes; started++)
        if (victim(take) < 0)
            break;
    for (long time = 0;; time += 20) {
        int status;
        while (waitpid(-1, &status, WNOHANG) > 0) {
            // One that was killed has met a limit, too.
            ended++;
            if (status == 99 << 8)
                fail("a victim could not become nobody");
        }
        if (__atomic_load_n(&shared->count, __ATOMIC_SEQ_CST) + ended >= started)
            break;
        if (time > LIMIT * 1000) {
            fail("of %d only %ld have met a limit, and %d were killed", started, shared->count, ended);
            break;
        }
        nap(20);
    }
    others_go_on();
    stop();
    others_go_on();
}

// --- Processes and threads.

static void more_processes(void) {
    for (;;) {
        pid_t child = fork();
        if (child < 0)
            return;
        if (child == 0) {
            // Two from each.
            if (fork() < 0)
                return;
        }
    }
}

void processes(void) {
    no_process_limit = 1;
    bomb(1, more_processes);
    no_process_limit = 0;
}

static int sleeping_thread(void *unused) {
    (void)unused;
    for (;;)
        pause();
    return 0;
}

static void more_threads(void) {
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    for (;;) {
        char *stack = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED || clone(sleeping_thread, stack + 2 * PAGE, flags, NULL) < 0)
            return;
    }
}

void threads(void) {
    no_process_limit = 1;
    bomb(4, more_threads);
    no_process_limit = 0;
}

// --- Descriptors, and what is behind them.

static void as_many_as_allowed(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void more_descriptors(void) {
    as_many_as_allowed();
    while (open("/dev/null", O_RDWR) >= 0) {
    }
}

void descriptors(void) {
    bomb(40, more_descriptors);
}

static void more_pipes(void) {
    static char bytes[65536];
    int pair[2];
    as_many_as_allowed();
    while (pipe2(pair, O_NONBLOCK) == 0)
        while (write(pair[1], bytes, sizeof bytes) > 0) {
        }
    while (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0)
        while (write(pair[1], bytes, sizeof bytes) > 0) {
        }
}

void pipes(void) {
    bomb(40, more_pipes);
}

static void more_terminals(void) {
    static char bytes[4096];
    as_many_as_allowed();
    memset(bytes, '\n', sizeof bytes);
    int terminal;
    while ((terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0) {
        int zero = 0;
        ioctl(terminal, TIOCSPTLCK, &zero);
        // Lines that nobody reads, and their echo, which nobody reads either.
        for (int round = 0; round < 64 && write(terminal, bytes, sizeof bytes) > 0; round++) {
        }
    }
}

void terminals(void) {
    bomb(16, more_terminals);
}

static void more_locks(void) {
    int file = open("locked", O_RDWR | O_CREAT, 0666);
    for (long at = 0; at < 1000000; at++) {
        // No two are neighbours, so that none can be joined.
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = at * 2, .l_len = 1};
        if (fcntl(file, F_SETLK, &lock))
            return;
    }
}

void locks(void) {
    bomb(8, more_locks);
}

// --- Memory.

static void more_memory(void) {
    for (;;) {
        char *start = mmap(NULL, 1 << 26, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED)
            return;
        for (long at = 0; at < 1 << 26; at += PAGE)
            start[at] = 1;
    }
}

void memory(void) {
    for (int round = 0; round < 2; round++)
        bomb(6, more_memory);
}

static void look_for_traces(void) {
    // All that can be had, each page of which is written to first, so that it is there.
    for (;;) {
        char *start = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED)
            return;
        for (long at = 0; at < 16 * PAGE; at += PAGE) {
            *(volatile char *)(start + at) = 0;
            for (long word = 0; word < PAGE / 8; word++)
                if (((uint64_t *)(start + at))[word])
                    fail("a new page has %#lx in it", ((uint64_t *)(start + at))[word]);
        }
    }
}

void traces(void) {
    // What the first ones have written, the others get.
    bomb(2, more_memory);
    bomb(2, look_for_traces);
}

static void more_mappings(void) {
    // One page of each two, so that none can be joined.
    char *start = mmap(NULL, 1ul << 32, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return;
    for (unsigned long at = 0; at < 1ul << 32; at += 2 * PAGE)
        if (mprotect(start + at, PAGE, PROT_READ))
            return;
}

void mappings(void) {
    bomb(24, more_mappings);
}

// --- Files and names.

static void more_files(void) {
    char name[64];
    for (long at = 0;; at++) {
        snprintf(name, sizeof name, "%d.%ld", getpid(), at);
        int file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (file < 0)
            return;
        if (write(file, name, sizeof name) < 0) {
            close(file);
            return;
        }
        close(file);
    }
}

void files(void) {
    bomb(8, more_files);
}

static void more_names(void) {
    static char name[256];
    memset(name, 'n', 255);
    // Deep.
    for (int depth = 0; depth < 2000; depth++)
        if (mkdir("d", 0700) || chdir("d"))
            break;
    // In circles.
    if (symlink("loop", "loop") == 0)
        close(open("loop/loop", O_RDONLY));
    int file = open("original", O_WRONLY | O_CREAT, 0600);
    close(file);
    for (long at = 0; at < 10000000; at++) {
        int length = snprintf(name, sizeof name, "%d.%ld", getpid(), at);
        name[length] = 'n';
        if (at % 2 ? link("original", name) : symlink(name, name))
            return;
    }
}

void names(void) {
    bomb(4, more_names);
}

// --- Signals, timers, waiting.

static void more_signals(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        while (sigqueue(getpid(), number, (union sigval){.sival_int = 1}) == 0) {
        }
}

void signals(void) {
    bomb(32, more_signals);
}

static void handle(int number) {
    // It interrupts itself until its stack has no room.
    kill(getpid(), number);
}

static void more_handlers(void) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    kill(getpid(), SIGUSR1);
}

void handlers(void) {
    bomb(8, more_handlers);
}

static void more_timers(void) {
    signal(SIGALRM, SIG_IGN);
    // One nanosecond.
    struct itimerspec often = {{0, 1}, {0, 1}};
    struct itimerval often_too = {{0, 1}, {0, 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    while (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        timer_settime(timer, 0, &often, NULL);
    setitimer(ITIMER_REAL, &often_too, NULL);
}

void timers(void) {
    bomb(16, more_timers);
}

static void more_waiters(void) {
    int epolls[64], count = 0;
    as_many_as_allowed();
    while (count < 64 && (epolls[count] = epoll_create1(0)) >= 0)
        count++;
    // Each watches all before it: what is ready is asked for along every path, if that is not forbidden.
    for (int at = 1; at < count; at++)
        for (int before = 0; before < at; before++) {
            struct epoll_event event = {.events = EPOLLIN};
            epoll_ctl(epolls[at], EPOLL_CTL_ADD, epolls[before], &event);
            epoll_ctl(epolls[before], EPOLL_CTL_ADD, epolls[at], &event);
        }
    int pair[2];
    while (pipe(pair) == 0)
        for (int at = 0; at < count; at++) {
            struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
            if (epoll_ctl(epolls[at], EPOLL_CTL_ADD, pair[0], &event) ||
                epoll_ctl(epolls[at], EPOLL_CTL_ADD, pair[1], &event))
                return;
            struct epoll_event ready;
            epoll_wait(epolls[at], &ready, 1, 0);
        }
}

void waiters(void) {
    bomb(16, more_waiters);
}

// --- Arguments.

static void more_arguments(void) {
    static char string[131072];
    static char *words[65536];
    memset(string, 'a', sizeof string - 1);
    for (int length = 1; length < 65535; length = length * 2) {
        for (int at = 0; at < length; at++)
            words[at] = string;
        words[length] = NULL;
        execve("/bin/true", words, words);
        if (errno != E2BIG && errno != ENOMEM && errno != ENOENT)
            fail("a program with %d words is refused with %s", length, strerror(errno));
        // Small ones.
        for (int at = 0; at < length; at++)
            words[at] = string + sizeof string - 16;
        pid_t child = fork();
        if (child == 0) {
            execve("/bin/true", words, words);
            _exit(1);
        }
    }
}

void arguments(void) {
    bomb(8, more_arguments);
}
