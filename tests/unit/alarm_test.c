/* When somebody is told, and that the signature is what a receiver computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/app/monitor/alarm.h"
#include "cdc/app/monitor/webhook.h"

#define S INT64_C(1000000)

static const struct alarm_limits LIMITS = {.lag_s = 300, .after_s = 30};

static struct view well(void)
{
    return (struct view){.phase = PHASE_STREAMING,
                         .slot_name = "s",
                         .has_target = true,
                         .source_reached = true,
                         .target_reached = true,
                         .slot = {.exists = true, .wal_status = "reserved"}};
}

struct scene {
    struct alarms alarms;
    struct alarm_change changes[ALARM_COUNT];
    size_t count;
};

static void look(struct scene *scene, const struct view *view, int64_t at_s)
{
    scene->count = alarms_look(&scene->alarms, &LIMITS, view, (at_s + 1) * S, scene->changes);
}

static void expect_one(const struct scene *scene, enum alarm alarm, bool over, const char *text)
{
    assert_int_equal(scene->count, 1);
    assert_int_equal(scene->changes[0].alarm, alarm);
    assert_int_equal(scene->changes[0].over, over);
    assert_non_null(strstr(scene->changes[0].text, text));
}

static void a_pause_is_told_once_and_its_end(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct view view = well();
    look(&scene, &view, 0);
    assert_int_equal(scene.count, 0);
    view.paused = true;
    strcpy(view.pause_category, "breaker");
    strcpy(view.pause_reason, "too many");
    look(&scene, &view, 1);
    expect_one(&scene, ALARM_PAUSED, false, "breaker: too many");
    look(&scene, &view, 2);
    assert_int_equal(scene.count, 0);
    view = well();
    look(&scene, &view, 3);
    expect_one(&scene, ALARM_PAUSED, true, "back to normal");
    look(&scene, &view, 4);
    assert_int_equal(scene.count, 0);
}

static void a_guard_that_climbs_is_told_again(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct view view = well();
    view.guard.level = GUARD_WARN;
    look(&scene, &view, 0);
    expect_one(&scene, ALARM_GUARD, false, "level warn");
    view.guard.level = GUARD_ACT;
    look(&scene, &view, 1);
    expect_one(&scene, ALARM_GUARD, false, "level act");
    view.guard.level = GUARD_WARN;
    look(&scene, &view, 2);
    assert_int_equal(scene.count, 0);
    view.guard.level = GUARD_CALM;
    look(&scene, &view, 3);
    expect_one(&scene, ALARM_GUARD, true, "back to normal");
}

static void a_short_absence_is_nobodys_business(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct view view = well();
    view.target_reached = false;
    look(&scene, &view, 0);
    look(&scene, &view, 29);
    assert_int_equal(scene.count, 0);
    view.target_reached = true;
    look(&scene, &view, 30);
    assert_int_equal(scene.count, 0); /* what was not told needs no end */
    view.target_reached = false;
    look(&scene, &view, 40);
    look(&scene, &view, 70);
    expect_one(&scene, ALARM_SERVERS, false, "the target cannot be reached");
    view.target_reached = true;
    look(&scene, &view, 71);
    expect_one(&scene, ALARM_SERVERS, true, "back to normal");
}

static void a_lag_is_over_well_below_its_limit(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct view view = well();
    view.lag_s = 299;
    look(&scene, &view, 0);
    assert_int_equal(scene.count, 0);
    view.lag_s = 301;
    look(&scene, &view, 1);
    expect_one(&scene, ALARM_LAG, false, "5 min 1 s behind");
    view.lag_s = 200;
    look(&scene, &view, 2);
    assert_int_equal(scene.count, 0);
    view.lag_s = 100;
    look(&scene, &view, 3);
    expect_one(&scene, ALARM_LAG, true, "back to normal");
    view.lag_s = 1000;
    view.phase = PHASE_SNAPSHOT; /* it has to be behind */
    look(&scene, &view, 4);
    assert_int_equal(scene.count, 0);
}

static void a_slot_is_missed_only_where_there_was_one(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct view view = well();
    view.slot.exists = false;
    look(&scene, &view, 0);
    assert_int_equal(scene.count, 0);
    view.slot.exists = true;
    look(&scene, &view, 1);
    view.slot.exists = false;
    look(&scene, &view, 2);
    expect_one(&scene, ALARM_SLOT, false, "gone");
}

/* Computed by: printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret */
static void the_signature_is_hmac_over_timestamp_and_body(void **state)
{
    (void)state;
    char text[WEBHOOK_SIGNATURE_MAX];
    webhook_sign("secret", "1700000000", "{\"a\":1}", 7, text);
    assert_string_equal(text, "sha256=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_is_told_once_and_its_end),
        cmocka_unit_test(a_guard_that_climbs_is_told_again),
        cmocka_unit_test(a_short_absence_is_nobodys_business),
        cmocka_unit_test(a_lag_is_over_well_below_its_limit),
        cmocka_unit_test(a_slot_is_missed_only_where_there_was_one),
        cmocka_unit_test(the_signature_is_hmac_over_timestamp_and_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
