/* One rule's target table as SQL sees it: quoted names, types, and the statements that write one row.
 *
 * A statement is prepared once a session, when it is first needed. Statements that depend on which columns a partial
 * row holds are kept by their mask.
 */
#ifndef PGREKEY_SINKS_POSTGRES_TARGET_H
#define PGREKEY_SINKS_POSTGRES_TARGET_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "cdc/base/relation.h"
#include "transform/row.h"
#include "transform/rule.h"

struct pgsink;

enum target_op {
    TARGET_INSERT, /* all columns */
    TARGET_UPSERT, /* INSERT .. ON CONFLICT (key) DO UPDATE SET the owned columns but key and once ones */
    TARGET_UPDATE, /* SET what the row holds but locator and once columns, WHERE locator */
    TARGET_MOVE,   /* the same with the locator's columns too: a changed key, WHERE the old locator */
    TARGET_DELETE, /* WHERE locator */
    TARGET_SET,    /* UPDATE SET rule->set, WHERE locator: `delete: {set: ..}` */
    TARGET_EXISTS, /* SELECT 1 WHERE locator */
    TARGET_OPS,
};

struct target_statement {
    char name[32];
    enum target_op op;
    uint16_t *columns; /* of an update: rule columns in the order of the parameters, without the locator */
    size_t count;
    char *sql;
    bool prepared;
};

/* A column of the rule's own that others refer to. */
struct here {
    size_t place;
    size_t column; /* of the rule */
};

struct target {
    const struct rule *rule;
    const struct relation *relation;
    char *table;        /* "schema"."table" */
    char **columns;     /* quoted, rule->column_count */
    const char **types; /* of each, without length: for casts */
    char *column_list;  /* all of them, joined by ", " */
    bool overriding;    /* an identity-always column is owned: INSERT needs OVERRIDING SYSTEM VALUE */
    bool can_upsert;    /* a unique constraint covers the key columns */
    bool cascades;      /* some foreign key of another table acts on this one's deletes (CASCADE, SET ..) */
    bool knows_key;     /* the source's key stands in the target row, as rule->origin */
    bool has_parents;   /* some column is a reference that the engine checks */
    size_t here_count;  /* places that rows of this rule stand at; references.h */
    struct here *here;
    bool returns;     /* its table is being read again over rows that it left; returned.h */
    bool changed;     /* its rows are due to be written again by another mapping than they were written by */
    bool may_exclude; /* as the rule's; or some of its rows are excluded since an older mapping; or it is replayed */
    struct target_statement fixed[TARGET_OPS]; /* those of update and move are unused */
    struct target_statement **updates;         /* of update and move, by the columns they set; each keeps its place */
    size_t update_count, update_capacity;
};

/* One for each rule, in the pgsink. `relation`: map_rule_target(); NULL is ERR_CONFIG. */
int target_init(struct target *target, const struct rule *rule, const struct relation *relation,
                const struct catalog *catalog, struct err *reterr) MUST_CHECK;
void target_done(struct target *target);

/* What a value of the column is cast to: the type without its length. */
const char *target_cast_type(const struct column *column);

/* The statement for an op, its text made but not sent; for TARGET_UPDATE and TARGET_MOVE by which of `values` are not
 * ABSENT (else `values` is not looked at). NULL where an update would set nothing, or a `set:` has nothing to set. It
 * lives as long as the target. */
struct target_statement *target_statement(struct target *target, enum target_op op, const struct value *values);

/* Parameters of a statement, as NUL-terminated text in the arena (NULL for SQL NULL): for insert and upsert all
 * columns; for update and move the statement's columns, then the locator; for the others the locator. Gives their
 * number. */
int target_bind(const struct target_statement *statement, const struct row *row, const struct value *locator,
                struct arena *arena, const char *const **ret_params);
/* What the column becomes when `value`, SQL, is written over the row `old`, a name: the value, or, of a column that
 * several owners share, what stands there with the value's keys in it. */
void target_put_value(struct buf *sql, const struct target *target, size_t column, const char *old, const char *value);
/* "a = 'x', b = NULL": what `delete: {set: ..}` sets. */
void target_put_set_list(struct buf *sql, const struct target *target, const char *alias);
/* The same of any set; alias: "t." or "". */
void target_put_set(struct buf *sql, const struct rule_set *set, size_t count, const char *alias);
/* Does a row that is deleted cease to be a parent: is it deleted, or stamped? */
static inline bool target_ends(const struct rule *rule)
{
    return rule->on_delete == DELETE_ROW ||
           (rule->on_delete == DELETE_SET && rule_set_stamps(rule->set, rule->set_count));
}

/* Prepares where needed, executes, waits. *ret_affected: rows touched (for TARGET_EXISTS: found). On failure err as
 * by pg_err; the transaction is then aborted up to the last savepoint. */
int target_execute(struct pgsink *s, struct target *target, enum target_op op, const struct row *row,
                   const struct value *locator, int64_t *ret_affected, struct err *reterr) MUST_CHECK;

/* Does the account know the row of this change as it is? Then only the target row is in doubt. */
static inline bool target_counted(const struct target *target, const struct change *change)
{
    return change->counted && !target->changed && !target->rule->looks_up;
}

/* The source key of a change as a JSON array of its identity's values; key_new: of the row after the change (an
 * update that changed the key), else `identity`, the old one. In the arena. */
const char *source_key(const struct change *change, struct arena *arena);
const char *source_key_new(const struct change *change, struct arena *arena);

/* The value as a JSON string, or null where it has no text. */
void target_put_json(struct buf *json, const struct value *value);

#endif
