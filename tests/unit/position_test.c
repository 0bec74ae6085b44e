#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cdc/app/engine/position.h"

static void starts_at_what_the_target_holds(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    assert_int_equal(position_confirmable(&p), 100);
    assert_true(position_idle(&p));
    assert_int_equal(position_idle_target(&p), 0);
}

static void received_transaction_is_not_confirmed_before_it_is_durable(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_begin(&p);
    position_received(&p, 200);
    assert_int_equal(position_confirmable(&p), 100);
    position_applied(&p, 200);
    assert_int_equal(position_confirmable(&p), 100);
    position_durable(&p, 200);
    assert_int_equal(position_confirmable(&p), 200);
}

static void keepalive_does_not_pass_in_flight_transaction(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_begin(&p);
    position_received(&p, 200);
    position_keepalive(&p, 300);
    assert_int_equal(position_idle_target(&p), 0);
    assert_int_equal(position_confirmable(&p), 100);
    position_applied(&p, 200);
    assert_int_equal(position_idle_target(&p), 300);
}

static void keepalive_inside_a_transaction_says_nothing(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_begin(&p);
    position_keepalive(&p, 300);
    assert_false(position_idle(&p));
    assert_int_equal(position_idle_target(&p), 0);
    position_received(&p, 250);
    position_applied(&p, 250);
    assert_int_equal(position_idle_target(&p), 0);
}

static void keepalive_is_confirmed_only_after_the_target_recorded_it(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_keepalive(&p, 300);
    assert_int_equal(position_idle_target(&p), 300);
    assert_int_equal(position_confirmable(&p), 100);
    position_applied(&p, 300);
    position_durable(&p, 300);
    assert_int_equal(position_confirmable(&p), 300);
    assert_int_equal(position_idle_target(&p), 0);
}

static void empty_transaction_moves_the_position_without_a_batch(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_begin(&p);
    assert_false(position_idle(&p));
    position_received_empty(&p, 150);
    assert_true(position_idle(&p));
    assert_int_equal(position_idle_target(&p), 150);
}

static void never_moves_backwards(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_received(&p, 200);
    position_applied(&p, 200);
    position_durable(&p, 200);
    position_keepalive(&p, 50);
    position_applied(&p, 150);
    position_durable(&p, 150);
    assert_int_equal(position_confirmable(&p), 200);
    assert_int_equal(position_idle_target(&p), 0);
}

static void durable_beyond_applied_is_not_believed(void **state)
{
    (void)state;
    struct position p;
    position_init(&p, 100);
    position_durable(&p, 900);
    assert_int_equal(position_confirmable(&p), 100);
}

/* Whatever the order of events, what is confirmed was applied, is durable, and is no point inside a transaction. */
static void random_events_never_confirm_too_much(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    struct position p;
    position_init(&p, 1000);
    uint64_t wal = 1000, durable = 1000, last = 1000;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        switch (random % 6) {
        case 0: position_begin(&p); break;
        case 1: wal += random % 97 + 1, position_received(&p, wal); break;
        case 2: wal += random % 97 + 1, position_received_empty(&p, wal); break;
        case 3: wal += random % 97 + 1, position_keepalive(&p, wal); break;
        case 4:
            if (position_idle_target(&p))
                position_applied(&p, position_idle_target(&p));
            else
                position_applied(&p, p.committed);
            break;
        case 5: durable = p.applied, position_durable(&p, durable); break;
        }
        assert_true(position_confirmable(&p) <= p.applied);
        assert_true(position_confirmable(&p) <= wal);
        assert_true(position_confirmable(&p) >= last);
        assert_true(p.applied <= p.seen);
        last = position_confirmable(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_at_what_the_target_holds),
        cmocka_unit_test(received_transaction_is_not_confirmed_before_it_is_durable),
        cmocka_unit_test(keepalive_does_not_pass_in_flight_transaction),
        cmocka_unit_test(keepalive_inside_a_transaction_says_nothing),
        cmocka_unit_test(keepalive_is_confirmed_only_after_the_target_recorded_it),
        cmocka_unit_test(empty_transaction_moves_the_position_without_a_batch),
        cmocka_unit_test(never_moves_backwards),
        cmocka_unit_test(durable_beyond_applied_is_not_believed),
        cmocka_unit_test(random_events_never_confirm_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
