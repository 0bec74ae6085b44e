/* How far a replay is behind its topics, partition by partition: what `status` shows where the settings know topics and
 * no source. Offsets stand on the target, ends are asked of the brokers. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/status/status.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"
#include "cdc/source/kafka/kafka.h"

static int read_offsets(PGconn *conn, struct status *status, struct err *reterr)
{
    static const char SQL[] = "SELECT topic, partition, next_offset FROM pgrekey.replay_offset WHERE pipeline = $1"
                              " ORDER BY topic, partition";
    const char *params[] = {status->settings->pipeline};
    PGresult *result;
    if (pg_query(conn, "target", "reading the topics' offsets", SQL, 1, params, &result, reterr) != 0)
        return -1;
    status->lane_count = (size_t)PQntuples(result);
    status->lanes = mem_zalloc(status->lane_count + 1, sizeof *status->lanes);
    for (int i = 0; i < PQntuples(result); i++) {
        struct status_lane *lane = &status->lanes[i];
        snprintf(lane->topic, sizeof lane->topic, "%s", PQgetvalue(result, i, 0));
        lane->partition = atoi(PQgetvalue(result, i, 1));
        lane->offset = strtoll(PQgetvalue(result, i, 2), NULL, 10);
    }
    PQclear(result);
    return 0;
}

static int read_ends(struct status *status, struct err *reterr)
{
    const struct settings *settings = status->settings;
    struct kafka_options options = {settings->kafka_bootstrap, settings->kafka_properties,
                                    settings->kafka_properties_file, "pgrekey-status"};
    struct kafka *kafka = NULL;
    int failed = kafka_open(&options, &kafka, reterr);
    for (size_t i = 0; !failed && i < status->lane_count; i++) {
        int64_t low;
        failed = kafka_watermarks(kafka, status->lanes[i].topic, status->lanes[i].partition, &low,
                                  &status->lanes[i].high, reterr);
    }
    kafka_close(kafka);
    return failed;
}

int status_read_replay(const struct cli *cli, struct status *status, struct err *reterr)
{
    PGconn *conn = NULL;
    if (!status->report || !status->report->exists)
        return 0;
    if (cli_open_target(cli, &conn, reterr) != 0)
        return -1;
    int failed = read_offsets(conn, status, reterr);
    pg_close(conn);
    return failed != 0 ? -1 : read_ends(status, reterr);
}
