/* A compiled row rule, as a sink sees it: which source table leads to which target table, how a row is
 * found there, which columns the mapping owns. One rule is one pair source table -> target table; fan-out
 * is several rules with one source table. How values are computed stays inside transform/.
 */
#ifndef PGREKEY_TRANSFORM_RULE_H
#define PGREKEY_TRANSFORM_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/relation.h"

struct rule;
struct derivation;

/* Rows of the target that are there already and are the source's under an id of their own. */
enum adopt_by {
    ADOPT_NONE,
    ADOPT_COLUMNS, /* by columns of the target that hold the legacy key, in the key's order */
    ADOPT_SQL,     /* by a query that returns (legacy key, existing id) */
};
#define ADOPT_PARTS_MAX 32 /* of a legacy key */
struct adopt {
    enum adopt_by by;
    size_t column_count;
    const char *const *columns;
    const char *sql;
};

/* How many rows in quarantine a pair may hold before its status says so. */
struct accept_loss {
    enum { LOSS_UNSAID, LOSS_ROWS, LOSS_PPM } kind; /* rows; parts per million of the source's rows */
    uint64_t value;
};

/* One column of the target that this rule owns. */
struct rule_column {
    const char *name;
    bool key;                  /* part of the target key */
    bool once;                 /* written at birth and never again */
    bool merge;                /* jsonb that derivations share: only the keys that the value holds are written */
    const char *parent_entity; /* not NULL: a rekeyed foreign key; the value is the parent's UUID */
    const struct rule *parent; /* the rule that owns that entity; NULL where a derivation does, or none is meant */
    const struct derivation *parent_derivation; /* the derivation that owns it; NULL where a rule does */
    bool required;    /* a missing parent quarantines the row; else the column becomes NULL, recorded */
    bool second_pass; /* the order does not wait for the parent: it may be written after this row */
};

enum rule_delete {
    DELETE_ROW,  /* the target row goes */
    DELETE_SET,  /* named columns are set, the row stays */
    DELETE_KEEP, /* nothing is done, the row stays */
};

struct rule_set {
    const char *column;
    const char *text; /* NULL for SQL NULL; of a stamp its key */
    bool stamp;       /* the jsonb column gets this key, with the time: the row stands, and is no parent any more */
};

enum rule_truncate {
    TRUNCATE_PAUSE, /* the pipeline pauses (default) */
    TRUNCATE_ROWS,  /* only this rule's rows are deleted */
};

/* Does one of them stamp? */
static inline bool rule_set_stamps(const struct rule_set *set, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (set[i].stamp)
            return true;
    return false;
}

struct rule {
    int index;           /* position in the mapping: dense, 0-based */
    const char *name;    /* unique; "dispatch_office->offices" unless the mapping names it */
    const char *entity;  /* the entity its key is derived for, NULL for copied keys */
    int entity_column;   /* the column that holds its UUID; -1 where entity is NULL */
    size_t entity_parts; /* of its legacy key */
    const char *from_schema, *from_table;
    const char *to_schema, *to_table;

    size_t column_count;
    const struct rule_column *columns; /* the order of row->values */

    /* How a target row is found: indexes into columns. The key itself where that is made of the source's
     * replica identity, else the column(s) named by `identity:`. A unique index covers them on the target. */
    size_t locator_count;
    const uint16_t *locator;
    bool locator_is_key;

    /* Columns whose being not NULL tells that the target row came from the source: those of `identity:` and plain
     * copies of the source's key (a legacy id). Indexes into columns; count 0: nothing tells. For TRUNCATE. */
    size_t origin_count;
    const uint16_t *origin;

    bool may_exclude; /* has `when:` or `skip:`: a row of the source may have no row on the target */
    bool replayed;    /* out of a topic: a row that is not on the target may never have been published */
    bool looks_up;    /* what becomes of a row hangs on mirrors too, as they were when it changed */
    bool skip;        /* left out for now: all its rows are excluded */
    bool copy;        /* made by a rule that copies whole schemas */
    bool mirror;      /* fills a mirror: a table of the engine's own in the side schema */
    bool looked_up;   /* of a mirror: other rules look up rows here (lookup.h), so it is kept in memory too */
    struct adopt adopt;
    struct accept_loss accept_loss;
    /* of a mirror: indexes that its readers want, each a list of column names joined by "," */
    size_t mirror_index_count;
    const char *const *mirror_indexes;
    enum rule_delete on_delete;
    size_t set_count;
    const struct rule_set *set; /* of DELETE_SET */
    enum rule_truncate on_truncate;

    struct rule_program *program; /* transform's own */
};

#endif
