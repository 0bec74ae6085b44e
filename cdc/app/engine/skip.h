/* Which changes of the stream a resumed snapshot holds already; and which come too early, for the part of their key has
 * not been read yet (join.h).
 *
 * Parts of it were read at different points. A change of a transaction that committed at or before a part's point, to a
 * key of that part, is in the part's rows: bringing it again would put old over new. It counts by its key, the old one
 * and the new one each for itself:
 *
 *     update key 7 ─▶ 900, commit c      part of 7 read before c, part of 900 read after   ──▶ only the end of 7
 *                                        part of 7 read after c, part of 900 before        ──▶ only the birth of 900
 *
 * Exact, since a point is where a slot begins: the WAL before it is in the exported snapshot, the WAL behind it is not.
 * Once the stream is past the last point, and all parts have been read, nobody asks here any more.
 */
#ifndef PGREKEY_APP_SKIP_H
#define PGREKEY_APP_SKIP_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/change.h"
#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"
#include "transform/map.h"

enum skip_verdict {
    SKIP_NOTHING, /* the change is news */
    SKIP_ALL,     /* nothing of it is */
    SKIP_OLD_KEY, /* only that the new key has a row now */
    SKIP_NEW_KEY, /* only that the old key has none any more */
    SKIP_REREAD, /* a TRUNCATE between the points: it is news, but parts that were read after it have to be read anew */
};

struct skip;

/* Of parts (by id) whose point lies behind `position`, or that are not done; NULL where there are none. Names are
 * looked up in the bound map and the catalogue, which must outlive it. */
struct skip *skip_new(const struct map *map, const struct catalog *source, const struct sink_part *parts, size_t count,
                      uint64_t position);
void skip_free(struct skip *skip);                 /* NULL is fine */
uint64_t skip_last_point(const struct skip *skip); /* NULL is fine: 0. Of parts that have been read */
bool skip_has_unread(const struct skip *skip);     /* NULL is fine. There are parts that have not been */
/* The part has been read now; the stream stands at that point. */
void skip_part_read(struct skip *skip, int id, uint64_t point);

/* Compares two keys of a type that only the server can order: how many of `bounds` are at or below `key`. */
typedef int (*skip_order)(void *context, const struct relation *relation, const char *const *bounds, size_t count,
                          const struct value *key, size_t *ret_below, struct err *reterr);

/* What is news for a rule of the change's table, of a transaction whose commit ends at commit_lsn. */
int skip_judge(const struct skip *skip, const struct rule *rule, const struct change *change, uint64_t commit_lsn,
               skip_order order, void *context, enum skip_verdict *ret_verdict, struct err *reterr) MUST_CHECK;

/* A skip_order that asks the source; context is a PGconn. */
int skip_ask_source(void *context, const struct relation *relation, const char *const *bounds, size_t count,
                    const struct value *key, size_t *ret_below, struct err *reterr) MUST_CHECK;

#endif
