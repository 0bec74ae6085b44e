/* Steps from the inside: what steps.c (compare, refuse, list) and steps_write.c (record) share. */
#ifndef PGREKEY_SINKS_POSTGRES_STEPS_WORK_H
#define PGREKEY_SINKS_POSTGRES_STEPS_WORK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "sinks/postgres/session/session.h"
#include "sinks/postgres/steps/steps.h"

/* A step of the mapping as it is now. */
struct step {
    const struct rule *rule;             /* NULL: a derivation */
    const struct derivation *derivation; /* NULL: a rule */
    const char *name, *kind, *entity;    /* entity: "" where it owns none */
    const char *source, *target;         /* "schema.table"; source "" of a derivation */
    const char *accept_rows, *accept_ppm;
    bool skipped;
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
};

/* The mapping beside its record: by any session, a running engine or not. */
struct compare {
    PGconn *conn;
    const char *pipeline;
    const struct map *map;
    struct arena *arena;
    bool streaming; /* else in the midst of a snapshot */
    struct step *steps;
    size_t count;
    PGresult *record; /* columns as below */
};

enum {
    RECORD_NAME,
    RECORD_KIND,
    RECORD_IDENTITY,
    RECORD_WHOLE,
    RECORD_ENTITY,
    RECORD_STATE,
    RECORD_ACCEPT_ROWS,
    RECORD_ACCEPT_PPM,
    RECORD_TARGET,
    RECORD_SKIPPED,
    RECORD_SOURCE
};

struct step *steps_of(const struct map *map, struct arena *arena, size_t *ret_count);
/* Its row in the record, or -1. */
int steps_find_recorded(const struct compare *c, const char *name);
const struct step *steps_find(const struct compare *c, const char *name);
static inline bool steps_is_state(const struct compare *c, int at, const char *state)
{
    return strcmp(PQgetvalue(c->record, at, RECORD_STATE), state) == 0;
}
static inline bool steps_same(const struct compare *c, int at, int column, const char *text)
{
    return strcmp(PQgetvalue(c->record, at, column), text ? text : "") == 0;
}

/* The same rule, but for the name of the table that it reads: renamed, or another one that takes its place. */
bool steps_is_moved(const struct compare *c, int at, const struct step *step);

/* What became of each step, in a transaction of its own. */
int steps_write_all(struct pgsink *s, const struct compare *c, struct err *reterr) MUST_CHECK;

#endif
