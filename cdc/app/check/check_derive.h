/* The mapping's SQL, judged by the target without running it: does the server take it, does it give the columns that
 * the mapping wants, and can a few keys be led to their rows without reading a large table. All in a transaction that
 * is rolled back; nothing is written but temporary tables, which stand for `keys`, `touched` and mirrors that are not
 * there yet.
 */
#ifndef PGREKEY_APP_CHECK_DERIVE_H
#define PGREKEY_APP_CHECK_DERIVE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cdc/app/engine/mapping.h"

/* For a mapping that is bound without errors. Nothing is asked where the target is NULL, or where there are mirrors and
 * the source is not known. What the target says of the SQL becomes issues of the
 * mapping, with the line in the file and the SQLSTATE. `adopt`: the queries of `adopt:` too, which are run only once
 * and may read what is gone by then. -1 where there are errors among them, or where the server cannot be asked at all.
 */
int check_derivations(struct mapping *mapping, PGconn *target, bool adopt, struct err *reterr) MUST_CHECK;

#endif
