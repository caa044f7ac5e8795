// SPDX-License-Identifier: BSD-2-Clause
// database FILE SQL...: executes statements of SQLite's and prints the rows that they give, columns apart by `|`.
// In SQL, crash() ends the process at once, as a loss of power would, and pause_ms(N) waits.
#define _GNU_SOURCE
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void crash(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)context, (void)count, (void)values;
    kill(getpid(), SIGKILL);
}

static void pause_ms(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    long milliseconds = sqlite3_value_int64(values[0]);
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
    sqlite3_result_int64(context, milliseconds);
}

static int print(void *unused, int columns, char **values, char **names) {
    (void)unused, (void)names;
    for (int column = 0; column < columns; column++)
        printf("%s%s", column ? "|" : "", values[column] ? values[column] : "NULL");
    printf("\n");
    return 0;
}

int main(int count, char **words) {
    sqlite3 *database;
    if (count < 3 || sqlite3_open(words[1], &database) != SQLITE_OK)
        return 2;
    sqlite3_busy_timeout(database, 20000);
    sqlite3_create_function(database, "crash", 0, SQLITE_UTF8, NULL, crash, NULL, NULL);
    sqlite3_create_function(database, "pause_ms", 1, SQLITE_UTF8, NULL, pause_ms, NULL, NULL);
    for (int at = 2; at < count; at++) {
        char *error = NULL;
        if (sqlite3_exec(database, words[at], print, NULL, &error) != SQLITE_OK) {
            printf("error: %s\n", error ? error : "unknown");
            return 1;
        }
        fflush(stdout);
    }
    return sqlite3_close(database) != SQLITE_OK;
}
