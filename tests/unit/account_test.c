#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sinks/postgres/state/account.h"

static const struct {
    const char *what;
    enum account_state from;
    enum account_event event;
    enum account_state to;
    struct account_delta delta; /* mapped, quarantined, excluded, failed_deletes */
} steps[] = {
    {"born", STATE_ABSENT, EVENT_APPLIED, STATE_MAPPED, {1, 0, 0, 0}},
    {"born bad", STATE_ABSENT, EVENT_FAILED, STATE_QUARANTINED, {0, 1, 0, 0}},
    {"born excluded", STATE_ABSENT, EVENT_NOT_WANTED, STATE_EXCLUDED, {0, 0, 1, 0}},
    {"updated", STATE_MAPPED, EVENT_APPLIED, STATE_MAPPED, {0, 0, 0, 0}},
    {"update fails", STATE_MAPPED, EVENT_FAILED, STATE_QUARANTINED, {-1, 1, 0, 0}},
    {"stops matching", STATE_MAPPED, EVENT_NOT_WANTED, STATE_EXCLUDED, {-1, 0, 1, 0}},
    {"deleted", STATE_MAPPED, EVENT_DELETED, STATE_ABSENT, {-1, 0, 0, 0}},
    {"delete refused", STATE_MAPPED, EVENT_DELETE_FAILED, STATE_DELETE_REFUSED, {-1, 0, 0, 1}},
    {"mended", STATE_QUARANTINED, EVENT_APPLIED, STATE_MAPPED, {1, -1, 0, 0}},
    {"fails again", STATE_QUARANTINED, EVENT_FAILED, STATE_QUARANTINED, {0, 0, 0, 0}},
    {"bad, then excluded", STATE_QUARANTINED, EVENT_NOT_WANTED, STATE_EXCLUDED, {0, -1, 1, 0}},
    {"bad, then deleted", STATE_QUARANTINED, EVENT_DELETED, STATE_ABSENT, {0, -1, 0, 0}},
    {"bad, then its delete refused", STATE_QUARANTINED, EVENT_DELETE_FAILED, STATE_DELETE_REFUSED, {0, -1, 0, 1}},
    {"begins to match", STATE_EXCLUDED, EVENT_APPLIED, STATE_MAPPED, {1, 0, -1, 0}},
    {"excluded one deleted", STATE_EXCLUDED, EVENT_DELETED, STATE_ABSENT, {0, 0, -1, 0}},
    {"discarded", STATE_QUARANTINED, EVENT_DISCARD, STATE_DISCARDED, {0, -1, 1, 0}},
    {"discarded, changes for the good", STATE_DISCARDED, EVENT_APPLIED, STATE_MAPPED, {1, 0, -1, 0}},
    {"discarded, changes and fails", STATE_DISCARDED, EVENT_FAILED, STATE_QUARANTINED, {0, 1, -1, 0}},
    {"discarded, deleted", STATE_DISCARDED, EVENT_DELETED, STATE_ABSENT, {0, 0, -1, 0}},
    {"refused delete done later", STATE_DELETE_REFUSED, EVENT_DELETED, STATE_ABSENT, {0, 0, 0, -1}},
    {"refused delete, key born again", STATE_DELETE_REFUSED, EVENT_APPLIED, STATE_MAPPED, {1, 0, 0, -1}},
    {"refused delete given up", STATE_DELETE_REFUSED, EVENT_DISCARD, STATE_DELETE_DISCARDED, {0, 0, 0, -1}},
    {"given-up delete, key born again", STATE_DELETE_DISCARDED, EVENT_APPLIED, STATE_MAPPED, {1, 0, 0, 0}},
    {"nothing to discard", STATE_MAPPED, EVENT_DISCARD, STATE_MAPPED, {0, 0, 0, 0}},
};

static void each_event_adds_the_difference_of_two_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct account_delta delta;
        if (account_next(steps[i].from, steps[i].event, &delta) != steps[i].to)
            fail_msg("%s: wrong state", steps[i].what);
        if (delta.mapped != steps[i].delta.mapped || delta.quarantined != steps[i].delta.quarantined ||
            delta.excluded != steps[i].delta.excluded || delta.failed_deletes != steps[i].delta.failed_deletes)
            fail_msg("%s: wrong delta", steps[i].what);
    }
}

/* A row of the source lives or not; what an event says of that, the sum of the three counters must follow. */
static void mapped_quarantined_and_excluded_make_up_the_source(void **state)
{
    (void)state;
    static const int lives_in[STATE_COUNT] = {
        [STATE_MAPPED] = 1, [STATE_QUARANTINED] = 1, [STATE_EXCLUDED] = 1, [STATE_DISCARDED] = 1};
    for (int from = 0; from < STATE_COUNT; from++) {
        for (int event = 0; event < EVENT_COUNT; event++) {
            struct account_delta delta;
            enum account_state to = account_next((enum account_state)from, (enum account_event)event, &delta);
            int lives =
                event == EVENT_DISCARD ? lives_in[from] : event != EVENT_DELETED && event != EVENT_DELETE_FAILED;
            assert_int_equal(lives_in[to], lives);
            assert_int_equal(delta.mapped + delta.quarantined + delta.excluded, lives - lives_in[from]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_event_adds_the_difference_of_two_states),
        cmocka_unit_test(mapped_quarantined_and_excluded_make_up_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
