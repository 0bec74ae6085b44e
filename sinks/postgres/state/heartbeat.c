/* What only the running engine knows, as one row that it writes again and again. */
#include <stdio.h>

#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/state.h"

#define NUMBERS 10

#define WRITE                                                                                                          \
    "INSERT INTO pgrekey.heartbeat (pipeline, at, received_lsn, source_lsn, confirmed_lsn, phase, lag_s, rows_per_s, " \
    "source_rate, apply_rate, time_left_s, message_age_s, p50_s, p99_s, snapshot_left_s, snapshot_expected) "          \
    "SELECT name, clock_timestamp(), $2::pg_lsn, $3::pg_lsn, $4::pg_lsn, $5, $6::float8, $7::float8, $8::float8, "     \
    "$9::float8, $10::float8, $11::float8, $12::float8, $13::float8, $14::float8, $15::float8::bigint "                \
    "FROM pgrekey.pipeline WHERE name = $1 ON CONFLICT (pipeline) DO UPDATE SET at = excluded.at, "                    \
    "received_lsn = excluded.received_lsn, source_lsn = excluded.source_lsn, "                                         \
    "confirmed_lsn = excluded.confirmed_lsn, phase = excluded.phase, lag_s = excluded.lag_s, "                         \
    "rows_per_s = excluded.rows_per_s, source_rate = excluded.source_rate, apply_rate = excluded.apply_rate, "         \
    "time_left_s = excluded.time_left_s, message_age_s = excluded.message_age_s, p50_s = excluded.p50_s, "             \
    "p99_s = excluded.p99_s, snapshot_left_s = excluded.snapshot_left_s, "                                             \
    "snapshot_expected = excluded.snapshot_expected"

int pipeline_heartbeat_write(PGconn *conn, const char *pipeline, const struct pipeline_heartbeat *beat,
                             struct err *reterr)
{
    const double figures[NUMBERS] = {beat->lag_s,           beat->rows_per_s,
                                     beat->source_rate,     beat->apply_rate,
                                     beat->time_left_s,     beat->heartbeat_age_s,
                                     beat->p50_s,           beat->p99_s,
                                     beat->snapshot_left_s, (double)beat->snapshot_expected};
    char received[LSN_TEXT_MAX], source[LSN_TEXT_MAX], confirmed[LSN_TEXT_MAX], numbers[NUMBERS][40];
    const char *params[5 + NUMBERS] = {pipeline, lsn_format(beat->received_lsn, received),
                                       lsn_format(beat->source_lsn, source), lsn_format(beat->confirmed_lsn, confirmed),
                                       beat->phase};

    for (int i = 0; i < NUMBERS; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%.6f", figures[i]);
        params[5 + i] = numbers[i];
    }
    return pg_query(conn, SIDE, "writing the heartbeat", WRITE, 5 + NUMBERS, params, NULL, reterr);
}
