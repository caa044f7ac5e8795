// SPDX-License-Identifier: BSD-2-Clause
// Prints what operations cost with no other process, and again with many, each of which has files open and
// waits: "R NAME@OTHERS ITERATIONS NS TICKS", as bench.c does. What should not depend on others is not to.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OTHERS = 100, FILES = 2 };

static uint64_t ticks(void) {
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t nanoseconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void die(const char *what) {
	perror(what);
	fflush(stdout);
	_exit(1);
}

static void reap(pid_t child) {
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		die("child");
}

static int to[2], from[2];

static void getppids(long n) {
	while (n--)
		syscall(SYS_getppid);
}

static void stats(long n) {
	struct stat status;
	while (n--)
		if (stat("/bin/scale", &status))
			die("stat");
}

static void opens(long n) {
	while (n--) {
		int file = open("/bin/scale", O_RDONLY);
		if (file < 0 || close(file))
			die("open");
	}
}

static void round_trips(long n) {
	char byte = 1;
	while (n--)
		if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
			die("pipe");
}

static void forks(long n) {
	while (n--) {
		pid_t child = fork();
		if (!child)
			_exit(0);
		reap(child);
	}
}

static void run(const char *name, int others, void (*operation)(long), long n) {
	operation(n / 10 + 1);
	uint64_t time = nanoseconds(), start = ticks();
	operation(n);
	uint64_t end = ticks();
	time = nanoseconds() - time;
	printf("R %s@%d %ld %.1f %.1f\n", name, others, n, time / (double)n, (end - start) / (double)n);
	fflush(stdout);
}

static void measure(int others) {
	run("getppid", others, getppids, 10000);
	run("stat", others, stats, 2000);
	run("open_close", others, opens, 2000);
	run("pipe_roundtrip", others, round_trips, 2000);
	run("fork_exit_wait", others, forks, 100);
}

// The other end of the round trips.
static pid_t echo(void) {
	if (pipe(to) || pipe(from))
		die("pipe");
	pid_t child = fork();
	if (child)
		return child;
	char byte;
	while (read(to[0], &byte, 1) == 1)
		if (write(from[1], &byte, 1) != 1)
			break;
	_exit(0);
}

int main(void) {
	pid_t peer = echo(), others[OTHERS];
	int ready[2];
	char byte;
	measure(0);
	if (pipe(ready))
		die("pipe");
	for (int i = 0; i < OTHERS; i++) {
		others[i] = fork();
		if (!others[i]) {
			for (int file = 0; file < FILES; file++)
				if (open("/bin/scale", O_RDONLY) < 0)
					die("open");
			if (write(ready[1], "", 1) != 1)
				die("write");
			for (;;)
				pause();
		}
		if (others[i] < 0 || read(ready[0], &byte, 1) != 1)
			die("fork");
	}
	measure(OTHERS);
	for (int i = 0; i < OTHERS; i++)
		if (kill(others[i], SIGKILL) || waitpid(others[i], 0, 0) != others[i])
			die("kill");
	kill(peer, SIGKILL);
	waitpid(peer, 0, 0);
	return 0;
}
