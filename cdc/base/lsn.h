/* Positions in PostgreSQL's WAL, as 64-bit byte offsets; text form "16/B374D848" (pg_lsn). */
#ifndef PGREKEY_BASE_LSN_H
#define PGREKEY_BASE_LSN_H

#include <stdbool.h>
#include <stdint.h>

#define LSN_TEXT_MAX 18 /* 8 + '/' + 8 + NUL */

/* Writes into text[LSN_TEXT_MAX] and returns it. */
const char *lsn_format(uint64_t lsn, char *text);
/* False (and *ret_lsn untouched) where text is not a whole pg_lsn. */
bool lsn_parse(const char *text, uint64_t *ret_lsn);

#endif
