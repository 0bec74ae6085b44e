/* /metrics. A figure that is not known is left out, not made zero. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "cdc/app/monitor/render.h"

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(struct buf *out, double value)
{
    if (isinf(value))
        buf_puts(out, value > 0 ? "+Inf" : "-Inf");
    else if (value == floor(value) && fabs(value) < 1e15)
        buf_printf(out, "%.0f", value);
    else
        buf_printf(out, "%.9g", value);
}

/* labels: as they stand between the braces, or NULL. */
static void sample(struct buf *out, const char *name, const char *labels, double value)
{
    buf_puts(out, name);
    if (labels && *labels)
        buf_printf(out, "{%s}", labels);
    buf_putc(out, ' ');
    put_number(out, value);
    buf_putc(out, '\n');
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
    family(out, name, "gauge", help);
    sample(out, name, NULL, value);
}

static void gauge_if(struct buf *out, bool known, const char *name, const char *help, double value)
{
    if (known)
        gauge(out, name, help, value);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    family(out, name, "counter", help);
    sample(out, name, NULL, (double)value);
}

static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buf_putc(out, '\\');
        if (*value == '\n')
            buf_puts(out, "\\n");
        else
            buf_putc(out, *value);
    }
    buf_putc(out, '"');
}

static void put_histogram(struct buf *out, const char *name, const char *help, const struct histogram *histogram)
{
    uint64_t below = 0;
    family(out, name, "histogram", help);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        below += histogram->counts[i];
        buf_printf(out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name, histogram_bound_s(i), below);
    }
    below += histogram->counts[HISTOGRAM_BOUNDS];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name, below, name,
               (double)histogram->sum_us / 1e6, name, below);
}

/* --- families --- */

static void put_lag(const struct view *view, struct buf *out)
{
    gauge_if(out, view->lag_s >= 0, "pgrekey_lag_seconds",
             "Age of the oldest source transaction that is not on the target; 0 when idle.", view->lag_s);
    gauge_if(out, view->has_lag_bytes, "pgrekey_lag_bytes", "WAL of the source behind the target's position.",
             (double)view->lag_bytes);
    gauge_if(out, view->unconfirmed || view->has_lag_bytes, "pgrekey_unconfirmed_bytes",
             "WAL of the source that the slot has not been told to be safe.", (double)view->unconfirmed);
    gauge_if(out, view->has_lag_bytes && view->lag_s >= 0, "pgrekey_time_left_seconds",
             "Until caught up at the present pace; +Inf while it falls behind.",
             view->time_left_s < 0 ? INFINITY : view->time_left_s);
    gauge(out, "pgrekey_source_wal_bytes_per_second", "WAL written on the source, over half a minute.",
          view->source_rate);
    gauge(out, "pgrekey_apply_wal_bytes_per_second", "WAL worked off, over half a minute.", view->apply_rate);
    put_histogram(out, "pgrekey_end_to_end_latency_seconds",
                  "Commit on the source to commit on the target, each transaction with mapped rows.", view->latency);
    put_histogram(out, "pgrekey_heartbeat_latency_seconds",
                  "A message sent on the source until all that committed before it is on the target.", view->heartbeat);
    gauge_if(out, view->heartbeat_age_s >= 0, "pgrekey_heartbeat_age_seconds",
             "Since the newest heartbeat that came through the whole pipeline was sent.", view->heartbeat_age_s);
    gauge(out, "pgrekey_heartbeat_interval_seconds", "How often one is sent; 0: never.", view->heartbeat_interval_s);
}

static void put_state(const struct view *view, struct buf *out)
{
    char labels[128];
    family(out, "pgrekey_build_info", "gauge", "The version, as a label.");
    sample(out, "pgrekey_build_info", "version=\"" PGREKEY_VERSION "\"", 1);
    family(out, "pgrekey_phase", "gauge", "1 for the phase that the pipeline is in.");
    for (int i = 0; i < VITALS_PHASES; i++) {
        snprintf(labels, sizeof(labels), "phase=\"%s\"", vitals_phase_name((enum vitals_phase)i));
        sample(out, "pgrekey_phase", labels, (int)view->phase == i);
    }
    family(out, "pgrekey_paused", "gauge", "1 where the pipeline waits for an operator; the label says why.");
    snprintf(labels, sizeof(labels), "category=\"%s\"", view->pause_category);
    sample(out, "pgrekey_paused", labels, view->paused);
    gauge(out, "pgrekey_ready", "1 where /readyz says so.", *view_not_ready(view) == '\0');
    gauge(out, "pgrekey_source_up", "1 where the last look at the source succeeded.", view->source_reached);
    gauge_if(out, view->has_target, "pgrekey_target_up", "1 where the last look at the target succeeded.",
             view->target_reached);
    counter(out, "pgrekey_reconnects_total", "Sessions that ended by a failure and were begun anew.", view->reconnects);
}

static void put_stages(const struct view *view, struct buf *out)
{
    char labels[64];
    family(out, "pgrekey_stage_lsn", "gauge", "How far a stage is, as a position in the source's WAL.");
    for (int i = 0; i < VITALS_STAGES; i++) {
        snprintf(labels, sizeof(labels), "stage=\"%s\"", vitals_stage_name((enum vitals_stage)i));
        sample(out, "pgrekey_stage_lsn", labels, (double)view->stages[i].lsn);
    }
    family(out, "pgrekey_stage_items_total", "counter",
           "What went through a stage: received transactions, decoded changes, transformed and applied rows.");
    for (int i = 0; i < STAGE_CONFIRMED; i++) {
        snprintf(labels, sizeof(labels), "stage=\"%s\"", vitals_stage_name((enum vitals_stage)i));
        sample(out, "pgrekey_stage_items_total", labels, (double)view->stages[i].items);
    }
    put_histogram(out, "pgrekey_apply_batch_seconds", "What applying a batch took.", view->batch);
    counter(out, "pgrekey_apply_batches_total", "Batches applied.", view->batches);
    counter(out, "pgrekey_apply_row_mode_batches_total",
            "Batches that failed as a set and were applied again row by row.", view->row_mode_batches);
    counter(out, "pgrekey_completed_rows_total", "Rows that had to be read from the source by key.", view->completed);
    gauge(out, "pgrekey_open_transaction_rows", "Rows so far of the source transaction being received.",
          (double)view->open_rows);
    gauge(out, "pgrekey_largest_transaction_rows", "Rows of the largest source transaction since the start.",
          (double)view->largest_rows);
}

static void put_slot(const struct view *view, struct buf *out)
{
    static const char *const statuses[] = {"reserved", "extended", "unreserved", "lost"};
    const struct slot_state *slot = &view->slot;
    char labels[64];
    if (view->source_age_s < 0)
        return;
    gauge(out, "pgrekey_slot_exists", "1 where the replication slot is there.", slot->exists);
    gauge(out, "pgrekey_slot_active", "1 where somebody reads it.", slot->exists && slot->active);
    gauge_if(out, view->retained_bytes >= 0, "pgrekey_slot_retained_bytes", "WAL that the slot keeps on the source.",
             (double)view->retained_bytes);
    gauge_if(out, slot->has_safe_wal_size, "pgrekey_slot_safe_wal_bytes",
             "WAL that may still be written before the slot is in danger of being lost.", (double)slot->safe_wal_size);
    family(out, "pgrekey_slot_wal_status", "gauge", "1 for the slot's wal_status.");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        snprintf(labels, sizeof(labels), "status=\"%s\"", statuses[i]);
        sample(out, "pgrekey_slot_wal_status", labels, strcmp(slot->wal_status, statuses[i]) == 0);
    }
    gauge_if(out, view->guard.limit_bytes > 0, "pgrekey_slot_limit_bytes",
             "How much the slot may keep: the budget or the server's limit, what comes first.",
             (double)view->guard.limit_bytes);
    gauge_if(out, view->guard.limit_bytes > 0, "pgrekey_slot_used_ratio", "Retained WAL as a part of that.",
             view->guard.used);
    gauge_if(out, view->guard.limit_bytes > 0, "pgrekey_slot_full_in_seconds",
             "Until that is used up, as it grew in the last minutes; +Inf where it does not grow.",
             view->guard.full_in_s < 0 ? INFINITY : view->guard.full_in_s);
    gauge(out, "pgrekey_guard_level", "The guard over the source's WAL: 0 calm, 1 warn, 2 act, 3 full.",
          view->guard.level);
    gauge_if(out, view->oldest_transaction_s >= 0, "pgrekey_source_oldest_transaction_seconds",
             "Age of the source's oldest open transaction.", view->oldest_transaction_s);
    gauge_if(out, view->catalog_xmin_age >= 0, "pgrekey_slot_catalog_xmin_age",
             "Transactions since the slot's catalog_xmin.", (double)view->catalog_xmin_age);
}

static void put_snapshot(const struct view *view, struct buf *out)
{
    gauge(out, "pgrekey_snapshot_rows", "Rows of the snapshot under way, or of the last one.",
          (double)view->snapshot_rows);
    gauge(out, "pgrekey_snapshot_rows_expected", "About how many there are.", (double)view->snapshot_expected);
    gauge(out, "pgrekey_snapshot_parts", "Parts of the recorded plan.", view->snapshot_parts);
    gauge(out, "pgrekey_snapshot_parts_done", "Those that are on the target.", view->snapshot_parts_done);
    gauge_if(out, view->snapshot_left_s >= 0, "pgrekey_snapshot_time_left_seconds", "At the present pace.",
             view->snapshot_left_s);
    gauge(out, "pgrekey_resync_waiting", "Tables that are to be read again.", (double)view->resync_count);
}

static void put_by_rule(const struct view *view, struct buf *out, const char *name, const char *type, const char *help,
                        double (*value)(const struct view_rule *rule))
{
    family(out, name, type, help);
    for (size_t i = 0; i < view->rule_count; i++) {
        const struct view_rule *rule = &view->rules[i];
        buf_printf(out, "%s{", name);
        put_label(out, "rule", rule->name);
        buf_putc(out, ',');
        put_label(out, "source", rule->source_table);
        buf_putc(out, ',');
        put_label(out, "target", rule->target_table);
        buf_puts(out, "} ");
        put_number(out, value(rule));
        buf_putc(out, '\n');
    }
}

static double applied(const struct view_rule *rule)
{
    return (double)rule->rows;
}
static double mapped(const struct view_rule *rule)
{
    return (double)rule->mapped;
}
static double excluded(const struct view_rule *rule)
{
    return (double)rule->excluded;
}
static double failed_deletes(const struct view_rule *rule)
{
    return (double)rule->failed_deletes;
}

static void put_account(const struct view *view, struct buf *out)
{
    if (!view->has_report)
        return;
    put_by_rule(view, out, "pgrekey_rule_applied_rows_total", "counter", "Rows applied since the start, by rule.",
                applied);
    put_by_rule(view, out, "pgrekey_rule_mapped_rows", "gauge", "Source rows that are mapped, by rule.", mapped);
    put_by_rule(view, out, "pgrekey_rule_excluded_rows", "gauge", "Source rows excluded by the rule or by decision.",
                excluded);
    put_by_rule(view, out, "pgrekey_rule_failed_deletes", "gauge", "Deletes that the target refused.", failed_deletes);
    family(out, "pgrekey_quarantine_rows", "gauge", "Rows that stand aside, without those that wait for a parent.");
    for (size_t i = 0; i < view->quarantine_count; i++) {
        const struct view_quarantine *row = &view->quarantine[i];
        if (row->open == row->waiting)
            continue;
        buf_puts(out, "pgrekey_quarantine_rows{");
        put_label(out, "rule", row->rule);
        buf_putc(out, ',');
        put_label(out, "category", row->category);
        buf_printf(out, "} %" PRId64 "\n", row->open - row->waiting);
    }
    double oldest_s = 0;
    for (size_t i = 0; i < view->quarantine_count; i++)
        if (view->quarantine[i].open > view->quarantine[i].waiting && view->quarantine[i].oldest_s > oldest_s)
            oldest_s = view->quarantine[i].oldest_s;
    gauge(out, "pgrekey_quarantine_oldest_seconds", "Age of the oldest of them.", oldest_s);
    gauge(out, "pgrekey_parked_rows", "Rows that wait for a parent.", (double)view->waiting);
    gauge(out, "pgrekey_pending_references", "Optional references that are NULL until their parent comes.",
          (double)view->references_waiting);
}

/* Figures of publisher and replay: there where they run. */
static void put_series(const struct view *view, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"pgrekey_publish_lag_seconds", "gauge", "Age of the oldest source transaction that is not published."},
        {"pgrekey_publish_lag_bytes", "gauge", "WAL of the source behind the published position."},
        {"pgrekey_publish_position_lsn", "gauge", "The published position."},
        {"pgrekey_published_records_total", "counter", "Records that were published, by topic."},
        {"pgrekey_publish_queue_records", "gauge", "Records in the producer's queue."},
        {"pgrekey_publish_failed_deliveries_total", "counter", "Records that the broker refused."},
        {"pgrekey_publish_transactions_total", "counter", "Kafka transactions that were committed."},
        {"pgrekey_replay_lag_records", "gauge", "Records not yet applied, by topic and partition."},
        {"pgrekey_replay_lag_seconds", "gauge", "Age of the oldest record not yet applied."},
        {"pgrekey_replay_offset", "gauge", "The offset that is stored with the data."},
        {"pgrekey_replay_applied_records_total", "counter", "Records that were applied."},
        {"pgrekey_replay_parked_rows", "gauge", "Rows that wait for a parent."},
        {"pgrekey_verify_mismatches", "gauge", "Rows that differ, by table, of the last verification."},
        {"pgrekey_verify_last_good_timestamp_seconds", "gauge", "When the last verification ended without any."},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
        bool begun = false;
        for (size_t j = 0; j < view->series_count; j++) {
            const struct vitals_series *series = &view->series[j];
            if (strcmp(series->name, families[i].name) != 0)
                continue;
            if (!begun)
                family(out, families[i].name, families[i].type, families[i].help);
            begun = true;
            sample(out, series->name, series->labels, series->value);
        }
    }
}

static void put_process(const struct view *view, struct buf *out)
{
    gauge(out, "process_resident_memory_bytes", "Resident memory.", (double)view->resident_bytes);
    family(out, "process_cpu_seconds_total", "counter", "CPU time.");
    sample(out, "process_cpu_seconds_total", NULL, view->cpu_s);
    gauge(out, "process_start_time_seconds", "When it started, since 1970.",
          (double)view->wall_us / 1e6 - view->uptime_s);
}

void render_metrics(const struct view *view, struct buf *out)
{
    put_state(view, out);
    put_lag(view, out);
    put_stages(view, out);
    put_slot(view, out);
    put_snapshot(view, out);
    put_account(view, out);
    counter(out, "pgrekey_quarantined_total", "Rows that went to quarantine since the start.", view->quarantined_ever);
    put_series(view, out);
    put_process(view, out);
}
