/* A compiled derivation: rows, or columns of rows, that the target computes by SQL from mirrors and tables that are
 * there, inside the batch's transaction. transform/ reads and checks it; the sink runs it. Pure data, owned by the map.
 *
 *     touched (old and new image of changed rows) ─keys SQL─▶ keys ─query─▶ rows ─merge─▶ only what differs is written
 */
#ifndef PGREKEY_TRANSFORM_DERIVATION_H
#define PGREKEY_TRANSFORM_DERIVATION_H

#include <stdbool.h>
#include <stddef.h>

#include "transform/rule.h"

/* One column of the target's key, and the column of `keys` (and of the query's result) that it is made of. */
struct derivation_key {
    const char *column; /* of the target */
    const char *entity; /* the column is the UUID of this entity; NULL: the value itself */
    bool reference;     /* the entity is another's: its row must be there, as a required parent */
    const char *of;     /* in `keys` and in the query's result; the first part of a composite one */
    size_t part_count;  /* parts of the legacy key, 1 for most; `keys` has a column for each, in the key's order */
    const char *const *parts;
};

/* A table whose changes matter. */
struct derivation_input {
    const char *schema, *table; /* on the target: a mirror, or a table that rules or derivations write */
    const char *source;         /* the name that the file gives it */
    const struct rule *mirror;  /* the rule that fills it, where it is a mirror; else NULL */
    size_t column_count;        /* 0: every column matters */
    const char *const *columns; /* an update that changes none of these matters to nobody */
    const char *keys;           /* SQL over `touched`, giving the columns of `keys` in their order; never NULL */
};

enum derivation_gone { GONE_DELETE, GONE_SET, GONE_KEEP };

/* A column that the query's result fills. */
struct derivation_column {
    const char *name;          /* of the target, and of the result */
    bool once;                 /* written at birth and never again */
    bool merge;                /* jsonb that other owners share: only the keys that the result holds are written */
    const char *parent_entity; /* a reference that the engine checks, as in rule_column; NULL: not one */
    bool required;
};

struct derivation {
    int index;        /* dense, 0-based, apart from the rules' */
    const char *name; /* unique among rules and derivations; "derive->jaws" unless the mapping names it */
    const char *to_schema, *to_table;
    size_t key_count;
    const struct derivation_key *keys;
    const char *entity; /* whose rows it owns: that of the key that is no reference; NULL where it owns columns only */
    bool owns_rows; /* false: `owns:`, named columns of rows that another rule writes; it never inserts or deletes */
    size_t column_count;
    /* What it owns, without the key. Where the file does not name them, 0 until map_derivation_describe; `columns`
     * has then those that the file says more of (once, merge, references), ended by a NULL name. */
    const struct derivation_column *columns;
    const char *query; /* reads `keys` */
    size_t input_count;
    const struct derivation_input *inputs;
    const char *reject_when, *reject_category; /* SQL over the result's row; NULL: nothing is rejected */
    bool reject_gone;                          /* a rejected key's row goes; else its last good version stays */
    enum derivation_gone gone;
    size_t set_count;
    const struct rule_set *set; /* of GONE_SET */
    struct adopt adopt;
    struct accept_loss accept_loss;
    bool skip;   /* left out for now: it is not run */
    size_t line; /* in the mapping file */
};

/* A view over mirrors, in the side schema. */
struct mirror_view {
    const char *name, *query;
    size_t line;
};

#endif
