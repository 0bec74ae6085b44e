/* The PostgreSQL sink behind a source that does anything: equal where the source is valid, accounted for where it is
 * not. PGREKEY_TEST_SEED and PGREKEY_TEST_ROUNDS choose other walks than the one of every build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/contract/world.h"

#define OPEN_ENTRIES                                                                                                   \
    "SELECT rule, key, category, sqlstate FROM pgrekey.quarantine WHERE status IN ('pending', 'escalated') ORDER BY "  \
    "1, 2"
#define SAME(legacy, app)                                                                                              \
    "SELECT a, b FROM (" legacy ") a FULL JOIN (" app ") b ON (a.*)::text = (b.*)::text"                               \
    " WHERE a.id IS NULL OR b.id IS NULL"

/* Not rows that stood on the target, and that no source row has come for, or one that the rule excludes. */
#define OURS(rule, t)                                                                                                  \
    " " #t ".legacy_id IS NOT NULL AND NOT EXISTS (SELECT FROM pgrekey.adopted a WHERE a.id = " #t ".id AND '" rule    \
    "' <> ALL (a.met)) AND NOT EXISTS (SELECT FROM pgrekey.gone g WHERE g.rule = '" rule "' AND g.key = '[\"' || " #t  \
    ".legacy_id || '\"]')"

/* Each gives the rows that only one side has. */
static const char *const differences[] = {
    SAME("SELECT id, name FROM legacy.offices",
         "SELECT legacy_id AS id, name FROM app.offices o WHERE" OURS("offices", o)),
    SAME("SELECT id, email, nick, office_id, boss_id, bio FROM legacy.users",
         "SELECT u.legacy_id AS id, u.email, u.nick, o.legacy_id AS office_id, b.legacy_id AS boss_id, u.bio"
         " FROM app.users u JOIN app.offices o ON o.id = u.office_id LEFT JOIN app.users b ON b.id = u.boss_id "
         "WHERE" OURS("users", u)),
    SAME("SELECT id, user_id, total, note FROM legacy.orders WHERE status <> 'draft'",
         "SELECT o.legacy_id AS id, u.legacy_id AS user_id, total, note FROM app.orders o"
         " JOIN app.users u ON u.id = o.user_id WHERE" OURS("orders", o)),
    SAME("SELECT id, user_id, office_id, role FROM legacy.members",
         "SELECT m.legacy_id AS id, u.legacy_id AS user_id, o.legacy_id AS office_id, role FROM app.members m"
         " JOIN app.users u ON u.id = m.user_id JOIN app.offices o ON o.id = m.office_id WHERE NOT closed"),
};

static int upto(int most)
{
    return rand() % most + 1;
}

static const char *sql(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *sql(struct world *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return arena_strdup(&w->batch.arena, text);
}

static const char *this(struct world *w, int id)
{
    return sql(w, "id = %d", id);
}

static void change_user(struct world *w)
{
    int a = upto(12), b = upto(12);
    const char *absent = rand() % 3 ? NULL : "bio";

    switch (rand() % 9) {
    case 0:
    case 1:
        if (!world_has(w, "users", this(w, a)))
            world_insert(w, "users",
                         sql(w,
                             "%d, 'm%d', NULL, %d, (SELECT min(id) FROM legacy.users WHERE id > %d), repeat('b', 40)",
                             a, b, upto(3), upto(16)));
        break;
    case 2: world_update(w, "users", this(w, a), sql(w, "email = 'm%d', bio = bio || 'x'", b), NULL); break;
    case 3: world_update(w, "users", this(w, a), sql(w, "nick = nullif('n%d', 'n1')", b), absent); break;
    case 4: world_update(w, "users", this(w, a), sql(w, "office_id = %d", upto(3)), absent); break;
    case 5:
        if (rand() % 2)
            world_update(w, "users", sql(w, "boss_id = %d", a), "boss_id = NULL", absent);
        world_delete(w, "users", this(w, a));
        break;
    case 6: /* swaps */
        world_update(
            w, "users", sql(w, "id IN (%d, %d)", a, b),
            sql(w, "email = coalesce((SELECT email FROM legacy.users u WHERE u.id = %d - users.id), email)", a + b),
            absent);
        break;
    case 7: /* a new key, and the children with it */
        if (!world_has(w, "users", this(w, b))) {
            world_update(w, "users", this(w, a), sql(w, "id = %d", b), absent);
            world_update(w, "orders", sql(w, "user_id = %d", a), sql(w, "user_id = %d", b), NULL);
            world_update(w, "users", sql(w, "boss_id = %d", a), sql(w, "boss_id = %d", b), absent);
            world_update(w, "members", sql(w, "user_id = %d", a), sql(w, "user_id = %d", b), NULL);
        }
        break;
    case 8: /* goes, and its address with it to another */
        world_update(w, "orders", sql(w, "user_id = %d", a), sql(w, "user_id = %d", b), "note");
        world_delete(w, "members", sql(w, "user_id = %d", a));
        world_delete(w, "users", this(w, a));
        world_update(w, "users", this(w, b), sql(w, "email = 'm%d'", a), absent);
        break;
    }
}

static void change_order(struct world *w)
{
    int a = upto(12), b = upto(12);
    const char *absent = rand() % 2 ? "note" : NULL;

    switch (rand() % 7) {
    case 0: world_update(w, "orders", this(w, a), "total = total + 1, status = 'paid'", absent); break;
    case 1: world_update(w, "orders", this(w, a), "status = 'draft'", absent); break;
    case 2: world_delete(w, "orders", this(w, a)); break;
    case 3: world_update(w, "orders", this(w, a), sql(w, "user_id = %d", b), absent); break;
    case 4:
        if (!world_has(w, "orders", this(w, b)))
            world_update(w, "orders", this(w, a), sql(w, "id = %d", b), absent);
        break;
    default:
        if (!world_has(w, "orders", this(w, a)))
            world_insert(w, "orders", sql(w, "%d, %d, 1, '%s', 'n'", a, b, rand() % 4 ? "paid" : "draft"));
        break;
    }
}

static void change_member_or_office(struct world *w)
{
    int a = upto(12), b = upto(12), office = upto(3);

    switch (rand() % 6) {
    case 0: world_update(w, "members", this(w, a), sql(w, "role = 'r%d'", b), NULL); break;
    case 1: world_delete(w, "members", this(w, a)); break;
    case 2: world_update(w, "members", this(w, a), sql(w, "user_id = %d, office_id = %d", b, office), NULL); break;
    case 3: world_update(w, "offices", this(w, office), sql(w, "name = 'o%d'", a), NULL); break;
    case 4: /* an office goes and returns */
        world_delete(w, "offices", this(w, office));
        if (rand() % 2)
            world_update(w, "users", sql(w, "office_id = %d", office), sql(w, "office_id = %d", upto(3)), "bio");
        else
            world_insert(w, "offices", sql(w, "%d, 'again'", office));
        break;
    default:
        if (!world_has(w, "members", this(w, a)))
            world_insert(w, "members", sql(w, "%d, %d, %d, 'r'", a, b, office));
        break;
    }
}

static void change_anything(struct world *w)
{
    switch (rand() % 4) {
    case 0: change_member_or_office(w); break;
    case 1: change_order(w); break;
    default: change_user(w); break;
    }
}

/* What no target takes. */
static void change_for_the_worse(struct world *w)
{
    int a = upto(12);

    switch (rand() % 5) {
    case 0: world_update(w, "orders", this(w, a), "total = -total", NULL); break;
    case 1: world_update(w, "orders", this(w, a), "note = 'much too long a note'", NULL); break;
    case 2: world_update(w, "users", this(w, a), "office_id = 99", "bio"); break;
    case 3: world_update(w, "users", this(w, a), sql(w, "email = 'm%d'", upto(12)), "bio"); break;
    case 4: world_update(w, "orders", this(w, a), "user_id = 99", "note"); break;
    }
}

static int rounds(void)
{
    const char *seed = getenv("PGREKEY_TEST_SEED"), *count = getenv("PGREKEY_TEST_ROUNDS");
    srand(seed ? (unsigned)atoi(seed) : 1);
    return count ? atoi(count) : 120;
}

static void assert_same(struct world *w, const char *when, int round)
{
    for (size_t i = 0; i < sizeof(differences) / sizeof(*differences); i++)
        if (*world_ask(w, differences[i]))
            fail_msg("%s %d: source | target: %s", when, round, world_ask(w, differences[i]));
    if (*world_ask(w, OPEN_ENTRIES))
        fail_msg("%s %d: %s", when, round, world_ask(w, OPEN_ENTRIES));
}

static void insert_offices(struct world *w)
{
    world_insert(w, "offices", "1, 'a'");
    world_insert(w, "offices", "2, 'b'");
    world_insert(w, "offices", "3, 'c'");
    world_apply(w);
}

/* Some source transactions in one batch; with `parts` some end inside one. */
static void walk(struct world *w, void (*change)(struct world *w), bool parts)
{
    for (int txn = upto(3); txn > 0; txn--) {
        world_begin(w);
        for (int n = upto(6); n > 0; n--) {
            change(w);
            if (parts && rand() % 12 == 0)
                world_apply_part(w);
        }
        (void)world_commit(w);
    }
    world_apply(w);
}

/* The source holds to the same constraints at the end of each transaction as the target does at each row: so whatever
 * it does inside one, nothing may be left in quarantine, and both sides are equal after each batch. */
static void any_valid_source_is_followed_exactly(void **state)
{
    struct world *w = *state;
    int count = rounds();
    world_run(w, "ALTER TABLE legacy.users ADD FOREIGN KEY (office_id) REFERENCES legacy.offices DEFERRABLE INITIALLY"
                 " DEFERRED, ADD FOREIGN KEY (boss_id) REFERENCES legacy.users DEFERRABLE INITIALLY DEFERRED;"
                 "ALTER TABLE legacy.orders ADD FOREIGN KEY (user_id) REFERENCES legacy.users DEFERRABLE"
                 " INITIALLY DEFERRED;"
                 "ALTER TABLE legacy.members ADD FOREIGN KEY (user_id) REFERENCES legacy.users DEFERRABLE"
                 " INITIALLY DEFERRED, ADD FOREIGN KEY (office_id) REFERENCES legacy.offices DEFERRABLE INITIALLY"
                 " DEFERRED, ADD UNIQUE (user_id, office_id) DEFERRABLE INITIALLY DEFERRED");
    insert_offices(w);
    for (int round = 0; round < count; round++) {
        walk(w, change_anything, false); /* whether it commits is known at its end */
        assert_same(w, "round", round);
        world_assert_equation(w);
    }
}

static void change_well_or_badly(struct world *w)
{
    if (rand() % 4)
        change_anything(w);
    else
        change_for_the_worse(w);
}

/* Nothing of this source is valid in the long run. The equation holds after each batch all the same; and once the data
 * are mended and what stands aside is tried again, both sides are equal. */
static void any_source_is_accounted_for_and_heals(void **state)
{
    struct world *w = *state;
    int count = rounds();
    world_run(w, "ALTER TABLE legacy.users DROP CONSTRAINT users_email_key, DROP CONSTRAINT users_nick_key");
    insert_offices(w);
    for (int round = 0; round < count; round++) {
        walk(w, change_well_or_badly, true);
        world_assert_equation(w);
        if (rand() % 10 == 0)
            world_reopen(w);
        if (rand() % 10 == 0) {
            world_run(w, "UPDATE pgrekey.quarantine SET next_try = now() WHERE status = 'pending'");
            world_tick(w);
            world_assert_equation(w);
        }
        if (rand() % 10 == 0) {
            world_run(w, "INSERT INTO pgrekey.request (pipeline, kind, ids) SELECT 'contract', 'quarantine_discard',"
                         " array_agg(id) FROM (SELECT id FROM pgrekey.quarantine WHERE status = 'pending' AND op <> 'D'"
                         " LIMIT 2) q HAVING count(*) > 0");
            world_tick(w);
            world_assert_equation(w);
        }
    }
    world_delete(w, "orders", "true");
    world_delete(w, "members", "true");
    world_delete(w, "offices", "true");
    world_insert(w, "offices", "1, 'healed'");
    world_update(w, "users", "true", "email = 'u' || id, nick = NULL, office_id = 1, boss_id = NULL", "bio");
    world_apply(w);
    world_assert_equation(w);
    world_run(w, "INSERT INTO pgrekey.request (pipeline, kind) VALUES ('contract', 'quarantine_retry')");
    world_tick(w);
    assert_same(w, "healed", 0);
}

/* Where the target held rows before: they keep their ids, whatever the source does; what is nobody's stays. */
static void assert_kept(struct world *w)
{
    assert_world(w,
                 "SELECT count(*) FROM app.offices o FULL JOIN app.users u ON u.legacy_id = o.legacy_id"
                 " FULL JOIN app.orders d ON d.legacy_id = coalesce(u.legacy_id, o.legacy_id)"
                 " WHERE o.id <> pgrekey.id('office', o.legacy_id) OR u.id <> pgrekey.id('user', u.legacy_id)"
                 " OR d.id <> pgrekey.id('order', d.legacy_id)",
                 "0");
    assert_world(
        w,
        "SELECT (SELECT count(*) FROM app.offices WHERE legacy_id IS NULL),"
        " (SELECT count(*) FROM app.users WHERE (legacy_id IS NULL OR legacy_id >= 50) AND app_note = 'theirs'),"
        " (SELECT count(*) FROM app.orders WHERE (legacy_id IS NULL OR legacy_id >= 50) AND note = 'theirs')",
        "1|3|2");
}

static void adopted_rows_follow_a_valid_source_exactly(void **state)
{
    any_valid_source_is_followed_exactly(state);
    assert_kept(*state);
}

static void adopted_rows_are_accounted_for_and_heal(void **state)
{
    any_source_is_accounted_for_and_heals(state);
    assert_kept(*state);
}

#define adopting(name) cmocka_unit_test_setup_teardown(name, world_setup_adopting, world_teardown)
#define promise(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* An argument picks promises by name: "any_valid*". */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        promise(any_valid_source_is_followed_exactly),
        promise(any_source_is_accounted_for_and_heals),
        adopting(adopted_rows_follow_a_valid_source_exactly),
        adopting(adopted_rows_are_accounted_for_and_heal),
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
