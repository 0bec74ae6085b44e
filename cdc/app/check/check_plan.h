/* What a plan says of a mapping's SQL: tables that it reads from end to end for a few keys. */
#ifndef PGREKEY_APP_CHECK_PLAN_H
#define PGREKEY_APP_CHECK_PLAN_H

#include <stddef.h>

#include "cdc/app/engine/mapping.h"

/* From so many rows on a table is large. */
#define CHECK_PLAN_LARGE 10000

/* `plan`: of EXPLAIN (FORMAT JSON, VERBOSE), with costs by which no table is read whole that need not be. A warning for
 * each large table that is; its rows are those of the target's catalogue, of a mirror those of its source. */
void check_plan(const char *plan, struct mapping *mapping, size_t line, const char *name, const char *what);

#endif
