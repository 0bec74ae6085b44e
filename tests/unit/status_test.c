#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cdc/app/status/status.h"

/* A pipeline that streams and is fine; each test spoils one thing. */
struct scene {
    char slot_name[8], pipeline_name[8];
    struct settings settings;
    struct pipeline_report report;
    struct status status;
};

static void healthy(struct scene *scene)
{
    *scene = (struct scene){.slot_name = "s", .pipeline_name = "p"};
    scene->settings = (struct settings){.source_slot = scene->slot_name, .pipeline = scene->pipeline_name};
    scene->report = (struct pipeline_report){
        .initialised = true,
        .exists = true,
        .position = {.state = PIPELINE_STREAMING, .lsn = 1000},
        .slot = "s",
        .engine_running = true,
        .heartbeat_age_s = 0.5,
        .source_lsn = 1500,
        .lag_s = 0.25,
    };
    scene->status = (struct status){.settings = &scene->settings, .report = &scene->report};
    scene->status.slot = (struct slot_state){.exists = true,
                                             .active = true,
                                             .logical = true,
                                             .plugin = "wal2json",
                                             .wal_status = "reserved",
                                             .restart_lsn = 500,
                                             .confirmed_lsn = 900,
                                             .current_lsn = 1400};
}

static void expect(struct scene *scene, const char *state, int exit_code, const char *fact)
{
    status_judge(&scene->status);
    assert_string_equal(scene->status.state, state);
    assert_int_equal(scene->status.exit_code, exit_code);
    assert_int_equal(scene->status.note_count > 0, fact != NULL);
    if (fact)
        assert_non_null(strstr(scene->status.notes[0].fact, fact));
    for (size_t i = 0; i < scene->status.note_count; i++)
        assert_true(scene->status.notes[i].remedy[0] != '\0');
}

static void running_pipeline_is_fine_and_its_lag_is_told(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    expect(&scene, "streaming", EXIT_OK, NULL);
    assert_true(scene.status.has_lag_bytes && scene.status.has_lag_s);
    assert_int_equal(scene.status.lag_bytes, 400);
    assert_int_equal(scene.status.retained_bytes, 900);
}

static void stopped_engine_is_idle_and_has_no_seconds(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.engine_running = false;
    expect(&scene, "idle", EXIT_OK, NULL);
    assert_true(scene.status.has_lag_bytes);
    assert_false(scene.status.has_lag_s);
}

static void pipeline_before_its_first_run_is_new(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report = (struct pipeline_report){.initialised = true, .heartbeat_age_s = -1};
    scene.status.slot = (struct slot_state){.current_lsn = 1400};
    expect(&scene, "new", EXIT_OK, NULL);
    assert_false(scene.status.has_lag_bytes);
}

static void target_without_schema_asks_for_init(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report = (struct pipeline_report){.heartbeat_age_s = -1};
    scene.status.slot.exists = false;
    expect(&scene, "not set up", EXIT_FINDINGS, "no schema pgrekey");
}

static void snapshot_is_cut_off_only_where_no_engine_runs(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.position.state = PIPELINE_SNAPSHOT;
    expect(&scene, "snapshot", EXIT_OK, NULL);
    healthy(&scene);
    scene.report.position.state = PIPELINE_SNAPSHOT;
    scene.report.engine_running = false;
    expect(&scene, "snapshot cut off", EXIT_FINDINGS, "cut off");
}

static void pause_has_its_exit_code_whatever_else_is_wrong(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.position.paused = true;
    snprintf(scene.report.position.pause_reason, sizeof(scene.report.position.pause_reason), "too many failures");
    scene.report.quarantine_open = 3;
    scene.status.source_err = (struct err){.kind = ERR_RETRY};
    expect(&scene, "paused", EXIT_PAUSED, "too many failures");
}

static void unreachable_source_leaves_what_the_engine_saw(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.status.source_err = (struct err){.kind = ERR_RETRY};
    scene.status.slot = (struct slot_state){0};
    expect(&scene, "streaming", EXIT_UNREACHABLE, NULL);
    assert_int_equal(scene.status.lag_bytes, 500);
}

static void unreachable_target_leaves_the_slot(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.status.report = NULL;
    scene.status.target_err = (struct err){.kind = ERR_RETRY};
    expect(&scene, "unknown", EXIT_UNREACHABLE, NULL);
    assert_int_equal(scene.status.retained_bytes, 900);
}

static void quarantine_wants_attention(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.quarantine_open = 1;
    expect(&scene, "streaming", EXIT_FINDINGS, "1 row stands in quarantine");
}

static void slot_in_danger_wants_attention(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.status.slot.exists = false;
    expect(&scene, "streaming", EXIT_FINDINGS, "is gone from the source");
    healthy(&scene);
    memcpy(scene.status.slot.wal_status, "lost", 5);
    expect(&scene, "streaming", EXIT_FINDINGS, "is lost");
    healthy(&scene);
    memcpy(scene.status.slot.wal_status, "unreserved", 11);
    expect(&scene, "streaming", EXIT_FINDINGS, "next checkpoint");
    healthy(&scene);
    scene.status.slot.has_safe_wal_size = true;
    scene.status.slot.safe_wal_size = 100 << 20;
    expect(&scene, "streaming", EXIT_FINDINGS, "100 MB more of WAL");
}

static void target_behind_the_slot_wants_attention(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.status.slot.confirmed_lsn = 1100;
    expect(&scene, "streaming", EXIT_FINDINGS, "lies behind");
}

static void slot_that_nobody_knows_is_named(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report = (struct pipeline_report){.initialised = true, .heartbeat_age_s = -1};
    expect(&scene, "new", EXIT_FINDINGS, "keeps its WAL");
}

static void accepted_loss_needs_nobody_and_more_does(void **state)
{
    (void)state;
    char rule[] = "r", table[] = "s.t", current[] = "current", changed[] = "changed", removed[] = "removed";
    struct {
        const char *state;
        int64_t quarantined, accepted, open;
        const char *fact;
    } cases[] = {
        {current, 2, 2, 2, NULL},
        {current, 2, 2, 3, "3 rows stand in quarantine"},
        {current, 2, -1, 2, "2 rows stand in quarantine"},
        {current, 3, 2, 3, "r has 3 rows in quarantine, and the mapping accepts 2"},
        {removed, 3, 2, 0, NULL},
        {changed, 0, -1, 0, "r was changed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        struct rule_account account = {.rule = rule,
                                       .source_table = table,
                                       .target_table = table,
                                       .state = cases[i].state == current   ? current
                                                : cases[i].state == changed ? changed
                                                                            : removed,
                                       .quarantined = cases[i].quarantined,
                                       .accepted = cases[i].accepted};
        healthy(&scene);
        scene.report.accounts = &account;
        scene.report.account_count = 1;
        scene.report.quarantine_open = cases[i].open;
        expect(&scene, "streaming", cases[i].fact ? EXIT_FINDINGS : EXIT_OK, cases[i].fact);
    }
}

static void rows_that_wait_for_a_parent_are_no_finding(void **state)
{
    (void)state;
    static char rule[] = "r", table[] = "t", current[] = "current";
    static const struct {
        int64_t open, waiting;
        const char *fact;
    } cases[] = {{3, 3, NULL}, {4, 3, "1 row stands in quarantine"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        struct rule_account account = {.rule = rule,
                                       .source_table = table,
                                       .target_table = table,
                                       .state = current,
                                       .quarantined = cases[i].open,
                                       .waiting = cases[i].waiting,
                                       .accepted = -1};
        healthy(&scene);
        scene.report.accounts = &account;
        scene.report.account_count = 1;
        scene.report.quarantine_open = cases[i].open;
        expect(&scene, "streaming", cases[i].fact ? EXIT_FINDINGS : EXIT_OK, cases[i].fact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_wait_for_a_parent_are_no_finding),
        cmocka_unit_test(accepted_loss_needs_nobody_and_more_does),
        cmocka_unit_test(running_pipeline_is_fine_and_its_lag_is_told),
        cmocka_unit_test(stopped_engine_is_idle_and_has_no_seconds),
        cmocka_unit_test(pipeline_before_its_first_run_is_new),
        cmocka_unit_test(target_without_schema_asks_for_init),
        cmocka_unit_test(snapshot_is_cut_off_only_where_no_engine_runs),
        cmocka_unit_test(pause_has_its_exit_code_whatever_else_is_wrong),
        cmocka_unit_test(unreachable_source_leaves_what_the_engine_saw),
        cmocka_unit_test(unreachable_target_leaves_the_slot),
        cmocka_unit_test(quarantine_wants_attention),
        cmocka_unit_test(slot_in_danger_wants_attention),
        cmocka_unit_test(target_behind_the_slot_wants_attention),
        cmocka_unit_test(slot_that_nobody_knows_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
