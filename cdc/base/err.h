/* What went wrong, and what kind of thing it is.
 *
 * A fallible function returns 0 on success and -1 on failure and fills the `struct err` its caller
 * handed in. It sets a kind; only cdc/app turns a kind into a policy (retry, quarantine, pause, exit).
 *
 * It never holds a row's values: of a server error only SQLSTATE and the names of table, column and
 * constraint are kept. Message, detail and context of a server stay out, for they quote values.
 */
#ifndef PGREKEY_BASE_ERR_H
#define PGREKEY_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err_kind {
    ERR_NONE = 0,
    ERR_RETRY,   /* the world's fault, passes by itself: connection lost, deadlock, server starting */
    ERR_POISON,  /* one row's fault: it can be quarantined and the rest goes on */
    ERR_CONFIG,  /* the user's to mend: setting, mapping, usage */
    ERR_REFUSED, /* going on would harm: other source, older target, tables not empty, slot lost */
    ERR_FATAL,   /* everything else: a bug, a server that does what it must not */
    ERR_STOP,    /* no failure: the caller was asked to stop */
};

#define ERR_NAME_MAX 64 /* PostgreSQL's NAMEDATALEN */
#define ERR_TEXT_MAX 512
#define ERR_PAUSE_MAX 24

struct err {
    enum err_kind kind;
    char sqlstate[6]; /* "" where no server spoke */
    uint64_t lsn;     /* 0 where none applies */
    char table[ERR_NAME_MAX], column[ERR_NAME_MAX], constraint[ERR_NAME_MAX];
    char pause[ERR_PAUSE_MAX];  /* what a pause for it is called: "breaker", "schema_mismatch", "truncate"; or "" */
    char message[ERR_TEXT_MAX]; /* one sentence, no full stop, no values */
    char hint[ERR_TEXT_MAX];    /* what to do next, or "" */
};

/* Fills *err and returns -1, so that a caller can `return err_set(...)`. err may be NULL. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds what to do next to an error already set. Returns -1 likewise. */
int err_hint(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says what a pause for it is called. Returns -1. */
int err_pause(struct err *err, const char *category);

/* Puts "context: " before the message, to name table, rule or setting on the way up. Returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *err_kind_name(enum err_kind kind);

#endif
