/* What the target's refusal of one row means: a category for its quarantine, or none where it is not the row's fault
 * and all of the batch has to fail (connection, privilege, a bug). Pure; sees SQLSTATE and names, never values.
 */
#ifndef PGREKEY_SINKS_POSTGRES_REFUSAL_H
#define PGREKEY_SINKS_POSTGRES_REFUSAL_H

#include <stdbool.h>

#include "cdc/base/err.h"
#include "transform/row.h"

/* CATEGORY_NONE: not the row's fault. `deleting`: a foreign key then means living children, not a missing parent. */
enum category refusal_category(const struct err *refusal, bool deleting);
/* One phrase, no values; a literal. */
const char *refusal_reason(const struct err *refusal, bool deleting);
/* Can another row of the same source transaction be what it waits for? */
bool refusal_may_pass(enum category category);

#endif
