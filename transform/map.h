/* The mapping file: loaded, checked, compiled; and the function it compiles to, change -> rows.
 *
 * Pure: reads one file, does no other I/O, talks to no database. docs/mapping.md explains the language.
 *
 *     map_load ──▶ struct map ──map_bind(source catalogue, target catalogue)──▶ bound ──map_transform──▶ rows
 */
#ifndef PGREKEY_TRANSFORM_MAP_H
#define PGREKEY_TRANSFORM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"
#include "cdc/base/uuid.h"
#include "transform/derivation.h"
#include "transform/row.h"
#include "transform/rule.h"

struct map;

/* One finding of the check. All are collected; loading does not stop at the first. */
struct map_issue {
    bool warning;        /* else an error */
    size_t line, column; /* 1-based; 0 where the whole file is meant. Lines of files that are included follow on */
    char *key;           /* path in the file: "rows[3].columns.email.enum" */
    char *message;       /* one sentence; never a row's value */
};
struct map_issues {
    size_t count, capacity;
    struct map_issue *items;
    size_t part_count;
    struct map_part {
        char *path;
        size_t lines_before;
    } * parts; /* files that the mapping includes */
};
void map_issues_free(struct map_issues *issues); /* contents only; the struct is the caller's */
bool map_issues_have_errors(const struct map_issues *issues);
/* The file that a finding's line stands in, `path` where it is the mapping itself, and its line there. */
const char *map_issue_place(const struct map_issues *issues, const char *path, size_t line, size_t *ret_line);
/* "mapping.yaml:12:5: rows[3].columns.email.enum: …" a line each. */
void map_issues_print(const struct map_issues *issues, const char *path, FILE *out);

/* Loads and checks a file without any connection. On success (no errors; warnings may be there) gives a map
 * that the caller frees. On failure -1, *reterr says how many errors, and *issues holds them. */
int map_load(const char *path, struct map **ret_map, struct map_issues *issues, struct err *reterr) MUST_CHECK;
/* Reads the file, and those that it includes, into `text`, a buffer born with MAP_FILE_MAX_BYTES: for whoever loads the
 * same text several times. */
#define MAP_FILE_MAX_BYTES ((size_t)4 << 20)
int map_read(const char *path, struct buf *text, struct err *reterr) MUST_CHECK;
/* The same from memory; path is only used in messages. (The fuzz target's door.) */
int map_load_memory(const char *path, const char *text, size_t len, struct map **ret_map, struct map_issues *issues,
                    struct err *reterr) MUST_CHECK;
void map_free(struct map *map); /* NULL is fine */
/* Leaves rules and derivations out, as `skip: true` does: each named by its name or by its entity, with commas between.
 * After loading, before binding. ERR_CONFIG where nothing is called so. */
int map_skip(struct map *map, const char *names, struct map_issues *issues, struct err *reterr) MUST_CHECK;

/* Compares the map with both catalogues: tables, columns, types, keys, required columns without a rule, parents,
 * circles; expands `copy:` into rules; resolves columns to indexes. Either catalogue may be NULL: what needs it
 * is then left unchecked, but map_transform needs at least the source bound. The catalogues must outlive the map.
 * On failure -1 and *issues holds the errors. */
int map_bind(struct map *map, const struct catalog *source, const struct catalog *target, struct map_issues *issues,
             struct err *reterr) MUST_CHECK;

/* Of a map that is bound to both: from now on each rule takes rows as it wrote them, from topics, and
 * map_rule_source() is what they look like: the rule's columns in their order, its locator the key. `check`: values may
 * have changed on the way (masking), so whether they fit is looked at. */
void map_bind_topics(struct map *map, bool check);

/* The schemas either side's catalogue must be read for. *ret_count names. */
const char *const *map_source_schemas(const struct map *map, size_t *ret_count);
const char *const *map_target_schemas(const struct map *map, size_t *ret_count);

const struct uuid *map_namespace(const struct map *map);
/* All rules, parents before children (known after map_bind; file order before). */
size_t map_rule_count(const struct map *map);
const struct rule *map_rule(const struct map *map, size_t index); /* by rule->index */
/* rule->index values in dependency order, parents first; map_rule_count of them. */
const int *map_rule_order(const struct map *map);

/* The one order of everything that writes: parents before children, inputs before what is derived from them. A step's
 * level is 0 where it waits for nothing, else one more than the highest it waits for: a snapshot loads level by level.
 * Known after map_bind. */
struct map_step {
    enum { STEP_RULE, STEP_DERIVATION } kind;
    int index; /* of the rule, or of the derivation */
    int level;
};
const struct map_step *map_steps(const struct map *map, size_t *ret_count);
const struct map_step *map_rule_step(const struct map *map, const struct rule *rule);
/* One more than the highest level; 1 where there is no step. */
int map_level_count(const struct map *map);
/* Does the child come after the parent because it refers to its rows or reads them? Directly, that is. */
bool map_needs(const struct map *map, const struct map_step *child, const struct map_step *parent);

size_t map_derivation_count(const struct map *map);
const struct derivation *map_derivation(const struct map *map, size_t index);
/* What a derivation's query gives, once the target has described it: `names`, all columns of its result. Where the file
 * does not name the derivation's columns (column_count 0), they are those of the result that the target's table has,
 * but for the key's. Missing ones, owners of one column and whatever map_bind finds out of named columns are issues;
 * -1 then. After a map_bind to a target, which forgets it. */
int map_derivation_describe(struct map *map, size_t index, const char *const *names, size_t count,
                            struct map_issues *issues, struct err *reterr) MUST_CHECK;
/* Where the pieces of a derivation's SQL stand in the file, for what the target says of them: the line. */
size_t map_rule_line(const struct map *map, const struct rule *rule);
size_t map_derivation_query_line(const struct map *map, size_t index);
size_t map_derivation_keys_line(const struct map *map, size_t index, size_t input);
size_t map_derivation_reject_line(const struct map *map, size_t index);
/* The index-th rule or derivation that adopts by SQL, from 0 on; false behind the last. */
struct map_adopt_query {
    const char *name, *sql;
    size_t part_count; /* of the legacy key, which the query gives, and then the existing id */
    size_t line;
};
bool map_adopt_query(const struct map *map, size_t index, struct map_adopt_query *ret_query);
const struct mirror_view *map_views(const struct map *map, size_t *ret_count);
/* Does the file have mirrors or views? Known without any binding. */
bool map_has_mirrors(const struct map *map);
/* The side schema that mirrors and views stand in. */
const char *map_mirror_schema(const struct map *map);
/* The target's relation of a rule. A mirror's is made from the source's catalogue, whether or not the table is there.
 * NULL where the map is not bound to what it takes. */
const struct relation *map_rule_target(const struct map *map, const struct rule *rule);
/* Where the rule writes the target's column `name`: its place in rule->columns, -1 if it does not. */
int map_column_index(const struct rule *rule, const char *name);

/* Rules of one source table; the array is the map's. Count 0 where no rule reads it. */
const struct rule *const *map_rules_of(const struct map *map, const struct relation *source, size_t *ret_count);
/* The source's relation of a rule; NULL where the map is not bound to a source. What a change is rebuilt with that
 * comes out of quarantine. */
const struct relation *map_rule_source(const struct map *map, const struct rule *rule);
/* Should the column be dropped at decode? (never:) */
bool map_column_never(const struct map *map, const char *schema, const char *table, const char *column);
/* The index-th of a table's columns under never:, from 0 on; NULL behind the last. */
const char *map_never_column(const struct map *map, const char *schema, const char *table, size_t index);
/* Does any rule read it? What a dropped or retyped column is judged by. */
bool map_column_used(const struct map *map, const char *schema, const char *table, const char *column);
/* Marked `nonfinite:`: a null of the stream is read from the source by key. */
bool map_column_nonfinite(const struct map *map, const char *schema, const char *table, const char *column);

/* Does the file have `mask:`? */
bool map_has_mask(const struct map *map);
/* Does `mask:` declare every column that a masked copy needs? As far as the map is bound. -1 and issues where not. */
int map_check_mask(const struct map *map, struct map_issues *issues, struct err *reterr) MUST_CHECK;

/* Digest over what the map means (two SHA-1 based UUIDs), 64 hex digits: a changed namespace, entity or key changes the
 * identity fingerprint; any other change of a rule only the whole one. Text of FINGERPRINT_TEXT_MAX. */
#define FINGERPRINT_TEXT_MAX 65
void map_fingerprint(const struct map *map, char *ret_whole, char *ret_identity);
/* The same of one step alone, as bound: what it makes of its rows (of a derivation, with the views that it reads), and
 * what their identities hang on. A mirror's indexes and `accept_loss:` change no row and are left out. Another
 * namespace changes every step that derives a UUID. */
void map_step_fingerprint(const struct map *map, const struct map_step *step, char *ret_whole, char *ret_identity);
/* The identity that a rule would have if it read another table; `unnamed`: and had no name of its own in the file. */
void map_rule_identity_from(const struct map *map, const struct rule *rule, const char *schema, const char *table,
                            bool unnamed, char *ret_identity);

/* One change -> one row for each rule of its table, in rule order, all in `arena`. Pure and thread-safe on
 * a bound map. Returns 0; or 1 where a rule needs a column that the change does not hold (unchanged, out of
 * line, inside an expression): the caller completes the change from the source and calls again
 * (change->completed set: what is still absent then counts as NULL). A row that cannot be mapped is no failure
 * but a ROW_REJECT. -1 only for ERR_FATAL. */
int map_transform(const struct map *map, const struct change *change, struct arena *arena, struct row ***ret_rows,
                  size_t *ret_count, struct err *reterr) MUST_CHECK;

/* Runs one rule alone, for rows that are taken up again from quarantine or read from the source by the sink.
 * Returns as map_transform. */
int map_transform_rule(const struct map *map, const struct rule *rule, const struct change *change, struct arena *arena,
                       struct row **ret_row, struct err *reterr) MUST_CHECK;

#endif
