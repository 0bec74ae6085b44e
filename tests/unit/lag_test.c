/* Trace, pace, histogram and guard: what lag is read from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cdc/lag/guard.h"
#include "cdc/lag/histogram.h"
#include "cdc/lag/pace.h"
#include "cdc/lag/trace.h"

#define S INT64_C(1000000)
#define MB (INT64_C(1) << 20)
#define WALL (1700000000 * S) /* what the source's wall clock shows when our monotonic one shows 0 */

/* --- trace --- */

static void look(struct trace *trace, uint64_t lsn, int64_t at_us, int64_t jump_us)
{
    trace_note(trace, lsn, WALL + at_us + jump_us, at_us - 500, at_us + 500);
}

static void idle_is_no_lag_and_stuck_is(void **state)
{
    (void)state;
    struct trace trace = {0};
    for (int i = 1; i <= 100; i++)
        look(&trace, 1000, i * S, 0);
    assert_int_equal(trace_age_us(&trace, 1000, 100 * S), 0); /* a hundred seconds without WAL */
    look(&trace, 2000, 101 * S, 0);
    assert_int_equal(trace_age_us(&trace, 2000, 200 * S), 0);
    assert_int_equal(trace_age_us(&trace, 1000, 161 * S) / S, 59); /* the WAL went on, the position did not */
}

static void commit_times_are_turned_into_our_clock(void **state)
{
    (void)state;
    struct trace trace = {0};
    look(&trace, 1000, 10 * S, 0);
    look(&trace, 2000, 11 * S, 0);
    assert_int_equal(trace_committed_us(&trace, 1500, WALL + 10 * S + 300000, 12 * S), 10 * S + 300000);
    /* without a commit time: the earliest that it can have been */
    assert_int_equal(trace_committed_us(&trace, 1500, 0, 12 * S), 10 * S - 500);
    /* behind the newest look */
    assert_int_equal(trace_committed_us(&trace, 2500, WALL + 11 * S + 400000, 12 * S), 11 * S + 400000);
}

static void a_clock_that_jumps_is_held_by_what_was_seen(void **state)
{
    (void)state;
    static const int64_t jumps[] = {3600 * S, -3600 * S, 30 * S, -30 * S};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
        struct trace trace = {0};
        look(&trace, 1000, 10 * S, 0);
        look(&trace, 2000, 11 * S, 0);
        /* the source's clock jumps, nobody has looked at it since */
        int64_t committed = trace_committed_us(&trace, 1500, WALL + 10 * S + 300000 + jumps[i], 12 * S);
        assert_in_range(committed, 10 * S - 500, 11 * S + 500);
        /* once it was looked at, commit times are exact again */
        look(&trace, 3000, 12 * S, jumps[i]);
        look(&trace, 4000, 13 * S, jumps[i]);
        committed = trace_committed_us(&trace, 3500, WALL + 12 * S + 300000 + jumps[i], 14 * S);
        assert_in_range(committed, 12 * S + 299000, 12 * S + 301000);
    }
}

static void days_of_samples_fit(void **state)
{
    (void)state;
    struct trace *trace = calloc(1, sizeof(*trace));
    for (int64_t i = 1; i <= 86400 * 3; i++)
        look(trace, (uint64_t)i * 100, i * S, 0);
    assert_true(trace->count <= TRACE_SAMPLES);
    int64_t now = 86400 * 3 * S;
    for (int64_t ago = 1; ago < 86400; ago *= 3) {
        double age = (double)trace_age_us(trace, (uint64_t)(86400 * 3 - ago) * 100, now) / 1e6;
        assert_true(age <= (double)ago && age >= (double)ago * 0.95 - 1);
    }
    free(trace);
}

/* --- pace --- */

static void a_rate_follows_its_window(void **state)
{
    (void)state;
    struct pace pace = {0};
    assert_true(pace_rate(&pace, 10 * S) == 0);
    for (int i = 0; i <= 30; i++)
        pace_note(&pace, (uint64_t)i * 100, i * S);
    assert_true(pace_rate(&pace, 10 * S) == 100);
    for (int i = 31; i <= 50; i++)
        pace_note(&pace, 3000, i * S);
    assert_true(pace_rate(&pace, 10 * S) == 0);
    assert_true(pace_rate(&pace, 40 * S) == 50);
    pace_note(&pace, 10, 51 * S); /* it began anew */
    assert_true(pace_rate(&pace, 10 * S) == 0);
}

static void time_left_is_what_is_behind_by_what_is_gained(void **state)
{
    (void)state;
    assert_true(pace_time_left_s(0, 10, 0) == 0);
    assert_true(pace_time_left_s(1000, 10, 60) == 20);
    assert_true(pace_time_left_s(1000, 60, 60) == -1);
    assert_true(pace_time_left_s(1000, 60, 10) == -1);
}

/* --- histogram --- */

static void quantiles_are_within_their_bucket(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    assert_true(histogram_quantile_s(&histogram, 0.5) < 0);
    for (int i = 1; i <= 1000; i++)
        histogram_observe(&histogram, i * 1000, 1); /* 1 ms to 1 s, evenly */
    assert_int_equal(histogram_count(&histogram), 1000);
    assert_true(histogram_quantile_s(&histogram, 0.5) > 0.48 && histogram_quantile_s(&histogram, 0.5) < 0.52);
    assert_true(histogram_quantile_s(&histogram, 0.99) > 0.97 && histogram_quantile_s(&histogram, 0.99) <= 1.0);
    histogram_observe(&histogram, 7200 * S, 100000);
    assert_true(histogram_quantile_s(&histogram, 0.99) == 3600);
    histogram_observe(&histogram, -5, 1); /* a clock ran backwards: no time at all */
    for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
        assert_true(histogram_bound_s(i) > histogram_bound_s(i - 1));
}

/* --- guard --- */

static const struct guard_limits LIMITS = {.budget_bytes = 1000 * MB, .warn_percent = 70, .act_percent = 85};

static enum guard_level level_at(struct guard *guard, int64_t retained_mb)
{
    (void)guard_look(guard, &LIMITS, &(struct guard_slot){.retained_bytes = retained_mb * MB});
    return guard->level;
}

static void the_guard_climbs_and_comes_down_with_a_distance(void **state)
{
    (void)state;
    static const struct {
        int64_t retained_mb;
        enum guard_level level;
    } steps[] = {{100, GUARD_CALM},  {699, GUARD_CALM}, {700, GUARD_WARN}, {660, GUARD_WARN},
                 {640, GUARD_CALM},  {860, GUARD_ACT},  {810, GUARD_ACT},  {790, GUARD_WARN},
                 {1000, GUARD_FULL}, {960, GUARD_FULL}, {940, GUARD_ACT},  {10, GUARD_CALM}};
    struct guard guard = {0};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        assert_int_equal(level_at(&guard, steps[i].retained_mb), steps[i].level);
}

static void the_nearer_limit_counts(void **state)
{
    (void)state;
    struct guard guard = {0};
    struct guard_slot slot = {.retained_bytes = 100 * MB, .has_safe_wal_size = true, .safe_wal_size = 10 * MB};
    assert_true(guard_look(&guard, &LIMITS, &slot));
    assert_int_equal(guard.level, GUARD_ACT); /* 100 of 110 MB, whatever the budget */
    assert_int_equal(guard.limit_bytes, 110 * MB);
    slot.safe_wal_size = 100000 * MB;
    (void)guard_look(&guard, &LIMITS, &slot);
    assert_int_equal(guard.limit_bytes, 1000 * MB);
}

static void without_a_limit_it_has_nothing_to_say_but_what_the_server_does(void **state)
{
    (void)state;
    struct guard guard = {0};
    struct guard_limits none = {.warn_percent = 70, .act_percent = 85};
    assert_false(guard_look(&guard, &none, &(struct guard_slot){.retained_bytes = INT64_C(1) << 50}));
    assert_int_equal(guard.level, GUARD_CALM);
    assert_true(guard.full_in_s < 0);
    assert_true(guard_look(&guard, &none, &(struct guard_slot){.retained_bytes = MB, .unreserved = true}));
    assert_int_equal(guard.level, GUARD_ACT);
    assert_true(guard_look(&guard, &none, &(struct guard_slot){.retained_bytes = -1, .lost = true}));
    assert_int_equal(guard.level, GUARD_FULL);
}

static void it_tells_when_the_budget_is_used_up(void **state)
{
    (void)state;
    struct guard guard = {0};
    (void)guard_look(&guard, &LIMITS, &(struct guard_slot){.retained_bytes = 400 * MB, .growth = (double)MB});
    assert_true(guard.full_in_s == 600);
    /* what is not known changes nothing */
    assert_false(guard_look(&guard, &LIMITS, &(struct guard_slot){.retained_bytes = -1}));
    assert_true(guard.full_in_s == 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_is_no_lag_and_stuck_is),
        cmocka_unit_test(commit_times_are_turned_into_our_clock),
        cmocka_unit_test(a_clock_that_jumps_is_held_by_what_was_seen),
        cmocka_unit_test(days_of_samples_fit),
        cmocka_unit_test(a_rate_follows_its_window),
        cmocka_unit_test(time_left_is_what_is_behind_by_what_is_gained),
        cmocka_unit_test(quantiles_are_within_their_bucket),
        cmocka_unit_test(the_guard_climbs_and_comes_down_with_a_distance),
        cmocka_unit_test(the_nearer_limit_counts),
        cmocka_unit_test(without_a_limit_it_has_nothing_to_say_but_what_the_server_does),
        cmocka_unit_test(it_tells_when_the_budget_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
