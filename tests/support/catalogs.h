/* Catalogues for tests, written as text instead of read from a server. */
#ifndef PGREKEY_TESTS_SUPPORT_CATALOGS_H
#define PGREKEY_TESTS_SUPPORT_CATALOGS_H

#include "cdc/base/relation.h"

struct table_text {
    const char *schema, *name;
    /* "id integer!; name character varying(20); n bigint!=; g text~; i bigint@": ! NOT NULL, = default,
     * ~ generated, @ GENERATED ALWAYS AS IDENTITY */
    const char *columns;
    const char *pk;      /* "id" or "a,b"; NULL for none. Also the replica identity. */
    const char *uniques; /* "a,b; c; d?": ? partial, ^ deferrable */
    const char *fks;     /* "column>schema.table.column; …", ^ deferrable */
    char kind;           /* 0: r */
    char replident;      /* 0: d */
};
/* Ends with a table whose name is NULL. Freed by catalog_free(). */
struct catalog *catalog_of(const struct table_text *tables);

#endif
