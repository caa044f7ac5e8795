// SPDX-License-Identifier: BSD-2-Clause
// What a C library does beyond system calls: the same source is built with glibc and with musl, and must print the same.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <pwd.h>
#include <regex.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t tokens;
static int made;

static void make(void) {
    made++;
}

static void *work(void *argument) {
    pthread_setspecific(key, argument);
    pthread_once(&once, make);
    sem_wait(&tokens);
    long sum = (long)pthread_getspecific(key);
    sem_post(&tokens);
    return (void *)sum;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static jmp_buf back;

static void handler(int signal) {
    longjmp(back, signal);
}

int main(void) {
    pthread_t threads[10];
    pthread_key_create(&key, NULL);
    sem_init(&tokens, 0, 2);
    for (long at = 0; at < 10; at++)
        pthread_create(&threads[at], NULL, work, (void *)at);
    long sum = 0;
    for (int at = 0; at < 10; at++) {
        void *result;
        pthread_join(threads[at], &result);
        sum += (long)result;
    }
    printf("threads: %ld, made %d\n", sum, made);

    printf("numbers: %.3f %.2e %a %s\n", sqrt(2), exp(10), 1.0, strtod("0x1p-2", NULL) == 0.25 ? "exact" : "not");
    signal(SIGFPE, handler);
    volatile int zero = 0;
    int caught = setjmp(back);
    printf("jump: %d\n", caught ? caught == SIGFPE : 100 / zero);

    int status = 0;
    pid_t child;
    char *words[] = {"sh", "-c", "exit 5", NULL};
    int failed = posix_spawnp(&child, "sh", NULL, NULL, words, environ);
    waitpid(child, &status, 0);
    printf("spawn: %d %d\n", failed, WEXITSTATUS(status));
    FILE *pipe = popen("echo from a pipe", "r");
    char line[64] = "";
    fgets(line, sizeof line, pipe);
    printf("popen: %s%d\n", line, pclose(pipe));
    printf("system: %d\n", WEXITSTATUS(system("exit 3")));

    for (int at = 0; at < 5; at++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", 4 - at);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    glob_t found;
    glob("f[0-3]", 0, NULL, &found);
    for (size_t at = 0; at < found.gl_pathc; at++)
        printf("%s ", found.gl_pathv[at]);
    globfree(&found);
    char *names[16];
    int count = 0;
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));)
        names[count++] = strdup(entry->d_name);
    closedir(folder);
    qsort(names, count, sizeof *names, compare);
    printf("of %d, the last is %s\n", count, names[count - 1]);

    regex_t pattern;
    regmatch_t match[2];
    regcomp(&pattern, "([a-z]+)@", REG_EXTENDED);
    int matches = regexec(&pattern, "to nobody@here", 2, match, 0);
    printf("regex: %d %d-%d\n", matches, (int)match[1].rm_so, (int)match[1].rm_eo);
    regfree(&pattern);

    char temporary[] = "tempXXXXXX";
    FILE *file = fdopen(mkstemp(temporary), "w+");
    fprintf(file, "%s %d\n", "text", 42);
    rewind(file);
    int number;
    char word[8];
    printf("scanf: %d\n", fscanf(file, "%7s %d", word, &number) == 2 && number == 42);
    time_t then = 86400 * 365;
    struct tm parts;
    char date[64];
    setenv("TZ", "UTC", 1);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime_r(&then, &parts));
    printf("%s %s\n", date, setlocale(LC_ALL, "C"));
    struct passwd *user = getpwuid(0);
    printf("user: %s\n", user ? user->pw_name : "none");
    printf("memory: %d\n", malloc(1ul << 60) == NULL);
    return 0;
}
