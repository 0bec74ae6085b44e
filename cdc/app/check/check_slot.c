/* The slot, the position on the target, and whether the two belong together. */
#include <string.h>

#include "cdc/app/check/check.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

#define SIDE "position"
#define AFRESH "pgrekey drop; empty the target tables; then take a new snapshot: pgrekey run"

static bool slot_is_ours(struct check *check)
{
    if (!check->slot_read || !check->slot.exists)
        return false;
    const struct slot_state *slot = &check->slot;
    const char *name = check->settings->source_slot, *database = PQdb(check->source);
    switch (slot_kind(slot, database)) {
    case SLOT_OURS: return true;
    case SLOT_PHYSICAL:
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_plugin", "choose another source.slot",
                     "slot %s is a physical slot", name);
        break;
    case SLOT_OTHER_PLUGIN:
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_plugin", "choose another source.slot",
                     "slot %s is of plugin %s, not of wal2json", name, slot->plugin);
        break;
    case SLOT_OTHER_DATABASE:
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_database", "choose another source.slot",
                     "slot %s belongs to database %s, not to %s", name, slot->database, database);
        break;
    }
    return false;
}

static void check_health(struct check *check)
{
    const struct slot_state *slot = &check->slot;
    const char *name = check->settings->source_slot;
    char text[32];
    if (strcmp(slot->wal_status, "lost") == 0) {
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_lost", "run: " AFRESH,
                     "slot %s is lost: the source removed WAL that it needed", name);
        return;
    }
    if (strcmp(slot->wal_status, "unreserved") == 0)
        findings_add(&check->findings, FINDING_WARNING, SIDE, "slot_unreserved",
                     "start the engine at once, or raise max_slot_wal_keep_size",
                     "slot %s will be lost at the source's next checkpoint", name);
    findings_add(&check->findings, FINDING_INFO, SIDE, "slot_wal", NULL, "slot %s keeps %s of WAL on the source", name,
                 progress_bytes((double)(slot->current_lsn - slot->restart_lsn), text, sizeof(text)));
    if (!slot->active)
        return;
    if (check->report && check->report->engine_running)
        findings_add(&check->findings, FINDING_INFO, SIDE, "slot_active", NULL,
                     "slot %s is read by the running engine (session %d)", name, slot->active_pid);
    else
        findings_add(&check->findings, FINDING_WARNING, SIDE, "slot_taken",
                     "stop whoever reads it, or choose another source.slot; a dead session lets go after "
                     "wal_sender_timeout",
                     "slot %s is taken by session %d, and no engine of this pipeline runs", name, slot->active_pid);
}

static void check_record(struct check *check, bool ours)
{
    const struct pipeline_report *report = check->report;
    const struct settings *settings = check->settings;
    char at[LSN_TEXT_MAX], confirmed[LSN_TEXT_MAX];
    if (report->exists && strcmp(report->slot, settings->source_slot) != 0)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_name",
                     "set source.slot to the recorded one, or name another pipeline",
                     "pipeline %s is recorded with slot %s, the settings name %s", settings->pipeline, report->slot,
                     settings->source_slot);
    if (report->position.paused)
        findings_add(&check->findings, FINDING_WARNING, SIDE, "paused", "mend what it names, then run: pgrekey resume",
                     "the pipeline is paused: %s", report->position.pause_reason);
    if (report->position.state == PIPELINE_NEW && ours)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_unknown",
                     "run: pgrekey drop (where no other pipeline uses it), or choose another source.slot",
                     "slot %s exists already, but the target has no position for it", settings->source_slot);
    if (report->position.state == PIPELINE_SNAPSHOT && !report->engine_running)
        findings_add(&check->findings, FINDING_INFO, SIDE, "snapshot_cut_off", NULL,
                     "a snapshot was cut off; the next run removes what it wrote and starts over");
    if (report->position.state != PIPELINE_STREAMING)
        return;
    if (!check->slot.exists)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "slot_gone", "run: " AFRESH,
                     "slot %s is gone from the source: changes since the target's position may be lost",
                     settings->source_slot);
    else if (ours && check->slot.confirmed_lsn > report->position.lsn)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "position_behind",
                     "restore a newer backup of the target, or begin afresh: " AFRESH,
                     "the target's position %s lies behind slot %s, confirmed up to %s: the target was restored to an "
                     "older state, or somebody else used the slot",
                     lsn_format(report->position.lsn, at), settings->source_slot,
                     lsn_format(check->slot.confirmed_lsn, confirmed));
}

/* Only a replication connection tells a plain role who the server is. */
static void check_identity(struct check *check)
{
    const struct source_identity *known = &check->report->source;
    struct source_identity now;
    struct err err = {0};
    PGconn *conn = NULL;
    if (cli_open_replication(check->cli, &conn, &err) < 0 || slot_identify(conn, &now, NULL, &err) < 0) {
        check_add_err(check, "source", "replication_connection", &err);
    } else if (check->report->exists && (strcmp(known->system_identifier, now.system_identifier) != 0 ||
                                         strcmp(known->database, now.database) != 0)) {
        findings_add(&check->findings, FINDING_ERROR, SIDE, "other_source",
                     "point source.dsn back, or name another pipeline; to begin afresh with this source: " AFRESH,
                     "pipeline %s was taken from database %s of system %s, this source is database %s of system %s",
                     check->settings->pipeline, known->database, known->system_identifier, now.database,
                     now.system_identifier);
    } else if (check->report->exists && known->timeline != now.timeline) {
        findings_add(&check->findings, FINDING_ERROR, SIDE, "other_timeline", "run: " AFRESH,
                     "the source is on timeline %u, the position was taken on timeline %u: it was restored or failed "
                     "over, and before PostgreSQL 17 slots do not follow",
                     now.timeline, known->timeline);
    }
    pg_close(conn);
}

static void add_step(struct check *check, const struct sink_step *step)
{
    char remedy[ERR_TEXT_MAX];
    snprintf(remedy, sizeof(remedy), "run it, then: pgrekey resync %s", step->source_table);
    if (strcmp(step->state, "new") == 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "step_new", NULL,
                     "%s %s is new: %s when the next run begins", step->kind, step->name,
                     *step->source_table ? "its table is copied" : "it is run over all keys");
    else if (strcmp(step->state, "back") == 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "step_back", NULL,
                     "%s %s is in the mapping again: its table is read again when the next run begins, over the rows "
                     "that are there",
                     step->kind, step->name);
    else if (strcmp(step->state, "removed") == 0)
        findings_add(&check->findings, FINDING_WARNING, SIDE, "step_removed", NULL,
                     "%s %s is not in the mapping any more: its rows stay, out of the account", step->kind, step->name);
    else if (strcmp(step->kind, "rule") != 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "step_changed", NULL,
                     "%s %s was changed: it is %s when the next run begins, before the stream goes on", step->kind,
                     step->name, *step->source_table ? "copied again" : "run again over all keys");
    else
        findings_add(&check->findings, FINDING_WARNING, SIDE, "step_changed", remedy,
                     "%s %s was changed: the rows that are there stay as the older mapping made them", step->kind,
                     step->name);
}

/* What a changed mapping would mean for the rows that stand there already. */
static void check_changes(struct check *check)
{
    const struct mapping *mapping = &check->mapping;
    struct sink_step *steps = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!check->report->exists || !mapping->source || !mapping->target || map_issues_have_errors(&mapping->issues))
        return;
    if (pipeline_compare_mapping(check->target, check->settings->pipeline, mapping->map, &steps, &count, &err) < 0)
        check_add_err(check, SIDE, "mapping_changed", &err);
    for (size_t i = 0; i < count; i++)
        add_step(check, &steps[i]);
    sink_steps_free(steps, count);
}

void check_slot(struct check *check)
{
    bool ours = slot_is_ours(check);
    if (ours)
        check_health(check);
    if (!check->report || !check->report->initialised)
        return;
    if (check->slot_read)
        check_record(check, ours);
    check_changes(check);
    if (check->can_replicate)
        check_identity(check);
}
