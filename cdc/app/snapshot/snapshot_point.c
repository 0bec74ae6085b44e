#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/snapshot/snapshot.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"

int snapshot_point_of_slot(const struct settings *settings, bool again, struct snapshot_point *ret_point,
                           struct err *reterr)
{
    PGconn *conn = NULL;
    int wait_s = (int)settings->source_slot_wait_s;
    if (engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    int failed = again ? slot_drop(conn, settings->source_slot, wait_s, reterr) : 0;
    if (!failed)
        failed = engine_open_source(settings, "snapshot export", ENGINE_REPLICATION, &ret_point->exporter, reterr);
    if (!failed)
        failed = slot_create(ret_point->exporter, conn, settings->source_slot, false, wait_s, &ret_point->lsn,
                             ret_point->name, sizeof(ret_point->name), reterr);
    pg_close(conn);
    return failed;
}

/* One of its own for each use: that of a dead session may still be there for a while. */
static void temporary_name(const struct settings *settings, char *name, size_t size)
{
    snprintf(name, size, "%.30s_t%x_%llx", settings->source_slot, (unsigned)getpid(),
             (unsigned long long)clock_wall_us());
}

int snapshot_point_open(const struct settings *settings, struct snapshot_point *ret_point, struct err *reterr)
{
    return engine_open_source(settings, "snapshot export", ENGINE_REPLICATION, &ret_point->exporter, reterr);
}

int snapshot_point_make(const struct settings *settings, struct snapshot_point *point, struct err *reterr)
{
    char name[64];
    PGconn *conn = NULL;
    if (engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    temporary_name(settings, name, sizeof(name));
    int failed = slot_create(point->exporter, conn, name, true, (int)settings->source_slot_wait_s, &point->lsn,
                             point->name, sizeof(point->name), reterr);
    pg_close(conn);
    return failed;
}

int snapshot_point_temporary(const struct settings *settings, struct snapshot_point *ret_point, struct err *reterr)
{
    if (snapshot_point_open(settings, ret_point, reterr) == 0 && snapshot_point_make(settings, ret_point, reterr) == 0)
        return 0;
    snapshot_point_done(ret_point);
    return -1;
}

void snapshot_point_done(struct snapshot_point *point)
{
    pg_close(point->exporter);
    *point = (struct snapshot_point){0};
}
