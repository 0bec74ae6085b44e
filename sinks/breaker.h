/* The breaker: when too many of the last rows failed, the mapping is wrong, not the row. Pure. */
#ifndef PGREKEY_SINKS_BREAKER_H
#define PGREKEY_SINKS_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct breaker;

struct breaker *breaker_new(int window_rows, int percent); /* NULL where window_rows is 0 */
void breaker_free(struct breaker *breaker);
/* All take NULL. Rows that went well, and rows that failed (not waiting for a parent). */
void breaker_count(struct breaker *breaker, uint64_t good, uint64_t failed);
/* True once that share of window_rows failed among the last window_rows (a window not yet full counts what is missing
 * as good, so that the first bad row does not open it); stays so until it is reset. */
bool breaker_is_open(const struct breaker *breaker);
/* The operator lets it go on. What opened it comes again first, and must not open it again before anything has moved:
 * it stays shut until a batch has passed and the window is full. */
void breaker_reset(struct breaker *breaker);
void breaker_passed(struct breaker *breaker); /* a batch was committed */

#endif
