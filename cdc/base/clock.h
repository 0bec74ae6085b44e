/* Time. Monotonic for intervals and time-outs, wall clock only for what people read. */
#ifndef PGREKEY_BASE_CLOCK_H
#define PGREKEY_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_mono_us(void);
int64_t clock_wall_us(void); /* microseconds since 1970-01-01 UTC */
/* "2025-01-01T00:00:00.000Z" into text[32]. */
const char *clock_format_utc(int64_t wall_us, char *text, size_t size);
/* PostgreSQL's replication clock: microseconds since 2000-01-01 UTC. */
#define CLOCK_PG_EPOCH_US INT64_C(946684800000000)

#endif
