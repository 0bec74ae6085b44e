/* Derivations from the inside: what derive*.c and touched.c share. */
#ifndef PGREKEY_SINKS_POSTGRES_DERIVE_WORK_H
#define PGREKEY_SINKS_POSTGRES_DERIVE_WORK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/session/session.h"
#include "transform/derivation.h"

#define DERIVE_SQL_MAX ((size_t)4 << 20)
/* From so many keys on temporary tables are analysed and the planner may read whole tables. */
#define DERIVE_MANY 2000
/* Up to so many keys statements are prepared, and planned for single rows. */
#define DERIVE_FEW 50
/* Rows, dead ones included, from which on a temporary table is truncated and not only emptied. */
#define DERIVE_KEPT_MAX 2000

/* One input of one derivation. */
struct derive_input {
    const struct derivation_input *input;
    const struct relation *relation;
    char *table; /* quoted */
    bool filtered;
    bool made;      /* the temporary table of old images is there */
    bool kept;      /* it was there when the open transaction began */
    int64_t images; /* in it; an upper bound */
    bool fresh;     /* derive_snapshot.c: its table was analysed, and nobody has written it since */
};

struct derive_one {
    const struct derivation *derivation;
    const struct relation *relation; /* the target's */
    char *table;                     /* quoted */
    size_t part_count;               /* columns of `keys`: k0, k1, … in the temporary tables */
    const char **parts;
    size_t column_count; /* what it owns: as derivation->columns, or as the query's result has it */
    struct derivation_column *columns;
    size_t input_count;
    struct derive_input *inputs;
    bool has_children; /* some table refers to its rows */
    bool linked;       /* its rows refer to others of ours: pgrekey.derived tells their key by the row */
    bool cascades;     /* deleting its rows may take rows of other tables with them */

    char id[16];    /* in pgrekey.derivation; "" before it was asked for */
    bool described; /* columns are known */
    bool made;      /* its temporary tables are there */
    bool rests;     /* its inputs are not whole yet: it runs over all keys when they are, and not before */
    bool later;     /* it runs over all keys later in the same load: until then no change tells it of keys */
    bool stands;    /* number and tables were there when the open transaction began: no rollback takes them */
    int64_t keys;   /* that wait to be run; an upper bound */
    int64_t kept;   /* rows, dead ones included, in its temporary tables since they were last truncated */
    bool refused;   /* rows that are to go were refused: pgrekey_g<n> holds them */
    bool keeps;     /* rows lie in pgrekey_p<d>; derive_kept.c */
    int64_t standing;
    struct quick_statement *quick; /* derive_quick.c's own */
    struct account step;           /* counted, may still be rolled back to a savepoint */
    struct account delta;          /* of the open target transaction */
};

/* May its rows have been there before, under ids of their own? */
static inline bool derive_adopts(const struct derive_one *one)
{
    const struct derivation *d = one->derivation;
    int at = d->key_count == 1 ? relation_column(one->relation, d->keys[0].column) : -1;

    return d->adopt.by != ADOPT_NONE && d->entity && at >= 0 &&
           strcmp(one->relation->columns[at].base_type, "uuid") == 0;
}

struct derive {
    size_t count;
    struct derive_one *all; /* by derivation->index */
    size_t step_count;
    const struct map_step *steps;
    bool *read; /* by rule index: some derivation reads its rows */
    bool *late; /* by rule index: its deletes wait for the derivations */
    bool wrote;
    bool again; /* entries are tried again: their count of tries stays */
    struct derive_statements *statements;
    struct target_statement planners[2]; /* derive_quick.c's: off, on */
    unsigned quick_count;
    int planner;   /* PLANNER_… */
    bool many;     /* keys are at hand that deserve the planner's whole art, and no prepared statement */
    bool in_chunk; /* s->net is the chunk's at hand */
    int depth;     /* of rows that let go of others, because of which others.. */
};

/* How one statement over a range of working keys ended. */
struct derive_range {
    int64_t lo, hi;
    bool whole; /* all there are */
};

struct derive_statements;
struct quick_statement;

/* --- derive.c --- */
/* What has been made is committed: no rollback takes it. */
void derive_keep_made(struct derive_one *one);

/* --- derive_ready.c --- */
/* All that the quick path leans on: number and temporary tables are there, and these hold few dead rows. Between two
 * transactions. */
int derive_ready(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

/* --- derive_statement.c --- */
struct derive_statements *derive_statements_new(void);
void derive_statements_free(struct derive_statements *statements);
/* As session_query, of one statement; prepared where it comes again. */
int derive_query(struct pgsink *s, const char *doing, const char *sql, int param_count, const char *const *params,
                 PGresult **ret_result, struct err *reterr) MUST_CHECK;

/* The session finds its rows by index and lets the planner think of nothing else. Derivations read temporary tables
 * that have none, and whatever their queries say. */
enum { PLANNER_SESSION, PLANNER_FEW, PLANNER_MANY };
/* As it is wanted at least. derive_leave_planner sets it back. */
int derive_planner(struct pgsink *s, int planner, struct err *reterr) MUST_CHECK;

/* --- derive_sql.c --- */
/* "w.n BETWEEN 1 AND 20" */
void derive_put_range(struct buf *sql, const struct derive_range *range, const char *alias);
/* "t.a = r.t0 AND t.b = r.t1" for aliases. */
void derive_put_match(struct buf *sql, const struct derive_one *one, const char *target, const char *result);
/* The target's key column i, computed from the columns of `keys` under that alias. */
void derive_put_id(struct buf *sql, const struct derive_one *one, size_t i, const char *alias);
/* The name of a target column, quoted; its type with length. */
void derive_put_column(struct buf *sql, const char *name);
const struct column *derive_column(const struct derive_one *one, size_t i);
/* "[" || to_json(k0::text) … || "]": the key as the quarantine names it. */
void derive_put_key_text(struct buf *sql, const struct derive_one *one, const char *alias);
/* The way back: a row k of pgrekey_k<d>, its texts through the column's types. */
void derive_put_read_key(struct buf *sql, const struct derive_one *one, const char *json);
/* A target row's key as pgrekey.derived has it: t.id::text. Or the same from the result's t0. */
void derive_put_row_text(struct buf *sql, const struct derive_one *one, const char *alias);
void derive_put_result_text(struct buf *sql, const struct derive_one *one, const char *alias);
/* SELECT k0, k1 … FROM (<keys SQL of the input>) over `touched`, no NULLs. `touched`: a SELECT. */
void derive_put_keys(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                     const char *touched);
/* "; ..": the planner shall take these tables ("kwr": keys; working keys and result, which are emptied) for small, and
 * not for the ten pages of what it knows nothing of. */
void derive_put_small(struct buf *sql, const struct derive_one *one, const char *tables);
/* Makes the derivation's temporary tables where they are not there. */
int derive_make(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
/* Types that know no equality are compared as text. */
bool derive_has_equality(const char *type);
/* Statements that do not come again; without results. */
int derive_run_sql(struct pgsink *s, struct derive_one *one, struct buf *sql, struct err *reterr) MUST_CHECK;
/* A statement that `one` is to blame for; affected rows where wanted. */
int derive_sql(struct pgsink *s, struct derive_one *one, struct buf *sql, int param_count, const char *const *params,
               int64_t *ret_affected, struct err *reterr) MUST_CHECK;

/* --- touched.c --- */
/* Images of the derivation's own rows, for whoever reads them: rows of pgrekey_r that will be, or were, changed. */
int touched_own(struct pgsink *s, struct derive_one *one, bool old, struct err *reterr) MUST_CHECK;
bool touched_is_read(const struct pgsink *s, const struct derive_one *one);
int touched_all(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
/* A condition over `t`, for every input on this table but `but`'s own. */
int touched_where(struct pgsink *s, const char *schema, const char *table, const struct derive_one *but,
                  const char *condition, int param_count, const char *const *params, struct err *reterr) MUST_CHECK;

/* May what the derivation writes matter to the input? Of `owns:` only the columns that the input names. */
bool touched_by(const struct derive_one *writer, const struct derive_input *input);
/* Is the input that table? */
bool touched_is_on(const struct derive_input *input, const char *schema, const char *table);

/* Their texts. "INSERT INTO pgrekey_k3 SELECT …" over the touched rows, a SELECT. */
void touched_put_keys(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                      const char *touched);
/* Rows of one image that the other lacks, or has with other values in some column that matters; `alias` and `other` are
 * 'o' for the old and 'n' for the new image. */
void touched_put_differing(struct buf *sql, const struct derive_input *input, const char *from, const char *but,
                           char alias, char other);
/* The temporary table of the input's old images; and made, where it is not there. */
const char *touched_images(const struct derive_one *one, const struct derive_input *input, char *name, size_t size);
/* "; ..": the planner shall take it for small. Else it reads the whole table that its rows are compared with. */
void touched_put_small(struct buf *sql, const char *images);
int touched_images_ready(struct pgsink *s, struct derive_one *one, struct derive_input *input,
                         struct err *reterr) MUST_CHECK;

/* Locators of one rule's rows as parameters, an array for each of their columns; the condition over `t` that they make.
 */
struct locators {
    const struct rule *rule;
    struct buf *arrays;
    const char **params;
    size_t count;
};
void touched_locators_begin(struct pgsink *s, const struct rule *rule, struct locators *ret_locators);
void touched_locators_add(struct locators *locators, const struct value *locator);
void touched_locators_end(struct locators *locators); /* params are good until they are done with */
void touched_locators_done(struct locators *locators);
void touched_put_place(struct pgsink *s, const struct rule *rule, struct buf *sql);

/* --- derive_run.c --- */
/* "CASE WHEN (…) THEN …": the result's category, of rows q. A value of the result q; whether the owned columns of `t`
 * differ from `r`; what the columns of `t` become, "a = r.c0, …"; "INSERT INTO … SELECT … FROM <from> AS r". */
void derive_put_reject(struct buf *sql, const struct derivation *d);
void derive_put_value(struct buf *sql, const struct derive_one *one, size_t i);
void derive_put_differs(struct buf *sql, const struct derive_one *one);
void derive_put_changes(struct buf *sql, const struct derive_one *one);
void derive_put_insert(struct buf *sql, const struct derive_one *one, const char *from);
/* What is to be done for the keys of a range. */
struct derive_tally {
    int64_t updates, inserts, gone, parked, good, rejected, orphans;
};
/* All keys that wait. */
int derive_keys(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
/* Forgets them instead. */
int derive_drop_keys(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
/* The range's keys: query, merge, account. What fails fails as a whole; the caller has a savepoint. */
int derive_merge(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                 struct err *reterr) MUST_CHECK;

/* Its number, into one->id. */
int derive_ask_id(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

/* --- derive_parents.c --- */
/* Its rows `r` that lack a parent, as conditions one after the other ("… OR …"); false where it has no references.
 * `result`: the table of all its rows, for those that refer to their own kind. */
bool derive_put_orphans(const struct pgsink *s, struct buf *sql, const struct derive_one *one, const char *result);
/* Does some reference of it wait, or may have waited, for its parent? */
bool derive_has_pending(const struct pgsink *s, const struct derive_one *one);
/* *ret_missing: how many keys lack a required parent. */
int derive_parents(struct pgsink *s, struct derive_one *one, const struct derive_range *range, int64_t *ret_missing,
                   struct err *reterr) MUST_CHECK;

/* --- derive_isolate.c --- */
int derive_isolate(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                   struct err *reterr) MUST_CHECK;

/* --- derive_gone.c --- */
int derive_gone(struct pgsink *s, struct derive_one *one, struct account *account, struct err *reterr) MUST_CHECK;
int derive_gone_again(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

/* --- derive_unique.c --- */
/* Before several rows of pgrekey_r are updated. */
int derive_release_unique(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

/* --- derive_settle.c --- */
/* pgrekey_r is merged: keys that are good, rejected, gone. */
int derive_settle(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                  const struct derive_tally *tally, struct account *account, struct err *reterr) MUST_CHECK;
/* The working key n failed; or the row of this key, which was to go, is held by others. */
int derive_settle_failed(struct pgsink *s, struct derive_one *one, int64_t n, const struct err *why,
                         struct err *reterr) MUST_CHECK;
int derive_settle_held(struct pgsink *s, struct derive_one *one, const char *key, const struct err *why,
                       struct err *reterr) MUST_CHECK;

/* --- derive_kept.c --- */
/* Rows that are about to be parked (act 'p'), or to be released under this condition over `t`. */
int derive_keep_parked(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
int derive_keep_released(struct pgsink *s, struct derive_one *one, const char *condition, const char *ids,
                         struct err *reterr) MUST_CHECK;
/* The row kept of a key, as SQL; NULL. */
void derive_put_kept(struct buf *sql, const struct derive_one *one, const char *key);
/* Rows of pgrekey_r have been inserted: what was kept of them comes back. */
int derive_restore(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;
/* The range's keys are settled. */
int derive_forget_kept(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                       struct err *reterr) MUST_CHECK;

/* --- derive_adopted.c --- */
/* Rows `t` of the input but those that stood there before and that no source row has come for, as a condition. */
void derive_put_seen(struct buf *sql, const struct pgsink *s, const struct derive_input *input);
/* Of columns that it owns of others' rows: the result forgets such rows. */
int derive_forget_unmet(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

/* --- derive_quick.c --- */
void derive_quick_free(struct derive_one *one);

/* --- rehearsal.c --- */
/* In a rehearsal: keeps what pgrekey_r says now. */
int derive_show(struct pgsink *s, struct derive_one *one, struct err *reterr) MUST_CHECK;

#endif
