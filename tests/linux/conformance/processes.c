// SPDX-License-Identifier: BSD-2-Clause
// Processes, signals, time, futexes.
#include "conform.h"
#include <grp.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>

static void told(const siginfo_t *info, pid_t child) {
    printf("  signo %d code %d child %d status %d\n", info->si_signo, info->si_code, info->si_pid == child,
           info->si_status);
}

static int at_clone(void *argument) {
    *(int *)argument = 3;
    return 5;
}

void processes(void) {
    int status;
    siginfo_t info;
    PART("wait");
    VALUE(wait(&status));
    VALUE(waitpid(1, &status, 0));
    VALUE(waitpid(-1, &status, 0x100));
    CHILD("exit 300") { _exit(300); }
    CHILD("abort") {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        abort();
    }
    CHILD("kill") { kill(getpid(), SIGKILL); }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(1);
    }
    VALUE(waitpid(child, &status, WNOHANG));
    VALUE(kill(child, 0));
    VALUE(kill(child, SIGSTOP));
    IS(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    VALUE(waitpid(child, &status, WNOHANG | WUNTRACED));
    VALUE(kill(child, SIGCONT));
    IS(waitid(P_PID, child, &info, WCONTINUED) == 0);
    told(&info, child);
    VALUE(kill(child, SIGTERM));
    IS(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0);
    told(&info, child);
    IS(waitid(P_ALL, 0, &info, WEXITED) == 0);
    told(&info, child);
    VALUE(waitid(P_PID, child, &info, WEXITED));
    VALUE(waitid(P_ALL, 0, &info, 0));
    VALUE(kill(child, 0));
    VALUE(kill(getpid(), 99));
    VALUE(kill(999999, SIGTERM));
    struct rusage usage;
    fflush(stdout);
    if ((child = fork()) == 0)
        _exit(4);
    IS(wait4(-1, &status, 0, &usage) == child && WEXITSTATUS(status) == 4);
    PART("groups and sessions");
    VALUE(setpgid(0, -1));
    VALUE(setpgid(999999, 0));
    TRY(setpgid(0, 0));
    IS(getpgrp() == getpid() && getpgid(0) == getpid());
    VALUE(setsid());
    VALUE(getpgid(999999));
    VALUE(getsid(999999));
    CHILD("session") {
        IS(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid());
        VALUE(setpgid(0, 0));
    }
    PART("who");
    VALUE(getuid() + geteuid() + getgid() + getegid());
    CHILD("another user") {
        gid_t groups[3] = {7, 8, 9};
        uid_t a, b, c;
        VALUE(setgroups(3, groups));
        VALUE(getgroups(0, NULL));
        VALUE(getgroups(2, groups));
        VALUE(getgroups(3, groups));
        VALUE(setresgid(5, 5, 5));
        VALUE(setresuid(10, 11, 12));
        VALUE(getresuid(&a, &b, &c));
        VALUE(a * 10000 + b * 100 + c);
        VALUE(setuid(0));
        VALUE(setuid(12));
        VALUE(geteuid());
        VALUE(setreuid(-1, 10));
        VALUE(geteuid());
        VALUE(setgroups(0, NULL));
        VALUE(kill(getppid(), 0));
    }
    PART("exec");
    char *none[] = {NULL}, *arguments[] = {"x", "y", NULL};
    VALUE(execve("nothing", arguments, none));
    VALUE(execve(".", arguments, none));
    VALUE(execve(BAD, arguments, none));
    int fd = open("script", O_WRONLY | O_CREAT, 0644);
    IS(write(fd, "#!/nothing here\n", 16) == 16);
    close(fd);
    VALUE(execve("script", arguments, none));
    chmod("script", 0755);
    VALUE(execve("script", arguments, none));
    fd = open("text", O_WRONLY | O_CREAT, 0755);
    IS(write(fd, "just text", 9) == 9);
    close(fd);
    VALUE(execve("text", arguments, none));
    fd = open("empty", O_WRONLY | O_CREAT, 0755);
    close(fd);
    VALUE(execve("empty", arguments, none));
    VALUE(execve("empty", BAD, none));
    // What runs is not written to, and what is written to does not run.
    VALUE(open("/proc/self/exe", O_WRONLY));
    VALUE(open("/proc/self/exe", O_RDONLY | O_TRUNC));
    VALUE(truncate("/proc/self/exe", 0));
    fd = open("text", O_RDONLY);
    VALUE(execve("text", arguments, none));
    close(fd);
    fd = open("text", O_RDWR);
    VALUE(execve("text", arguments, none));
    close(fd);
    VALUE(execve("text", arguments, none));
    PART("vfork and clone");
    volatile int shared = 0;
    child = vfork();
    if (child == 0) {
        shared = 1;
        _exit(6);
    }
    IS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 6 && shared == 1);
    char *stack = malloc(65536);
    int value = 0;
    child = clone(at_clone, stack + 65536, CLONE_VM | SIGCHLD, &value);
    IS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5 && value == 3);
    signal(SIGUSR1, SIG_IGN);
    child = clone(at_clone, stack + 65536, SIGUSR1, &value);
    IS(waitpid(child, &status, 0) < 0 && errno == ECHILD);
    IS(waitpid(child, &status, __WALL) == child);
    VALUE(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
    VALUE(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
    struct clone_args wrong = {.flags = 0, .exit_signal = 200};
    VALUE(syscall(SYS_clone3, &wrong, sizeof wrong));
    VALUE(syscall(SYS_clone3, &wrong, 8));
    PART("limits and the like");
    struct rlimit limit;
    VALUE(getrlimit(RLIMIT_NOFILE, &limit));
    VALUE(getrlimit(99, &limit));
    limit = (struct rlimit){10, 5};
    VALUE(setrlimit(RLIMIT_NOFILE, &limit));
    VALUE(prlimit(999999, RLIMIT_NOFILE, NULL, &limit));
    VALUE(getrusage(RUSAGE_SELF, &usage));
    VALUE(getrusage(99, &usage));
    VALUE(getpriority(PRIO_PROCESS, 0));
    VALUE(getpriority(9, 0));
    VALUE(setpriority(PRIO_PROCESS, 0, 5));
    VALUE(getpriority(PRIO_PROCESS, 0));
    char name[17] = {0};
    VALUE(prctl(PR_SET_NAME, "a name that is too long"));
    VALUE(prctl(PR_GET_NAME, name));
    printf("  %s\n", name);
    VALUE(prctl(9999));
    VALUE(prctl(PR_CAPBSET_READ, 999));
    struct utsname u;
    VALUE(uname(&u));
    IS(!strcmp(u.sysname, "Linux") && !strcmp(u.machine, "x86_64"));
    VALUE(uname(BAD));
    struct sysinfo s;
    VALUE(sysinfo(&s));
    VALUE(sysinfo(BAD));
    unsigned char random[16];
    VALUE(syscall(SYS_getrandom, random, 16, 0));
    VALUE(syscall(SYS_getrandom, random, 16, 99));
    VALUE(syscall(SYS_getrandom, BAD, 16, 0));
    cpu_set_t set;
    IS(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_ISSET(0, &set));
    VALUE(syscall(SYS_sched_getaffinity, 0, 4, &set));
    VALUE(syscall(SYS_sched_getaffinity, 999999, sizeof set, &set));
    VALUE(sched_yield());
    VALUE(sched_getscheduler(0));
}

static volatile int order[20], count;
static volatile siginfo_t last;

static void note(int number) { order[count++ % 20] = number; }
static void note_info(int number, siginfo_t *info, void *context) {
    (void)context;
    note(number);
    memcpy((void *)&last, info, sizeof last);
}

static void notes(void) {
    printf("  caught:");
    for (int at = 0; at < count; at++)
        printf(" %d", order[at]);
    printf("\n");
    count = 0;
}

static void on(int number, int flags) {
    struct sigaction action = {.sa_sigaction = note_info, .sa_flags = flags | SA_SIGINFO};
    sigaction(number, &action, NULL);
}

static void on_stack(int number) {
    stack_t old;
    sigaltstack(NULL, &old);
    note(number);
    order[count++] = old.ss_flags == SS_ONSTACK;
}

void signals(void) {
    sigset_t set, old;
    struct sigaction action = {.sa_handler = note};
    PART("sigaction");
    VALUE(sigaction(SIGKILL, &action, NULL));
    VALUE(sigaction(SIGKILL, NULL, NULL));
    VALUE(syscall(SYS_rt_sigaction, 99, NULL, NULL, 8));
    VALUE(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    VALUE(sigaction(SIGUSR1, &action, NULL));
    VALUE(raise(SIGUSR1));
    notes();
    PART("masks");
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGKILL);
    VALUE(sigprocmask(SIG_BLOCK, &set, &old));
    VALUE(sigprocmask(99, &set, NULL));
    VALUE(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8));
    VALUE(sigprocmask(SIG_BLOCK, NULL, &old));
    VALUE(sigismember(&old, SIGKILL) * 10 + sigismember(&old, SIGUSR2));
    on(SIGUSR2, 0);
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
    VALUE(sigpending(&set));
    VALUE(sigismember(&set, SIGUSR1) * 10 + sigismember(&set, SIGUSR2));
    notes();
    sigfillset(&set), sigdelset(&set, SIGUSR1);
    VALUE(sigsuspend(&set));
    notes();
    VALUE(sigprocmask(SIG_UNBLOCK, &old, NULL));
    notes();
    PART("real-time signals queue, in order");
    sigemptyset(&set);
    for (int number = SIGRTMIN; number < SIGRTMIN + 3; number++)
        on(number, 0), sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int at = 0; at < 3; at++)
        VALUE(sigqueue(getpid(), SIGRTMIN + 2 - at, (union sigval){.sival_int = at}));
    VALUE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9}));
    siginfo_t info;
    struct timespec zero = {0, 0}, bit = {0, 10000000};
    sigset_t one;
    sigemptyset(&one), sigaddset(&one, SIGRTMIN + 1);
    VALUE(sigtimedwait(&one, &info, &zero) - SIGRTMIN);
    printf("  code %d value %d\n", info.si_code, info.si_value.sival_int);
    VALUE(sigtimedwait(&one, &info, &bit));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    for (int at = 0; at < count; at++)
        order[at] -= SIGRTMIN;
    notes();
    PART("what a signal tells");
    on(SIGCHLD, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    while (!count)
        usleep(1000);
    told((const siginfo_t *)&last, child);
    notes();
    IS(waitpid(child, NULL, 0) == child);
    signal(SIGCHLD, SIG_DFL);
    on(SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    IS(last.si_code == SI_USER && last.si_pid == getpid() && last.si_uid == getuid());
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    IS(last.si_code == SI_TKILL);
    notes();
    VALUE(syscall(SYS_tgkill, getpid(), 999999, SIGUSR1));
    VALUE(syscall(SYS_tgkill, -1, 1, SIGUSR1));
    PART("flags");
    struct sigaction once = {.sa_handler = note, .sa_flags = SA_RESETHAND | SA_NODEFER};
    sigaction(SIGUSR1, &once, NULL);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &action);
    IS(action.sa_handler == SIG_DFL);
    notes();
    stack_t small = {.ss_sp = malloc(100), .ss_size = 100}, fine = {.ss_sp = malloc(65536), .ss_size = 65536};
    VALUE(sigaltstack(&small, NULL));
    VALUE(sigaltstack(&fine, NULL));
    struct sigaction aside = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &aside, NULL);
    raise(SIGUSR1);
    notes();
    PART("interrupted calls");
    int pair[2];
    char byte;
    IS(pipe(pair) == 0);
    struct itimerval soon = {{0, 0}, {0, 30000}}, off = {0};
    on(SIGALRM, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    VALUE(read(pair[0], &byte, 1));
    notes();
    fflush(stdout);
    if ((child = fork()) == 0) {
        usleep(100000);
        _exit(write(pair[1], "x", 1) == 1 ? 0 : 1);
    }
    waitpid(child, NULL, WNOHANG);
    on(SIGALRM, SA_RESTART);
    setitimer(ITIMER_REAL, &soon, NULL);
    VALUE(read(pair[0], &byte, 1));
    notes();
    waitpid(child, NULL, 0);
    struct timespec wait = {1, 0}, rest = {0};
    on(SIGALRM, SA_RESTART);
    setitimer(ITIMER_REAL, &soon, NULL);
    VALUE(nanosleep(&wait, &rest));
    IS(rest.tv_sec == 0 && rest.tv_nsec > 500000000);
    notes();
    setitimer(ITIMER_REAL, &off, NULL);
    PART("timers");
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 42};
    struct itimerspec when = {{0, 0}, {0, 10000000}};
    VALUE(timer_create(CLOCK_MONOTONIC, &event, &timer));
    VALUE(timer_settime(timer, 0, &when, NULL));
    while (!count)
        usleep(1000);
    printf("  code %d value %d\n", last.si_code, last.si_value.sival_int);
    notes();
    VALUE(timer_delete(timer));
    VALUE(timer_create(999, &event, &timer));
    VALUE((long)alarm(100));
    VALUE((long)alarm(0));
    VALUE(setitimer(99, &soon, NULL));
    VALUE(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, NULL));
    PART("defaults");
    int numbers[] = {SIGTERM, SIGCHLD, SIGWINCH, SIGURG, SIGUSR1, SIGPIPE, SIGQUIT, SIGRTMAX};
    for (int at = 0; at < 8; at++)
        CHILD(sigabbrev_np(numbers[at]) ? sigabbrev_np(numbers[at]) : "RTMAX") {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            signal(numbers[at], SIG_DFL);
            raise(numbers[at]);
        }
}

void times_(void) {
    struct timespec t, zero = {0, 0}, wrong = {0, 1000000000}, past = {1, 0};
    PART("clocks");
    for (int clock = 0; clock < 12; clock++) {
        errno = 0;
        int gave = clock_gettime(clock, &t);
        if (clock < 8)
            printf("  clock %d: %d, %s\n", clock, gave, t.tv_nsec >= 0 && t.tv_nsec < 1000000000 ? "sane" : "strange");
    }
    VALUE(clock_gettime(99, &t));
    VALUE(syscall(SYS_clock_gettime, CLOCK_REALTIME, BAD));
    VALUE(clock_getres(CLOCK_MONOTONIC, &t));
    VALUE(clock_getres(CLOCK_MONOTONIC, NULL));
    IS(t.tv_sec == 0 && t.tv_nsec > 0);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    VALUE(nanosleep(&(struct timespec){0, 20000000}, NULL));
    clock_gettime(CLOCK_MONOTONIC, &b);
    IS((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec >= 20000000);
    VALUE(nanosleep(&wrong, NULL));
    VALUE(nanosleep(BAD, NULL));
    VALUE(nanosleep(&zero, NULL));
    VALUE(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
    VALUE(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
    VALUE(clock_nanosleep(99, 0, &zero, NULL));
    VALUE(clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong, NULL));
    struct timeval v;
    VALUE(syscall(SYS_gettimeofday, &v, NULL));
    IS(v.tv_sec > 1000000000 && time(NULL) - v.tv_sec <= 1);
    struct tms tms;
    IS(times(&tms) != (clock_t)-1);
}

static int word;

static void *waker(void *argument) {
    usleep(50000);
    word = 1;
    long woken = syscall(SYS_futex, &word, FUTEX_WAKE, 10, NULL, NULL, 0);
    *(long *)argument = woken;
    return NULL;
}

static void *thread(void *argument) {
    int *sum = argument;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    for (int at = 0; at < 1000; at++) {
        pthread_mutex_lock(&mutex);
        ++*sum;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

void futexes(void) {
    struct timespec bit = {0, 20000000}, wrong = {0, -1};
    pthread_t threads[8];
    long woken = -1;
    PART("futex");
    VALUE(syscall(SYS_futex, &word, FUTEX_WAIT, 7, NULL, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &bit, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &wrong, NULL, 0));
    VALUE(syscall(SYS_futex, (char *)&word + 1, FUTEX_WAIT, 0, &bit, NULL, 0));
    VALUE(syscall(SYS_futex, BAD, FUTEX_WAIT, 0, &bit, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_WAKE, 10, NULL, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &bit, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    VALUE(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &woken, 5));
    VALUE(syscall(SYS_futex, &word, 99, 0, NULL, NULL, 0));
    pthread_create(threads, NULL, waker, &woken);
    VALUE(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0));
    pthread_join(threads[0], NULL);
    VALUE(woken);
    PART("threads");
    int sum = 0;
    for (int at = 0; at < 8; at++)
        pthread_create(threads + at, NULL, thread, &sum);
    for (int at = 0; at < 8; at++)
        pthread_join(threads[at], NULL);
    VALUE((long)sum);
    VALUE(syscall(SYS_set_robust_list, NULL, 1));
    IS(syscall(SYS_set_tid_address, &word) == gettid());
    CHILD("exit of all threads") {
        pthread_create(threads, NULL, (void *(*)(void *))pause, NULL);
        usleep(1000);
        fflush(stdout);
        _exit(12);
    }
}

void strange(void) {
    // Numbers that no system has, and arguments that no program gives.
    PART("no such calls");
    VALUE(syscall(-1));
    VALUE(syscall(1000));
    VALUE(syscall(99999));
    VALUE(syscall(SYS_read, -1, 0, 0));
    VALUE(syscall(SYS_read, 1ul << 32, 0, 0));
    VALUE(syscall(SYS_write, 1, -1ul, 10));
    VALUE(syscall(SYS_write, 1, 0xffff800000000000, 10));
    VALUE(syscall(SYS_open, -1ul, 0, 0));
    VALUE(syscall(SYS_open, 0x7ffffffff000, 0, 0));
    VALUE(syscall(SYS_stat, "/", -8ul));
    VALUE(syscall(SYS_poll, 0, -1, 0));
    VALUE(syscall(SYS_poll, 0, 1 << 30, 0));
    VALUE(syscall(SYS_mmap, 0, -4096ul, 3, 0x22, -1, 0));
    VALUE(syscall(SYS_rt_sigprocmask, 0, 0, 0, 1));
    VALUE(syscall(SYS_execve, 0, 0, 0));
    VALUE(syscall(SYS_wait4, -1, 0, -1, 0));
    VALUE(syscall(SYS_arch_prctl, 0x1002, -1ul));
    VALUE(syscall(SYS_arch_prctl, 99, 0));
    // A path that ends where memory does.
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    memset(page, 'x', 4096);
    VALUE(open(page + 4000, O_RDONLY));
    VALUE(open(page, O_RDONLY));
    page[4095] = 0;
    VALUE(open(page + 4000, O_RDONLY));
    // A buffer of which only the front is there.
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    memset(page, 'y', 4096);
    VALUE(write(fd, page + 4090, 100));
    VALUE(lseek(fd, 0, SEEK_END));
    VALUE(pwrite(fd, page, 4096, 0));
    VALUE(pread(fd, page + 4090, 100, 0));
}
