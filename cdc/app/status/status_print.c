/* The screen and the JSON of `pgrekey status`. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/app/status/status.h"
#include "cdc/app/cmd/term.h"
#include "cdc/base/arena.h"
#include "cdc/base/lsn.h"

/* Rules beyond these are summed up: the screen stays one. */
#define RULES_SHOWN 24
#define RULE_COLUMNS 5
#define NUMBER_MAX 64

static void label(const char *name)
{
    printf("  %s%-11s%s ", term_colour(stdout, TERM_DIM), name, term_colour(stdout, TERM_PLAIN));
}

static enum term_colour colour_of(const struct status *status)
{
    switch (status->exit_code) {
    case EXIT_OK: return TERM_GREEN;
    case EXIT_FINDINGS: return TERM_YELLOW;
    default: return TERM_RED;
    }
}

/* The server's side stands before it already. */
static void print_unreachable(const char *side, const struct err *err)
{
    size_t len = strlen(side);
    bool named = strncmp(err->message, side, len) == 0 && err->message[len] == ':';
    label(side);
    printf("%s%s%s\n", term_colour(stdout, TERM_RED), err->message + (named ? len + 2 : 0),
           term_colour(stdout, TERM_PLAIN));
}

static void print_head(const struct status *status)
{
    const struct pipeline_report *report = status->report;
    char age[32];
    printf("%s%s%s  %s%s%s", term_colour(stdout, TERM_BOLD), status->settings->pipeline,
           term_colour(stdout, TERM_PLAIN), term_colour(stdout, colour_of(status)), status->state,
           term_colour(stdout, TERM_PLAIN));
    if (report && report->exists && !report->engine_running)
        printf("  (engine not running)");
    else if (report && report->engine_running && report->heartbeat_age_s >= 0)
        printf("  (engine running: %s, heard of %s ago)", report->phase,
               progress_duration(report->heartbeat_age_s, age, sizeof(age)));
    else if (report && report->engine_running)
        printf("  (engine running)");
    putchar('\n');
}

/* How it will go on, and how it went. */
static void print_pace(const struct pipeline_report *report)
{
    char text[32];
    if (report->time_left_s != 0) {
        label("pace");
        printf("the source writes %s/s", progress_bytes(report->source_rate, text, sizeof(text)));
        printf(", %s/s worked off: ", progress_bytes(report->apply_rate, text, sizeof(text)));
        if (report->time_left_s < 0)
            puts("it falls behind");
        else
            printf("caught up in %s\n", progress_duration(report->time_left_s, text, sizeof(text)));
    }
    if (report->p50_s >= 0) {
        label("latency");
        printf("p50 %s", progress_duration(report->p50_s, text, sizeof(text)));
        printf(", p99 %s", progress_duration(report->p99_s, text, sizeof(text)));
        if (report->message_age_s >= 0)
            printf("; newest heartbeat %s ago", progress_duration(report->message_age_s, text, sizeof(text)));
        putchar('\n');
    }
}

static void print_position(const struct status *status)
{
    const struct pipeline_report *report = status->report;
    char lsn[LSN_TEXT_MAX], text[32];
    if (!report || !report->exists || report->position.state != PIPELINE_STREAMING)
        return;
    label("position");
    printf("%s", lsn_format(report->position.lsn, lsn));
    if (report->updated_at[0])
        printf(", written %s", report->updated_at);
    putchar('\n');
    label("stages");
    printf("received %s", report->received_lsn ? lsn_format(report->received_lsn, lsn) : "-");
    printf(", applied %s", lsn_format(report->position.lsn, lsn));
    printf(", confirmed %s\n", report->confirmed_lsn ? lsn_format(report->confirmed_lsn, lsn) : "-");
    label("behind");
    printf("%s", status->has_lag_bytes ? progress_bytes((double)status->lag_bytes, text, sizeof(text)) : "unknown");
    if (status->has_lag_s)
        printf(", %s", progress_duration(status->lag_s, text, sizeof(text)));
    else
        printf(report->engine_running ? ", seconds not known yet" : ", no seconds: the engine is not running");
    if (report->engine_running && report->rows_per_s > 0)
        printf(", applying %s rows/s", progress_count(report->rows_per_s, text, sizeof(text)));
    putchar('\n');
    if (status->has_lag_s)
        print_pace(report);
}

static void print_snapshot(const struct status *status)
{
    const struct pipeline_report *report = status->report;
    char text[32];
    char lsn[LSN_TEXT_MAX];
    if (report && report->join_lsn > report->position.lsn && report->position.state == PIPELINE_STREAMING) {
        label("snapshot");
        printf("resumed; whole transactions once the stream has reached %s\n", lsn_format(report->join_lsn, lsn));
    }
    int left = report ? report->snapshot_parts - report->snapshot_parts_done : 0;
    if (left > 0 && report->position.state == PIPELINE_STREAMING) {
        label("joining");
        printf("%d parts of new tables are still to be copied\n", left);
    }
    if (!report || report->position.state != PIPELINE_SNAPSHOT)
        return;
    label("snapshot");
    printf("%d of %d parts, %s rows", report->snapshot_parts_done, report->snapshot_parts,
           progress_count((double)report->snapshot_rows, text, sizeof(text)));
    if (report->engine_running && report->snapshot_expected)
        printf(" of about %s", progress_count((double)report->snapshot_expected, text, sizeof(text)));
    if (report->engine_running && report->snapshot_left_s >= 0)
        printf(", %s left", progress_duration(report->snapshot_left_s, text, sizeof(text)));
    putchar('\n');
}

static void print_resync(const struct status *status)
{
    const struct pipeline_report *report = status->report;
    char done[32], all[32];
    if (!report || report->resync_count == 0)
        return;
    label("resync");
    printf("%s, %s of about %s rows", report->resync_table,
           progress_count((double)report->resync_rows, done, sizeof(done)),
           progress_count((double)report->resync_expected, all, sizeof(all)));
    if (report->resync_count > 1)
        printf("; then %zu more", report->resync_count - 1);
    if (*report->resync_note)
        printf("; %s", report->resync_note);
    putchar('\n');
}

static void print_fast_load(const struct status *status)
{
    const struct fastload_state *state = status->report ? &status->report->fast_load : NULL;
    if (!state || state->off == 0)
        return;
    label("fast load");
    printf("%zu index%s or foreign key%s off", state->off, state->off == 1 ? "" : "es", state->off == 1 ? "" : "s");
    if (state->failed > 0)
        printf(", %zu could not be built again", state->failed);
    putchar('\n');
}

static void print_source(const struct status *status)
{
    const struct slot_state *slot = &status->slot;
    char text[32];
    if (status->source_err.kind != ERR_NONE) {
        print_unreachable("source", &status->source_err);
        return;
    }
    label("slot");
    if (!slot->exists) {
        printf("%s: none\n", status->settings->source_slot);
        return;
    }
    printf("%s: %s", status->settings->source_slot, slot->active ? "active" : "not active");
    if (status->retained_bytes >= 0)
        printf(", keeps %s of WAL", progress_bytes((double)status->retained_bytes, text, sizeof(text)));
    if (slot->confirmed_lsn && slot->current_lsn > slot->confirmed_lsn)
        printf(", %s not confirmed",
               progress_bytes((double)(slot->current_lsn - slot->confirmed_lsn), text, sizeof(text)));
    if (slot->has_safe_wal_size)
        printf(", lost after %s more", progress_bytes((double)slot->safe_wal_size, text, sizeof(text)));
    else
        printf(", without limit");
    putchar('\n');
}

static void print_quarantine(const struct status *status)
{
    if (!status->report || !status->report->exists)
        return;
    label("quarantine");
    printf("%" PRId64 " open", status->report->quarantine_open);
    if (status->waiting)
        printf(", %" PRId64 " of them waiting for a parent", status->waiting);
    for (size_t i = 0; i < status->category_count; i++)
        printf("%s %s %" PRId64, i ? "," : ":", status->categories[i].name, status->categories[i].count);
    if (status->report->references_waiting)
        printf("; %" PRId64 " optional reference%s waiting", status->report->references_waiting,
               status->report->references_waiting == 1 ? "" : "s");
    putchar('\n');
}

static void print_adoption(const struct status *status)
{
    int64_t rows = 0, merged = 0, left_out = 0;
    size_t rules = 0, open = 0;
    for (size_t i = 0; status->report && i < status->report->account_count; i++) {
        const struct rule_account *account = &status->report->accounts[i];
        if (account->adopted < 0)
            continue;
        rules++;
        open += !account->adoption_done;
        rows += account->adopted;
        merged += account->merged;
        left_out += account->shared + account->missing;
    }
    if (rules == 0)
        return;
    label("adopted");
    printf("%" PRId64 " rows of %zu table%s", rows, rules, rules == 1 ? "" : "s");
    if (merged)
        printf(", %" PRId64 " doubles merged", merged);
    if (left_out)
        printf(", %" PRId64 " claims left out", left_out);
    printf("%s\n", open ? "; under way" : "");
}

/* Those that need eyes first, then by size. */
static int by_interest(const void *left, const void *right)
{
    const struct rule_account *a = left, *b = right;
    int64_t a_bad = a->quarantined + a->failed_deletes, b_bad = b->quarantined + b->failed_deletes;
    if (a_bad != b_bad)
        return a_bad < b_bad ? 1 : -1;
    if (a->mapped != b->mapped)
        return a->mapped < b->mapped ? 1 : -1;
    return strcmp(a->rule, b->rule);
}

/* accepted: of those in quarantine; -1: nothing is said of it */
static void put_row(const char **cells, char (*numbers)[NUMBER_MAX], const char *name, const int64_t *figures,
                    int64_t accepted)
{
    cells[0] = name;
    for (int i = 0; i < 4; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%" PRId64, figures[i]);
        cells[i + 1] = numbers[i];
    }
    if (accepted >= 0)
        snprintf(numbers[1], sizeof(numbers[1]), "%" PRId64 " (of %" PRId64 " accepted)", figures[1], accepted);
}

static void print_rules(const struct status *status)
{
    static const char *const head[RULE_COLUMNS] = {"rule", ">mapped", ">quarantined", ">excluded", ">failed deletes"};
    const char *cells[(RULES_SHOWN + 3) * RULE_COLUMNS];
    char numbers[RULES_SHOWN + 3][4][NUMBER_MAX], rest_name[40];
    int64_t sum[4] = {0}, rest[4] = {0};
    size_t all = status->report ? status->report->account_count : 0, count = 0, rows = 1;
    struct rule_account *accounts = mem_alloc((all + 1) * sizeof(*accounts));
    for (size_t i = 0; i < all; i++)
        if (strcmp(status->report->accounts[i].state, "removed") != 0)
            accounts[count++] = status->report->accounts[i];
    if (count == 0) {
        free(accounts);
        return;
    }
    qsort(accounts, count, sizeof(*accounts), by_interest);
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        const int64_t figures[4] = {accounts[i].mapped, accounts[i].quarantined, accounts[i].excluded,
                                    accounts[i].failed_deletes};
        for (int j = 0; j < 4; j++) {
            sum[j] += figures[j];
            rest[j] += i >= RULES_SHOWN ? figures[j] : 0;
        }
        if (i < RULES_SHOWN) {
            put_row(cells + rows * RULE_COLUMNS, numbers[rows], accounts[i].rule, figures, accounts[i].accepted);
            rows++;
        }
    }
    if (count > RULES_SHOWN) {
        snprintf(rest_name, sizeof(rest_name), "%zu more (--json)", count - RULES_SHOWN);
        put_row(cells + rows * RULE_COLUMNS, numbers[rows], rest_name, rest, -1);
        rows++;
    }
    if (count > 1) {
        put_row(cells + rows * RULE_COLUMNS, numbers[rows], "all", sum, -1);
        rows++;
    }
    putchar('\n');
    term_table(stdout, RULE_COLUMNS, rows, cells);
    free(accounts);
}

/* A partition that is read to its end is not listed. */
static void print_replay(const struct status *status)
{
    int64_t behind = 0;
    for (size_t i = 0; i < status->lane_count; i++)
        behind += status->lanes[i].high - status->lanes[i].offset;
    if (status->source_err.kind != ERR_NONE) {
        print_unreachable("kafka", &status->source_err);
        return;
    }
    label("topics");
    printf("%s: %zu partitions, %lld messages behind\n", status->settings->kafka_prefix, status->lane_count,
           (long long)behind);
    for (size_t i = 0; i < status->lane_count; i++)
        if (status->lanes[i].high > status->lanes[i].offset)
            printf("    %s/%d: %lld\n", status->lanes[i].topic, status->lanes[i].partition,
                   (long long)(status->lanes[i].high - status->lanes[i].offset));
}

void status_print(const struct status *status)
{
    print_head(status);
    if (status->target_err.kind != ERR_NONE)
        print_unreachable("target", &status->target_err);
    if (*status->live) {
        label("engine");
        printf("%s (by http)\n", status->live);
    }
    print_position(status);
    print_snapshot(status);
    print_resync(status);
    print_fast_load(status);
    if (status->replay)
        print_replay(status);
    else
        print_source(status);
    print_quarantine(status);
    print_adoption(status);
    print_rules(status);
    if (status->note_count)
        putchar('\n');
    for (size_t i = 0; i < status->note_count; i++)
        printf("  %s!%s %s\n    %s\n", term_colour(stdout, TERM_YELLOW), term_colour(stdout, TERM_PLAIN),
               status->notes[i].fact, status->notes[i].remedy);
    if (status->report && status->report->initialised && !status->report->exists && status->note_count == 0)
        printf("\n  no snapshot has been taken yet: pgrekey check, then pgrekey run\n");
}

/* --- JSON --- */

static void put_side(struct json *json, const char *key, const struct err *err)
{
    json_open(json, key, '{');
    json_bool(json, "reachable", err->kind == ERR_NONE);
    json_text(json, "error", err->kind == ERR_NONE ? NULL : err->message);
    json_text(json, "hint", err->hint[0] ? err->hint : NULL);
    json_close(json, '}');
}

static void put_slot(struct json *json, const struct status *status)
{
    const struct slot_state *slot = &status->slot;
    if (status->source_err.kind != ERR_NONE) {
        json_null(json, "slot");
        return;
    }
    json_open(json, "slot", '{');
    json_text(json, "name", status->settings->source_slot);
    json_bool(json, "exists", slot->exists);
    json_bool(json, "active", slot->active);
    json_text(json, "plugin", slot->exists ? slot->plugin : NULL);
    json_text(json, "wal_status", slot->exists ? slot->wal_status : NULL);
    json_lsn(json, "restart_lsn", slot->restart_lsn);
    json_lsn(json, "confirmed_lsn", slot->confirmed_lsn);
    json_lsn(json, "source_lsn", slot->current_lsn);
    if (status->retained_bytes >= 0)
        json_int(json, "retained_bytes", status->retained_bytes);
    else
        json_null(json, "retained_bytes");
    if (slot->has_safe_wal_size)
        json_int(json, "safe_wal_size", slot->safe_wal_size);
    else
        json_null(json, "safe_wal_size");
    json_close(json, '}');
}

static void put_engine(struct json *json, const struct pipeline_report *report)
{
    json_open(json, "engine", '{');
    json_bool(json, "running", report->engine_running);
    if (report->heartbeat_age_s >= 0)
        json_double(json, "heartbeat_age_s", report->heartbeat_age_s);
    else
        json_null(json, "heartbeat_age_s");
    json_text(json, "phase", report->engine_running && report->phase[0] ? report->phase : NULL);
    json_double(json, "rows_per_s", report->engine_running ? report->rows_per_s : 0);
    json_lsn(json, "received_lsn", report->received_lsn);
    json_lsn(json, "confirmed_lsn", report->confirmed_lsn);
    json_close(json, '}');
    json_open(json, "resync", '{');
    json_int(json, "waiting", (int64_t)report->resync_count);
    json_text(json, "table", report->resync_count ? report->resync_table : NULL);
    json_int(json, "rows", report->resync_rows);
    json_int(json, "expected", report->resync_expected);
    json_text(json, "note", *report->resync_note ? report->resync_note : NULL);
    json_close(json, '}');
    json_open(json, "snapshot", '{');
    json_int(json, "parts", report->snapshot_parts);
    json_int(json, "parts_done", report->snapshot_parts_done);
    json_int(json, "rows", report->snapshot_rows);
    json_int(json, "rows_expected", report->snapshot_expected);
    if (report->engine_running && report->snapshot_left_s >= 0)
        json_double(json, "time_left_s", report->snapshot_left_s);
    else
        json_null(json, "time_left_s");
    json_lsn(json, "joined_at", report->join_lsn);
    json_int(json, "taken_off", (int64_t)report->fast_load.off);
    json_int(json, "not_built_again", (int64_t)report->fast_load.failed);
    json_close(json, '}');
}

static void put_adoption(struct json *json, const struct rule_account *account)
{
    if (account->adopted < 0)
        return;
    json_open(json, "adoption", '{');
    json_bool(json, "done", account->adoption_done);
    json_int(json, "adopted", account->adopted);
    json_int(json, "merged", account->merged);
    json_int(json, "shared", account->shared);
    json_int(json, "missing", account->missing);
    json_int(json, "others", account->others);
    json_close(json, '}');
}

static void put_rules(struct json *json, const struct pipeline_report *report)
{
    json_open(json, "rules", '[');
    for (size_t i = 0; i < report->account_count; i++) {
        const struct rule_account *account = &report->accounts[i];
        json_open(json, NULL, '{');
        json_text(json, "rule", account->rule);
        json_text(json, "state", account->state);
        json_text(json, "source_table", account->source_table);
        json_text(json, "target_table", account->target_table);
        json_int(json, "mapped", account->mapped);
        json_int(json, "quarantined", account->quarantined);
        json_int(json, "excluded", account->excluded);
        json_int(json, "failed_deletes", account->failed_deletes);
        put_adoption(json, account);
        if (account->accepted >= 0)
            json_int(json, "accepted_loss", account->accepted);
        else
            json_null(json, "accepted_loss");
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void put_known(struct json *json, const char *key, bool known, double value)
{
    if (known && value >= 0)
        json_double(json, key, value);
    else
        json_null(json, key);
}

static void put_pace(struct json *json, const struct status *status)
{
    const struct pipeline_report *report = status->report;
    bool running = report->engine_running;
    put_known(json, "time_left_s", status->has_lag_s, report->time_left_s);
    put_known(json, "source_bytes_per_s", running, report->source_rate);
    put_known(json, "apply_bytes_per_s", running, report->apply_rate);
    put_known(json, "heartbeat_age_s", running, report->message_age_s);
    put_known(json, "p50_s", running, report->p50_s);
    put_known(json, "p99_s", running, report->p99_s);
}

static void put_pipeline(struct json *json, const struct status *status)
{
    const struct pipeline_report *report = status->report;
    bool paused = report->position.paused;
    json_bool(json, "paused", paused);
    json_text(json, "pause_category", paused ? report->position.pause_category : NULL);
    json_text(json, "pause_reason", paused ? report->position.pause_reason : NULL);
    json_lsn(json, "position", report->position.lsn);
    json_text(json, "updated_at", report->updated_at[0] ? report->updated_at : NULL);
    json_open(json, "lag", '{');
    if (status->has_lag_bytes)
        json_int(json, "bytes", (int64_t)status->lag_bytes);
    else
        json_null(json, "bytes");
    if (status->has_lag_s)
        json_double(json, "seconds", status->lag_s);
    else
        json_null(json, "seconds");
    put_pace(json, status);
    json_close(json, '}');
    put_engine(json, report);
    json_open(json, "source_identity", '{');
    json_text(json, "system_identifier", report->exists ? report->source.system_identifier : NULL);
    json_int(json, "timeline", report->source.timeline);
    json_text(json, "database", report->exists ? report->source.database : NULL);
    json_close(json, '}');
    json_open(json, "quarantine", '{');
    json_int(json, "open", report->quarantine_open);
    json_int(json, "waiting", status->waiting);
    json_int(json, "references_waiting", report->references_waiting);
    json_open(json, "by_category", '{');
    for (size_t i = 0; i < status->category_count; i++)
        json_int(json, status->categories[i].name, status->categories[i].count);
    json_close(json, '}');
    json_close(json, '}');
    put_rules(json, report);
}

static void put_replay(struct json *json, const struct status *status)
{
    json_open(json, "replay", '[');
    for (size_t i = 0; i < status->lane_count; i++) {
        json_open(json, NULL, '{');
        json_text(json, "topic", status->lanes[i].topic);
        json_int(json, "partition", status->lanes[i].partition);
        json_int(json, "offset", status->lanes[i].offset);
        json_int(json, "behind", status->lanes[i].high - status->lanes[i].offset);
        json_close(json, '}');
    }
    json_close(json, ']');
}

int status_print_json(const struct status *status)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "pipeline", status->settings->pipeline);
    json_text(&json, "state", status->state);
    json_text(&json, "live", *status->live ? status->live : NULL);
    put_side(&json, "source", &status->source_err);
    put_side(&json, "target", &status->target_err);
    if (status->report)
        put_pipeline(&json, status);
    if (status->replay)
        put_replay(&json, status);
    else
        put_slot(&json, status);
    json_open(&json, "attention", '[');
    for (size_t i = 0; i < status->note_count; i++) {
        json_open(&json, NULL, '{');
        json_text(&json, "fact", status->notes[i].fact);
        json_text(&json, "remedy", status->notes[i].remedy);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_int(&json, "exit_code", status->exit_code);
    json_close(&json, '}');
    return json_print(&json, stdout);
}
