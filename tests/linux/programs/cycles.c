// SPDX-License-Identifier: BSD-2-Clause
// cycles NUMBER: forks, has the child execute a program, waits for it, so many times. Then nothing is gone: no frame, no
// byte of the server's memory, nothing that the IC manager has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

// What there is: free frames; kilobytes that the server has in use; bytes, slots, ICs and sessions that are free in the
// whole system.
enum { FIRST = 6 };
static const char *names[FIRST] = {"frames", "server's kilobytes", "bytes", "slots", "ICs", "sessions"};

static void die(const char *what) {
    perror(what);
    exit(1);
}

// The number behind a word in a file.
static long number(const char *path, const char *word, const char *before) {
    static char text[4096];
    FILE *file = fopen(path, "r");
    if (!file)
        die(path);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *at = strstr(text, word);
    if (!at || !(at = strpbrk(at + strlen(word), before)))
        die(word);
    long value = 0;
    for (; *at && *at != '\n' && (*at < '0' || *at > '9'); at++) {
    }
    for (; *at == ',' || *at >= '0' && *at <= '9'; at++)
        if (*at != ',')
            value = value * 10 + *at - '0';
    return value;
}

static void measure(long *values) {
    struct sysinfo info;
    if (sysinfo(&info))
        die("sysinfo");
    values[0] = info.freeram * info.mem_unit / 4096;
    values[1] = number("/proc/meminfo", "Slab:", " ");
    values[2] = number("/proc/ic/free", "memory", "(");
    values[3] = number("/proc/ic/free", "slots", " ");
    values[4] = number("/proc/ic/free", "ICs", " ");
    values[5] = number("/proc/ic/free", "sessions", " ");
}

static void cycles(long count, const char *program) {
    while (count--) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (!child) {
            execl(program, program, "--leaf", (char *)NULL);
            _exit(1);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status != 42 << 8)
            die("child");
    }
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "--leaf"))
        return 42;
    long before[FIRST], after[FIRST];
    // Whatever is made at the first use is there, and what is kept for the next one.
    measure(before);
    cycles(100, "/proc/self/exe");
    measure(before);
    cycles(count > 1 ? atol(words[1]) : 1, "/proc/self/exe");
    measure(after);
    for (int at = 0; at < FIRST; at++)
        printf("%s: %ld\n", names[at], after[at] - before[at]);
    return 0;
}
