/* Workers that load parts: who loads what, how often, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cdc/app/engine/run.h"
#include "cdc/app/snapshot/crew.h"

#define PARTS 12

struct fixture {
    struct crew crew;
    _Atomic int opened, forgotten, loads[PARTS];
    _Atomic int deadlocks; /* of part 3: how many loads of it still give way */
    int fails;             /* this part cannot be loaded; -1: all can */
    bool no_open;
};

static int open_hand(struct crew_hand *hand, struct err *reterr)
{
    struct fixture *f = hand->own;
    f->opened++;
    return f->no_open ? err_set(reterr, ERR_RETRY, "no connection") : 0;
}

static int load_part(struct crew_hand *hand, size_t part, struct err *reterr)
{
    struct fixture *f = hand->own;
    f->loads[part]++;
    for (int i = 0; i < 10; i++)
        crew_count(hand);
    if (part == 3 && f->deadlocks > 0) {
        f->deadlocks--;
        (void)err_set(reterr, ERR_RETRY, "deadlock");
        snprintf(reterr->sqlstate, sizeof reterr->sqlstate, "40P01");
        return -1;
    }
    return (int)part == f->fails ? err_set(reterr, ERR_FATAL, "part %zu", part) : 0;
}

static void forget(struct crew_hand *hand)
{
    struct fixture *f = hand->own;
    f->forgotten++;
}

static void idle(void *context, uint64_t rows)
{
    (void)context;
    (void)rows;
}

static const struct crew_ops ops = {open_hand, load_part, forget, idle};

/* Parts 0, 2, 4, … are of level 0, the others of level 1; the last one is done. */
static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->fails = -1;
    crew_init(&f->crew, &ops, f, 3);
    for (int i = 0; i < PARTS; i++)
        crew_add(&f->crew, i, i % 2, i == PARTS - 1);
    for (int i = 0; i < 3; i++)
        f->crew.hands[i].own = f;
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    crew_done(&f->crew);
    free(f);
    run_stop = 0;
    return 0;
}

static void each_part_of_a_level_is_loaded_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    assert_int_equal(crew_load(&f->crew, 0, &err), 0);
    for (int i = 0; i < PARTS; i++)
        assert_int_equal(f->loads[i], i % 2 == 0);
    assert_false(crew_wanted(&f->crew, 0));
    assert_int_equal(crew_load(&f->crew, 1, &err), 0);
    for (int i = 0; i < PARTS; i++)
        assert_int_equal(f->loads[i], i != PARTS - 1);
    assert_int_equal(f->crew.rows, 10 * (PARTS - 1));
    assert_in_range(f->opened, 1, 3);
}

static void a_level_without_parts_costs_no_worker(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    assert_int_equal(crew_load(&f->crew, 7, &err), 0);
    assert_int_equal(f->opened, 0);
}

static void who_gives_way_to_a_deadlock_loads_again_and_counts_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    f->deadlocks = 2;
    assert_int_equal(crew_load(&f->crew, 1, &err), 0);
    assert_int_equal(f->loads[3], 3);
    assert_int_equal(f->forgotten, 2);
    assert_int_equal(f->crew.rows, 10 * (PARTS / 2 - 1));
}

static void a_failure_is_told_and_its_part_is_still_wanted(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    f->fails = 4;
    assert_int_equal(crew_load(&f->crew, 0, &err), -1);
    assert_int_equal(err.kind, ERR_FATAL);
    assert_string_equal(err.message, "part 4");
    assert_int_equal(f->loads[4], 1);
    assert_true(crew_wanted(&f->crew, 0));
}

static void a_worker_that_cannot_connect_fails_the_level(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    f->no_open = true;
    assert_int_equal(crew_load(&f->crew, 0, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_int_equal(f->crew.rows, 0);
}

static void a_stop_ends_between_parts(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    run_stop = 1;
    assert_int_equal(crew_load(&f->crew, 0, &err), -1);
    assert_int_equal(err.kind, ERR_STOP);
    assert_int_equal(f->loads[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_part_of_a_level_is_loaded_once, begin, end),
        cmocka_unit_test_setup_teardown(a_level_without_parts_costs_no_worker, begin, end),
        cmocka_unit_test_setup_teardown(who_gives_way_to_a_deadlock_loads_again_and_counts_once, begin, end),
        cmocka_unit_test_setup_teardown(a_failure_is_told_and_its_part_is_still_wanted, begin, end),
        cmocka_unit_test_setup_teardown(a_worker_that_cannot_connect_fails_the_level, begin, end),
        cmocka_unit_test_setup_teardown(a_stop_ends_between_parts, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
