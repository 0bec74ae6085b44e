/* Lag and heartbeats as the threads of an engine tell them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cdc/base/clock.h"
#include "cdc/lag/vitals.h"

#define S INT64_C(1000000)

static void wal_ends(struct vitals *vitals, uint64_t lsn, int64_t at_us)
{
    trace_note(&vitals->trace, lsn, clock_wall_us() - clock_mono_us() + at_us, at_us, at_us);
}

static void lag_is_unknown_before_there_is_a_position(void **state)
{
    (void)state;
    struct vitals *vitals = vitals_new();
    assert_true(vitals_lag_s(vitals, 100 * S) < 0);
    vitals_set_reached(vitals, 500);
    assert_true(vitals_lag_s(vitals, 100 * S) == 0);
    vitals_free(vitals);
}

static void what_waits_is_told_by_its_commit_and_what_is_stuck_by_the_wal(void **state)
{
    (void)state;
    struct vitals *vitals = vitals_new();
    int64_t offset = clock_wall_us() - clock_mono_us();
    wal_ends(vitals, 1000, 10 * S);
    wal_ends(vitals, 2000, 11 * S);
    vitals_set_reached(vitals, 1000);
    vitals_waits(vitals, 1500, offset + 10 * S + S / 2);
    vitals_waits(vitals, 1600, offset + 10 * S + S * 8 / 10); /* younger */
    double lag = vitals_lag_s(vitals, 20 * S);
    assert_true(lag > 9.49 && lag < 9.51);
    vitals_taken(vitals);
    vitals_waits(vitals, 1900, offset + 10 * S + S * 9 / 10);
    lag = vitals_lag_s(vitals, 20 * S);
    assert_true(lag > 9.49 && lag < 9.51); /* of the one that is being applied */
    vitals_applied(vitals);
    lag = vitals_lag_s(vitals, 20 * S);
    assert_true(lag > 9.09 && lag < 9.11);
    vitals_forget_waiting(vitals); /* the connection was lost */
    lag = vitals_lag_s(vitals, 20 * S);
    assert_true(lag > 8.99 && lag < 9.01);
    vitals_set_reached(vitals, 2000);
    assert_true(vitals_lag_s(vitals, 1000 * S) == 0);
    vitals_free(vitals);
}

static void a_heartbeat_is_through_when_what_was_before_it_is_applied(void **state)
{
    (void)state;
    struct vitals *vitals = vitals_new();
    assert_true(vitals_heart_age_s(vitals, clock_mono_us()) < 0);
    uint64_t first = vitals_heart_begins(vitals), second = vitals_heart_begins(vitals);
    assert_true(vitals_heart_age_s(vitals, clock_mono_us() + 60 * S) >= 60); /* none came through */
    vitals_heart_received(vitals, first, 1000, 900);
    assert_int_equal(histogram_count(&vitals->heartbeat), 0);
    vitals_heart_applied(vitals, 999);
    assert_int_equal(histogram_count(&vitals->heartbeat), 0);
    vitals_heart_applied(vitals, 1000);
    assert_int_equal(histogram_count(&vitals->heartbeat), 1);
    vitals_heart_received(vitals, first, 1000, 1000); /* it comes again after a reconnect */
    assert_int_equal(histogram_count(&vitals->heartbeat), 1);
    vitals_heart_received(vitals, second, 1000, 1000); /* nothing waits: at once */
    assert_int_equal(histogram_count(&vitals->heartbeat), 2);
    vitals_heart_received(vitals, 77, 1, 1); /* somebody else's */
    assert_int_equal(histogram_count(&vitals->heartbeat), 2);
    assert_true(vitals_heart_age_s(vitals, clock_mono_us()) < 5);
    vitals_free(vitals);
}

static void events_are_a_ring_and_rules_are_found_by_name(void **state)
{
    (void)state;
    struct vitals *vitals = vitals_new();
    for (int i = 0; i < VITALS_EVENTS + 3; i++)
        vitals_event(vitals, LOG_INFO, "event", "number %d", i);
    assert_int_equal(vitals->event_count, VITALS_EVENTS + 3);
    assert_string_equal(vitals->events[2].text, "number 66");
    assert_int_equal(vitals_rule(vitals, "a"), 0);
    assert_int_equal(vitals_rule(vitals, "b"), 1);
    assert_int_equal(vitals_rule(vitals, "a"), 0);
    vitals_event(NULL, LOG_INFO, "nobody", "listens");
    vitals_free(vitals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lag_is_unknown_before_there_is_a_position),
        cmocka_unit_test(what_waits_is_told_by_its_commit_and_what_is_stuck_by_the_wal),
        cmocka_unit_test(a_heartbeat_is_through_when_what_was_before_it_is_applied),
        cmocka_unit_test(events_are_a_ring_and_rules_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
