// SPDX-License-Identifier: BSD-2-Clause
// Calls as many system calls in as many ways as it can and prints what came of it, to be compared between two systems.
// conformance [PART...]: works in the current directory, which must be empty and may be written to.
#include "conform.h"
#include <sys/resource.h>

const char *error_name(int number) {
    const char *name = strerrorname_np(number);
    return name ? name : "unknown";
}

void result(const char *what, long value, int with_value) {
    if (value == -1)
        printf("%s = %s\n", what, error_name(errno));
    else if (with_value)
        printf("%s = %ld\n", what, value);
    else
        printf("%s = ok\n", what);
}

pid_t child_begin(void) {
    fflush(stdout);
    return fork();
}

// Only the parent comes back; a child that gets here is done.
int child_end(pid_t child) {
    int status = 0;
    if (child == 0) {
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

void ended(const char *what, int status) {
    if (WIFEXITED(status))
        printf("%s: exits with %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: killed by signal %d\n", what, WTERMSIG(status));
    else
        printf("%s: status %#x\n", what, status);
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"files", files},         {"names", names},     {"descriptors", descriptors}, {"waiting", waiting},
    {"terminals", terminals}, {"memory", memory},   {"processes", processes},     {"signals", signals},
    {"times", times_},        {"futexes", futexes}, {"strange", strange},
};

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 4096);
    umask(022);
    // As nice as anybody else, whoever starts it.
    setpriority(PRIO_PROCESS, 0, 0);
    // Shells leave them ignored, some of them sometimes.
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        int wanted = count < 2;
        for (int at = 1; at < count; at++)
            wanted |= !strcmp(arguments[at], parts[part].name);
        if (!wanted)
            continue;
        // Each in a process and a directory of its own: what one leaves behind is not seen by the next.
        printf("==== %s\n", parts[part].name);
        mkdir(parts[part].name, 0755);
        CHILD(parts[part].name) {
            if (chdir(parts[part].name))
                _exit(99);
            alarm(60);
            parts[part].run();
        }
    }
    return 0;
}
