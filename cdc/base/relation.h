/* The shape of one table, on either side: what the catalogue says of it. No I/O here; cdc/pg reads it. */
#ifndef PGREKEY_BASE_RELATION_H
#define PGREKEY_BASE_RELATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How wal2json writes a column's value, and so what to make of it (its pg_decode_write_value). */
enum column_kind {
    COLUMN_TEXT,   /* the type's output text in quotes */
    COLUMN_NUMBER, /* int2/4/8, oid, float4/8, numeric: a raw JSON number; NaN and Infinity are null */
    COLUMN_BOOL,   /* true or false; here always "t" or "f" */
    COLUMN_BYTEA,  /* hex without \x; here always with it */
};

struct column {
    char *name;
    uint32_t type_oid;
    char *type;      /* format_type(): "numeric(12,2)", "character varying(255)", "public.mood" */
    char *base_type; /* the same with domains resolved and without length: "integer", "text", "uuid" */
    enum column_kind kind;
    int attnum;
    bool not_null;
    bool has_default;
    bool generated;          /* GENERATED ALWAYS AS (...) STORED: cannot be written */
    bool identity_always;    /* GENERATED ALWAYS AS IDENTITY */
    bool toastable;          /* its value may be left out of an update when unchanged */
    bool nonfinite_possible; /* float4, float8, numeric */
    bool read_nonfinite;     /* of a source: a null of the stream hides NaN or Infinity and is read by key; set by
                                whoever binds a mapping to the catalogue, false as read */
};

struct unique_index {
    char *name;
    size_t count;
    uint16_t *columns; /* indexes into relation->columns */
    bool primary, deferrable;
    bool partial_or_expression; /* no plain list of columns tells what it forbids; count may be 0 */
};

struct foreign_key {
    char *name;
    char *parent_schema, *parent_table;
    size_t count;
    uint16_t *columns;     /* indexes into relation->columns */
    char **parent_columns; /* count names */
    bool deferrable;
    char on_delete; /* pg_constraint.confdeltype: a, r, c, n, d */
};

struct relation {
    uint32_t oid;
    char *schema, *name;
    char kind;      /* pg_class.relkind: r, p, v, f … */
    char replident; /* pg_class.relreplident: d, n, f, i */
    size_t column_count;
    struct column *columns; /* live columns in attnum order */
    size_t key_count;
    uint16_t *key; /* replica identity: of the primary key (d, f) or the chosen index (i); none else */
    size_t pk_count;
    uint16_t *pk; /* primary key */
    size_t unique_count;
    struct unique_index *uniques;
    size_t fk_count;
    struct foreign_key *fks;
    bool row_security;      /* relrowsecurity or relforcerowsecurity */
    bool has_user_triggers; /* enabled triggers that are not constraints' own */
    bool any_nonfinite;     /* some column that a mapping reads is nonfinite_possible; set with read_nonfinite */
    double estimated_rows;  /* reltuples, -1 where never analysed */
    int64_t size_bytes;     /* of the heap */
};

/* Owns everything below it. */
struct catalog {
    size_t count;
    struct relation *relations;
};

void catalog_free(struct catalog *catalog); /* NULL is fine */
const struct relation *catalog_find(const struct catalog *catalog, const char *schema, const char *name);
/* Index of the column, or -1. */
int relation_column(const struct relation *relation, const char *name);
/* The same columns, types and key? What a changed catalogue is compared by. */
bool relation_same_shape(const struct relation *a, const struct relation *b);

#endif
