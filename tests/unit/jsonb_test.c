#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "jsonb_cases.h"
#include "transform/jsonb.h"

static struct slice text_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void verdicts_are_those_of_the_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof JSONB_CASES / sizeof *JSONB_CASES; i++) {
        const char *text = JSONB_CASES[i].text, *reason = "";
        size_t len = strlen(text);

        if (jsonb_acceptable(text, len, &reason) != JSONB_CASES[i].jsonb)
            fail_msg("jsonb, case %zu: %s (%s)", i, text, reason);
        if (json_acceptable(text, len, &reason) != JSONB_CASES[i].json)
            fail_msg("json, case %zu: %s (%s)", i, text, reason);
    }
}

static void a_refusal_names_no_value(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"{\"secret\": }", "not valid JSON"},
        {"\"\\u0000\"", "JSON holds \\u0000, which jsonb does not take"},
        {"\"\\ud800\"", "JSON holds a lone surrogate"},
        {"1e400000", "JSON holds a number beyond the range of numeric"},
        {"\"\xff\"", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *reason = NULL;

        assert_false(jsonb_acceptable(cases[i].text, strlen(cases[i].text), &reason));
        assert_string_equal(reason, cases[i].reason);
    }
}

static void a_zero_byte_is_no_json(void **state)
{
    (void)state;
    const char *reason;

    assert_false(jsonb_acceptable("\"\0\"", 3, &reason));
    assert_false(jsonb_acceptable("1\0", 2, &reason));
}

static bool nested(size_t depth, const char *open, const char *middle, const char *close)
{
    static char text[8 * 6401];
    const char *reason;
    size_t len = 0;

    for (size_t i = 0; i < depth; i++, len += strlen(open))
        memcpy(text + len, open, strlen(open) + 1);
    memcpy(text + len, middle, strlen(middle) + 1);
    len += strlen(middle);
    for (size_t i = 0; i < depth; i++)
        text[len++] = *close;
    return jsonb_acceptable(text, len, &reason);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    assert_true(nested(JSONB_MAX_DEPTH, "[", "", "]"));
    assert_true(nested(JSONB_MAX_DEPTH, "{\"a\":", "1", "}"));
    assert_false(nested(JSONB_MAX_DEPTH + 1, "[", "", "]"));
    assert_false(nested(JSONB_MAX_DEPTH + 1, "{\"a\":", "1", "}"));
    assert_false(nested(JSONB_MAX_DEPTH, "[", "[]", "]"));
}

static void a_key_of_an_object_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *json, *key, *text; /* text NULL: no such key */
    } cases[] = {
        {"{\"a\": 1, \"b\": \"x\"}", "b", "x"},
        {"{\"a\": 1, \"a\": 2}", "a", "2"},
        {" { \"a\" : [1, {\"b\": 2}] , \"c\":null} ", "a", "[1, {\"b\": 2}]"},
        {"{\"a\": {\"b\": 1}}", "b", NULL},
        {"{\"\\u0061\": \"\\u00e9\\n\\ud83d\\ude04\\\\\"}", "a", "\u00e9\n\U0001F604\\"},
        {"{}", "a", NULL},
        {"[1]", "a", NULL},
        {"{\"\": 5}", "", "5"},
    };
    struct arena arena;

    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice value, text;
        bool found = jsonb_get(text_of(cases[i].json), text_of(cases[i].key), &arena, &value);

        assert_int_equal(found, cases[i].text != NULL);
        if (!found)
            continue;
        text = jsonb_text(value, &arena);
        assert_int_equal(text.len, strlen(cases[i].text));
        assert_memory_equal(text.text, cases[i].text, text.len);
    }
    arena_done(&arena);
}

static void a_string_is_written_as_json(void **state)
{
    (void)state;
    static const char TEXT[] = "a\"b\\c\n\x01\x1f \u00e9", JSON[] = "\"a\\\"b\\\\c\\n\\u0001\\u001f \u00e9\"";
    char out[64];
    size_t bytes = jsonb_string_bytes(text_of(TEXT));

    assert_int_equal(bytes, strlen(JSON));
    assert_ptr_equal(jsonb_put_string(out, text_of(TEXT)), out + bytes);
    assert_memory_equal(out, JSON, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_those_of_the_server), cmocka_unit_test(a_refusal_names_no_value),
        cmocka_unit_test(a_zero_byte_is_no_json),           cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_key_of_an_object_is_found),      cmocka_unit_test(a_string_is_written_as_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
