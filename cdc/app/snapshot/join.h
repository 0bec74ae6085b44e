/* Tables of rules that join a pipeline which streams: copied part by part while the stream goes on.
 *
 *     part 1 read at P1         part 2 at P2                                  each between two transactions of the
 *         │                         │                                         stream, where it stands at that point:
 *   ── c1 ┴─── c2 ─────── c3 ───────┴── c4 ──▶                                resync.h brings it there
 *         keys of part 1: c2, c3, c4 are news
 *         keys of part 2:                c4 is; what comes before the part was read is left out (skip.h)
 *
 * A part's rows, its record and the position are one transaction of the target. So a crash leaves a whole part or none,
 * and the account knows exactly the rows of parts that are there.
 *
 * Only what nobody leans on may come so late. A rule that goes on already and refers to rows of a new one, or looks up
 * in a new mirror, would find nothing there meanwhile: such a table is copied before the stream goes on, as those of a
 * first snapshot are. Derivations that are due and stand above what is not whole yet rest until it is.
 */
#ifndef PGREKEY_APP_JOIN_H
#define PGREKEY_APP_JOIN_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/app/engine/engine.h"

/* Rows of a part, about: the stream stands still for as long as they take. */
#define JOIN_PART_ROWS 20000
#define JOIN_PARTS_MAX 8192

/* Which rules are new and may be copied while the stream goes on, by rule->index; `due` are the steps that are. */
void join_find(const struct map *map, const struct sink_step *due, size_t due_count, bool *ret_may);
/* Which rules are back, likewise; the caller frees it. */
bool *join_back(const struct map *map, const struct sink_step *due, size_t due_count);

struct part;
struct piece;

/* The rows of a part, as of the piece's point, into the receiver's open transaction; and of rules that are back the end
 * of target rows whose source row has gone meanwhile. */
int join_read(struct piece *piece, const struct part *part, struct err *reterr) MUST_CHECK;

#endif
