/* One line on a terminal that says how far a long job is and how long it will still take.
 *
 *     snapshot  [=========>          ]  46 %  1.2 M of 2.6 M rows  48 k/s  29 s left  orders
 *
 * It draws nothing where `out` is no terminal. One thread draws; it neither blocks nor allocates.
 */
#ifndef PGREKEY_APP_PROGRESS_H
#define PGREKEY_APP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *out;
    bool drawing;      /* a terminal, and wanted */
    bool on_screen;    /* a line stands there now */
    const char *label; /* the caller's: "snapshot" */
    const char *unit;  /* the caller's: "rows" */
    int64_t started_us, drawn_us;
    uint64_t started_at; /* `done` of the first update: what a resumed job did before does not count for the rate */
    bool started;
    uint64_t done, total;
    double rate; /* units a second, smoothed */
};

/* `wanted` false: never draws. label and unit must outlive it. */
void progress_init(struct progress *progress, FILE *out, bool wanted, const char *label, const char *unit);
/* Draws at most ten times a second. total 0: unknown. note (may be NULL) is what is being done now: a table's name. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total, const char *note);
/* Takes the line away, for a log line or at the end; the next update draws it again. */
void progress_clear(struct progress *progress);

/* The line as text at a given (monotonic) time, at most `width` columns: what update draws. Pure but for the rate
 * that it keeps. Returns text. */
const char *progress_format(struct progress *progress, int64_t now_us, uint64_t done, uint64_t total, const char *note,
                            size_t width, char *text, size_t size);
/* "29 s", "4 min 10 s", "3 h 12 min", "2 d 4 h" */
const char *progress_duration(double seconds, char *text, size_t size);
/* "812", "48.1 k", "1.25 M", "3.10 G" */
const char *progress_count(double count, char *text, size_t size);
/* "812 B", "48.1 kB", "16.0 MB": powers of 1024, as PostgreSQL writes them */
const char *progress_bytes(double bytes, char *text, size_t size);

#endif
