// SPDX-License-Identifier: BSD-2-Clause
// What all attacks use. An attack is driven by a process of the superuser, which lets *victims* do what is
// hostile: processes of a user who may nothing, in sessions of their own, which die of what they do more often than
// not. The driver starts the next one where the last one stopped, and ends those that wait for ever.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Who victims are.
#define NOBODY 65534
// The first and the last number of a system call that is tried.
#define FIRST_CALL (-50)
#define LAST_CALL 1000
// Calls that Linux has.
#define LINUX_CALLS 470

// What driver and victims have in common, in memory that both map.
struct shared {
    // The step that is next.
    long next;
    // Whatever an attack counts.
    long count;
    // Set when a victim finds something that must not be.
    char failure[256];
};
extern struct shared *shared;

// Says that something is as it must not be; the attack has succeeded then, and the test has not.
__attribute__((format(printf, 1, 2))) void fail(const char *what, ...);

// Lets victims do the steps from `first` to `end`, in this order, each victim one after the other, until all are done.
// A step that takes longer than `patience` milliseconds is given up, and so is who does it.
void victims(long first, long end, long patience, void (*prepare)(void), void (*step)(long));
// Whether victims may make as many processes as the system lets them.
extern int no_process_limit;
// Starts one victim with limits of its own. It must end by itself, or be ended by `stop`.
pid_t victim(void (*what)(void));
// Ends all victims, and all that they have started, and waits for them.
void stop(void);
// Whether the others go on: a process that was there before, and one that is started now.
void others_go_on(void);
void nap(long milliseconds);

// All general registers, and the flags.
struct registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, flags;
};
// Loads all of them, executes the instruction, and comes back if that lets it.
void with_syscall(const struct registers *registers);
void with_sysenter(const struct registers *registers);
// Where these instructions are.
extern const char with_sysenter_at[];
// Does something that may end in a signal. Gives its number; 0 if there was none.
int attempt(void (*what)(void *), void *argument);
// Memory whose bytes are executed by `attempt(execute, NULL)`, below 4 GiB.
extern unsigned char *code;
void map_code(void);
void execute(void *unused);
// Sets all to a value.
void fill(struct registers *registers, uint64_t value);

// Memory of a victim: a page that may be written between one that may be read and one that is not there.
extern char *read_only, *writable, *hole;
#define PAGE 4096
void map_memory(void);
// Whether what must not be written to has not been.
void check_memory(void);
// Makes what descriptors from 3 on are.
void open_some(void);

uint64_t random_word(uint64_t *state);

// The attacks.
void numbers(void);
void random_arguments(void);
void pointers(void);
void races(void);
void own_calls(void);
void own_calls_with_flags(void);
void interrupts(void);
void privileged(void);
void segments(void);
void frames(void);
void processes(void);
void threads(void);
void descriptors(void);
void pipes(void);
void memory(void);
void mappings(void);
void traces(void);
void files(void);
void names(void);
void signals(void);
void handlers(void);
void timers(void);
void waiters(void);
void arguments(void);
void terminals(void);
void locks(void);
