// SPDX-License-Identifier: BSD-2-Clause
// What all parts of the conformance program use. Every line of output is one observation: an expression, and
// what it came to. The same lines must come out of Linux and of what claims to be like it, so nothing that may differ
// from run to run (numbers of processes, times, addresses) is ever printed.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *error_name(int number);
void result(const char *what, long value, int with_value);

// The value of a call, or its error.
#define VALUE(call) (errno = 0, result(#call, (long)(call), 1))
// Only whether a call succeeds, or its error.
#define TRY(call) (errno = 0, result(#call, (long)(call), 0))
// Something that is true or not.
#define IS(what) (printf("%s: %s\n", #what, (what) ? "yes" : "no"))
// A heading.
#define PART(name) (printf("== %s\n", name))

// Runs a block in a child and tells how it ended.
void ended(const char *what, int status);
#define CHILD(what)                                                                                                    \
    for (pid_t child_ = child_begin(); child_ >= 0; ended(what, child_end(child_)), child_ = -1)                       \
        if (child_ == 0)
pid_t child_begin(void);
int child_end(pid_t child);

// A pointer that no program has anything at.
#define BAD ((void *)8)

void files(void);
void names(void);
void descriptors(void);
void waiting(void);
void terminals(void);
void memory(void);
void processes(void);
void signals(void);
void times_(void);
void futexes(void);
void strange(void);
