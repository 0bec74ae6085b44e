/* Values, keys and messages as readers of topics get them, and the reader of what comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/kafka/envelope.h"
#include "sinks/kafka/jsontree.h"
#include "sinks/kafka/message.h"
#include "sinks/kafka/value.h"

static struct value text_value(const char *text)
{
    return text ? (struct value){.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT}
                : (struct value){.state = VALUE_NULL};
}

static void each_value_has_its_text_in_both_encodings(void **state)
{
    static const struct {
        enum envelope_kind kind;
        int scale;
        const char *text, *plain, *connect;
        bool lost; /* with schemas */
    } cases[] = {
        {ENVELOPE_INT32, 0, "-7", "-7", "-7", false},
        {ENVELOPE_INT64, 0, "9223372036854775807", "9223372036854775807", "9223372036854775807", false},
        {ENVELOPE_INT32, 0, NULL, "null", "null", false},
        {ENVELOPE_BOOLEAN, 0, "t", "true", "true", false},
        {ENVELOPE_BOOLEAN, 0, "f", "false", "false", false},
        {ENVELOPE_DOUBLE, 0, "1e+20", "1e+20", "1e+20", false},
        {ENVELOPE_DOUBLE, 0, "NaN", "\"NaN\"", "null", true},
        {ENVELOPE_DOUBLE, 0, "-Infinity", "\"-Infinity\"", "null", true},
        {ENVELOPE_DECIMAL, 2, "12.50", "\"12.50\"", "\"BOI=\"", false},
        {ENVELOPE_DECIMAL, 2, "-0.01", "\"-0.01\"", "\"/w==\"", false},
        {ENVELOPE_DECIMAL, 2, "1.27", "\"1.27\"", "\"fw==\"", false},
        {ENVELOPE_DECIMAL, 2, "1.28", "\"1.28\"", "\"AIA=\"", false},
        {ENVELOPE_DECIMAL, 2, "-1.28", "\"-1.28\"", "\"gA==\"", false},
        {ENVELOPE_DECIMAL, 2, "-1.29", "\"-1.29\"", "\"/38=\"", false},
        {ENVELOPE_DECIMAL, 2, "0", "\"0\"", "\"AA==\"", false},
        {ENVELOPE_DECIMAL, 2, "NaN", "\"NaN\"", "null", true},
        {ENVELOPE_VARIABLE_DECIMAL, 0, "0.1", "\"0.1\"", "{\"scale\":1,\"value\":\"AQ==\"}", false},
        {ENVELOPE_DATE, 0, "1980-02-03", "\"1980-02-03\"", "3685", false},
        {ENVELOPE_DATE, 0, "1969-12-31", "\"1969-12-31\"", "-1", false},
        {ENVELOPE_DATE, 0, "infinity", "\"infinity\"", "null", true},
        {ENVELOPE_DATE, 0, "0044-03-15 BC", "\"0044-03-15 BC\"", "null", true},
        {ENVELOPE_TIMESTAMP, 0, "2025-10-01 12:00:00.123456", "\"2025-10-01 12:00:00.123456\"", "1759320000123456",
         false},
        {ENVELOPE_TIMESTAMPTZ, 0, "2025-10-01 12:00:00+00", "\"2025-10-01T12:00:00.000000Z\"",
         "\"2025-10-01T12:00:00.000000Z\"", false},
        {ENVELOPE_TIMESTAMPTZ, 0, "2025-10-01 12:00:00.5+00", "\"2025-10-01T12:00:00.500000Z\"",
         "\"2025-10-01T12:00:00.500000Z\"", false},
        {ENVELOPE_TIMESTAMPTZ, 0, "2025-10-01 12:00:00+02", "\"2025-10-01 12:00:00+02\"", "null", true},
        {ENVELOPE_TIME, 0, "12:34:56", "\"12:34:56\"", "45296000000", false},
        {ENVELOPE_BYTES, 0, "\\x00ff", "\"\\\\x00ff\"", "\"AP8=\"", false},
        {ENVELOPE_BYTES, 0, "\\x", "\"\\\\x\"", "\"\"", false},
        {ENVELOPE_JSON, 0, "{\"k\": 1}", "\"{\\\"k\\\": 1}\"", "\"{\\\"k\\\": 1}\"", false},
        {ENVELOPE_TEXT, 0, "a\nb", "\"a\\nb\"", "\"a\\nb\"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf out;
        struct value value = text_value(cases[i].text);
        buf_init(&out, 4096);
        assert_true(value_write(&out, ENVELOPE_PLAIN, cases[i].kind, cases[i].scale, &value));
        assert_string_equal(buf_text(&out), cases[i].plain);
        buf_reset(&out);
        assert_int_equal(value_write(&out, ENVELOPE_CONNECT, cases[i].kind, cases[i].scale, &value), !cases[i].lost);
        assert_string_equal(buf_text(&out), cases[i].connect);
        buf_done(&out);
    }
}

static void a_column_is_told_by_its_type(void **state)
{
    static const struct {
        const char *type, *base;
        enum envelope_kind kind;
        int scale;
    } cases[] = {
        {"numeric(12,2)", "numeric", ENVELOPE_DECIMAL, 2},
        {"numeric(5)", "numeric", ENVELOPE_DECIMAL, 0},
        {"numeric", "numeric", ENVELOPE_VARIABLE_DECIMAL, 0},
        {"public.money_amount", "numeric", ENVELOPE_VARIABLE_DECIMAL, 0},
        {"character varying(9)", "character varying", ENVELOPE_TEXT, 0},
        {"jsonb", "jsonb", ENVELOPE_JSON, 0},
        {"integer[]", "integer[]", ENVELOPE_TEXT, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char type[64], base[64];
        int scale;
        memcpy(type, cases[i].type, strlen(cases[i].type) + 1);
        memcpy(base, cases[i].base, strlen(cases[i].base) + 1);
        struct column column = {.type = type, .base_type = base};
        assert_int_equal(envelope_kind_of(&column, &scale), cases[i].kind);
        assert_int_equal(scale, cases[i].scale);
    }
}

static void a_topic_has_a_name_that_kafka_takes(void **state)
{
    char name[ENVELOPE_TOPIC_MAX], longest[300];
    (void)state;
    assert_true(envelope_topic("shop", "public", "Büro 1", name));
    assert_string_equal(name, "shop.public.B__ro_1");
    memset(longest, 'x', sizeof(longest));
    longest[299] = '\0';
    assert_false(envelope_topic("shop", "public", longest, name));
}

static void an_end_counts_what_has_events(void **state)
{
    struct collection_count counts[] = {{"public.a", 2}, {"public.b", 0}, {"public.c", 1}};
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    message_txn_value(ENVELOPE_PLAIN, "7:42", 1500, counts, 3, 3, &out);
    assert_string_equal(buf_text(&out),
                        "{\"status\":\"END\",\"id\":\"7:42\",\"ts_ms\":1,\"event_count\":3,\"data_collections\":["
                        "{\"data_collection\":\"public.a\",\"event_count\":2},"
                        "{\"data_collection\":\"public.c\",\"event_count\":1}]}");
    buf_reset(&out);
    message_txn_value(ENVELOPE_CONNECT, "7:42", 1500, NULL, 0, 0, &out);
    struct arena arena;
    arena_init(&arena, 0);
    const struct jsontree *tree = jsontree_parse(out.data, out.len, &arena);
    assert_non_null(tree);
    assert_string_equal(jsontree_text(jsontree_get(tree, "payload"), "status", &arena), "BEGIN");
    arena_done(&arena);
    buf_done(&out);
}

static void json_is_read_as_it_is_written(void **state)
{
    static const char *const bad[] = {"",    "{",           "[1,]",     "{\"a\":1,}", "01",        "1.",
                                      "tru", "\"\\ud800\"", "\"a\nb\"", "1 2",        "{\"a\" 1}", "\"\\x\"",
                                      "nul", "-",           "[",        "\"",         "\"\\"};
    static const char good[] = "{\"a\": [1, -2.5e+3, true, null], \"b\\u00e9\": \"x\\n\\ud83d\\ude00\", \"c\": {}}";
    struct arena arena;
    (void)state;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_null(jsontree_parse(bad[i], strlen(bad[i]), &arena));
    const struct jsontree *tree = jsontree_parse(good, strlen(good), &arena);
    assert_non_null(tree);
    assert_int_equal(jsontree_get(tree, "a")->first->next->len, 7);
    assert_string_equal(jsontree_text(tree, "bé", &arena), "x\n😀");
    assert_null(jsontree_get(tree, "d"));
    assert_int_equal(jsontree_int(tree, "d"), 0);
    char deep[400];
    memset(deep, '[', sizeof(deep));
    assert_null(jsontree_parse(deep, sizeof(deep), &arena));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_has_its_text_in_both_encodings),
        cmocka_unit_test(a_column_is_told_by_its_type),
        cmocka_unit_test(a_topic_has_a_name_that_kafka_takes),
        cmocka_unit_test(an_end_counts_what_has_events),
        cmocka_unit_test(json_is_read_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
