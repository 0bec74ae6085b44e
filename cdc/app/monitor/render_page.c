/* The status page. Sections that change carry data-part: the page's script puts fresh ones in their place. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdc/app/monitor/render.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"

void render_put_text(struct buf *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '&': buf_puts(out, "&amp;"); break;
        case '"': buf_puts(out, "&quot;"); break;
        default: buf_putc(out, *text);
        }
}

/* --- the head: one word, one sentence --- */

static const char *mood(const struct view *view)
{
    if (view->paused || view->guard.level >= GUARD_ACT || view->lag_s > 300 || view->phase == PHASE_RECONNECTING)
        return "bad";
    if (view->lag_s > 60 || view->guard.level == GUARD_WARN || !view->source_reached ||
        (view->has_target && !view->target_reached) || view->quarantine_open > view->waiting)
        return "warn";
    return "ok";
}

static const char *state_word(const struct view *view)
{
    if (view->paused)
        return "Paused";
    switch (view->phase) {
    case PHASE_CONNECTING: return "Connecting";
    case PHASE_SNAPSHOT: return "Taking the snapshot";
    case PHASE_STREAMING: return "Streaming";
    case PHASE_PAUSED: return "Paused";
    case PHASE_RECONNECTING: return "Reconnecting";
    }
    return "";
}

static const char *lag_text(const struct view *view, char *text, size_t size)
{
    if (view->lag_s < 0)
        snprintf(text, size, "not known");
    else if (view->lag_s < 0.05)
        snprintf(text, size, "0 s");
    else
        progress_duration(view->lag_s, text, size);
    return text;
}

static void put_head(const struct view *view, struct buf *out)
{
    char lag[32], when[32], duration[32];
    buf_puts(out, "<header data-part=\"head\"><h1>pgrekey");
    if (strcmp(view->pipeline, "pgrekey") != 0) {
        buf_putc(out, ' ');
        render_put_text(out, view->pipeline);
    }
    buf_printf(out, "</h1><p class=\"state %s\" role=\"status\">%s", mood(view), state_word(view));
    if (view->phase != PHASE_SNAPSHOT && view->lag_s >= 0)
        buf_printf(out, ", %s behind", lag_text(view, lag, sizeof(lag)));
    buf_printf(out, "</p><p id=\"age\"><time>%s</time>up for %s, version " PGREKEY_VERSION "</p></header>",
               clock_format_utc(view->wall_us, when, sizeof(when)),
               progress_duration(view->uptime_s, duration, sizeof(duration)));
}

static void notice(struct buf *out, const char *kind, const char *head, const char *text)
{
    buf_printf(out, "<section class=\"wide notice %s\"><h2>", kind);
    render_put_text(out, head);
    buf_puts(out, "</h2><p>");
    render_put_text(out, text);
    buf_puts(out, "</p></section>");
}

static void put_notices(const struct view *view, struct buf *out)
{
    char text[ERR_TEXT_MAX + 128], part[32], limit[32];
    buf_puts(out, "<div class=\"bare\" data-part=\"notices\">");
    if (view->paused) {
        snprintf(text, sizeof(text), "%s. Mend it, then: pgrekey resume", view->pause_reason);
        notice(out, "bad", "Paused: nothing moves", text);
    }
    if (view->guard.level != GUARD_CALM) {
        snprintf(text, sizeof(text), "The slot keeps %s of WAL on the source, of %s that it may.",
                 progress_bytes((double)view->retained_bytes, part, sizeof(part)),
                 progress_bytes((double)view->guard.limit_bytes, limit, sizeof(limit)));
        notice(out, view->guard.level >= GUARD_ACT ? "bad" : "warn", "The source's disk", text);
    }
    if (view->quarantine_open > view->waiting) {
        snprintf(text, sizeof(text), "Rows that are not on the target: %" PRId64 ". pgrekey quarantine list says why.",
                 view->quarantine_open - view->waiting);
        notice(out, "warn", "Rows stand aside", text);
    }
    if (!view->source_reached)
        notice(out, "warn", "The source does not answer", "Figures of the source are those of the last look.");
    if (view->has_target && !view->target_reached)
        notice(out, "warn", "The target does not answer", "Figures of the target are those of the last look.");
    buf_puts(out, "</div>");
}

/* --- figures --- */

static void figure(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "<div><dt>%s</dt><dd>", name);
    render_put_text(out, value);
    buf_puts(out, "</dd></div>");
}

static const char *seconds(double value, char *text, size_t size)
{
    if (value < 0)
        snprintf(text, size, "-");
    else if (value < 1)
        snprintf(text, size, "%.0f ms", value * 1e3);
    else
        progress_duration(value, text, size);
    return text;
}

static void put_figures(const struct view *view, struct buf *out)
{
    char text[64], count[32];
    buf_puts(out, "<section class=\"wide\" data-part=\"figures\"><h2>Now</h2><dl class=\"figures\">");
    figure(out, "lag", lag_text(view, text, sizeof(text)));
    figure(out, "WAL behind",
           view->has_lag_bytes ? progress_bytes((double)view->lag_bytes, text, sizeof(text)) : "not known");
    figure(out, "caught up in",
           !view->has_lag_bytes      ? "not known"
           : view->time_left_s < 0   ? "falls behind"
           : view->time_left_s < 0.5 ? "now"
                                     : progress_duration(view->time_left_s, text, sizeof(text)));
    snprintf(text, sizeof(text), "%s/s", progress_count(view->stages[STAGE_APPLIED].rate, count, sizeof(count)));
    figure(out, "rows applied", text);
    figure(out, "latency p50", seconds(histogram_quantile_s(view->latency, 0.5), text, sizeof(text)));
    figure(out, "p95", seconds(histogram_quantile_s(view->latency, 0.95), text, sizeof(text)));
    figure(out, "p99", seconds(histogram_quantile_s(view->latency, 0.99), text, sizeof(text)));
    figure(out, "newest heartbeat",
           view->heartbeat_age_s < 0 ? "none" : seconds(view->heartbeat_age_s, text, sizeof(text)));
    buf_puts(out, "</dl></section>");
}

static void put_plot(const struct view *view, struct buf *out)
{
    int minutes = render_plot_minutes(view);
    buf_puts(out, "<section class=\"wide\" data-part=\"plot\"><h2>Lag over the last ");
    if (minutes == 60)
        buf_puts(out, "hour");
    else
        buf_printf(out, "%d minutes", minutes);
    buf_puts(out, "</h2><div class=\"scroll\">");
    render_plot(view, out);
    buf_puts(out, "</div></section>");
}

/* --- stages, slot, snapshot --- */

static void put_stages(const struct view *view, struct buf *out)
{
    static const char *const units[VITALS_STAGES] = {"transactions", "changes", "rows", "rows", ""};
    char lsn[LSN_TEXT_MAX], all[32], rate[32];
    buf_puts(out,
             "<section data-part=\"stages\"><h2>Stages</h2><div class=\"scroll\"><table><thead><tr>"
             "<th scope=\"col\">stage</th><th scope=\"col\">position</th><th scope=\"col\" class=\"n x\">since start"
             "</th><th scope=\"col\" class=\"n\">a second</th></tr></thead><tbody>");
    for (int i = 0; i < VITALS_STAGES; i++) {
        const struct view_stage *stage = &view->stages[i];
        buf_printf(out, "<tr><th scope=\"row\">%s</th><td>%s</td>", vitals_stage_name((enum vitals_stage)i),
                   stage->lsn ? lsn_format(stage->lsn, lsn) : "-");
        if (*units[i])
            buf_printf(out, "<td class=\"n x\">%s %s</td><td class=\"n\">%s</td></tr>",
                       progress_count((double)stage->items, all, sizeof(all)), units[i],
                       progress_count(stage->rate, rate, sizeof(rate)));
        else
            buf_puts(out, "<td class=\"x\"></td><td></td></tr>");
    }
    buf_puts(out, "</tbody></table></div><p class=\"soft\">Kafka: ");
    buf_puts(out, view->series_count ? "see /metrics" : "not available");
    buf_puts(out, ". Verification: not available. Jobs: not available.</p></section>");
}

static void row(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "<tr><th scope=\"row\">%s</th><td>", name);
    render_put_text(out, value);
    buf_puts(out, "</td></tr>");
}

static void put_slot(const struct view *view, struct buf *out)
{
    const struct slot_state *slot = &view->slot;
    char text[96], part[32], limit[32];
    buf_puts(out, "<section data-part=\"slot\"><h2>Slot on the source</h2>");
    if (view->source_age_s < 0 || !slot->exists) {
        buf_printf(out, "<p>%s</p></section>", view->source_age_s < 0 ? "Not known yet." : "There is none.");
        return;
    }
    if (view->guard.limit_bytes > 0)
        buf_printf(out,
                   "<meter min=\"0\" max=\"1\" high=\"0.7\" value=\"%.4f\" aria-label=\"WAL kept, of what may be "
                   "kept\">%.0f %%</meter>",
                   view->guard.used > 1 ? 1 : view->guard.used, view->guard.used * 100);
    buf_puts(out, "<table><tbody>");
    row(out, "name", view->slot_name);
    row(out, "read by", slot->active ? "us" : "nobody");
    snprintf(text, sizeof(text), "%s",
             view->retained_bytes < 0 ? "not known" : progress_bytes((double)view->retained_bytes, part, sizeof(part)));
    if (view->guard.limit_bytes > 0 && view->retained_bytes >= 0)
        snprintf(text, sizeof(text), "%s of %s (%.0f %%)", part,
                 progress_bytes((double)view->guard.limit_bytes, limit, sizeof(limit)), view->guard.used * 100);
    row(out, "WAL kept", text);
    row(out, "guard",
        view->guard.limit_bytes > 0 ? guard_level_name(view->guard.level) : "none known: set guard.wal_budget");
    if (view->guard.full_in_s >= 0)
        row(out, "used up in", progress_duration(view->guard.full_in_s, text, sizeof(text)));
    row(out, "state", slot->wal_status);
    row(out, "not confirmed", progress_bytes((double)view->unconfirmed, text, sizeof(text)));
    if (view->oldest_transaction_s >= 0)
        row(out, "oldest transaction", progress_duration(view->oldest_transaction_s, text, sizeof(text)));
    buf_puts(out, "</tbody></table></section>");
}

static void put_snapshot(const struct view *view, struct buf *out)
{
    char done[32], all[32], left[32];
    buf_puts(out, "<div class=\"bare\" data-part=\"snapshot\">");
    if (view->phase == PHASE_SNAPSHOT) {
        double part = view->snapshot_expected ? (double)view->snapshot_rows / (double)view->snapshot_expected : 0;
        buf_printf(out,
                   "<section class=\"wide\"><h2>Snapshot</h2><progress max=\"1\" "
                   "value=\"%.4f\" aria-label=\"snapshot\">%.0f %%</progress><p>%s of about %s rows, %d of %d parts, ",
                   part > 1 ? 1 : part, part * 100, progress_count((double)view->snapshot_rows, done, sizeof(done)),
                   progress_count((double)view->snapshot_expected, all, sizeof(all)), view->snapshot_parts_done,
                   view->snapshot_parts);
        buf_printf(out, "%s rows/s, %s left</p></section>", progress_count(view->snapshot_rate, done, sizeof(done)),
                   view->snapshot_left_s < 0 ? "not known how long is"
                                             : progress_duration(view->snapshot_left_s, left, sizeof(left)));
    } else if (view->resync_count) {
        buf_printf(out, "<section class=\"wide\"><h2>Read again</h2><p>");
        render_put_text(out, view->resync_table);
        buf_printf(out, ": %s of about %s rows; %zu in all wait</p></section>",
                   progress_count((double)view->resync_rows, done, sizeof(done)),
                   progress_count((double)view->resync_expected, all, sizeof(all)), view->resync_count);
    }
    buf_puts(out, "</div>");
}

/* --- tables, quarantine, events --- */

static void put_rules(const struct view *view, struct buf *out)
{
    char rate[32], count[32];
    buf_puts(
        out,
        "<section class=\"wide\" data-part=\"tables\"><h2>Tables</h2><div class=\"scroll\"><table><thead><tr>"
        "<th scope=\"col\">rule</th><th scope=\"col\" class=\"x\">source</th><th scope=\"col\" class=\"x\">target</th>"
        "<th scope=\"col\" class=\"n\">rows/s</th><th scope=\"col\" class=\"n\">mapped</th>"
        "<th scope=\"col\" class=\"n\">quarantined</th><th scope=\"col\" class=\"n\">excluded</th></tr>"
        "</thead><tbody>");
    for (size_t i = 0; i < view->rule_count; i++) {
        const struct view_rule *rule = &view->rules[i];
        buf_puts(out, "<tr><th scope=\"row\">");
        render_put_text(out, rule->name);
        buf_puts(out, "</th><td class=\"x\">");
        render_put_text(out, *rule->source_table ? rule->source_table : "derived");
        buf_puts(out, "</td><td class=\"x\">");
        render_put_text(out, rule->target_table);
        buf_printf(out,
                   "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%" PRId64
                   "</td><td class=\"n\">%" PRId64 "</td></tr>",
                   progress_count(rule->rate, rate, sizeof(rate)),
                   progress_count((double)rule->mapped, count, sizeof(count)), rule->quarantined, rule->excluded);
    }
    buf_puts(out, "</tbody></table></div></section>");
}

static void put_quarantine(const struct view *view, struct buf *out)
{
    char age[32];
    buf_printf(out,
               "<section data-part=\"quarantine\"><h2>Quarantine</h2><p>%" PRId64 " stand aside, %" PRId64
               " wait for a parent; %" PRId64 " optional references wait.</p>",
               view->quarantine_open - view->waiting, view->waiting, view->references_waiting);
    if (view->quarantine_count) {
        buf_puts(out,
                 "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">category</th><th scope=\"col\">rule</th>"
                 "<th scope=\"col\" class=\"n\">rows</th><th scope=\"col\" class=\"n\">oldest</th></tr></thead>"
                 "<tbody>");
        for (size_t i = 0; i < view->quarantine_count; i++) {
            const struct view_quarantine *entry = &view->quarantine[i];
            buf_puts(out, "<tr><th scope=\"row\">");
            render_put_text(out, entry->category);
            if (entry->waiting)
                buf_puts(out, entry->waiting == entry->open ? " (waiting)" : " (in part waiting)");
            buf_puts(out, "</th><td>");
            render_put_text(out, entry->rule);
            buf_printf(out, "</td><td class=\"n\">%" PRId64 "</td><td class=\"n\">%s</td></tr>", entry->open,
                       progress_duration(entry->oldest_s, age, sizeof(age)));
        }
        buf_puts(out, "</tbody></table></div>");
    }
    buf_puts(out, "</section>");
}

static void put_events(const struct view *view, struct buf *out)
{
    static const char *const kinds[] = {"bad", "warn", "soft", "soft"};
    char when[32];
    buf_puts(out, "<section data-part=\"events\"><h2>Recent events</h2><ul>");
    for (size_t i = 0; i < view->event_count && i < 12; i++) {
        const struct vitals_event *event = &view->events[i];
        clock_format_utc(event->wall_us, when, sizeof(when));
        when[19] = '\0'; /* to the second */
        buf_printf(out, "<li><time datetime=\"%sZ\">%s</time><span class=\"%s\">%s</span> ", when, when,
                   kinds[event->level], event->name);
        render_put_text(out, event->text);
        buf_puts(out, "</li>");
    }
    if (view->event_count == 0)
        buf_puts(out, "<li>None yet.</li>");
    buf_puts(out, "</ul></section>");
}

void render_page(const struct view *view, struct buf *out)
{
    char lag[32];
    buf_printf(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s", state_word(view));
    if (view->lag_s >= 0)
        buf_printf(out, ", %s behind", lag_text(view, lag, sizeof(lag)));
    buf_puts(out, ": pgrekey ");
    render_put_text(out, view->pipeline);
    buf_puts(out, "</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                  "<link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/page.css\">"
                  "<script src=\"/page.js\" defer></script>"
                  "<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript></head>\n<body>");
    put_head(view, out);
    buf_puts(out, "<main>");
    put_notices(view, out);
    put_figures(view, out);
    put_plot(view, out);
    put_snapshot(view, out);
    put_stages(view, out);
    put_slot(view, out);
    put_quarantine(view, out);
    put_events(view, out);
    put_rules(view, out);
    buf_puts(out,
             "</main><footer>For machines: <a href=\"/metrics\">/metrics</a>, <a href=\"/healthz\">/healthz</a>, "
             "<a href=\"/readyz\">/readyz</a>, <a href=\"/status.json\">/status.json</a></footer></body></html>\n");
}
