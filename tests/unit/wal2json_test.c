#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cdc/source/wal2json.h"

enum { ID, NAME, PRICE, OK, DATA, BODY, COLUMN_COUNT };

#define TYPE                                                                                                           \
    .type = (char[]){"any"}, .base_type = (char[])                                                                     \
    {                                                                                                                  \
        "any"                                                                                                          \
    }

static struct column columns[] = {
    [ID] = {.name = (char[]){"id"}, TYPE, .kind = COLUMN_NUMBER},
    [NAME] = {.name = (char[]){"näme \"q\""}, TYPE, .kind = COLUMN_TEXT},
    [PRICE] = {.name = (char[]){"price"}, TYPE, .kind = COLUMN_NUMBER, .nonfinite_possible = true},
    [OK] = {.name = (char[]){"ok"}, TYPE, .kind = COLUMN_BOOL},
    [DATA] = {.name = (char[]){"data"}, TYPE, .kind = COLUMN_BYTEA, .toastable = true},
    [BODY] = {.name = (char[]){"body"}, TYPE, .kind = COLUMN_TEXT, .toastable = true},
};
static uint16_t key_id[] = {ID}, key_pair[] = {NAME, ID}, key_body[] = {BODY};

static struct relation relation_with(uint16_t *key, size_t key_count)
{
    static char schema[] = "public", name[] = "t";
    return (struct relation){.schema = schema,
                             .name = name,
                             .columns = columns,
                             .column_count = COLUMN_COUNT,
                             .key = key,
                             .key_count = key_count};
}

/* What the decoder asked for, and what it is answered. */
struct fixture {
    struct relation first, second;
    const struct relation *answers[4]; /* by call; the last one repeats itself */
    int calls;
    int fail_at; /* call that fails; 0: none */
    char asked[256];
    bool never_body;
    struct wal2json *decoder;
    struct arena arena;
    struct wal2json_item item;
    struct err err;
};

static int relation(void *context, const char *schema, const char *table, const char *column, const char *why,
                    const struct relation **ret_relation, struct err *reterr)
{
    struct fixture *f = context;
    size_t used = strlen(f->asked);
    snprintf(f->asked + used, sizeof(f->asked) - used, "%s.%s%s%s:%s ", schema, table, column ? "." : "",
             column ? column : "", why);
    if (++f->calls == f->fail_at)
        return err_set(reterr, ERR_REFUSED, "refused");
    int at = f->calls - 1;
    while (at > 0 && (at > 3 || !f->answers[at]))
        at--;
    *ret_relation = f->answers[at];
    return 0;
}

static bool never(void *context, const char *schema, const char *table, const char *column)
{
    const struct fixture *f = context;
    (void)schema;
    (void)table;
    return f->never_body && strcmp(column, "body") == 0;
}

/* By a decoder that knows of no table yet. */
static void decode_afresh(struct fixture *f)
{
    wal2json_free(f->decoder);
    f->decoder = wal2json_new(&(struct wal2json_options){relation, never, f});
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->first = relation_with(key_id, 1);
    f->answers[0] = &f->first;
    arena_init(&f->arena, 0);
    decode_afresh(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wal2json_free(f->decoder);
    arena_done(&f->arena);
    test_free(f);
    return 0;
}

static int try_decode(struct fixture *f, const char *json)
{
    size_t len = strlen(json);
    char *message = arena_alloc(&f->arena, len + WAL2JSON_PADDING);
    memcpy(message, json, len);
    memset(message + len, 0, WAL2JSON_PADDING);
    memset(&f->err, 0, sizeof(f->err));
    return wal2json_decode(f->decoder, message, len, &f->arena, &f->item, &f->err);
}

static const struct change *decode(struct fixture *f, const char *json)
{
    if (try_decode(f, json))
        fail_msg("%s", f->err.message);
    return f->item.change;
}

static void assert_value(const struct value *value, const char *text)
{
    assert_int_equal(value->state, VALUE_TEXT);
    assert_int_equal(value->len, strlen(text));
    assert_memory_equal(value->text, text, value->len);
}

#define HEAD(action) "{\"action\":\"" action "\",\"xid\":7,\"schema\":\"public\",\"table\":\"t\""
#define C(name, value) "{\"name\":\"" name "\",\"value\":" value "}"
#define C_NAME(value) C("näme \\\"q\\\"", value)
#define REST C("price", "1.50") "," C("ok", "true") "," C("data", "\"00ff\"") "," C("body", "\"b\"")
#define ROW C("id", "1") "," C_NAME("\"n\"") "," REST

static void an_insert_gives_every_value_as_output_text(void **state)
{
    const struct change *change = decode(
        *state, HEAD("I") ",\"columns\":[" C("id", "12345678901234567890") "," C_NAME("\"O'Neil\"") "," C(
                    "price", "-1.5e+300") "," C("ok", "false") "," C("data", "\"00ff\"") "," C("body", "null") "]}");
    assert_int_equal(change->op, CHANGE_INSERT);
    assert_int_equal(change->xid, 7);
    assert_value(&change->columns[ID], "12345678901234567890");
    assert_value(&change->columns[NAME], "O'Neil");
    assert_value(&change->columns[PRICE], "-1.5e+300");
    assert_value(&change->columns[OK], "f");
    assert_value(&change->columns[DATA], "\\x00ff");
    assert_int_equal(change->columns[BODY].state, VALUE_NULL);
    assert_value(&change->identity[0], "12345678901234567890");
    assert_false(change->key_changed);
}

static void escapes_are_undone(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"\"\"", ""},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0001\\u001f\x7f\"", "\x01\x1f\x7f"},
        {"\"ä\\n漢𝄞\"", "ä\n漢𝄞"},
        {"\"\\u00e4\\ud834\\udd1e\"", "ä𝄞"},
        {"\"{\\\"a\\\": [1]}\"", "{\"a\": [1]}"},
        {"\"null\"", "null"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char json[512];
        snprintf(json, sizeof(json), HEAD("I") ",\"columns\":[" C("id", "1") "," C_NAME("%s") "," REST "]}",
                 cases[i].json);
        assert_value(&decode(*state, json)->columns[NAME], cases[i].text);
    }
}

static void an_update_without_a_toasted_value_has_it_absent_not_null(void **state)
{
    const struct change *change =
        decode(*state, HEAD("U") ",\"columns\":[" C("id", "1") "," C_NAME("null") "," C("price", "null") "," C(
                           "ok", "null") "],\"identity\":[" C("id", "1") "]}");
    assert_int_equal(change->columns[DATA].state, VALUE_ABSENT);
    assert_int_equal(change->columns[BODY].state, VALUE_ABSENT);
    assert_int_equal(change->columns[PRICE].state, VALUE_NULL);
    assert_false(change->key_changed);
}

static void a_full_identity_fills_what_an_update_leaves_out(void **state)
{
    const struct change *change =
        decode(*state, HEAD("U") ",\"columns\":[" C("id", "1") "," C_NAME("\"new\"") "," C("price", "2") "," C(
                           "ok", "true") "," C("data", "\"01\"") "],\"identity\":[" ROW "]}");
    assert_value(&change->columns[BODY], "b");
    assert_value(&change->columns[DATA], "\\x01");
    assert_value(&change->columns[NAME], "new");
}

static void a_changed_key_keeps_the_old_one_in_identity(void **state)
{
    struct fixture *f = *state;
    f->first = relation_with(key_pair, 2);
    const struct change *change =
        decode(f, HEAD("U") ",\"columns\":[" ROW "],\"identity\":[" C("id", "1") "," C_NAME("\"old\"") "]}");
    assert_true(change->key_changed);
    assert_value(&change->identity[0], "old");
    assert_value(&change->identity[1], "1");
    assert_value(&change->columns[NAME], "n");
}

static void a_key_that_lies_out_of_line_is_taken_from_identity(void **state)
{
    struct fixture *f = *state;
    f->first = relation_with(key_body, 1);
    const struct change *change =
        decode(f, HEAD("U") ",\"columns\":[" C("id", "1") "," C_NAME("\"n\"") "," C("price", "1") "," C(
                      "ok", "true") "],\"identity\":[" C("body", "\"long key\"") "]}");
    assert_value(&change->columns[BODY], "long key");
    assert_value(&change->identity[0], "long key");
    assert_false(change->key_changed);
}

static void a_delete_has_its_key_and_no_columns(void **state)
{
    const struct change *change = decode(*state, HEAD("D") ",\"identity\":[" C("id", "9") "]}");
    assert_int_equal(change->op, CHANGE_DELETE);
    assert_null(change->columns);
    assert_value(&change->identity[0], "9");
}

static void a_truncate_has_a_table_only(void **state)
{
    const struct change *change = decode(*state, HEAD("T") "}");
    assert_int_equal(change->op, CHANGE_TRUNCATE);
    assert_null(change->columns);
    assert_null(change->identity);
    assert_string_equal(change->relation->name, "t");
}

static void begin_and_commit_carry_xid_and_time(void **state)
{
    static const struct {
        const char *text;
        int64_t commit_us;
    } cases[] = {
        {"2025-01-01 12:00:00.123456+00", INT64_C(1735732800123456)},
        {"2025-01-01 12:00:00+00", INT64_C(1735732800000000)},
        {"2025-01-01 12:00:00.5+05:30", INT64_C(1735713000500000)},
        {"2024-02-29 23:59:59-03", INT64_C(1709261999000000)},
        {"1970-01-01 00:00:00.000001+00", 1},
        {"yesterday", 0},
        {"2025-01-01 12:00:00", 0},
        {"", 0},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"action\":\"C\",\"xid\":4294967295,\"timestamp\":\"%s\"}", cases[i].text);
        decode(f, json);
        assert_int_equal(f->item.action, WAL2JSON_COMMIT);
        assert_int_equal(f->item.xid, UINT32_MAX);
        assert_int_equal(f->item.commit_us, cases[i].commit_us);
    }
    decode(f, "{\"action\":\"B\"}");
    assert_int_equal(f->item.action, WAL2JSON_BEGIN);
    assert_int_equal(f->item.xid, 0);
    assert_int_equal(f->item.end_lsn, 0);
}

static void a_begin_says_where_the_commit_ends(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"action\":\"B\",\"xid\":726,\"lsn\":\"0/1539468\",\"nextlsn\":\"A/1539498\"}");
    assert_int_equal(f->item.action, WAL2JSON_BEGIN);
    assert_true(f->item.end_lsn == UINT64_C(0xA01539498));
}

static void a_message_outside_a_transaction_has_no_xid(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"action\":\"M\",\"xid\":null,\"timestamp\":null,\"transactional\":false,\"prefix\":\"p\\\"\","
              "\"content\":\"a\\nb\"}");
    assert_int_equal(f->item.action, WAL2JSON_MESSAGE);
    assert_int_equal(f->item.xid, 0);
    assert_false(f->item.transactional);
    assert_string_equal(f->item.prefix, "p\"");
    assert_string_equal(f->item.content, "a\nb");
    decode(f, "{\"action\":\"M\",\"xid\":3,\"transactional\":true,\"prefix\":\"\",\"content\":\"\"}");
    assert_true(f->item.transactional);
}

static void members_of_other_versions_are_passed_over(void **state)
{
    const struct change *change =
        decode(*state, "{\"action\":\"D\",\"origin\":0,\"lsn\":\"0/1\",\"schema\":\"public\",\"table\":\"t\",\"new\":{"
                       "\"a\":[1,{\"b\":2}]},\"identity\":[{\"name\":\"id\",\"typeoid\":23,\"type\":\"integer\","
                       "\"value\":9,\"optional\":false}],\"pk\":[{\"name\":\"id\"}]}");
    assert_value(&change->identity[0], "9");
}

static void a_table_that_nobody_wants_is_skipped_and_asked_for_once(void **state)
{
    struct fixture *f = *state;
    f->answers[0] = NULL;
    for (int i = 0; i < 3; i++) {
        decode(f, HEAD("I") ",\"columns\":[" ROW "]}");
        assert_int_equal(f->item.action, WAL2JSON_SKIP);
    }
    assert_int_equal(f->calls, 1);
    decode_afresh(f);
    decode(f, HEAD("T") "}");
    assert_int_equal(f->item.action, WAL2JSON_SKIP);
    assert_int_equal(f->calls, 2);
}

static void names_of_tables_are_unescaped_and_told_apart(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"action\":\"T\",\"schema\":\"S \\\"1\\\"\",\"table\":\"ta\\tb\"}");
    decode(f, "{\"action\":\"T\",\"schema\":\"a\",\"table\":\"bc\"}");
    decode(f, "{\"action\":\"T\",\"schema\":\"ab\",\"table\":\"c\"}");
    decode(f, "{\"action\":\"T\",\"schema\":\"a\",\"table\":\"bc\"}");
    assert_string_equal(f->asked, "S \"1\".ta\tb:new a.bc:new ab.c:new ");
}

static void columns_dropped_by_never_are_null(void **state)
{
    struct fixture *f = *state;
    f->never_body = true;
    assert_int_equal(decode(f, HEAD("I") ",\"columns\":[" ROW "]}")->columns[BODY].state, VALUE_NULL);
    const struct change *change = decode(f, HEAD("U") ",\"columns\":[" C("id", "1") "," C_NAME("\"n\"") "," C(
                                                "price", "1") "," C("ok", "true") "],\"identity\":[" ROW "]}");
    assert_int_equal(change->columns[BODY].state, VALUE_NULL);
}

/* ---- contradictions to the catalogue ---- */

static void a_contradiction_asks_with_its_reason_and_fails_as_told(void **state)
{
    static const struct {
        const char *json, *asked;
    } cases[] = {
        {HEAD("I") ",\"columns\":[" ROW "," C("new", "1") "]}", "public.t.new:unknown_column "},
        {HEAD("I") ",\"columns\":[" C("id", "1") "," C_NAME("\"n\"") "," C("ok", "true") "]}",
         "public.t.price:missing_column "},
        {HEAD("I") ",\"columns\":[" C("id", "1") "," C_NAME("\"n\"") "," C("price", "1") "," C("ok", "true") "," C(
             "data", "\"\"") "]}",
         "public.t.body:missing_column "},
        {HEAD("U") ",\"columns\":[" C("id", "1") "," C_NAME("\"n\"") "," C("price", "1") "],\"identity\":[" C("id",
                                                                                                              "1") "]}",
         "public.t.ok:missing_column "},
        {HEAD("D") ",\"identity\":[" C("ok", "true") "]}", "public.t.id:missing_column "},
        {HEAD("I") ",\"columns\":[" C("id", "\"1\"") "," C_NAME("\"n\"") "," REST "]}", "public.t.id:kind "},
        {HEAD("I") ",\"columns\":[" C("id", "1") "," C_NAME("5") "," REST "]}", "public.t.näme \"q\":kind "},
        {HEAD("I") ",\"columns\":[" C("id", "true") "," C_NAME("\"n\"") "," REST "]}", "public.t.id:kind "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fixture *f = *state;
        decode_afresh(f);
        f->calls = 0;
        f->fail_at = 2;
        f->asked[0] = 0;
        assert_int_equal(try_decode(f, cases[i].json), -1);
        assert_int_equal(f->err.kind, ERR_REFUSED);
        assert_string_equal(f->err.message, "refused");
        assert_string_equal(f->asked + strlen("public.t:new "), cases[i].asked);
    }
}

static void a_new_relation_is_decoded_into(void **state)
{
    struct fixture *f = *state;
    f->first.column_count = OK; /* id, name, price */
    f->second = relation_with(key_id, 1);
    f->answers[1] = &f->second;
    const struct change *change = decode(f, HEAD("I") ",\"columns\":[" ROW "]}");
    assert_ptr_equal(change->relation, &f->second);
    assert_value(&change->columns[BODY], "b");
    assert_string_equal(f->asked, "public.t:new public.t.ok:unknown_column ");
}

static void what_the_answer_lets_stand_is_allowed_from_then_on(void **state)
{
    struct fixture *f = *state;
    static const char json[] = HEAD("I") ",\"columns\":[" C("id", "\"7\"") "," C_NAME("\"n\"") "," C("gone", "1") "," C(
        "old", "2") "," C("price", "1.50") "," C("data", "\"00\"") "," C("body", "\"b\"") "]}";
    for (int i = 0; i < 3; i++) {
        const struct change *change = decode(f, json);
        assert_value(&change->columns[ID], "7");
        assert_int_equal(change->columns[OK].state, VALUE_ABSENT);
        assert_value(&change->columns[BODY], "b");
    }
    assert_string_equal(f->asked, "public.t:new public.t.id:kind public.t.gone:unknown_column "
                                  "public.t.old:unknown_column public.t.ok:missing_column ");
}

static void a_table_that_becomes_unwanted_is_skipped(void **state)
{
    struct fixture *f = *state;
    decode(f, HEAD("I") ",\"columns\":[" ROW "]}");
    f->answers[0] = NULL;
    f->calls = 0;
    decode(f, HEAD("I") ",\"columns\":[" ROW "," C("new", "1") "]}");
    assert_int_equal(f->item.action, WAL2JSON_SKIP);
}

static void a_delete_without_its_key_is_refused_even_where_that_was_allowed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(try_decode(f, HEAD("D") ",\"identity\":[" C("ok", "true") "]}"), -1);
    assert_int_equal(f->err.kind, ERR_REFUSED);
    assert_non_null(strstr(f->err.message, "public.t"));
    assert_non_null(strstr(f->err.message, "id"));
}

static void relations_that_change_back_and_forth_settle(void **state)
{
    struct fixture *f = *state;
    f->first.column_count = COLUMN_COUNT - 2;
    f->second = relation_with(key_id, 1);
    f->second.column_count = COLUMN_COUNT - 1;
    f->answers[1] = &f->second;
    f->answers[2] = &f->first; /* another shape, so what the last answer allowed is asked anew */
    assert_value(&decode(f, HEAD("I") ",\"columns\":[" ROW "," C("x", "1") "]}")->columns[ID], "1");
    assert_ptr_equal(f->item.change->relation, &f->first);
}

/* ---- what is not wal2json's ---- */

static void what_wal2json_does_not_write_is_fatal_and_not_repeated_in_the_error(void **state)
{
    static const char *const cases[] = {
        "",
        "null",
        "[]",
        "SECRET",
        "{",
        "{}",
        "{\"action\":\"I\"}",
        "{\"action\":\"X\",\"schema\":\"public\",\"table\":\"t\"}",
        "{\"action\":\"SECRET\",\"schema\":\"public\",\"table\":\"t\"}",
        "{\"action\":\"I\",\"columns\":[],\"schema\":\"public\",\"table\":\"t\"}",
        HEAD("I") "}",
        HEAD("I") ",\"columns\":{}}",
        HEAD("I") ",\"columns\":[1]}",
        HEAD("I") ",\"columns\":[{\"name\":\"id\"}]}",
        HEAD("I") ",\"columns\":[{\"value\":\"SECRET\"}]}",
        HEAD("I") ",\"columns\":[{\"name\":5,\"value\":\"SECRET\"}]}",
        HEAD("I") ",\"columns\":[" C("id", "1SECRET") "]}",
        HEAD("I") ",\"columns\":[" C("id", "nullSECRET") "]}",
        HEAD("I") ",\"columns\":[" C("id", "[1]") "]}",
        HEAD("I") ",\"columns\":[" C("id", "{}") "]}",
        HEAD("I") ",\"columns\":[" C_NAME("\"SECRET\\x\"") "]}",
        HEAD("I") ",\"columns\":[" C_NAME("\"SECRET\xff\"") "]}",
        HEAD("I") ",\"columns\":[" C_NAME("\"SECRET"),
        HEAD("I") ",\"columns\":[" ROW "],\"columns\":[" ROW "]}",
        HEAD("D") ",\"columns\":[" ROW "]}",
        HEAD("U") ",\"identity\":[" C("id", "1") "],\"columns\":[" ROW "]}",
        HEAD("I") ",\"columns\":[" ROW "],\"identity\":[" C("id", "1") "]}",
        "{\"action\":\"B\",\"xid\":\"SECRET\"}",
        "{\"action\":\"B\",\"xid\":99999999999999999999}",
        "{\"action\":\"M\",\"content\":7}",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (try_decode(f, cases[i]) == 0)
            fail_msg("taken: %s", cases[i]);
        assert_int_equal(f->err.kind, ERR_FATAL);
        assert_null(strstr(f->err.message, "SECRET"));
    }
    decode(f, HEAD("I") ",\"columns\":[" ROW "]}"); /* and the decoder is as good as new */
}

static void values_without_escapes_are_not_copied(void **state)
{
    struct fixture *f = *state;
    static const char json[] = HEAD("I") ",\"columns\":[" ROW "]}";
    static char message[sizeof(json) + WAL2JSON_PADDING];
    memcpy(message, json, sizeof(json));
    assert_int_equal(wal2json_decode(f->decoder, message, strlen(json), &f->arena, &f->item, &f->err), 0);
    const struct value *body = &f->item.change->columns[BODY];
    assert_true(body->text >= message && body->text < message + sizeof(message));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_insert_gives_every_value_as_output_text),
        TEST(escapes_are_undone),
        TEST(an_update_without_a_toasted_value_has_it_absent_not_null),
        TEST(a_full_identity_fills_what_an_update_leaves_out),
        TEST(a_changed_key_keeps_the_old_one_in_identity),
        TEST(a_key_that_lies_out_of_line_is_taken_from_identity),
        TEST(a_delete_has_its_key_and_no_columns),
        TEST(a_truncate_has_a_table_only),
        TEST(begin_and_commit_carry_xid_and_time),
        TEST(a_begin_says_where_the_commit_ends),
        TEST(a_message_outside_a_transaction_has_no_xid),
        TEST(members_of_other_versions_are_passed_over),
        TEST(a_table_that_nobody_wants_is_skipped_and_asked_for_once),
        TEST(names_of_tables_are_unescaped_and_told_apart),
        TEST(columns_dropped_by_never_are_null),
        TEST(a_contradiction_asks_with_its_reason_and_fails_as_told),
        TEST(a_new_relation_is_decoded_into),
        TEST(what_the_answer_lets_stand_is_allowed_from_then_on),
        TEST(a_table_that_becomes_unwanted_is_skipped),
        TEST(a_delete_without_its_key_is_refused_even_where_that_was_allowed),
        TEST(relations_that_change_back_and_forth_settle),
        TEST(what_wal2json_does_not_write_is_fatal_and_not_repeated_in_the_error),
        TEST(values_without_escapes_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
