/* Two clocks for the benches, for a shell cannot look often enough.
 *
 *   probe wait CONNINFO SQL SECONDS
 *       asks SQL every 5 ms until it gives true and prints the time, in seconds since 1970
 *   probe latency SOURCE TARGET FIRST COUNT RATE FILE
 *       one client commits rows seq = FIRST, FIRST+1 ... into table tick of SOURCE, RATE a second, and notes its clock
 *       when each COMMIT returns; one connection asks TARGET for max(seq) without pause and notes when it sees them
 *       first. The differences go to FILE, one a line, in microseconds.
 *   probe turns SOURCE TARGET FIRST COUNT FILE TABLE...
 *       COUNT rounds: in each, for each TABLE in turn, commits one row id = FIRST + round into it and asks TARGET
 *       without pause until the row is there. FILE gets "TABLE microseconds" for each, from the return of COMMIT on.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_until_us(int64_t until)
{
    struct timespec t = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static PGconn *open_or_die(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);

    if (PQstatus(conn) != CONNECTION_OK) {
        fprintf(stderr, "probe: %s", PQerrorMessage(conn));
        exit(1);
    }
    return conn;
}

/* The first value of a query, NULL for none; dies of an error. Valid until the next call with the same result. */
static const char *ask(PGconn *conn, PGresult **result, const char *sql)
{
    PQclear(*result);
    *result = PQexec(conn, sql);
    if (PQresultStatus(*result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "probe: %s", PQerrorMessage(conn));
        exit(1);
    }
    return PQntuples(*result) > 0 && !PQgetisnull(*result, 0, 0) ? PQgetvalue(*result, 0, 0) : NULL;
}

static int wait_for(const char *conninfo, const char *sql, int64_t seconds)
{
    PGconn *conn = open_or_die(conninfo);
    PGresult *result = NULL;
    int64_t until = now_us(CLOCK_MONOTONIC) + seconds * 1000000;

    while (now_us(CLOCK_MONOTONIC) < until) {
        const char *value = ask(conn, &result, sql);

        if (value && strcmp(value, "t") == 0) {
            int64_t us = now_us(CLOCK_REALTIME);

            printf("%lld.%06lld\n", (long long)(us / 1000000), (long long)(us % 1000000));
            PQclear(result);
            PQfinish(conn);
            return 0;
        }
        sleep_until_us(now_us(CLOCK_MONOTONIC) + 5000);
    }
    fprintf(stderr, "probe: waited %lld s in vain\n", (long long)seconds);
    return 1;
}

struct latency {
    const char *source, *target;
    int64_t first, count, rate;
    _Atomic int64_t *committed_us, *seen_us; /* by seq - first; 0: not yet */
};

static void *commit_rows(void *context)
{
    struct latency *run = context;
    PGconn *conn = open_or_die(run->source);
    int64_t start = now_us(CLOCK_MONOTONIC) + 100000;

    for (int64_t i = 0; i < run->count; i++) {
        char sql[160];
        PGresult *result;

        snprintf(sql, sizeof(sql),
                 "INSERT INTO tick (seq, payload) VALUES (%lld, 'a payload of some forty bytes, no %lld')",
                 (long long)(run->first + i), (long long)i);
        sleep_until_us(start + i * 1000000 / run->rate);
        result = PQexec(conn, sql);
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            fprintf(stderr, "probe: %s", PQerrorMessage(conn));
            exit(1);
        }
        atomic_store(&run->committed_us[i], now_us(CLOCK_MONOTONIC));
        PQclear(result);
    }
    PQfinish(conn);
    return NULL;
}

static void watch_rows(struct latency *run)
{
    PGconn *conn = open_or_die(run->target);
    PGresult *result = NULL;
    int64_t next = 0, until = now_us(CLOCK_MONOTONIC) + (run->count / run->rate + 60) * 1000000;

    while (next < run->count) {
        const char *value = ask(conn, &result, "SELECT max(seq) FROM tick");
        int64_t now = now_us(CLOCK_MONOTONIC);

        for (int64_t seen = value ? strtoll(value, NULL, 10) : run->first - 1;
             next < run->count && run->first + next <= seen; next++)
            atomic_store(&run->seen_us[next], now);
        if (now > until) {
            fprintf(stderr, "probe: row %lld of %lld did not arrive\n", (long long)next, (long long)run->count);
            exit(1);
        }
    }
    PQclear(result);
    PQfinish(conn);
}

static int measure_latency(struct latency *run, const char *path)
{
    pthread_t committer;
    FILE *out = fopen(path, "w");

    run->committed_us = calloc((size_t)run->count, sizeof(*run->committed_us));
    run->seen_us = calloc((size_t)run->count, sizeof(*run->seen_us));
    if (!out || !run->committed_us || !run->seen_us || pthread_create(&committer, NULL, commit_rows, run) != 0) {
        fprintf(stderr, "probe: cannot begin\n");
        return 1;
    }
    watch_rows(run);
    pthread_join(committer, NULL);
    for (int64_t i = 0; i < run->count; i++)
        fprintf(out, "%lld\n", (long long)(atomic_load(&run->seen_us[i]) - atomic_load(&run->committed_us[i])));
    free(run->committed_us);
    free(run->seen_us);
    return fclose(out) == 0 ? 0 : 1;
}

static void commit_row(PGconn *conn, const char *table, int64_t id)
{
    char sql[200];
    PGresult *result;

    snprintf(sql, sizeof(sql), "INSERT INTO %s (id, group_id, amount, name) VALUES (%lld, %lld, 7, 'name %lld')", table,
             (long long)id, (long long)(id % 1000), (long long)id);
    result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fprintf(stderr, "probe: %s", PQerrorMessage(conn));
        exit(1);
    }
    PQclear(result);
}

static void await_row(PGconn *conn, const char *table, int64_t id)
{
    int64_t until = now_us(CLOCK_MONOTONIC) + 60 * 1000000;
    PGresult *result = NULL;
    char sql[160];

    snprintf(sql, sizeof(sql), "SELECT 1 FROM %s WHERE legacy_id = %lld", table, (long long)id);
    while (!ask(conn, &result, sql)) {
        if (now_us(CLOCK_MONOTONIC) > until) {
            fprintf(stderr, "probe: row %lld of %s did not arrive\n", (long long)id, table);
            exit(1);
        }
    }
    PQclear(result);
}

static int take_turns(char **argv, int table_count, char **tables)
{
    PGconn *source = open_or_die(argv[2]), *target = open_or_die(argv[3]);
    int64_t first = strtoll(argv[4], NULL, 10), count = strtoll(argv[5], NULL, 10);
    FILE *out = fopen(argv[6], "w");

    if (!out) {
        fprintf(stderr, "probe: cannot begin\n");
        return 1;
    }
    for (int64_t i = 0; i < count; i++)
        for (int t = 0; t < table_count; t++) {
            int64_t start;

            sleep_until_us(now_us(CLOCK_MONOTONIC) + 1000);
            commit_row(source, tables[t], first + i);
            start = now_us(CLOCK_MONOTONIC);
            await_row(target, tables[t], first + i);
            fprintf(out, "%s %lld\n", tables[t], (long long)(now_us(CLOCK_MONOTONIC) - start));
        }
    PQfinish(source);
    PQfinish(target);
    return fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "wait") == 0)
        return wait_for(argv[2], argv[3], strtoll(argv[4], NULL, 10));
    if (argc == 8 && strcmp(argv[1], "latency") == 0) {
        struct latency run = {
            .source = argv[2],
            .target = argv[3],
            .first = strtoll(argv[4], NULL, 10),
            .count = strtoll(argv[5], NULL, 10),
            .rate = strtoll(argv[6], NULL, 10),
        };

        return measure_latency(&run, argv[7]);
    }
    if (argc > 7 && strcmp(argv[1], "turns") == 0)
        return take_turns(argv, argc - 7, argv + 7);
    fprintf(stderr, "usage: probe wait CONNINFO SQL SECONDS | probe latency SOURCE TARGET FIRST COUNT RATE FILE"
                    " | probe turns SOURCE TARGET FIRST COUNT FILE TABLE...\n");
    return 2;
}
