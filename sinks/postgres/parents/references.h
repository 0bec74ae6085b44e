/* Who refers to whom: the mapping's references and the target's foreign keys, by the place that they lead to.
 *
 *     orders.user_id  (rule orders, required) ──┐
 *     users.boss_id   (rule users, optional)  ──┴─▶ place app.users.id ◀── written by rule users, or by a derivation
 *
 * Made once a session from mapping and catalogue. A reference of the mapping is checked before a row is written; one
 * that only a foreign key knows is checked by the target, but parks and wakes its row all the same.
 */
#ifndef PGREKEY_SINKS_POSTGRES_REFERENCES_H
#define PGREKEY_SINKS_POSTGRES_REFERENCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/relation.h"
#include "transform/map.h"

#define NO_PLACE (-1)

/* A column of a target table that rows refer to. */
struct place {
    const char *schema, *name, *column_name; /* the mapping's or the catalogue's */
    char *label;                             /* schema.table, as people read it: waits_table */
    char *table, *column;                    /* quoted */
    const char *type;                        /* of the column, for casts */
    bool shared;                             /* several rules write its table */
    /* SQL over the row `p`, " AND ..": it stands for its children, too. Not one that is stamped, nor a derivation's
     * that was there before and whose key has not yielded a row. "" where all do. */
    char *stands;
    /* Upper bounds, as a rule's `standing`: 0 means that nobody waits for a row of this place for sure. */
    int64_t waiting; /* parked rows */
    int64_t pending; /* optional references */
};

struct reference {
    size_t rule;   /* of the row that refers */
    size_t column; /* of that rule */
    size_t place;
    bool required;
    bool mapped; /* by the mapping; else by a foreign key alone */
};

/* The same of a derivation's rows. */
struct derived_reference {
    size_t derivation;
    const char *column; /* of its table */
    size_t place;
    bool required;
    bool mapped;
};

struct references {
    size_t place_count;
    struct place *places;
    size_t count;
    struct reference *items;
    size_t derived_count;
    struct derived_reference *derived;
    const char *pipeline;
    size_t rule_count, *offsets; /* of each rule's columns in place_of */
    int *place_of;               /* of a mapped reference */
};

/* Catalogue and map must outlive it. */
void references_init(struct references *references, const struct map *map, const struct catalog *target,
                     const char *pipeline);
void references_done(struct references *references);

/* The place that a mapped reference leads to; NO_PLACE where the column is none. */
static inline int references_place(const struct references *references, const struct rule *rule, size_t column)
{
    return references->place_of[references->offsets[rule->index] + column];
}
/* The rule's column that stands at this place; -1 where the rule does not write it. */
int references_column_at(const struct place *place, const struct rule *rule);
/* Do rows of derivations refer to this place? */
bool references_derived(const struct references *references, size_t place);
/* The place of a table and column; NO_PLACE where nobody refers to it. */
int references_find(const struct references *references, const char *schema, const char *table, const char *column);
/* The reference behind a foreign key by its name, of that rule; NULL where it is none that we know. */
const struct reference *references_by_constraint(const struct references *references, const struct rule *rule,
                                                 const struct relation *relation, const char *constraint);

#endif
