/* The faces of a view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/app/monitor/render.h"

static struct histogram none;

/* A pipeline that is well; names with what HTML and Prometheus have to escape. */
static struct view a_view(void)
{
    static struct view_rule rules[] = {
        {.name = "a<b>\"c\\d->e", .source_table = "public.a&b", .target_table = "public.t", .mapped = 17, .rows = 4}};
    static struct view_quarantine quarantine[] = {
        {.rule = "r", .category = "json_parse", .open = 5, .waiting = 2, .oldest_s = 61},
        {.rule = "w", .category = "orphan_reference", .open = 3, .waiting = 3, .oldest_s = 9999}};
    struct view view = {.pipeline = "main",
                        .slot_name = "s",
                        .phase = PHASE_STREAMING,
                        .has_target = true,
                        .source_reached = true,
                        .target_reached = true,
                        .has_report = true,
                        .lag_s = 0,
                        .has_lag_bytes = true,
                        .heartbeat_age_s = -1,
                        .latency = &none,
                        .heartbeat = &none,
                        .batch = &none,
                        .retained_bytes = 1 << 20,
                        .oldest_transaction_s = -1,
                        .catalog_xmin_age = -1,
                        .snapshot_left_s = -1,
                        .guard = {.full_in_s = -1},
                        .slot = {.exists = true, .active = true, .wal_status = "reserved"},
                        .rules = rules,
                        .rule_count = 1,
                        .quarantine = quarantine,
                        .quarantine_count = 2,
                        .quarantine_open = 8,
                        .waiting = 5};
    return view;
}

static struct buf rendered(const struct view *view, void (*render)(const struct view *, struct buf *))
{
    struct buf out;
    buf_init(&out, RENDER_MAX_BYTES);
    render(view, &out);
    assert_false(buf_overflowed(&out));
    return out;
}

static void shows(const struct view *view, void (*render)(const struct view *, struct buf *), const char *text)
{
    struct buf out = rendered(view, render);
    if (!strstr(buf_text(&out), text))
        fail_msg("not there: %s\n%s", text, buf_text(&out));
    buf_done(&out);
}

static void hides(const struct view *view, void (*render)(const struct view *, struct buf *), const char *text)
{
    struct buf out = rendered(view, render);
    if (strstr(buf_text(&out), text))
        fail_msg("should not be there: %s", text);
    buf_done(&out);
}

static void what_is_not_known_is_left_out_of_the_metrics(void **state)
{
    (void)state;
    struct view view = a_view();
    shows(&view, render_metrics, "\npgrekey_lag_seconds 0\n");
    hides(&view, render_metrics, "pgrekey_heartbeat_age_seconds");
    hides(&view, render_metrics, "pgrekey_slot_limit_bytes");
    hides(&view, render_metrics, "pgrekey_source_oldest_transaction_seconds");
    view.lag_s = -1;
    hides(&view, render_metrics, "pgrekey_lag_seconds");
    hides(&view, render_metrics, "pgrekey_time_left_seconds");
    view = a_view();
    view.lag_s = 100;
    view.time_left_s = -1;
    shows(&view, render_metrics, "\npgrekey_time_left_seconds +Inf\n");
}

static void names_are_escaped(void **state)
{
    (void)state;
    struct view view = a_view();
    shows(&view, render_metrics,
          "pgrekey_rule_mapped_rows{rule=\"a<b>\\\"c\\\\d->e\",source=\"public.a&b\",target=\"public.t\"} 17\n");
    shows(&view, render_page, "a&lt;b&gt;&quot;c\\d-&gt;e");
    hides(&view, render_page, "a<b>");
    shows(&view, render_page, "public.a&amp;b");
}

static void rows_that_wait_are_no_quarantine(void **state)
{
    (void)state;
    struct view view = a_view();
    shows(&view, render_metrics, "pgrekey_quarantine_rows{rule=\"r\",category=\"json_parse\"} 3\n");
    hides(&view, render_metrics, "rule=\"w\",category");
    shows(&view, render_metrics, "pgrekey_quarantine_oldest_seconds 61\n");
    shows(&view, render_metrics, "pgrekey_parked_rows 5\n");
    shows(&view, render_page, "3 stand aside, 5 wait for a parent");
    shows(&view, render_page, "not on the target: 3.");
    view.quarantine_open = view.waiting;
    hides(&view, render_page, "not on the target");
}

static void ready_means_streaming_and_whole(void **state)
{
    (void)state;
    struct view view = a_view();
    assert_string_equal(view_not_ready(&view), "");
    view.phase = PHASE_SNAPSHOT;
    assert_string_equal(view_not_ready(&view), "snapshot under way");
    view = a_view();
    view.paused = true;
    assert_string_equal(view_not_ready(&view), "paused");
    view = a_view();
    view.target_reached = false;
    assert_string_equal(view_not_ready(&view), "the target cannot be reached");
    view.has_target = false;
    assert_string_equal(view_not_ready(&view), "");
    view = a_view();
    view.join_lsn = 100;
    assert_true(strstr(view_not_ready(&view), "not joined") != NULL);
    view.stages[STAGE_APPLIED].lsn = 100;
    assert_string_equal(view_not_ready(&view), "");
}

static void alive_is_whoever_passes_by(void **state)
{
    (void)state;
    struct view view = a_view();
    assert_true(view_healthy(&view, 1));
    assert_false(view_healthy(&view, 1000));
    view.phase = PHASE_SNAPSHOT; /* where it may wait for a server for long */
    assert_true(view_healthy(&view, 1000));
}

static void the_plot_tells_the_highest_lag_in_words(void **state)
{
    (void)state;
    struct view view = a_view();
    for (int i = 0; i < HISTORY_POINTS + 10; i++) { /* the ring has gone round */
        view.history.points[view.history.next] = (struct history_point){.lag_s = i == 500 ? 250 : i == 600 ? -1 : 1};
        view.history.next = (view.history.next + 1) % HISTORY_POINTS;
    }
    view.history.count = HISTORY_POINTS;
    shows(&view, render_page, "60 minutes are known. The highest lag was 4 min 10 s; now it is 0 s.");
    shows(&view, render_page, ">5 min 0 s</text>"); /* the scale */
    shows(&view, render_page, "Lag over the last hour</h2>");
    shows(&view, render_page, ">45 min ago</text>");
    hides(&view, render_page, "nan");
}

static void a_young_plot_has_a_short_scale(void **state)
{
    (void)state;
    struct view view = a_view();
    view.history.count = view.history.next = 48; /* four minutes */
    shows(&view, render_page, "Lag over the last 4 minutes</h2>");
    shows(&view, render_page, ">3 min ago</text>");
    shows(&view, render_page, "d=\"M56.0 "); /* from edge to edge */
    view.history.count = view.history.next = 49;
    shows(&view, render_page, "Lag over the last 8 minutes</h2>");
    view.history.count = view.history.next = 481;
    shows(&view, render_page, "Lag over the last hour</h2>");
}

static void series_of_others_stand_in_their_family(void **state)
{
    (void)state;
    struct vitals *vitals = vitals_new();
    vitals_set_series(vitals, "pgrekey_replay_lag_records", "topic=\"a\",partition=\"0\"", 5);
    vitals_set_series(vitals, "pgrekey_publish_queue_records", "", 1);
    vitals_set_series(vitals, "pgrekey_replay_lag_records", "topic=\"a\",partition=\"1\"", 6);
    vitals_set_series(vitals, "pgrekey_replay_lag_records", "topic=\"a\",partition=\"0\"", 7);
    struct view view = a_view();
    view.series = vitals->series;
    view.series_count = vitals->series_count;
    shows(&view, render_metrics,
          "# TYPE pgrekey_replay_lag_records gauge\npgrekey_replay_lag_records{topic=\"a\",partition=\"0\"} 7\n"
          "pgrekey_replay_lag_records{topic=\"a\",partition=\"1\"} 6\n");
    shows(&view, render_metrics, "\npgrekey_publish_queue_records 1\n");
    view.series_count = 0;
    hides(&view, render_metrics, "pgrekey_replay");
    shows(&view, render_page, "Kafka: not available");
    vitals_free(vitals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_left_out_of_the_metrics),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(rows_that_wait_are_no_quarantine),
        cmocka_unit_test(ready_means_streaming_and_whole),
        cmocka_unit_test(alive_is_whoever_passes_by),
        cmocka_unit_test(the_plot_tells_the_highest_lag_in_words),
        cmocka_unit_test(a_young_plot_has_a_short_scale),
        cmocka_unit_test(series_of_others_stand_in_their_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
