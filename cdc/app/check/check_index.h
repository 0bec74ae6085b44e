/* Columns by which rows refer to others, without an index: whoever goes as a parent has its children looked for. */
#ifndef PGREKEY_APP_CHECK_INDEX_H
#define PGREKEY_APP_CHECK_INDEX_H

#include <libpq-fe.h>

#include "cdc/app/engine/mapping.h"

/* For a mapping that is bound without errors; nothing is asked where the target is NULL. Findings are warnings among
 * the mapping's issues. -1 where the server cannot be asked. */
int check_indexes(struct mapping *mapping, PGconn *target, struct err *reterr) MUST_CHECK;

#endif
