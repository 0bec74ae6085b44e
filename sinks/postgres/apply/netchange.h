/* The rows of a chunk -> what they come to for each key: one entry for each (rule, locator). Pure.
 *
 *     rows, source order          entries, by rule
 *     I a   U a   U b   D b  ──▶  INSERT a (values merged)   DELETE b
 *
 * Where the sum of a key's rows is not plain, the entry is set aside: its rows then go one by one in source order.
 * Rejects and changed keys are such; the caller sets more aside for reasons that need the target. A rule whose rows
 * are all births, and which nobody asks about, is not hashed at all: a key is born once between two deaths.
 */
#ifndef PGREKEY_SINKS_POSTGRES_NETCHANGE_H
#define PGREKEY_SINKS_POSTGRES_NETCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "transform/row.h"

enum net_action {
    NET_NOTHING,  /* born and gone within the chunk */
    NET_INSERT,   /* was not there before the chunk; the row is full */
    NET_UPDATE,   /* was there; what is not ABSENT is to be set */
    NET_REPLACE,  /* was there, went, and came back: delete, then insert */
    NET_DELETE,   /* was there, is gone */
    NET_EXCLUDE,  /* was there (mapped or excluded), lives, but not for this rule */
    NET_EXCLUDED, /* was not there, lives, but not for this rule: only counted */
    NET_PARKED,   /* the caller's: was an INSERT whose required parent is not there */
};

#define NET_NONE UINT32_MAX /* no entry */

struct net_entry {
    const struct row *row; /* the last one, its values merged with the earlier ones' */
    const struct value *locator;
    uint64_t hash;
    uint32_t next;  /* entry of the same rule, or NET_NONE */
    uint8_t action; /* enum net_action */
    bool aside;
    bool merged; /* row and its values are our own copy */
};

struct net_rule {
    uint32_t first, last; /* entries in order of first touch; NET_NONE where there is none */
    uint32_t entry_count, aside_count;
    bool hashed;
    bool wanted; /* the caller asks netchange_find() about this rule: hash it always */
};

struct netchange {
    size_t rule_count;
    struct net_rule *rules; /* by rule->index */
    struct net_entry *entries;
    size_t count, capacity;
    uint32_t *entry_of; /* by row: its entry */
    size_t row_capacity;
    uint32_t *slots; /* open addressing: entry + 1, 0 free */
    size_t slot_count;
    struct arena *arena; /* of the chunk: merged values */
};

struct netchange *netchange_new(size_t rule_count);
void netchange_free(struct netchange *net); /* NULL is fine */

/* Forgets the last chunk and sums up this one. No truncates among the rows; count < UINT32_MAX. Rows, and the arena
 * (for merged values), must live as long as the result is used. */
void netchange_build(struct netchange *net, struct row *const *rows, size_t count, struct arena *arena);

void netchange_set_aside(struct netchange *net, uint32_t entry);
/* The entry of the rule with this locator (of one column), or NET_NONE; only where the rule is hashed. */
uint32_t netchange_find(const struct netchange *net, const struct rule *rule, const struct value *locator);
/* The rows of entries set aside, in source order; the array is in the arena. Gives their number. */
size_t netchange_aside_rows(const struct netchange *net, struct row *const *rows, size_t count, struct row ***ret_rows);

#endif
