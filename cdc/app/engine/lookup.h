/* Mirrors that row rules look up rows in, in memory: what answers transform/lookup.h.
 *
 *     target's mirror ──load──▶ copy ◀──take── rows of the stream, in order, before what comes after them
 *     (at the position)          └──find──▶ receiver, applier (quarantine), snapshot workers
 *
 * A copy is loaded from the target at the position that the stream is begun at (in a snapshot when the mirror's level
 * is done), and from then on kept by the receiver: so a row is looked up as it was when the change at hand was made,
 * whatever the target holds by then, and the same changes give the same rows after any crash. One writer, many readers.
 */
#ifndef PGREKEY_APP_LOOKUP_H
#define PGREKEY_APP_LOOKUP_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/sink.h"
#include "transform/map.h"

struct lookups;

/* For a bound map, which it then answers; nothing is loaded yet. NULL where no rule looks anything up; all that follow
 * take NULL. The map must outlive it, and must not be used for transforming once it is freed. */
struct lookups *lookups_new(struct map *map, size_t max_rows);
void lookups_free(struct lookups *lookups);

/* Loads the mirrors of levels below this one anew, from the target's tables. ERR_CONFIG where one holds more than
 * max_rows. Not inside a target transaction. */
int lookups_load(struct lookups *lookups, struct sink *sink, int below_level, struct err *reterr) MUST_CHECK;

/* For a dry run, which has no target to rely on: fills them from the source as it is now, through the mirrors' rules.
 * `never` as in copy_reader_open. */
int lookups_read_source(struct lookups *lookups, PGconn *source,
                        bool (*never)(void *context, const char *schema, const char *table, const char *column),
                        void *context, struct err *reterr) MUST_CHECK;

/* Is the source's table one that is looked up in? */
bool lookups_concern(const struct lookups *lookups, const struct relation *source);
/* Takes over what rows of its mirrors, among others, change. A change that concerns us must have been completed: what a
 * row still lacks counts as NULL. ERR_CONFIG where a mirror grows beyond max_rows. */
int lookups_take(struct lookups *lookups, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;

#endif
