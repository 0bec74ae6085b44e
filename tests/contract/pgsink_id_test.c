/* pgrekey.id() on a server against uuid_of_key(): the same UUID for the same key, whichever extension lends the SHA-1
 * and wherever it stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/base/uuid.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/state/schema.h"
#include "tests/contract/world.h"

#define KEYS 300
#define PARTS_MAX 4
#define PART_BYTES 2048

static const char *const EXTENSIONS[] = {
    "CREATE SCHEMA \"Odd one\"; CREATE EXTENSION \"uuid-ossp\" SCHEMA \"Odd one\"",
    "CREATE SCHEMA \"Odd one\"; CREATE EXTENSION pgcrypto SCHEMA \"Odd one\"",
};

static void drop_extensions(struct world *w)
{
    world_run(w, "SET client_min_messages = warning; DROP EXTENSION IF EXISTS \"uuid-ossp\", pgcrypto CASCADE;"
                 "DROP SCHEMA IF EXISTS \"Odd one\"");
}

/* What `init` does again once the extension is there. */
static void make_functions(struct world *w)
{
    struct buf sql;

    buf_init(&sql, (size_t)1 << 20);
    schema_put_functions(&sql);
    assert_false(buf_overflowed(&sql));
    world_run(w, buf_text(&sql));
    buf_done(&sql);
}

static void open_sink(struct world *w)
{
    struct err err = {0};

    if (pgsink_open(&w->options, &w->sink, &w->position, &err))
        fail_msg("open: %s; %s", err.message, err.hint);
}

/* Characters of one to four bytes, with what the name's own syntax is made of among them. */
static size_t random_part(char *text)
{
    static const char *const PIECES[] = {"|",  "\\",   "\\\\", "||", ":", "a",  "Z", "0",   "42",
                                         "'",  "\"",   "{",    "}",  ",", " ",  "ß", "ü",   "Ж",
                                         "日", "🦷", "\n",   "\t", "%", "%s", "$", "NULL"};
    size_t len = 0, pieces = rand() % 20 == 0 ? 500 : (size_t)(rand() % 8);

    for (size_t i = 0; i < pieces; i++) {
        const char *piece = PIECES[(size_t)rand() % (sizeof(PIECES) / sizeof(*PIECES))];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    text[len] = '\0';
    return len;
}

/* One key by SQL, with each part as a literal of its own. */
static const char *ask_id(struct world *w, const char *entity, char parts[][PART_BYTES], size_t count)
{
    static struct buf sql;
    const char *answer;

    buf_init(&sql, (size_t)1 << 16);
    buf_puts(&sql, "SELECT pgrekey.id(");
    pg_put_literal(&sql, entity);
    for (size_t i = 0; i < count; i++) {
        buf_puts(&sql, ", ");
        pg_put_literal(&sql, parts[i]);
    }
    buf_putc(&sql, ')');
    answer = world_ask(w, buf_text(&sql));
    buf_done(&sql);
    return answer;
}

static void compare_random_keys(struct world *w)
{
    static char parts[PARTS_MAX][PART_BYTES];
    const struct uuid *space = map_namespace(w->map);

    for (int i = 0; i < KEYS; i++) {
        struct uuid_part c_parts[PARTS_MAX];
        size_t count = (size_t)(rand() % PARTS_MAX) + 1;
        char wanted[UUID_TEXT_LEN + 1];
        struct uuid uuid;

        for (size_t p = 0; p < count; p++)
            c_parts[p] = (struct uuid_part){.text = parts[p], .len = random_part(parts[p])};
        uuid = uuid_of_key(space, i % 3 ? "office" : "Büro'\\", c_parts, count);
        uuid_format(&uuid, wanted);
        assert_string_equal(ask_id(w, i % 3 ? "office" : "Büro'\\", parts, count), wanted);
    }
}

static void sql_gives_what_c_gives(void **state)
{
    struct world *w = *state;

    srand(4711);
    for (size_t i = 0; i < sizeof(EXTENSIONS) / sizeof(*EXTENSIONS); i++) {
        drop_extensions(w);
        world_run(w, EXTENSIONS[i]);
        make_functions(w);
        if (!w->sink)
            open_sink(w);
        compare_random_keys(w);
        world_run(w, "SET standard_conforming_strings = off");
        assert_world(w, "SELECT pgrekey.id('a', E'b\\\\', E'c|') = pgrekey.id_of_name(E'a:b\\\\\\\\|c\\\\|')", "t");
        world_run(w, "SET standard_conforming_strings = on");
        assert_world(w,
                     "SELECT pgrekey.json('[1]'), pgrekey.json('{'), pgrekey.json('\"\\u0000\"'), pgrekey.json('') IS "
                     "NULL, pgrekey.json(NULL)",
                     "[1]|{\"raw\": \"{\"}|{\"raw\": \"\\\"\\\\u0000\\\"\"}|f|\\N");
    }
}

/* The vectors of docs/mapping.md. */
static void golden_vectors_hold(void **state)
{
    struct world *w = *state;

    drop_extensions(w);
    world_run(w, EXTENSIONS[0]);
    make_functions(w);
    world_run(w, "INSERT INTO pgrekey.namespace VALUES ('by hand', '0c1d2e3f-4051-5263-8495-a6b7c8d9eafb')");
    assert_world(w, "SELECT pgrekey.id('order', 1), pgrekey.id('order', 750000), pgrekey.id('order', -7)",
                 "fdd9fc6f-9766-5318-a876-3af8d8874f36|836859c8-17ac-58cd-8add-acc920ee8cae|"
                 "6e18847b-7d14-5461-a55c-9e1fd13af0b0");
    assert_world(w,
                 "SELECT pgrekey.id('office', 1::smallint), pgrekey.id('office', 'Zürich'), pgrekey.id('tag', 'a|b')",
                 "7fa7e6a1-6c4e-5479-a859-63e05db42fce|13573844-bff8-5916-9dff-5af8dc272566|"
                 "23b03693-d454-5e81-96ff-3fef4df5d6ab");
    assert_world(w, "SELECT pgrekey.id('membership', 1, 2), pgrekey.id('membership', 'a|b', 'c')",
                 "e002d185-c6f4-5b40-8453-7cd73bfc4ca4|450717a2-32aa-5694-8366-0d954d5f83af");
    assert_world(w,
                 "SELECT pgrekey.id('x', '00000000-0000-0000-0000-00000000000A'::uuid)"
                 " = pgrekey.id('x', '00000000-0000-0000-0000-00000000000a'::varchar)",
                 "t");
}

static void null_gives_null(void **state)
{
    struct world *w = *state;

    make_functions(w);
    world_run(w, "INSERT INTO pgrekey.namespace VALUES ('by hand', '0c1d2e3f-4051-5263-8495-a6b7c8d9eafb')");
    assert_world(w,
                 "SELECT pgrekey.id('order', NULL::bigint), pgrekey.id('order', NULL::text), pgrekey.id(NULL, 1),"
                 " pgrekey.id('order', NULL::uuid), pgrekey.id('order', 1, NULL), pgrekey.id('order', NULL, 'b'),"
                 " pgrekey.id('order', VARIADIC ARRAY[NULL::text])",
                 "\\N|\\N|\\N|\\N|\\N|\\N|\\N");
}

static const char *refusal(struct world *w, const char *sql)
{
    static char text[256];
    PGresult *result = PQexec(w->eye, sql);

    assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    snprintf(text, sizeof(text), "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(result);
    return text;
}

static void of_several_pipelines_one_is_named(void **state)
{
    struct world *w = *state;

    assert_non_null(strstr(refusal(w, "SELECT pgrekey.id('order', 1)"), "no such pipeline"));
    world_run(w, "INSERT INTO pgrekey.namespace VALUES ('one', '0c1d2e3f-4051-5263-8495-a6b7c8d9eafb'),"
                 " ('two', '6ba7b810-9dad-11d1-80b4-00c04fd430c8')");
    assert_non_null(strstr(refusal(w, "SELECT pgrekey.id('order', 1)"), "several pipelines"));
    world_run(w, "SET pgrekey.pipeline = 'one'");
    assert_world(w, "SELECT pgrekey.id('order', 1)", "fdd9fc6f-9766-5318-a876-3af8d8874f36");
    world_run(w, "SET pgrekey.pipeline = 'two'");
    assert_world(w, "SELECT pgrekey.id('order', 1) <> 'fdd9fc6f-9766-5318-a876-3af8d8874f36'", "t");
}

static void an_adopted_row_keeps_its_id(void **state)
{
    struct world *w = *state;

    open_sink(w);
    world_run(w, "INSERT INTO pgrekey.adopted SELECT 'contract', pgrekey.id('office', 7),"
                 " '11111111-2222-3333-4444-555555555555', 'office', '7'");
    assert_world(w, "SELECT pgrekey.id('office', 7), pgrekey.id('office', 8) <> pgrekey.id('office', 7)",
                 "11111111-2222-3333-4444-555555555555|t");
}

static void without_an_extension_it_says_what_to_do(void **state)
{
    struct world *w = *state;

    drop_extensions(w);
    make_functions(w);
    world_run(w, "INSERT INTO pgrekey.namespace VALUES ('by hand', '0c1d2e3f-4051-5263-8495-a6b7c8d9eafb')");
    assert_non_null(strstr(refusal(w, "SELECT pgrekey.id('order', 1)"), "uuid-ossp or pgcrypto"));
    world_run(w, EXTENSIONS[0]);
    make_functions(w);
    assert_world(w, "SELECT pgrekey.id('order', 1)", "fdd9fc6f-9766-5318-a876-3af8d8874f36");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup_bare, world_teardown_bare)

int main(void)
{
    if (!world_conninfo()) {
        print_message("PGREKEY_TEST_TARGET is not set: skipped\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        CASE(sql_gives_what_c_gives),
        CASE(golden_vectors_hold),
        CASE(null_gives_null),
        CASE(of_several_pipelines_one_is_named),
        CASE(an_adopted_row_keeps_its_id),
        CASE(without_an_extension_it_says_what_to_do),
    };
    return cmocka_run_group_tests_name("pgrekey.id", tests, NULL, NULL);
}
