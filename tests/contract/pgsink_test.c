/* What sinks/sink.h promises, held against the PostgreSQL sink and a real server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/base/lsn.h"
#include "tests/contract/world.h"

#define OPEN_ENTRIES                                                                                                   \
    "SELECT rule, key, category, sqlstate FROM pgrekey.quarantine WHERE status IN ('pending', 'escalated') ORDER BY "  \
    "1, 2"
#define USERS "SELECT legacy_id, email, nick, bio FROM app.users ORDER BY 1"

static void office_and_user(struct world *w)
{
    world_insert(w, "offices", "1, 'North'");
    world_insert(w, "users", "1, 'a@x', 'ann', 1, NULL, 'long story'");
    world_apply(w);
}

/* --- one transaction --- */

static void rows_counters_and_position_commit_together(void **state)
{
    struct world *w = *state;
    char lsn[LSN_TEXT_MAX];
    office_and_user(w);
    assert_world(w, "SELECT legacy_id, name FROM app.offices", "1|North");
    assert_world(w, USERS, "1|a@x|ann|long story");
    assert_account(w, "users", "1|0|0|0");
    assert_world(w, "SELECT lsn FROM pgrekey.pipeline", lsn_format(w->lsn, lsn));
    world_reopen(w);
    assert_true(w->position.lsn == w->lsn);
    assert_int_equal(w->position.state, PIPELINE_STREAMING);
}

static void an_unfinished_source_transaction_is_not_visible(void **state)
{
    struct world *w = *state;
    world_begin(w);
    world_insert(w, "offices", "1, 'North'");
    world_apply_part(w);
    world_insert(w, "offices", "2, 'South'");
    world_apply_part(w);
    assert_world(w, "SELECT count(*) FROM app.offices", "0");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.offices", "2");
}

static void a_death_inside_a_source_transaction_leaves_nothing_of_it(void **state)
{
    struct world *w = *state;
    uint64_t before = w->lsn;
    world_begin(w);
    world_insert(w, "offices", "1, 'North'");
    world_apply_part(w);
    world_reopen(w);
    assert_true(w->position.lsn == before);
    assert_world(w, "SELECT count(*) FROM app.offices", "0");
    world_delete(w, "offices", "true"); /* so that the equation has the source of before */
    batch_reset(&w->batch);
    assert_true(world_commit(w));
}

static void a_second_engine_of_the_same_pipeline_is_kept_out(void **state)
{
    struct world *w = *state;
    struct pgsink_options options = w->options;
    struct sink_position position;
    struct sink *second = NULL;
    struct err err = {0};
    options.lock_wait_s = 1;
    assert_int_equal(pgsink_open(&options, &second, &position, &err), -1);
    assert_null(second);
}

static void a_lost_connection_is_no_half_batch(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    office_and_user(w);
    world_begin(w);
    world_insert(w, "offices", "2, 'South'");
    world_apply_part(w);
    world_run(w, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgrekey contract'"
                 " AND datname = current_database()");
    world_insert(w, "offices", "3, 'East'");
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    world_reopen(w);
    assert_true(w->position.lsn < w->lsn);
    assert_world(w, "SELECT count(*) FROM app.offices", "1");
    world_delete(w, "offices", "id > 1");
    batch_reset(&w->batch);
    assert_true(world_commit(w));
}

/* What must not be there any more fails the transaction; it is not noticed behind its commit. */
static void assert_nothing_without(struct world *w, const char *destroy, const char *restore)
{
    struct err err = {0};
    world_run(w, destroy);
    world_insert(w, "offices", "2, 'South'");
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_FATAL);
    for (int id = 3; id < 103; id++) {
        char values[32];
        snprintf(values, sizeof(values), "%d, 'East'", id);
        world_insert(w, "offices", values);
    }
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_FATAL);
    assert_world(w, "SELECT count(*) FROM app.offices", "1");
    world_run(w, "DELETE FROM legacy.offices WHERE id > 1");
    world_run(w, restore);
}

static void nothing_is_committed_without_a_record(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    assert_nothing_without(w, "UPDATE pgrekey.pipeline SET name = 'hidden'",
                           "UPDATE pgrekey.pipeline SET name = 'contract'");
}

static void nothing_is_committed_without_a_counter(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    assert_nothing_without(w, "UPDATE pgrekey.counter SET rule = 'hidden' WHERE rule = 'offices'",
                           "UPDATE pgrekey.counter SET rule = 'offices' WHERE rule = 'hidden'");
}

static void a_moved_position_is_left_alone(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    office_and_user(w);
    world_run(w, "UPDATE pgrekey.pipeline SET lsn = lsn + 1");
    world_insert(w, "offices", "2, 'South'");
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_world(w, "SELECT count(*) FROM app.offices", "1");
    world_run(w, "DELETE FROM legacy.offices WHERE id > 1");
}

/* --- what an update touches --- */

static void leave_out(struct row *row, const char *column)
{
    for (size_t i = 0; i < row->rule->column_count; i++)
        if (strcmp(row->rule->columns[i].name, column) == 0)
            row->values[i].state = VALUE_ABSENT;
    row->partial = true;
}

/* Each row has a statement of its own; the first one fails, and so none of the others is prepared. */
static void statements_behind_a_failed_one_are_prepared_again(void **state)
{
    static const char *const absent[] = {"nick", "email", "legacy_id", "office_id", "boss_id", "bio"};
    struct world *w = *state;
    world_insert(w, "offices", "1, 'North'");
    for (int id = 1; id <= 6; id++) {
        char values[64];
        snprintf(values, sizeof(values), "%d, 'old%d@x', NULL, 1, NULL, 'story'", id, id);
        world_insert(w, "users", values);
    }
    world_apply(w);
    world_run(w, "ALTER TABLE app.users ADD CHECK (bio <> 'refused')");
    world_update(w, "users", "id = 1", "bio = 'refused'", NULL);
    world_update(w, "users", "id > 1", "email = 'new' || id || '@x'", NULL);
    for (size_t i = 0; i < 6; i++)
        leave_out(w->batch.rows[i], absent[i]);
    world_apply(w);
    assert_account(w, "users", "5|1|0|0");
    assert_world(w, "SELECT legacy_id, email FROM app.users ORDER BY 1",
                 "1|old1@x\n2|old2@x\n3|new3@x\n4|new4@x\n5|new5@x\n6|new6@x");
}

static void an_update_leaves_what_the_mapping_does_not_own(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "UPDATE app.users SET app_note = 'theirs'");
    world_update(w, "users", "id = 1", "email = 'b@x'", NULL);
    world_apply(w);
    assert_world(w, "SELECT email, born_as, app_note FROM app.users", "b@x|a@x|theirs");
}

static void an_unchanged_out_of_line_value_stays(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_update(w, "users", "id = 1", "nick = NULL", "bio");
    world_apply(w);
    assert_world(w, USERS, "1|a@x|\\N|long story");
    assert_int_equal(w->completed, 0);
}

static void a_partial_row_that_nothing_holds_is_read_from_the_source(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "DELETE FROM app.users");
    world_update(w, "users", "id = 1", "nick = 'nan'", "bio");
    world_apply(w);
    assert_world(w, USERS, "1|a@x|nan|long story");
    assert_int_equal(w->completed, 1);
    assert_account(w, "users", "1|0|0|0");
}

static void a_partial_row_that_is_gone_at_the_source_waits_for_its_delete(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "DELETE FROM app.users");
    world_update(w, "users", "id = 1", "nick = 'nan'", "bio");
    assert_true(world_commit(w));
    world_delete(w, "users", "id = 1");
    world_apply(w);
    assert_world(w, USERS, "");
    assert_account(w, "users", "0|0|0|0");
}

/* --- quarantine --- */

static void one_bad_row_does_not_stop_the_rest(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 10, 'paid', 'fine'");
    world_insert(w, "orders", "2, 1, -1, 'paid', 'refused'");
    world_insert(w, "orders", "3, 1, 30, 'paid', 'much too long a note'");
    world_insert(w, "orders", "4, 1, 40, 'draft', NULL");
    world_insert(w, "orders", "5, 1, 50, 'paid', NULL");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.orders ORDER BY 1", "1\n5");
    assert_world(w, OPEN_ENTRIES, "orders|[\"2\"]|validation_failure|23514\norders|[\"3\"]|validation_failure|");
    assert_world(w,
                 "SELECT change::json->>'total', op, lsn = (SELECT lsn FROM pgrekey.pipeline), xid > 0"
                 " FROM pgrekey.quarantine WHERE key = '[\"2\"]'",
                 "-1|I|t|t");
    assert_account(w, "orders", "2|2|1|0");
}

static void a_later_good_change_resolves_the_entry(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', 'x'");
    world_apply(w);
    world_update(w, "orders", "id = 2", "total = 7", NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, total, note FROM app.orders", "2|7|x");
    assert_world(w, OPEN_ENTRIES, "");
    assert_world(w, "SELECT status, change FROM pgrekey.quarantine", "resolved|{}");
    assert_account(w, "orders", "1|0|0|0");
}

static void a_failed_update_leaves_the_last_good_version(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, 5, 'paid', 'x'");
    world_apply(w);
    world_update(w, "orders", "id = 2", "total = -7, note = 'y'", NULL);
    world_apply(w);
    assert_world(w, "SELECT total, note FROM app.orders", "5|x");
    assert_account(w, "orders", "0|1|0|0");
    world_delete(w, "orders", "id = 2");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.orders", "0");
    assert_account(w, "orders", "0|0|0|0");
}

static void later_partial_changes_merge_into_the_image(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', 'kept'");
    world_apply(w);
    world_update(w, "orders", "id = 2", "total = -2", "note");
    world_apply(w);
    assert_world(w, "SELECT change::json->>'total', change::json->>'note' FROM pgrekey.quarantine", "-2|kept");
    world_update(w, "orders", "id = 2", "total = 3", "note");
    world_apply(w);
    assert_world(w, "SELECT total, note FROM app.orders", "3|kept");
    assert_int_equal(w->completed, 0);
}

static void no_reason_holds_a_value(void **state)
{
    struct world *w = *state;
    world_insert(w, "offices", "1, 'North'");
    world_insert(w, "users", "1, 'Marker@x', 'Marker', 1, NULL, 'Marker'");
    world_insert(w, "users", "2, 'b@x', 'Marker', 1, NULL, NULL");
    world_insert(w, "orders", "3, 1, 1, 'paid', 'Marker Marker Marker'");
    assert_false(world_commit(w)); /* the nick is unique at the source too */
    batch_reset(&w->batch);
    world_run(w, "ALTER TABLE legacy.users DROP CONSTRAINT users_nick_key");
    world_insert(w, "offices", "1, 'North'");
    world_insert(w, "users", "1, 'Marker@x', 'Marker', 1, NULL, 'Marker'");
    world_insert(w, "users", "2, 'b@x', 'Marker', 1, NULL, NULL");
    world_insert(w, "orders", "3, 1, 1, 'paid', 'Marker Marker Marker'");
    world_apply(w);
    assert_world(w,
                 "SELECT count(*), count(*) FILTER (WHERE reason || suggestion || column_name || constraint_name"
                 " || coalesce(blocked_by, '') LIKE '%Marker%') FROM pgrekey.quarantine",
                 "2|0");
}

/* --- parents --- */

static void a_parent_may_come_after_its_child_in_one_transaction(void **state)
{
    struct world *w = *state;
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_insert(w, "users", "1, 'a@x', NULL, 1, NULL, NULL");
    world_insert(w, "offices", "1, 'North'");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.orders", "1");
    assert_world(w, "SELECT count(*) FROM pgrekey.quarantine", "0");
}

static void the_same_in_parts_and_with_a_bad_row(void **state)
{
    struct world *w = *state;
    world_begin(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_insert(w, "orders", "2, 1, -1, 'paid', NULL");
    world_apply_part(w);
    world_insert(w, "users", "1, 'a@x', NULL, 1, NULL, NULL");
    world_apply_part(w);
    world_insert(w, "offices", "1, 'North'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.orders", "1");
    assert_world(w, OPEN_ENTRIES, "orders|[\"2\"]|validation_failure|23514");
}

static void a_missing_required_parent_parks_and_its_arrival_wakes(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 99, 1, 'paid', 'kept'");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "orders|[\"1\"]|orphan_reference|");
    assert_world(w,
                 "SELECT column_name, waits_table, waits_id IS NOT NULL, next_try"
                 " FROM pgrekey.quarantine",
                 "user_id|app.users|t|\\N");
    assert_account(w, "orders", "0|1|0|0");
    world_insert(w, "users", "99, 'z@x', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, note FROM app.orders", "1|kept");
    assert_world(w, OPEN_ENTRIES, "");
    assert_world(w, "SELECT status, change, target_row FROM pgrekey.quarantine", "resolved|{}|\\N");
    assert_account(w, "orders", "1|0|0|0");
}

static void chains_wake_and_what_lacks_two_parents_waits_for_each(void **state)
{
    struct world *w = *state;
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_apply(w);
    world_insert(w, "members", "1, 1, 2, 'm'");
    world_apply(w);
    world_insert(w, "users", "1, 'a@x', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_account(w, "users", "0|1|0|0");
    world_reopen(w); /* who waits is read anew */
    world_insert(w, "offices", "1, 'North'");
    world_apply(w);
    assert_world(w, "SELECT (SELECT count(*) FROM app.users), (SELECT count(*) FROM app.orders)", "1|1");
    assert_world(w, "SELECT rule, waits_table FROM pgrekey.quarantine WHERE status = 'pending'", "members|app.offices");
    world_insert(w, "offices", "2, 'South'");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "");
    assert_account(w, "members", "1|0|0|0");
}

static void a_woken_row_that_fails_is_quarantined_as_any(void **state)
{
    struct world *w = *state;
    world_insert(w, "offices", "1, 'North'");
    world_insert(w, "orders", "1, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "2, 1, 2, 'paid', NULL");
    world_insert(w, "orders", "3, 1, 3, 'draft', NULL");
    world_apply(w);
    world_insert(w, "users", "1, 'a@x', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.orders", "2");
    assert_world(w, OPEN_ENTRIES, "orders|[\"1\"]|validation_failure|23514");
    assert_account(w, "orders", "1|1|1|0");
}

static void an_update_to_a_missing_parent_takes_the_row_away_and_brings_it_back(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_apply(w);
    world_run(w, "UPDATE app.users SET app_note = 'theirs'");
    world_update(w, "users", "id = 1", "office_id = 9, email = 'b@x'", "bio");
    world_apply(w);
    assert_world(w, "SELECT (SELECT count(*) FROM app.users), (SELECT count(*) FROM app.orders)", "0|0");
    assert_world(w, OPEN_ENTRIES, "orders|[\"1\"]|orphan_reference|\nusers|[\"1\"]|orphan_reference|");
    assert_account(w, "users", "0|1|0|0");
    assert_account(w, "orders", "0|1|0|0");
    world_update(w, "orders", "id = 1", "note = 'meanwhile'", NULL);
    world_apply(w);
    world_insert(w, "offices", "9, 'Late'");
    world_apply(w);
    assert_world(w, "SELECT email, bio, born_as, app_note FROM app.users", "b@x|long story|a@x|theirs");
    assert_world(w, "SELECT note FROM app.orders", "meanwhile");
    assert_world(w, OPEN_ENTRIES, "");
    assert_int_equal(w->completed, 0);
}

static void a_parked_row_follows_its_source(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 9, 1, 'paid', NULL");
    world_insert(w, "orders", "2, 9, 2, 'paid', NULL");
    world_insert(w, "orders", "3, 9, 3, 'paid', NULL");
    world_insert(w, "orders", "4, 9, 4, 'paid', NULL");
    world_apply(w);
    assert_account(w, "orders", "0|4|0|0");
    world_update(w, "orders", "id = 1", "user_id = 1", "note"); /* to one that is there */
    world_delete(w, "orders", "id = 2");
    world_update(w, "orders", "id = 3", "status = 'draft'", NULL);
    world_update(w, "orders", "id = 4", "total = 44", "note");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, total FROM app.orders", "1|1");
    assert_account(w, "orders", "1|1|1|0");
    world_insert(w, "users", "9, 'z@x', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, total FROM app.orders ORDER BY 1", "1|1\n4|44");
}

static void a_parent_that_goes_parks_its_living_children(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', 'note'");
    world_insert(w, "members", "1, 1, 1, 'm'"); /* no foreign key on the target */
    world_apply(w);
    world_run(w, "UPDATE app.users SET app_note = 'theirs'");
    world_delete(w, "offices", "id = 1");
    world_apply(w);
    assert_world(w,
                 "SELECT (SELECT count(*) FROM app.offices), (SELECT count(*) FROM app.users),"
                 " (SELECT count(*) FROM app.orders), (SELECT count(*) FROM app.members)",
                 "0|0|0|0");
    assert_world(w, "SELECT rule, key, waits_table FROM pgrekey.quarantine WHERE status = 'pending' ORDER BY 1",
                 "members|[\"1\"]|app.users\norders|[\"1\"]|app.users\nusers|[\"1\"]|app.offices");
    assert_account(w, "offices", "0|0|0|0");
    assert_account(w, "users", "0|1|0|0");
    world_assert_equation(w);
    world_insert(w, "offices", "1, 'Again'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, email, born_as, app_note FROM app.users", "1|a@x|a@x|theirs");
    assert_world(w, "SELECT legacy_id, note FROM app.orders", "1|note");
    assert_world(w, "SELECT legacy_id, role, closed FROM app.members", "1|m|f");
    assert_world(w, OPEN_ENTRIES, "");
    world_assert_equation(w);
}

static void a_truncated_parent_parks_its_living_children(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', 'note'");
    world_apply(w);
    world_truncate(w, "users");
    world_apply(w);
    assert_account(w, "users", "0|0|0|0");
    assert_account(w, "orders", "0|1|0|0");
    world_insert(w, "users", "1, 'a@x', 'ann', 1, NULL, 'new story'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, note FROM app.orders", "1|note");
    assert_account(w, "orders", "1|0|0|0");
}

static void an_optional_reference_follows_its_parent_whenever_it_comes_and_goes(void **state)
{
    struct world *w = *state;
    static const char bosses[] =
        "SELECT u.legacy_id, b.legacy_id FROM app.users u LEFT JOIN app.users b ON b.id = u.boss_id ORDER BY 1";
    office_and_user(w);
    world_insert(w, "users", "2, 'b@x', NULL, 1, 7, NULL");
    world_insert(w, "users", "3, 'c@x', NULL, 1, 7, NULL");
    world_insert(w, "users", "4, 'd@x', NULL, 1, 1, NULL");
    world_apply(w);
    assert_world(w, bosses, "1|\\N\n2|\\N\n3|\\N\n4|1");
    world_reopen(w);
    world_insert(w, "users", "7, 'g@x', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_world(w, bosses, "1|\\N\n2|7\n3|7\n4|1\n7|\\N");
    assert_world(w, "SELECT count(*) FROM pgrekey.pending_reference", "0");
    world_delete(w, "users", "id = 7");
    world_apply(w);
    assert_world(w, bosses, "1|\\N\n2|\\N\n3|\\N\n4|1");
    world_delete(w, "offices", "id = 1"); /* all of them leave, and keep in mind whom they wait for */
    world_apply(w);
    world_insert(w, "users", "7, 'g@x', NULL, 2, NULL, NULL");
    world_insert(w, "offices", "2, 'South'");
    world_apply(w);
    world_insert(w, "offices", "1, 'Again'");
    world_apply(w);
    assert_world(w, bosses, "1|\\N\n2|7\n3|7\n4|1\n7|\\N");
    assert_world(w, "SELECT count(*) FROM pgrekey.pending_reference", "0");
    assert_account(w, "users", "5|0|0|0");
}

static void a_missing_optional_parent_is_null_and_noted(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "users", "2, 'b@x', NULL, 1, 77, NULL");
    world_insert(w, "users", "3, 'c@x', NULL, 1, 1, NULL");
    world_insert(w, "users", "4, 'd@x', NULL, 1, 4, NULL");
    world_apply(w);
    assert_world(w,
                 "SELECT u.legacy_id, b.legacy_id FROM app.users u LEFT JOIN app.users b ON b.id = u.boss_id"
                 " ORDER BY 1",
                 "1|\\N\n2|\\N\n3|1\n4|4");
    assert_world(w, "SELECT rule, key, column_name, parent_entity FROM pgrekey.pending_reference",
                 "users|[\"2\"]|boss_id|user");
    world_update(w, "users", "id = 2", "boss_id = 1", NULL);
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM pgrekey.pending_reference", "0");
    assert_account(w, "users", "4|0|0|0");
}

/* Nobody can say when such rows would return. */
static void a_delete_that_rows_of_nobody_refuse_is_counted_apart(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "CREATE TABLE app.desks (id integer PRIMARY KEY, office_id uuid REFERENCES app.offices);"
                 "INSERT INTO app.desks SELECT 1, id FROM app.offices");
    world_delete(w, "offices", "id = 1"); /* the source has no foreign key here */
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "offices|[\"1\"]|constraint_violation|23503");
    assert_account(w, "offices", "0|0|0|1");
    assert_account(w, "users", "1|0|0|0");
    world_insert(w, "offices", "1, 'Again'");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "");
    assert_world(w, "SELECT name FROM app.offices", "Again");
    assert_account(w, "offices", "1|0|0|0");
}

static void a_parent_may_go_before_its_children_in_one_transaction(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_insert(w, "orders", "2, 1, -1, 'paid', 'to row mode'");
    world_apply(w);
    world_delete(w, "offices", "id = 1");
    world_delete(w, "users", "id = 1");
    world_delete(w, "orders", "true");
    world_apply(w);
    assert_world(w, "SELECT (SELECT count(*) FROM app.users) + (SELECT count(*) FROM app.offices)", "0");
    assert_account(w, "offices", "0|0|0|0");
    assert_account(w, "orders", "0|0|0|0");
}

static void a_child_moves_off_a_parent_that_is_then_deleted(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "offices", "2, 'South'");
    world_update(w, "users", "id = 1", "office_id = 2", NULL);
    world_delete(w, "offices", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT o.legacy_id FROM app.users u JOIN app.offices o ON o.id = u.office_id", "2");
    assert_world(w, "SELECT count(*) FROM app.offices", "1");
    assert_world(w, OPEN_ENTRIES, "");
}

/* --- unique values --- */

static void values_swap_between_two_rows(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "users", "2, 'b@x', 'bob', 1, NULL, NULL");
    world_apply(w);
    world_update(w, "users", "id IN (1, 2)",
                 "email = CASE email WHEN 'a@x' THEN 'b@x' ELSE 'a@x' END,"
                 " nick = CASE nick WHEN 'ann' THEN 'bob' ELSE 'ann' END",
                 NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, email, nick FROM app.users ORDER BY 1", "1|b@x|bob\n2|a@x|ann");
    assert_world(w, OPEN_ENTRIES, "");
    assert_account(w, "users", "2|0|0|0");
}

static void a_value_goes_round_through_a_third_one(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "users", "2, 'b@x', 'bob', 1, NULL, NULL");
    world_apply(w);
    world_update(w, "users", "id = 1", "email = 'tmp'", NULL);
    world_update(w, "users", "id = 2", "email = 'a@x'", "bio");
    world_update(w, "users", "id = 1", "email = 'b@x'", "bio");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, email, bio FROM app.users ORDER BY 1", "1|b@x|long story\n2|a@x|\\N");
}

static void a_unique_value_is_deleted_and_inserted_under_another_key(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_delete(w, "users", "id = 1");
    world_insert(w, "users", "2, 'a@x', 'ann', 1, NULL, 'new'");
    world_apply(w);
    assert_world(w, USERS, "2|a@x|ann|new");
    assert_account(w, "users", "1|0|0|0");
}

static void a_row_waits_for_whoever_holds_its_unique_value(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "INSERT INTO app.users (id, legacy_id, email, office_id) SELECT"
                 " '00000000-0000-0000-0000-000000000001', 500, 'b@x', id FROM app.offices");
    world_insert(w, "users", "2, 'b@x', 'bob', 1, NULL, NULL");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "users|[\"2\"]|email_conflict|23505");
    assert_world(w, "SELECT blocked_by FROM pgrekey.quarantine",
                 "[\"app\",\"users\",\"00000000-0000-0000-0000-000000000001\"]");
    world_run(w, "UPDATE app.users SET id = (SELECT id FROM app.users WHERE legacy_id = 1), legacy_id = 1,"
                 " office_id = office_id WHERE false");
    world_run(w, "DELETE FROM app.users WHERE legacy_id = 500");
    world_run(w, "INSERT INTO pgrekey.request (pipeline, kind) VALUES ('contract', 'quarantine_retry')");
    world_tick(w);
    assert_world(w, OPEN_ENTRIES, "");
}

static void a_released_value_wakes_the_row_in_the_same_transaction(void **state)
{
    struct world *w = *state;
    world_run(w, "ALTER TABLE legacy.users DROP CONSTRAINT users_email_key");
    office_and_user(w);
    world_insert(w, "users", "2, 'a@x', 'bob', 1, NULL, NULL");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "users|[\"2\"]|email_conflict|23505");
    world_reopen(w); /* what blocks is read anew */
    world_update(w, "users", "id = 1", "email = 'free@x'", NULL);
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "");
    assert_world(w, "SELECT legacy_id, email FROM app.users ORDER BY 1", "1|free@x\n2|a@x");
    assert_account(w, "users", "2|0|0|0");
}

/* --- changed keys --- */

static void a_changed_key_takes_its_row_along(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_run(w, "UPDATE app.users SET app_note = 'theirs'");
    world_update(w, "users", "id = 1", "id = 8, nick = 'eight'", "bio");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, nick, bio, app_note, born_as FROM app.users", "8|eight|long story|theirs|a@x");
    assert_int_equal(w->completed, 0);
    assert_account(w, "users", "1|0|0|0");
}

static void a_changed_key_with_children(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_apply(w);
    world_update(w, "users", "id = 1", "id = 8, email = 'new@x'", "bio");
    world_update(w, "orders", "id = 1", "user_id = 8", NULL);
    world_apply(w);
    assert_world(w, USERS, "8|new@x|ann|long story");
    assert_world(w, "SELECT u.legacy_id FROM app.orders o JOIN app.users u ON u.id = o.user_id", "8");
    assert_world(w, OPEN_ENTRIES, "");
    assert_account(w, "users", "1|0|0|0");
}

static void keys_swap_and_return(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "users", "2, 'b@x', NULL, 1, NULL, 'other'");
    world_apply(w);
    world_update(w, "users", "id = 1", "id = 3", "bio");
    world_update(w, "users", "id = 2", "id = 1", "bio");
    world_update(w, "users", "id = 3", "id = 2", "bio");
    world_apply(w);
    assert_world(w, USERS, "1|b@x|\\N|other\n2|a@x|ann|long story");
    assert_account(w, "users", "2|0|0|0");
}

static void a_changed_key_that_fails_is_kept_under_the_new_one(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_apply(w);
    world_update(w, "orders", "id = 1", "id = 2, total = -1", NULL);
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "orders|[\"2\"]|validation_failure|23514");
    assert_world(w, "SELECT count(*) FROM app.orders", "0");
    assert_account(w, "orders", "0|1|0|0");
    world_update(w, "orders", "id = 2", "id = 3, total = 4", NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, total FROM app.orders", "3|4");
    assert_account(w, "orders", "1|0|0|0");
}

static void a_changed_key_takes_the_place_of_a_row_that_could_not_go(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_insert(w, "orders", "2, 1, 2, 'paid', NULL");
    world_apply(w);
    world_run(w, "CREATE TABLE app.theirs AS SELECT id AS order_id FROM app.orders WHERE legacy_id = 2;"
                 "ALTER TABLE app.theirs ADD FOREIGN KEY (order_id) REFERENCES app.orders");
    world_delete(w, "orders", "id = 2");
    world_apply(w);
    assert_account(w, "orders", "1|0|0|1");
    world_update(w, "orders", "id = 1", "id = 2", NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, total FROM app.orders", "2|1");
    assert_world(w, OPEN_ENTRIES, "");
    assert_account(w, "orders", "1|0|0|0");
}

/* --- conditions, and deletes that leave the row --- */

static void a_row_begins_and_stops_to_match(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'draft', 'note'");
    world_apply(w);
    assert_account(w, "orders", "0|0|1|0");
    world_update(w, "orders", "id = 1", "status = 'paid'", "note");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, note FROM app.orders", "1|note");
    assert_int_equal(w->completed, 1);
    assert_account(w, "orders", "1|0|0|0");
    world_update(w, "orders", "id = 1", "status = 'draft'", NULL);
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.orders", "0");
    assert_account(w, "orders", "0|0|1|0");
    world_delete(w, "orders", "id = 1");
    world_apply(w);
    assert_account(w, "orders", "0|0|0|0");
}

static void a_pair_that_returns_reopens_its_row(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "members", "1, 1, 1, 'first'");
    world_apply(w);
    world_delete(w, "members", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, closed FROM app.members", "1|t");
    assert_account(w, "members", "0|0|0|0");
    world_insert(w, "members", "2, 1, 1, 'second'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, role, closed FROM app.members", "2|second|f");
    assert_account(w, "members", "1|0|0|0");
    world_insert(w, "members", "3, 1, 1, 'third'");
    world_apply(w);
    assert_world(w, OPEN_ENTRIES, "members|[\"3\"]|ambiguous_value|23505");
    world_delete(w, "members", "id = 2");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, role, closed FROM app.members", "3|third|f");
    assert_account(w, "members", "1|0|0|0");
}

static void a_pair_moves_to_another_one(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "offices", "2, 'South'");
    world_insert(w, "members", "1, 1, 1, 'x'");
    world_apply(w);
    world_update(w, "members", "id = 1", "office_id = 2", NULL);
    world_apply(w);
    world_insert(w, "members", "2, 1, 1, 'y'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, role FROM app.members ORDER BY 1", "1|x\n2|y");
    assert_world(w, OPEN_ENTRIES, "");
}

static void kept_rows_count_as_what_their_source_is(void **state)
{
    struct world *w = *state;
    world_insert(w, "notes", "1, 'one', true");
    world_insert(w, "notes", "2, 'two', true");
    world_insert(w, "notes", "3, 'three', false");
    world_apply(w);
    assert_account(w, "notes", "2|0|1|0");
    world_update(w, "notes", "id = 1", "wanted = false", NULL);
    world_apply(w);
    assert_account(w, "notes", "1|0|2|0");
    world_delete(w, "notes", "true");
    world_apply(w);
    assert_account(w, "notes", "0|0|0|0");
    assert_world(w, "SELECT body FROM app.notes ORDER BY 1", "one\ntwo");
    world_insert(w, "notes", "1, 'uno', true");
    world_insert(w, "notes", "2, 'due', false");
    world_apply(w);
    assert_account(w, "notes", "1|0|1|0");
    assert_world(w, "SELECT body FROM app.notes ORDER BY 1", "two\nuno");
}

/* --- truncate --- */

static void truncate_removes_the_rows_of_the_source_only(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "offices", "2, 'South'");
    world_apply(w);
    world_run(w, "INSERT INTO app.offices VALUES ('00000000-0000-0000-0000-000000000001', NULL, 'theirs')");
    world_insert(w, "offices", "3, 'before'");
    world_truncate(w, "offices");
    world_truncate(w, "users");
    world_insert(w, "offices", "4, 'after'");
    world_apply(w);
    assert_world(w, "SELECT name FROM app.offices ORDER BY 1", "after\ntheirs");
    assert_account(w, "offices", "1|0|0|0");
    assert_account(w, "users", "0|0|0|0");
}

static void truncate_pauses_where_the_rule_says_so(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    office_and_user(w);
    world_insert(w, "orders", "1, 1, 1, 'paid', NULL");
    world_apply(w);
    uint64_t before = w->lsn;
    world_insert(w, "offices", "2, 'South'");
    world_truncate(w, "orders");
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_REFUSED);
    assert_world(w, "SELECT count(*) FROM app.offices", "1");
    world_reopen(w);
    assert_true(w->position.lsn == before);
    world_run(w, "DELETE FROM app.orders");
    world_run(w, "DELETE FROM legacy.offices WHERE id = 2"); /* the whole transaction comes again */
    world_insert(w, "offices", "2, 'South'");
    world_truncate(w, "orders");
    world_apply(w);
    assert_account(w, "orders", "0|0|0|0");
}

/* --- operators and retries --- */

static void ask(struct world *w, const char *kind, const char *key)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "INSERT INTO pgrekey.request (pipeline, kind, ids) SELECT 'contract', '%s', array_agg(id)"
             " FROM pgrekey.quarantine WHERE key = '%s'",
             kind, key);
    world_run(w, sql);
    world_tick(w);
}

static void discard_excludes_until_the_key_changes_again(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', 'note'");
    world_apply(w);
    ask(w, "quarantine_discard", "[\"2\"]");
    assert_world(w, "SELECT result FROM pgrekey.request", "1 discarded");
    assert_account(w, "orders", "0|0|1|0");
    assert_world(w, "SELECT action, rows FROM pgrekey.audit WHERE action = 'discard'", "discard|1");
    world_update(w, "orders", "id = 2", "total = -2", "note");
    world_apply(w);
    assert_account(w, "orders", "0|1|0|0");
    ask(w, "quarantine_discard", "[\"2\"]");
    world_update(w, "orders", "id = 2", "total = 2", "note");
    world_apply(w);
    assert_account(w, "orders", "1|0|0|0");
    assert_world(w, "SELECT note FROM app.orders", "note");
}

static void a_discarded_row_may_be_deleted(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', 'note'");
    world_delete(w, "offices", "id = 1");
    world_apply(w);
    ask(w, "quarantine_discard", "[\"2\"]");
    ask(w, "quarantine_discard", "[\"1\"]");
    assert_account(w, "offices", "0|0|0|0");
    world_delete(w, "orders", "id = 2");
    world_apply(w);
    assert_account(w, "orders", "0|0|0|0");
}

static void retry_after_mended_data(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "3, 1, 1, 'paid', 'too long for the target'");
    world_apply(w);
    world_run(w, "ALTER TABLE app.orders DROP CONSTRAINT orders_total_check");
    world_run(w,
              "INSERT INTO pgrekey.request (pipeline, kind, rule) VALUES ('contract', 'quarantine_retry', 'orders')");
    world_tick(w);
    assert_world(w, "SELECT result FROM pgrekey.request", "1 resolved, 1 still failing");
    assert_account(w, "orders", "1|1|0|0");
    assert_world(w, "SELECT legacy_id, total FROM app.orders", "2|-1");
}

static void automatic_retries_end_in_escalation(void **state)
{
    struct world *w = *state;
    office_and_user(w);
    world_insert(w, "orders", "2, 1, -1, 'paid', NULL");
    world_apply(w);
    world_tick(w);
    assert_world(w, "SELECT status, retries, next_try > now() FROM pgrekey.quarantine", "pending|0|t");
    for (int i = 0; i < 3; i++) {
        world_run(w, "UPDATE pgrekey.quarantine SET next_try = now()");
        world_tick(w);
    }
    assert_world(w, "SELECT status, retries, next_try FROM pgrekey.quarantine", "escalated|3|\\N");
    assert_account(w, "orders", "0|1|0|0");
    assert_world(w, "SELECT count(*) FROM pgrekey.audit WHERE action = 'retry'", "3");
}

static void resume_is_passed_on(void **state)
{
    struct world *w = *state;
    world_run(w, "INSERT INTO pgrekey.request (pipeline, kind) VALUES ('contract', 'resume')");
    assert_false(pgsink_resume_requested(w->sink));
    world_tick(w);
    assert_true(pgsink_resume_requested(w->sink));
    assert_world(w, "SELECT status FROM pgrekey.request", "done");
}

static void a_pause_rolls_back_what_is_open(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    world_begin(w);
    world_insert(w, "offices", "1, 'North'");
    world_apply_part(w);
    assert_int_equal(pgsink_pause(w->sink, "schema_drift", "the table changed", &err), 0);
    assert_world(w, "SELECT paused, pause_category FROM pgrekey.pipeline", "t|schema_drift");
    assert_int_equal(pgsink_resume(w->sink, &err), 0);
    world_delete(w, "offices", "true"); /* it comes again from its begin */
    batch_reset(&w->batch);
    world_insert(w, "offices", "2, 'South'");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.offices", "2");
    assert_account(w, "offices", "1|0|0|0");
}

static void the_breaker_refuses_the_batch_that_opens_it(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    office_and_user(w);
    w->options.breaker_window = 10;
    w->options.breaker_percent = 50;
    world_reopen(w);
    world_insert(w, "orders", "1, 99, 1, 'paid', NULL"); /* waits for a parent: no failure */
    world_insert(w, "orders", "2, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "3, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "4, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "5, 1, 1, 'paid', NULL");
    world_apply(w);
    world_insert(w, "orders", "6, 1, -1, 'paid', NULL");
    world_insert(w, "orders", "7, 1, -1, 'paid', NULL");
    assert_int_equal(world_try_apply(w, &err), -1);
    assert_int_equal(err.kind, ERR_REFUSED);
    world_run(w, "DELETE FROM legacy.orders WHERE id > 5");
}

/* --- snapshots --- */

static struct sink *open_loader(struct world *w)
{
    struct sink *loader = NULL;
    struct err err = {0};
    if (pgsink_loader_open(&w->options, &loader, &err))
        fail_msg("%s", err.message);
    return loader;
}

static int load(struct world *w, struct sink *loader, bool done, struct err *err)
{
    if (w->in_transaction)
        assert_true(world_commit(w));
    w->batch.snapshot_part = 0;
    w->batch.part_done = done;
    int status = sink_apply(loader, &w->batch, err);
    batch_reset(&w->batch);
    w->first_row = 0;
    return status;
}

/* A table under `copy:` that was made on both sides meanwhile is a rule of the next binding. */
static void a_rule_that_no_snapshot_copied_is_new(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    sink_close(w->sink);
    w->sink = NULL;
    world_run(w, "UPDATE pgrekey.mapping_step SET step = 'other', target_table = '' WHERE step = 'notes'");
    world_run(w, "INSERT INTO app.notes (id) VALUES (gen_random_uuid())");
    assert_int_equal(pgsink_open(&w->options, &w->sink, &w->position, &err), -1);
    assert_int_equal(err.kind, ERR_REFUSED);
    assert_non_null(strstr(err.message, "rule notes"));
    assert_non_null(strstr(err.message, "app.notes"));
    world_run(w, "DELETE FROM app.notes");
    world_reopen(w);
    assert_world(w, "SELECT step, state FROM pgrekey.mapping_step WHERE step IN ('notes', 'other') ORDER BY step",
                 "notes|new\nother|removed");
    world_run(w, "DELETE FROM pgrekey.mapping_step WHERE step = 'other'");
}

/* One part of one table, planned. */
static void begin_snapshot(struct world *w)
{
    char schema[] = "legacy", table[] = "offices", rule[] = "offices";
    char *rules[] = {rule};
    struct sink_part part = {.schema = schema, .table = table, .rules = rules, .rule_count = 1};
    struct err err = {0};
    assert_int_equal(pgsink_open(&w->options, &w->sink, &w->position, &err), 0);
    assert_int_equal(pgsink_snapshot_begin(w->sink, false, &err), 0);
    assert_int_equal(pgsink_snapshot_plan(w->sink, w->lsn, &part, 1, &err), 0);
}

static void a_part_lands_whole_with_its_record(void **state)
{
    struct world *w = *state;
    struct sink_part *parts;
    struct err err = {0};
    size_t count;
    begin_snapshot(w);
    struct sink *loader = open_loader(w);
    world_insert(w, "offices", "1, 'North'");
    assert_int_equal(load(w, loader, false, &err), 0);
    assert_world(w, "SELECT count(*) FROM app.offices", "0");
    world_insert(w, "offices", "2, 'South'");
    assert_int_equal(load(w, loader, true, &err), 0);
    assert_world(w, "SELECT count(*) FROM app.offices", "2");
    assert_world(w, "SELECT mapped FROM pgrekey.counter WHERE rule = 'offices'", "2");
    assert_int_equal(pgsink_parts_read(w->sink, &parts, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_true(parts[0].done);
    assert_int_equal(parts[0].point, w->lsn);
    assert_string_equal(parts[0].rules[0], "offices");
    sink_parts_free(parts, count);
    sink_close(loader);
}

static void a_loader_of_a_dead_engine_is_kept_out(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    begin_snapshot(w);
    struct sink *loader = open_loader(w);
    world_reopen(w);
    assert_int_equal(w->position.state, PIPELINE_SNAPSHOT);
    assert_true(w->position.snapshot_lsn == w->lsn);
    assert_int_equal(pgsink_snapshot_resume(w->sink, &err), 0);
    world_insert(w, "offices", "2, 'South'");
    assert_int_equal(load(w, loader, true, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_world(w, "SELECT count(*) FROM app.offices", "0");
    assert_world(w, "SELECT count(*) FROM pgrekey.snapshot_part WHERE done", "0");
    sink_close(loader);
}

/* What it has in hand lands before its parts are read anew, or the snapshot is not resumed. */
static void a_snapshot_waits_for_loaders_of_a_dead_engine(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    w->options.lock_wait_s = 1;
    begin_snapshot(w);
    world_run(w, "BEGIN; SELECT FROM pgrekey.pipeline FOR KEY SHARE"); /* as a loader in the midst of its part */
    assert_int_equal(pgsink_snapshot_resume(w->sink, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_int_equal(pgsink_snapshot_begin(w->sink, true, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    world_run(w, "COMMIT");
    assert_int_equal(pgsink_snapshot_resume(w->sink, &err), 0);
}

static void a_snapshot_goes_on_beside_its_loaders(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    assert_int_equal(pgsink_open(&w->options, &w->sink, &w->position, &err), 0);
    assert_int_equal(pgsink_snapshot_begin(w->sink, false, &err), 0);
    world_run(w, "BEGIN; SELECT FROM pgrekey.pipeline FOR KEY SHARE");
    assert_int_equal(pgsink_snapshot_plan(w->sink, w->lsn, NULL, 0, &err), 0);
    world_run(w, "COMMIT");
}

#define promise(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define bare_promise(name) cmocka_unit_test_setup_teardown(name, world_setup_bare, world_teardown_bare)

/* An argument picks promises by name: "any_*". */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        promise(rows_counters_and_position_commit_together),
        promise(an_unfinished_source_transaction_is_not_visible),
        promise(a_death_inside_a_source_transaction_leaves_nothing_of_it),
        promise(a_second_engine_of_the_same_pipeline_is_kept_out),
        promise(a_lost_connection_is_no_half_batch),
        promise(nothing_is_committed_without_a_record),
        promise(nothing_is_committed_without_a_counter),
        promise(a_moved_position_is_left_alone),
        promise(statements_behind_a_failed_one_are_prepared_again),
        promise(an_update_leaves_what_the_mapping_does_not_own),
        promise(an_unchanged_out_of_line_value_stays),
        promise(a_partial_row_that_nothing_holds_is_read_from_the_source),
        promise(a_partial_row_that_is_gone_at_the_source_waits_for_its_delete),
        promise(one_bad_row_does_not_stop_the_rest),
        promise(a_later_good_change_resolves_the_entry),
        promise(a_failed_update_leaves_the_last_good_version),
        promise(later_partial_changes_merge_into_the_image),
        promise(no_reason_holds_a_value),
        promise(a_parent_may_come_after_its_child_in_one_transaction),
        promise(the_same_in_parts_and_with_a_bad_row),
        promise(a_missing_required_parent_parks_and_its_arrival_wakes),
        promise(chains_wake_and_what_lacks_two_parents_waits_for_each),
        promise(a_woken_row_that_fails_is_quarantined_as_any),
        promise(an_update_to_a_missing_parent_takes_the_row_away_and_brings_it_back),
        promise(a_parked_row_follows_its_source),
        promise(a_parent_that_goes_parks_its_living_children),
        promise(a_truncated_parent_parks_its_living_children),
        promise(an_optional_reference_follows_its_parent_whenever_it_comes_and_goes),
        promise(a_missing_optional_parent_is_null_and_noted),
        promise(a_delete_that_rows_of_nobody_refuse_is_counted_apart),
        promise(a_parent_may_go_before_its_children_in_one_transaction),
        promise(a_child_moves_off_a_parent_that_is_then_deleted),
        promise(values_swap_between_two_rows),
        promise(a_value_goes_round_through_a_third_one),
        promise(a_unique_value_is_deleted_and_inserted_under_another_key),
        promise(a_row_waits_for_whoever_holds_its_unique_value),
        promise(a_released_value_wakes_the_row_in_the_same_transaction),
        promise(a_changed_key_takes_its_row_along),
        promise(a_changed_key_with_children),
        promise(keys_swap_and_return),
        promise(a_changed_key_that_fails_is_kept_under_the_new_one),
        promise(a_changed_key_takes_the_place_of_a_row_that_could_not_go),
        promise(a_row_begins_and_stops_to_match),
        promise(a_pair_that_returns_reopens_its_row),
        promise(a_pair_moves_to_another_one),
        promise(kept_rows_count_as_what_their_source_is),
        promise(truncate_removes_the_rows_of_the_source_only),
        promise(truncate_pauses_where_the_rule_says_so),
        promise(discard_excludes_until_the_key_changes_again),
        promise(a_discarded_row_may_be_deleted),
        promise(retry_after_mended_data),
        promise(automatic_retries_end_in_escalation),
        promise(resume_is_passed_on),
        promise(a_pause_rolls_back_what_is_open),
        promise(the_breaker_refuses_the_batch_that_opens_it),
        promise(a_rule_that_no_snapshot_copied_is_new),
        bare_promise(a_part_lands_whole_with_its_record),
        bare_promise(a_loader_of_a_dead_engine_is_kept_out),
        bare_promise(a_snapshot_waits_for_loaders_of_a_dead_engine),
        bare_promise(a_snapshot_goes_on_beside_its_loaders),
    };
    if (!world_conninfo()) {
        fprintf(stderr, "SKIPPED: the contract suite needs a server; set PGREKEY_TEST_TARGET to the connection of an "
                        "empty database\n");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
