/* What stands beside the rows: keys whose target row stays although their source row is gone or excluded. */
#ifndef PGREKEY_SINKS_POSTGRES_MARKS_H
#define PGREKEY_SINKS_POSTGRES_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "transform/row.h"
#include "transform/rule.h"

struct pgsink;

int gone_find(struct pgsink *s, const struct rule *rule, const char *key, bool *ret_gone,
              struct err *reterr) MUST_CHECK;
int gone_put(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr) MUST_CHECK;
int gone_remove(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr) MUST_CHECK;

#endif
