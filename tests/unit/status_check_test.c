/* The line and exit code of a Nagios check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/app/status/status.h"

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
    scene->report = (struct pipeline_report){.initialised = true,
                                             .exists = true,
                                             .position = {.state = PIPELINE_STREAMING, .lsn = 1000},
                                             .slot = "s",
                                             .engine_running = true,
                                             .heartbeat_age_s = 0.5,
                                             .lag_s = 0.25};
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

static void expect(struct scene *scene, int code, const char *text)
{
    char line[1024];
    status_judge(&scene->status);
    assert_int_equal(status_check(&scene->status, 60, 300, line, sizeof(line)), code);
    if (!strstr(line, text))
        fail_msg("not there: %s\n%s", text, line);
    assert_ptr_equal(strchr(line, '|'), strrchr(line, '|')); /* one bar: what follows is data */
    assert_null(strchr(line, '\n'));
}

static void ok_warning_and_critical_by_lag(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    expect(&scene, 0, "PGREKEY OK - streaming; 0.2 s behind | lag=0.250s;60;300;0 behind=400B retained=900B");
    healthy(&scene);
    scene.report.lag_s = 61;
    expect(&scene, 1, "PGREKEY WARNING - streaming; 1 min 1 s behind");
    healthy(&scene);
    scene.report.lag_s = 301;
    expect(&scene, 2, "PGREKEY CRITICAL");
    healthy(&scene);
    scene.report.lag_s = -1;
    expect(&scene, 1, "lag not known yet");
}

static void a_pause_a_dead_engine_and_a_lost_slot_are_critical(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.position.paused = true;
    strcpy(scene.report.position.pause_reason, "a | b");
    expect(&scene, 2, "PGREKEY CRITICAL - paused");
    healthy(&scene);
    scene.report.engine_running = false;
    expect(&scene, 2, "no engine runs");
    healthy(&scene);
    strcpy(scene.status.slot.wal_status, "lost");
    expect(&scene, 2, "is lost");
}

static void quarantined_rows_are_a_warning_and_an_unreadable_server_is_unknown(void **state)
{
    (void)state;
    struct scene scene;
    healthy(&scene);
    scene.report.quarantine_open = 3;
    expect(&scene, 1, "3 rows stand in quarantine");
    healthy(&scene);
    scene.status.report = NULL;
    (void)err_set(&scene.status.target_err, ERR_RETRY, "target: not there");
    expect(&scene, 3, "PGREKEY UNKNOWN - target: not there");
    healthy(&scene);
    (void)err_set(&scene.status.source_err, ERR_RETRY, "source: not there");
    expect(&scene, 3, "source: not there");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ok_warning_and_critical_by_lag),
        cmocka_unit_test(a_pause_a_dead_engine_and_a_lost_slot_are_critical),
        cmocka_unit_test(quarantined_rows_are_a_warning_and_an_unreadable_server_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
