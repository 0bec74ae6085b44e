/* `pgrekey status` of a publisher: what its state topic and the slot tell. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/app/engine/topics_sink.h"
#include "cdc/app/status/status.h"
#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/kafka/kafkasink.h"

struct publisher {
    struct kafkasink_look look;
    struct slot_state slot;
    struct err source_err;
};

static const char *state_of(const struct publisher *p)
{
    if (p->look.paused)
        return "paused";
    if (p->look.state == PIPELINE_NEW)
        return "new";
    if (p->look.state == PIPELINE_SNAPSHOT) /* nobody reads the slot meanwhile */
        return "snapshot";
    return p->slot.active ? "streaming" : "idle";
}

static uint64_t behind_of(const struct publisher *p)
{
    return p->look.lsn && p->slot.current_lsn > p->look.lsn ? p->slot.current_lsn - p->look.lsn : 0;
}

/* By the source's time that the position was reached at; -1: not known. */
static double lag_of(const struct publisher *p)
{
    if (p->look.state != PIPELINE_STREAMING || !p->look.as_of_ms || p->source_err.kind != ERR_NONE)
        return -1;
    double lag_s = (double)(clock_wall_us() - p->look.as_of_ms * 1000) / 1e6;
    return behind_of(p) == 0 || lag_s < 0 ? 0 : lag_s;
}

static int print_json(const struct settings *settings, const struct publisher *p)
{
    const struct kafkasink_look *look = &p->look;
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "sink", "kafka");
    json_text(&json, "prefix", settings->kafka_prefix);
    json_text(&json, "state", state_of(p));
    json_bool(&json, "running", p->slot.active);
    json_lsn(&json, "position", look->lsn);
    json_lsn(&json, "confirmed", p->slot.exists ? p->slot.confirmed_lsn : 0);
    json_int(&json, "lag_bytes", (int64_t)behind_of(p));
    if (lag_of(p) >= 0)
        json_double(&json, "lag_seconds", lag_of(p));
    json_int(&json, "dead_letters", (int64_t)look->letters);
    json_int(&json, "resyncs", (int64_t)look->resyncs);
    json_int(&json, "parts", (int64_t)look->parts);
    json_int(&json, "parts_done", (int64_t)look->parts_done);
    json_text(&json, "pause_category", look->paused ? look->pause_category : NULL);
    json_text(&json, "pause_reason", look->paused ? look->pause_reason : NULL);
    json_close(&json, '}');
    return json_print(&json, stdout);
}

static void print_slot(const struct settings *settings, const struct publisher *p)
{
    if (p->source_err.kind != ERR_NONE)
        printf("slot          %s, not known: %s\n", settings->source_slot, p->source_err.message);
    else
        printf("slot          %s, %s\n", settings->source_slot,
               !p->slot.exists  ? "does not exist"
               : p->slot.active ? "is read"
                                : "nobody reads it");
}

static void print_text(const struct settings *settings, const struct publisher *p)
{
    const struct kafkasink_look *look = &p->look;
    char position[LSN_TEXT_MAX], lag[32];
    printf("publisher     topics under %s, %s\n", settings->kafka_prefix, state_of(p));
    if (look->paused)
        printf("paused        %s: %s\n", look->pause_category, look->pause_reason);
    if (look->state == PIPELINE_SNAPSHOT)
        printf("snapshot      %zu of %zu parts\n", look->parts_done, look->parts);
    if (look->state == PIPELINE_STREAMING)
        printf("position      %s\n", lsn_format(look->lsn, position));
    if (lag_of(p) >= 0)
        printf("behind        %.1f MB of the source's WAL, %s\n", (double)behind_of(p) / 1e6,
               progress_duration(lag_of(p), lag, sizeof(lag)));
    print_slot(settings, p);
    printf("dead letters  %zu open\n", look->letters);
    if (look->resyncs)
        printf("resync        %zu table%s or part%s to be read again\n", look->resyncs, look->resyncs == 1 ? "" : "s",
               look->resyncs == 1 ? "" : "s");
}

/* --- one line for Nagios and its kin --- */

enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

static int judge(const struct publisher *p, double warn_s, double critical_s, char *why, size_t size)
{
    const struct kafkasink_look *look = &p->look;
    char text[32];
    double lag_s = lag_of(p);
    snprintf(why, size, "%s", state_of(p));
    if (p->source_err.kind != ERR_NONE) {
        snprintf(why, size, "%s", p->source_err.message);
        return CHECK_UNKNOWN;
    }
    if (look->state == PIPELINE_NEW)
        return CHECK_OK;
    if (look->paused) {
        snprintf(why, size, "paused (%s): %s", look->pause_category, look->pause_reason);
        return CHECK_CRITICAL;
    }
    if (!p->slot.exists || strcmp(p->slot.wal_status, "lost") == 0) {
        snprintf(why, size, "replication slot %s", p->slot.exists ? "is lost" : "does not exist");
        return look->state == PIPELINE_STREAMING || p->slot.exists ? CHECK_CRITICAL : CHECK_OK;
    }
    if (look->state == PIPELINE_SNAPSHOT)
        return CHECK_OK;
    if (!p->slot.active) {
        snprintf(why, size, "no engine runs");
        return CHECK_CRITICAL;
    }
    snprintf(why, size, "%s, %s behind", state_of(p), progress_duration(lag_s > 0 ? lag_s : 0, text, sizeof(text)));
    return lag_s >= critical_s ? CHECK_CRITICAL : lag_s >= warn_s ? CHECK_WARNING : CHECK_OK;
}

static int print_check(const struct cli *cli, const struct publisher *p)
{
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    double warn_s = (double)command_seconds(cli->line, OPT_WARN_LAG, 60),
           critical_s = (double)command_seconds(cli->line, OPT_CRITICAL_LAG, 300);
    char why[ERR_TEXT_MAX + 64];
    int code = judge(p, warn_s, critical_s, why, sizeof(why));
    for (char *c = why; *c; c++) /* the bar and a line break mean something here */
        if (*c == '|' || *c == '\n')
            *c = ' ';
    if (code == CHECK_OK && p->look.letters)
        code = CHECK_WARNING;
    printf("PGREKEY %s - %s%s |", words[code], why, p->look.letters ? "; dead letters are open" : "");
    if (lag_of(p) >= 0)
        printf(" lag=%.3fs;%g;%g;0", lag_of(p), warn_s, critical_s);
    printf(" behind=%" PRIu64 "B dead_letters=%zu\n", behind_of(p), p->look.letters);
    return code;
}

/* --- the command --- */

static int read_slot(const struct cli *cli, struct slot_state *ret_slot, struct err *reterr)
{
    PGconn *conn = NULL;
    int failed =
        cli_open_source(cli, &conn, reterr) != 0 || slot_read(conn, cli->settings->source_slot, ret_slot, reterr) != 0;
    pg_close(conn);
    return failed ? -1 : 0;
}

int status_topics(const struct cli *cli)
{
    const struct settings *settings = cli->settings;
    struct client_options client = topics_client(settings);
    struct publisher p = {0};
    struct err err = {0};
    bool check = command_has(cli->line, OPT_CHECK);
    if (kafkasink_look(&client, settings->kafka_prefix, &p.look, &err) != 0) {
        if (!check)
            return cli_fail(cli->json, &err);
        printf("PGREKEY UNKNOWN - %s |\n", err.message);
        return CHECK_UNKNOWN;
    }
    (void)read_slot(cli, &p.slot, &p.source_err);
    if (check)
        return print_check(cli, &p);
    if (cli->json)
        return print_json(settings, &p) < 0 ? EXIT_INTERNAL : EXIT_OK;
    print_text(settings, &p);
    return EXIT_OK;
}
