// SPDX-License-Identifier: BSD-2-Clause
// load PROCESSES: so many processes at once, each with memory and a file of its own, and pipes between neighbours, through
// which a token goes from each to the next. When it is back all have seen it, and none has lost anything.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3, BYTES = 8192 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

// Passes tokens on, each with its own number added, and checks what is its own.
static void member(int number, int from, int to) {
    static int memory[BYTES / sizeof(int)], back[BYTES / sizeof(int)];
    char name[32];
    for (size_t at = 0; at < BYTES / sizeof(int); at++)
        memory[at] = number + at;
    snprintf(name, sizeof name, "file.%d", number);
    int file = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || write(file, memory, BYTES) != BYTES)
        die("file");
    long sum;
    while (read(from, &sum, sizeof sum) == sizeof sum) {
        if (pread(file, back, BYTES, 0) != BYTES || memcmp(memory, back, BYTES))
            die("contents");
        sum += number;
        if (write(to, &sum, sizeof sum) != sizeof sum)
            die("write");
    }
    unlink(name);
    exit(0);
}

int main(int count, char **words) {
    int processes = count > 1 ? atoi(words[1]) : 1;
    int first[2], before;
    if (pipe(first))
        die("pipe");
    before = first[0];
    for (int number = 1; number <= processes; number++) {
        int next[2];
        if (pipe(next))
            die("pipe");
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (!child) {
            close(first[1]);
            close(next[0]);
            member(number, before, next[1]);
        }
        close(before);
        close(next[1]);
        before = next[0];
    }
    for (int round = 0; round < ROUNDS; round++) {
        long sum = 0;
        if (write(first[1], &sum, sizeof sum) != sizeof sum || read(before, &sum, sizeof sum) != sizeof sum)
            die("round");
        printf("round %d: %ld\n", round + 1, sum);
    }
    // The first has no more to read, then the next, and so on.
    close(first[1]);
    int ended = 0, status;
    while (wait(&status) > 0)
        ended += status == 0;
    printf("%d of %d ended well\n", ended, processes);
    return 0;
}
