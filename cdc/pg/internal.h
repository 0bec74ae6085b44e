/* What the files of cdc/pg share among themselves. */
#ifndef PGREKEY_PG_INTERNAL_H
#define PGREKEY_PG_INTERNAL_H

#include <stddef.h>

/* libpq's message as one line without its LOCATION and advice; the last SQLSTATE in it goes into sqlstate[6]
 * ("" where there is none). The connection's verbosity must be such that it holds one: see pg_open(). */
void pg_tidy_message(const char *message, char *text, size_t size, char *sqlstate);

#endif
