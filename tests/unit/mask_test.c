/* Values masked: formats kept, equal alike, different ones apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "transform/mask/value.h"

struct fixture {
    struct masking masking;
    struct arena arena;
    struct buf out;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    arena_init(&f->arena, 0);
    buf_init(&f->out, 1 << 20);
    f->masking = (struct masking){permuter_new("secret", 6), &f->arena};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    permuter_free(f->masking.permuter);
    arena_done(&f->arena);
    buf_done(&f->out);
    free(f);
    return 0;
}

static const char *masked(struct fixture *f, enum mask_kind kind, const char *limit, const char *text)
{
    buf_reset(&f->out);
    assert_true(mask_value(&f->masking, kind, limit, (struct slice){text, strlen(text)}, &f->out));
    return arena_strdup(&f->arena, buf_text(&f->out));
}

/* Of a letter "a" or "A", of a digit "9", else the character itself. */
static void shape(const char *text, char *out)
{
    for (; *text; text++)
        *out++ = *text >= '0' && *text <= '9'   ? '9'
                 : *text >= 'a' && *text <= 'z' ? 'a'
                 : *text >= 'A' && *text <= 'Z' ? 'A'
                                                : *text;
    *out = '\0';
}

static void formats_stay_and_values_do_not(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum mask_kind kind;
        const char *text;
    } cases[] = {{MASK_NAME, "Anna-Maria O'Neil"}, {MASK_PHONE, "+49 (30) 123-45 67"},
                 {MASK_TEXT, "Short, 2 words."},   {MASK_NUMBER, "-1234.50"},
                 {MASK_DATE, "1970-12-31"},        {MASK_DATE, "2024-02-29 12:34:56.5+00"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char was[100], is[100];
        const char *text = masked(f, cases[i].kind, NULL, cases[i].text);
        shape(cases[i].text, was);
        shape(text, is);
        assert_string_equal(is, was);
        assert_string_not_equal(text, cases[i].text);
        assert_string_equal(text, masked(f, cases[i].kind, NULL, cases[i].text));
    }
}

static void another_secret_masks_otherwise(void **state)
{
    struct fixture *f = *state;
    const char *ours = masked(f, MASK_NAME, NULL, "Katherine Johnson");
    struct permuter *kept = f->masking.permuter, *other = permuter_new("secret2", 7);
    f->masking.permuter = other;
    assert_string_not_equal(ours, masked(f, MASK_NAME, NULL, "Katherine Johnson"));
    f->masking.permuter = kept;
    permuter_free(other);
}

/* All values of one shape are permuted: nothing falls together. */
static void different_values_stay_different(void **state)
{
    struct fixture *f = *state;
    static bool seen[26 * 26 * 10];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 26 * 26 * 10; i++) {
        char text[8];
        snprintf(text, sizeof text, "%c%c%d", 'a' + i / 260, 'A' + i / 10 % 26, i % 10);
        const char *out = masked(f, MASK_NAME, NULL, text);
        int at = ((out[0] - 'a') * 26 + out[1] - 'A') * 10 + out[2] - '0';
        assert_in_range(at, 0, 26 * 26 * 10 - 1);
        assert_false(seen[at]);
        seen[at] = true;
        arena_reset(&f->arena, 1 << 16);
    }
}

static void numbers_stay_in_their_type(void **state)
{
    struct fixture *f = *state;
    static bool seen[32768];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 32768; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        const char *out = masked(f, MASK_NUMBER, "32767", text);
        int number = atoi(out);
        assert_in_range(number, 0, 32767);
        assert_int_equal(strlen(out), strlen(text));
        assert_false(seen[number]);
        seen[number] = true;
        arena_reset(&f->arena, 1 << 16);
    }
    assert_string_equal(masked(f, MASK_NUMBER, "32767", "-32768"), "-32768");
    assert_string_equal(masked(f, MASK_NUMBER, NULL, "NaN"), "NaN");
}

static void every_day_of_a_year_becomes_another_one(void **state)
{
    struct fixture *f = *state;
    static const int lengths[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char seen[12][32] = {{0}};
    for (int month = 1; month <= 12; month++)
        for (int day = 1; day <= lengths[month - 1]; day++) {
            char text[32];
            int year, m, d;
            snprintf(text, sizeof text, "2024-%02d-%02d", month, day);
            assert_int_equal(sscanf(masked(f, MASK_DATE, NULL, text), "%d-%d-%d", &year, &m, &d), 3);
            assert_int_equal(year, 2024);
            assert_in_range(m, 1, 12);
            assert_in_range(d, 1, lengths[m - 1]);
            assert_int_equal(seen[m - 1][d], 0);
            seen[m - 1][d] = 1;
        }
    assert_string_equal(masked(f, MASK_DATE, NULL, "infinity"), "infinity");
}

static void an_email_leads_nowhere_and_its_case_is_kept(void **state)
{
    struct fixture *f = *state;
    const char *text = masked(f, MASK_EMAIL, NULL, "Jane.Doe@clinic.example");
    const char *lower = masked(f, MASK_EMAIL, NULL, "jane.doe@clinic.example");
    assert_non_null(strstr(text, ".invalid"));
    assert_null(strstr(text, "Doe"));
    assert_int_equal(strcasecmp(text, lower), 0);
    /* one domain stays one */
    assert_string_equal(strchr(text, '@'), strchr(masked(f, MASK_EMAIL, NULL, "x@clinic.example"), '@'));
}

static void a_long_text_says_nothing_and_keeps_its_length(void **state)
{
    struct fixture *f = *state;
    const char *text = "The patient, born in K\xc3\xb6ln, complains about pain; see 17 B.";
    const char *out = masked(f, MASK_TEXT, NULL, text);
    assert_int_equal(strlen(out), text_length(text, strlen(text)));
    assert_null(strpbrk(out, ",;.0123456789\xc3"));
    assert_string_not_equal(out,
                            masked(f, MASK_TEXT, NULL, "The patient, born in Bonn, complains about pain; see 17 B"));
}

static void letters_of_other_scripts_move_too(void **state)
{
    struct fixture *f = *state;
    const char *out = masked(f, MASK_NAME, NULL, "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd");
    assert_int_equal(strlen(out), 8);
    assert_true(text_utf8_valid(out, 8));
    assert_string_not_equal(out, "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd");
}

/* --- JSON --- */

static struct mask_field inner_fields[] = {{"city", MASK_NAME, NULL}};
static const struct mask_fields inner = {1, inner_fields};
static struct mask_field outer_fields[] = {
    {"theme", MASK_CLEAR, NULL}, {"mail", MASK_EMAIL, NULL}, {"home", MASK_JSON, &inner},
    {"code", MASK_NUMBER, NULL}, {"gone", MASK_EMPTY, NULL}, {"k\"y", MASK_CLEAR, NULL},
};
static const struct mask_fields outer = {6, outer_fields};

static const char *json(struct fixture *f, const char *text)
{
    buf_reset(&f->out);
    return mask_json(&f->masking, &outer, (struct slice){text, strlen(text)}, &f->out) ? buf_text(&f->out) : NULL;
}

static void json_shows_declared_keys_only(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *masked;
    } cases[] = {
        {"{\"theme\": {\"a\": [1, {}], \"b\": \"}\"}, \"secret\": {\"theme\": \"x\"}}",
         "{\"theme\":{\"a\": [1, {}], \"b\": \"}\"}}"},
        {"{\"secret\": [1, \"]\"], \"theme\": null , \"gone\": 5}", "{\"theme\":null}"},
        {"[ {\"theme\": 1, \"x\": 2} , {\"x\": 3}, \"loose\", 7, true]", "[{\"theme\":1},{},null,null,null]"},
        {"{\"k\\\"y\": 1, \"k\\u0022y\": 2}", "{\"k\\\"y\":1,\"k\\u0022y\":2}"},
        {"{\"mail\": {\"theme\": 1}, \"home\": \"secret\", \"code\": true}",
         "{\"mail\":{},\"home\":null,\"code\":null}"},
        {"{}", "{}"},
        {" [ ] ", "[]"},
        {"\"secret\"", "null"},
        {"{\"theme\":}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *out = json(f, cases[i].text);
        if (!cases[i].masked)
            assert_null(out);
        else
            assert_string_equal(out, cases[i].masked);
    }
}

static void json_masks_what_is_declared(void **state)
{
    struct fixture *f = *state;
    const char *out = json(
        f, "{\"mail\": [\"a@b.c\", \"MARK@b.c\"], \"home\": {\"city\": \"MARK\", \"zip\": \"MARK\"}, \"code\": 12345}");
    assert_null(strstr(out, "MARK"));
    assert_null(strstr(out, "zip"));
    assert_null(strstr(out, "12345"));
    assert_non_null(strstr(out, ".invalid\""));
    assert_non_null(strstr(out, "\"city\":\""));
    assert_non_null(strstr(out, "\"code\":"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(formats_stay_and_values_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_secret_masks_otherwise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(different_values_stay_different, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_stay_in_their_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_day_of_a_year_becomes_another_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_email_leads_nowhere_and_its_case_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_text_says_nothing_and_keeps_its_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(letters_of_other_scripts_move_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_shows_declared_keys_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_masks_what_is_declared, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
