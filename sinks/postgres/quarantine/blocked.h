/* Who holds the unique value that a quarantined row needs: names of target rows, remembered so that a batch that
 * touches none of them pays nothing. A superset of what the table says, bounded; beyond the bound every row counts
 * as a holder and the table is asked.
 */
#ifndef PGREKEY_SINKS_POSTGRES_BLOCKED_H
#define PGREKEY_SINKS_POSTGRES_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/err.h"
#include "transform/row.h"

#define BLOCKED_MAX 10000

struct pgsink;
struct blocked_name;

struct blocked {
    bool loaded; /* from the table; later ones are added as they come */
    bool overflowed;
    size_t count;
    struct blocked_name *names;
};

void blocked_done(struct blocked *blocked);
/* The name of a target row: JSON array of table and locator. */
const char *blocked_text(const struct rule *rule, const struct value *locator, struct arena *arena);
void blocked_add(struct blocked *blocked, const char *name);
bool blocked_has(const struct blocked *blocked, const char *name);
int blocked_load(struct pgsink *s, struct blocked *blocked, struct err *reterr) MUST_CHECK;

#endif
