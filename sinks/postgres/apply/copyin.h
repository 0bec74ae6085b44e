/* COPY .. FROM STDIN in text form, built straight from values and sent in pieces: memory does not depend on how
 * many rows there are, or how large one is. */
#ifndef PGREKEY_SINKS_POSTGRES_COPYIN_H
#define PGREKEY_SINKS_POSTGRES_COPYIN_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "transform/row.h"

struct pgsink;

int copyin_begin(struct pgsink *s, const char *sql, struct err *reterr) MUST_CHECK;
/* One row: an integer first where number >= 0; then the values, of `columns` where not NULL, else the first `count`.
 * ABSENT goes as NULL. A failure to send shows in copyin_end. */
void copyin_row(struct pgsink *s, int64_t number, const struct value *values, const uint16_t *columns, size_t count);
/* Waits for the outcome. *ret_rows: as the server counted them. */
int copyin_end(struct pgsink *s, int64_t *ret_rows, struct err *reterr) MUST_CHECK;

#endif
