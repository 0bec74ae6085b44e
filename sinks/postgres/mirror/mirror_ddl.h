/* The texts by which mirrors stand on the target: side schema, tables, indexes, views. Pure. */
#ifndef PGREKEY_SINKS_POSTGRES_MIRROR_DDL_H
#define PGREKEY_SINKS_POSTGRES_MIRROR_DDL_H

#include <stdbool.h>

#include "cdc/base/buf.h"
#include "cdc/base/relation.h"
#include "transform/derivation.h"
#include "transform/rule.h"

/* For `init`: the side schema, closed to everybody but the role (NULL: nobody is granted anything). Idempotent. */
void mirror_put_schema(struct buf *sql, const char *schema, const char *role);

/* CREATE TABLE: the rule's columns with the types of `relation`, and its primary key. Only the key is NOT NULL: what
 * the source lets in later is let in here too. */
void mirror_put_table(struct buf *sql, const struct rule *rule, const struct relation *relation);
void mirror_put_column(struct buf *sql, const struct relation *relation, const char *name); /* "name" type */

/* CREATE INDEX IF NOT EXISTS over columns that are joined by ",". The name tells which they are, and begins so that an
 * index that nobody wants any more is known. */
#define MIRROR_INDEX_PREFIX "pgrekey_"
#define MIRROR_NAME_MAX 64
void mirror_index_name(const struct rule *rule, const char *columns, char *ret_name); /* of MIRROR_NAME_MAX */
void mirror_put_index(struct buf *sql, const struct rule *rule, const char *columns);

/* CREATE VIEW; one statement whatever the query holds. */
void mirror_put_view(struct buf *sql, const char *schema, const struct mirror_view *view);

/* Takes from a table or view what default privileges gave to others than its owner. */
void mirror_put_closing(struct buf *sql, const char *schema, const char *name);

/* Is this table what CREATE TABLE would make? MIRROR_WIDER: it has all columns, and more. */
enum mirror_shape { MIRROR_SAME, MIRROR_WIDER, MIRROR_OTHER };
/* *ret_column: of MIRROR_OTHER, the first column that is missing or of another type; NULL where the key differs. */
enum mirror_shape mirror_compare(const struct rule *rule, const struct relation *wanted, const struct relation *found,
                                 const char **ret_column);

#endif
