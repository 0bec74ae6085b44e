/* The view as JSON, for `pgrekey status` where the target does not answer, and for whoever wants to script. */
#include "cdc/app/cmd/json.h"
#include "cdc/app/monitor/render.h"
#include "cdc/app/cmd/progress.h"

static void known(struct json *json, const char *key, double value)
{
    if (value < 0)
        json_null(json, key);
    else
        json_double(json, key, value);
}

static void put_lag(const struct view *view, struct json *json)
{
    json_open(json, "lag", '{');
    known(json, "seconds", view->lag_s);
    if (view->has_lag_bytes)
        json_int(json, "bytes", (int64_t)view->lag_bytes);
    else
        json_null(json, "bytes");
    known(json, "time_left_s", view->has_lag_bytes ? view->time_left_s : -1);
    json_double(json, "source_bytes_per_s", view->source_rate);
    json_double(json, "apply_bytes_per_s", view->apply_rate);
    known(json, "heartbeat_age_s", view->heartbeat_age_s);
    known(json, "p50_s", histogram_quantile_s(view->latency, 0.5));
    known(json, "p95_s", histogram_quantile_s(view->latency, 0.95));
    known(json, "p99_s", histogram_quantile_s(view->latency, 0.99));
    json_close(json, '}');
}

static void put_stages(const struct view *view, struct json *json)
{
    json_open(json, "stages", '[');
    for (int i = 0; i < VITALS_STAGES; i++) {
        json_open(json, NULL, '{');
        json_text(json, "stage", vitals_stage_name((enum vitals_stage)i));
        json_lsn(json, "lsn", view->stages[i].lsn);
        json_int(json, "items", (int64_t)view->stages[i].items);
        json_double(json, "per_s", view->stages[i].rate);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void render_line(const struct view *view, struct buf *out)
{
    char text[32];
    buf_printf(out, "%s", view->paused ? "paused" : vitals_phase_name(view->phase));
    if (view->lag_s >= 0)
        buf_printf(out, ", %s behind", progress_duration(view->lag_s, text, sizeof(text)));
    if (view->has_lag_bytes) {
        buf_printf(out, " (%s of WAL)", progress_bytes((double)view->lag_bytes, text, sizeof(text)));
        if (view->time_left_s < 0)
            buf_puts(out, ", falls behind");
        else if (view->time_left_s > 0)
            buf_printf(out, ", caught up in %s", progress_duration(view->time_left_s, text, sizeof(text)));
    }
    if (!view->source_reached)
        buf_puts(out, ", the source does not answer");
    if (view->has_target && !view->target_reached)
        buf_puts(out, ", the target does not answer");
    buf_putc(out, '\n');
}

void render_json(const struct view *view, struct buf *out)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "pipeline", view->pipeline);
    json_text(&json, "phase", vitals_phase_name(view->phase));
    json_bool(&json, "paused", view->paused);
    json_text(&json, "pause_category", view->paused ? view->pause_category : NULL);
    json_text(&json, "pause_reason", view->paused ? view->pause_reason : NULL);
    json_text(&json, "not_ready", *view_not_ready(view) ? view_not_ready(view) : NULL);
    put_lag(view, &json);
    put_stages(view, &json);
    json_open(&json, "slot", '{');
    json_bool(&json, "exists", view->slot.exists);
    known(&json, "retained_bytes", (double)view->retained_bytes);
    known(&json, "limit_bytes", view->guard.limit_bytes ? (double)view->guard.limit_bytes : -1);
    json_text(&json, "guard", guard_level_name(view->guard.level));
    known(&json, "full_in_s", view->guard.full_in_s);
    json_close(&json, '}');
    json_open(&json, "quarantine", '{');
    json_int(&json, "open", view->quarantine_open);
    json_int(&json, "waiting", view->waiting);
    json_close(&json, '}');
    json_bool(&json, "source_reached", view->source_reached);
    json_bool(&json, "target_reached", view->target_reached);
    json_close(&json, '}');
    buf_append(out, json.buf.data, json.buf.len);
    buf_putc(out, '\n');
    json_done(&json);
}
