/* What stands beside the rows: keys whose target row stays although their source row is gone or excluded (gone_*), and
 * references that are NULL because their parent is not there (pending_*). */
#ifndef PGREKEY_SINKS_POSTGRES_MARKS_H
#define PGREKEY_SINKS_POSTGRES_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "transform/row.h"
#include "transform/rule.h"

struct pgsink;
struct rowmode;

int gone_find(struct pgsink *s, const struct rule *rule, const char *key, bool *ret_gone,
              struct err *reterr) MUST_CHECK;
int gone_put(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr) MUST_CHECK;
int gone_remove(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr) MUST_CHECK;
int pending_put(struct pgsink *s, const struct rule *rule, const char *key, const struct rule_column *column,
                const struct value *parent, struct err *reterr) MUST_CHECK;
int pending_remove(struct pgsink *s, const struct rule *rule, const char *key, const char *column_or_null,
                   struct err *reterr) MUST_CHECK;

/* A reference of the row with this source key was left NULL and put into pgrekey.pending_reference: where its parent
 * comes before the source transaction ends, rowmode_finish fills it. */
void pending_remember(struct pgsink *s, const struct rule *rule, const char *key, size_t column,
                      const struct value *parent);
/* Fills the references of this source transaction whose parent has come. */
int pending_fill(struct pgsink *s, struct err *reterr) MUST_CHECK;
void pending_forget(struct rowmode *rm);

#endif
