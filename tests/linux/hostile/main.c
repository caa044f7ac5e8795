// SPDX-License-Identifier: BSD-2-Clause
// Programs that mean harm. hostile [ATTACK...]: tries each, and says whether the system and everybody else in it
// survived. For each attack there is a heading; then lines that begin with FAIL if something went wrong; and `survived` at
// the end.
#include "hostile.h"
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

static const struct {
    const char *name;
    void (*drive)(void);
} attacks[] = {
    {"every_number_in_every_register_state", numbers},
    {"every_call_with_random_and_extreme_arguments", random_arguments},
    {"pointers_into_the_kernel_into_holes_and_to_what_is_read_only", pointers},
    {"memory_that_changes_under_a_call", races},
    {"the_systems_own_calls_with_every_number_and_register_state", own_calls},
    {"the_systems_own_calls_with_strange_flags", own_calls_with_flags},
    {"interrupts_of_software", interrupts},
    {"privileged_instructions", privileged},
    {"segments_and_far_jumps", segments},
    {"corrupted_stacks_at_the_return_from_a_handler", frames},
    {"a_bomb_of_processes", processes},
    {"a_bomb_of_threads", threads},
    {"a_bomb_of_descriptors", descriptors},
    {"a_bomb_of_pipes", pipes},
    {"a_bomb_of_memory", memory},
    {"a_bomb_of_mappings", mappings},
    {"memory_that_others_have_left", traces},
    {"a_bomb_of_files", files},
    {"a_bomb_of_names", names},
    {"a_bomb_of_signals", signals},
    {"a_bomb_of_handlers", handlers},
    {"a_bomb_of_timers", timers},
    {"a_bomb_of_waiters", waiters},
    {"a_bomb_of_arguments", arguments},
    {"a_bomb_of_terminals", terminals},
    {"a_bomb_of_locks", locks},
};

struct shared *shared;
static const char *myself;

void fail(const char *what, ...) {
    va_list more;
    va_start(more, what);
    if (!shared->failure[0])
        vsnprintf(shared->failure, sizeof shared->failure - 1, what, more);
    va_end(more);
}

void nap(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) && errno == EINTR) {
    }
}

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// --- The witness: a process that has been there all the time, and must be as it was.

static int witness = -1;
#define WORDS 16384

static void witness_main(int line) {
    static uint64_t words[WORDS];
    uint64_t state = 99;
    for (int at = 0; at < WORDS; at++)
        words[at] = random_word(&state);
    int file = open("witness", O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || write(file, words, sizeof words) != sizeof words)
        _exit(1);
    char byte;
    while (read(line, &byte, 1) == 1) {
        uint64_t read_back[64];
        uint64_t again = 99;
        int fine = 1;
        for (int at = 0; at < WORDS; at++)
            fine &= words[at] == random_word(&again);
        lseek(file, 0, SEEK_SET);
        fine &= read(file, read_back, sizeof read_back) == sizeof read_back;
        fine &= !memcmp(read_back, words, sizeof read_back);
        byte = fine ? 'y' : 'n';
        if (write(line, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

static void start_witness(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        perror("socketpair");
        exit(1);
    }
    fflush(stdout);
    if (fork() == 0) {
        close(pair[0]);
        witness_main(pair[1]);
    }
    close(pair[1]);
    witness = pair[0];
    struct timeval limit = {20, 0};
    setsockopt(witness, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

static void ask_witness(void) {
    char byte = '?';
    if (write(witness, &byte, 1) != 1 || read(witness, &byte, 1) != 1)
        fail("the process that was there does not answer: %s", strerror(errno));
    else if (byte != 'y')
        fail("what the process that was there has in memory or in its file has changed");
}

void others_go_on(void) {
    ask_witness();
    fflush(stdout);
    int status = 0;
    pid_t child = fork();
    if (child < 0) {
        fail("the superuser cannot make a process: %s", strerror(errno));
        return;
    }
    if (child == 0) {
        execl(myself, myself, "--greet", (char *)NULL);
        _exit(errno);
    }
    if (waitpid(child, &status, 0) != child || status != 42 << 8)
        fail("a new process ends with status %#x", status);
}

// --- Victims.

int no_process_limit;

static void become_nobody(void) {
    // What they say is of no interest, and nothing of theirs may reach who drives them.
    int null = open("/dev/null", O_RDWR);
    for (int at = 0; at < 3; at++)
        dup2(null, at);
    for (int at = 3; at < 64; at++)
        close(at);
    setsid();
    struct rlimit processes = {64, 64}, size = {1 << 20, 1 << 20}, none = {0, 0};
    if (!no_process_limit)
        setrlimit(RLIMIT_NPROC, &processes);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_CORE, &none);
    if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
        _exit(99);
}

pid_t victim(void (*what)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child)
        return child;
    become_nobody();
    what();
    _exit(0);
}

void stop(void) {
    for (int round = 0; round < 100; round++) {
        pid_t killer = fork();
        if (killer == 0) {
            if (setgid(NOBODY) || setuid(NOBODY))
                _exit(99);
            // All of its user's, but for itself.
            kill(-1, SIGKILL);
            _exit(0);
        }
        if (killer < 0) {
            fail("the superuser cannot make a process to end the others: %s", strerror(errno));
            nap(10);
            continue;
        }
        waitpid(killer, NULL, 0);
        // Orphans come here, too.
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) {
        }
        if (ended < 0 && errno == ECHILD)
            return;
        nap(1);
    }
    fail("there are victims that cannot be ended");
}

void victims(long first, long end, long patience, void (*prepare)(void), void (*step)(long)) {
    shared->next = first;
    while (__atomic_load_n(&shared->next, __ATOMIC_SEQ_CST) < end) {
        long before = shared->next;
        // As if there had been none before it.
        chmod(".", 0755);
        unlink("name");
        rmdir("name");
        fflush(stdout);
        pid_t child = fork();
        if (child < 0) {
            fail("no victim can be made: %s", strerror(errno));
            return;
        }
        if (child == 0) {
            become_nobody();
            prepare();
            long at;
            while ((at = __atomic_fetch_add(&shared->next, 1, __ATOMIC_SEQ_CST)) < end)
                step(at);
            _exit(0);
        }
        long last = before, since = now();
        for (;;) {
            if (waitpid(child, NULL, WNOHANG) == child)
                break;
            long next = __atomic_load_n(&shared->next, __ATOMIC_SEQ_CST);
            if (next != last) {
                last = next;
                since = now();
            } else if (now() - since > patience)
                break;
            nap(2);
        }
        // Whatever it has started, too; and a step is not tried twice.
        stop();
        if (shared->next == before)
            shared->next++;
    }
}

static long free_pages(void) {
    struct sysinfo info;
    return sysinfo(&info) ? -1 : (long)(info.freeram * (info.mem_unit ? info.mem_unit : 1) / PAGE);
}

// Touches each page of this program's own file. What has once been mapped of it stays in memory, as in a page cache, and
// an attack may well map all of it.
static int touch_segments(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[at];
        volatile const char *start = (const char *)(info->dlpi_addr + segment->p_vaddr);
        if (segment->p_type == PT_LOAD)
            for (size_t byte = 0; byte < segment->p_filesz; byte += PAGE)
                (void)start[byte];
    }
    return 0;
}

// In a folder of its own, which nobody may write to, and which is removed.
static void run(const char *name, void (*drive)(void)) {
    printf("==== hostile_%s\n", name);
    memset(shared, 0, sizeof *shared);
    // Whatever is made at the first use is there.
    others_go_on();
    dl_iterate_phdr(touch_segments, NULL);
    long before = free_pages();
    fflush(stdout);
    pid_t driver = fork();
    if (driver == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        mkdir("here", 0755);
        if (chdir("here"))
            _exit(98);
        if (chown(".", NOBODY, NOBODY))
            _exit(97);
        drive();
        stop();
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(driver, &status, 0);
    if (status)
        fail("who drives the attack ended with status %#x", status);
    pid_t cleaner = fork();
    if (cleaner == 0) {
        execl("/bin/rm", "rm", "-rf", "here", (char *)NULL);
        _exit(1);
    }
    waitpid(cleaner, &status, 0);
    others_go_on();
    // Some pages of the driver's own may have been copied; nothing of what victims had stays.
    long lost = before - free_pages();
    if (lost > 16)
        fail("%ld pages are lost", lost);
    if (shared->failure[0])
        printf("FAIL: %s\n", shared->failure);
    printf("survived\n");
    fflush(stdout);
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "--greet"))
        return 42;
    if (count == 2 && !strcmp(words[1], "--list")) {
        for (size_t at = 0; at < sizeof attacks / sizeof *attacks; at++)
            printf("%s\n", attacks[at].name);
        return 0;
    }
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    myself = length > 0 ? path : words[0];
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    umask(022);
    start_witness();
    for (size_t at = 0; at < sizeof attacks / sizeof *attacks; at++) {
        int wanted = count < 2;
        for (int word = 1; word < count; word++)
            wanted |= !strcmp(words[word], attacks[at].name);
        if (wanted)
            run(attacks[at].name, attacks[at].drive);
    }
    close(witness);
    return 0;
}
