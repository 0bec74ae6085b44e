/* `pgrekey check`: what its parts share.
 *
 *     check.c         loads, connects, asks the parts in turn, reports
 *     check_source.c  the legacy server: settings, role, wal2json, sessions in the way, tables
 *     check_target.c  the target: what it is, the engine's schema, privileges, what would get in the way of writes
 *     check_derive.c  the mapping's SQL, judged by the target; check_sql.c asks, check_plan.c reads plans
 *     check_mirror.c  the side schema of the mirrors
 *     check_fast_load.c  what a fast load will not touch
 *     check_slot.c    the slot, the recorded position, and whether the two fit
 *     check_deep.c    what only reading whole tables tells
 *
 * A part adds findings; it fails only where a server does not answer what it must be able to answer.
 */
#ifndef PGREKEY_APP_CHECK_H
#define PGREKEY_APP_CHECK_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/check/findings.h"
#include "cdc/app/engine/mapping.h"
#include "cdc/base/buf.h"
#include "cdc/source/slot.h"
#include "sinks/postgres/state/state.h"

struct check {
    const struct cli *cli;
    const struct settings *settings;
    struct findings findings;
    struct mapping mapping;
    PGconn *source, *target; /* NULL where they cannot be reached */
    struct slot_state slot;
    bool slot_read;
    struct pipeline_report *report; /* NULL where the target could not be read */
    bool can_replicate;             /* the source's role may open a replication connection */
    bool unreachable;               /* a server did not answer at all */
};

void check_source(struct check *check);
void check_source_tables(struct check *check);
void check_target(struct check *check);
void check_target_tables(struct check *check);
void check_mirrors(struct check *check);
void check_fast_load(struct check *check);
void check_slot(struct check *check);
void check_deep(struct check *check);

/* Runs a query; a failure becomes a finding of its own, and NULL is returned. The caller clears the result. */
PGresult *check_query(struct check *check, bool source, const char *code, const char *sql, int param_count,
                      const char *const *params);
/* What an error says, as a finding with its hint as remedy. */
void check_add_err(struct check *check, const char *side, const char *code, const struct err *err);

/* Each relation that the rules read (or write, mirrors apart) once; NULL where that catalogue is not there. Caller
 * frees the array. */
const struct relation **check_relations(const struct check *check, bool source, size_t *ret_count);
/* Their oids as an array literal "{1,2}". */
void check_put_oids(struct buf *buf, const struct relation *const *relations, size_t count);
/* "a, b, c and 12 more": up to `shown` names. */
void check_put_names(struct buf *buf, const char *name, size_t index, size_t shown);

#endif
