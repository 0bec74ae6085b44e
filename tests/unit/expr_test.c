#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transform/expr.h"
#include "transform/expr_fit.h"

/* --- one source table, one row --- */

#define COLUMNS 12

static char names[COLUMNS][8] = {"id", "n", "t", "sent", "d", "ts", "j", "code", "u", "far", "Na me", "f"};
static char types[COLUMNS][32] = {
    "integer", "numeric",   "text", "boolean", "date", "timestamp with time zone",
    "jsonb",   "character", "uuid", "text",    "text", "double precision",
};

static const enum column_kind kinds[COLUMNS] = {
    COLUMN_NUMBER, COLUMN_NUMBER, COLUMN_TEXT, COLUMN_BOOL, COLUMN_TEXT, COLUMN_TEXT,
    COLUMN_TEXT,   COLUMN_TEXT,   COLUMN_TEXT, COLUMN_TEXT, COLUMN_TEXT, COLUMN_NUMBER,
};

static const char *const row[COLUMNS] = {
    "7",          "1.50",       " H\u00e4llo ",
    "t",          "2024-02-29", "2024-02-29 12:00:00.5+00",
    "{\"k\": 1}", "ab  ",       "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    NULL, /* absent */
    "x",          "1e+20",
};

struct fixture {
    struct column columns[COLUMNS];
    struct relation relation;
    struct value values[COLUMNS];
    struct expr_pool *pool;
    struct arena arena;
};

static void fixture_init(struct fixture *f)
{
    static char schema[] = "public", table[] = "legacy";

    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < COLUMNS; i++) {
        f->columns[i].name = names[i];
        f->columns[i].type = f->columns[i].base_type = types[i];
        f->columns[i].kind = kinds[i];
        if (row[i])
            f->values[i] = (struct value){row[i], (uint32_t)strlen(row[i]), VALUE_TEXT};
    }
    f->relation.schema = schema;
    f->relation.name = table;
    f->relation.column_count = COLUMNS;
    f->relation.columns = f->columns;
    f->pool = expr_pool_new();
    arena_init(&f->arena, 0);
}

static void fixture_done(struct fixture *f)
{
    expr_pool_free(f->pool);
    arena_done(&f->arena);
}

/* "=value", "null", "absent", "needs", "category: reason" or "error: message". */
static const char *outcome_of(struct fixture *f, struct expr *expr, bool completed)
{
    struct expr_env env = {.columns = f->values, .arena = &f->arena, .absent_is_null = completed};
    struct value value;

    switch (expr_eval(expr, &env, &value)) {
    case EXPR_NEEDS_COLUMN: return "needs";
    case EXPR_REJECT: return arena_printf(&f->arena, "%s: %s", category_name(env.category), env.reason);
    case EXPR_OK: break;
    }
    if (value.state != VALUE_TEXT)
        return value.state == VALUE_NULL ? "null" : "absent";
    return arena_printf(&f->arena, "=%.*s", (int)value.len, value.text);
}

static const char *outcome(struct fixture *f, const char *text)
{
    struct expr *expr;
    struct err err = {0};

    if (expr_parse(f->pool, text, &expr, &err) < 0 || expr_resolve(expr, &f->relation, &err) < 0)
        return arena_printf(&f->arena, "error: %s", err.message);
    return outcome_of(f, expr, false);
}

struct text_case {
    const char *text, *expected;
};

static void check_all(const struct text_case *cases, size_t count)
{
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < count; i++) {
        const char *got = outcome(&f, cases[i].text);

        if (strcmp(got, cases[i].expected) != 0)
            fail_msg("%s\n  got      %s\n  expected %s", cases[i].text, got, cases[i].expected);
    }
    fixture_done(&f);
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

/* --- the text syntax --- */

static void operators_bind_as_in_sql(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"1 + 2 * 3", "=7"},
        {"(1 + 2) * 3", "=9"},
        {"10 - 2 - 3", "=5"},
        {"-2 * -3", "=6"},
        {"- - 2", "=2"},
        {"1 + 1 || 'x'", "=2x"},
        {"'a' || 'b' = 'ab'", "=t"},
        {"not true or true", "=t"},
        {"not (true or true)", "=f"},
        {"true or false and false", "=t"},
        {"1 = 1 is true", "=t"},
        {"not 1 = 2", "=t"},
        {"not null is null", "=f"},
        {"1 between 0 and 2 and true", "=t"},
        {"id not in (1, 2)", "=t"},
        {"'5'::int + 1", "=6"},
        {"-'5'::int", "=-5"},
        {"2 < 3 = true", "error: at character 7: expected an operator or the end"},
    };
    CHECK_ALL(cases);
}

static void names_and_literals_are_read(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"id", "=7"},
        {"\"Na me\"", "=x"},
        {"'it''s'", "=it's"},
        {"''", "="},
        {"'\u00e9'", "=\u00e9"},
        {"1.50", "=1.50"},
        {".5", "=0.5"},
        {"1e3", "=1000"},
        {"TRUE", "=t"},
        {"null", "null"},
        {" case  when true then 'a' end ", "=a"},
        {"CASE id WHEN 1 THEN 'one' WHEN 7 THEN 'seven' ELSE 'more' END", "=seven"},
        {"case when null then 1 end", "null"},
    };
    CHECK_ALL(cases);
}

static void mistakes_are_placed_and_named(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"", "error: at character 1: expected a value, but the expression ends"},
        {"1 +", "error: at character 4: expected a value, but the expression ends"},
        {"'\u00e9' 'x'", "error: at character 5: expected an operator or the end"},
        {"'abc", "error: at character 1: the quote is not closed"},
        {"\"\"", "error: at character 1: an empty name"},
        {"id ? 1", "error: at character 4: a character that has no meaning here"},
        {"12a", "error: at character 3: a letter right behind a number"},
        {"nope", "error: table public.legacy has no column \"nope\""},
        {"frob(1)", "error: at character 1: there is no function frob()"},
        {"left(t)", "error: at character 1: left() takes 2 arguments, not 1"},
        {"round(1, 2, 3)", "error: at character 1: round() takes 1 to 2 arguments, not 3"},
        {"ct.model = 'x'", "error: at character 1: there is no look-up of that name (\"lookup:\" of the rule)"},
        {":office", "error: at character 1: there is no param \"office\""},
        {"t ~ '('",
         "error: at character 3: the regular expression is wrong at character 2: missing closing parenthesis"},
        {"t ~ t", "error: at character 3: the pattern after ~ must be a literal or a param"},
        {"id::date", "error: at character 5: expected smallint, int, bigint, numeric, text or boolean after ::"},
        {"case when true then 1", "error: at character 22: expected end, but the expression ends"},
        {"id not 5", "error: at character 4: expected between, in, like or ilike after not"},
        {"id in ()", "error: at character 8: expected a value"},
    };
    CHECK_ALL(cases);
}

static void types_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"t = 1", "error: text is compared with a number: cast one of them, as in x::numeric or x::text"},
        {"id = 'seven'", "error: 'seven' is not a number"},
        {"sent = 'maybe'", "error: 'maybe' is not a boolean"},
        {"t + 1", "error: column \"t\" is text, and cannot be computed with"},
        {"t and sent", "error: column \"t\" is text, and no condition"},
        {"d = ts", "error: a date is compared with a timestamp with time zone"},
        {"d > 'yesterday'", "error: 'yesterday' is not a date as the server writes it, in UTC"},
        {"ts > '2024-01-01 00:00:00+02'",
         "error: '2024-01-01 00:00:00+02' is not a timestamp with time zone as the server writes it, in UTC"},
        {"u < 'a'",
         "error: column \"u\" is a value of another type, which has no order here: only = and <> compare it"},
        {"left(t, 'x')", "error: left(): 'x' is not a number"},
    };
    CHECK_ALL(cases);
}

static void a_tree_beyond_the_depth_is_refused(void **state)
{
    (void)state;
    static const char *const openings[] = {"(", "-", "not (", "abs(", "case when true then "};
    char text[300 * 24];
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        text[0] = '\0';
        for (int j = 0; j < 300; j++)
            strcat(text, openings[i]);
        assert_non_null(strstr(outcome(&f, text), "nested too deep"));
    }
    text[0] = '\0';
    for (int j = 0; j < 1000; j++)
        strcat(text, "1 + ");
    strcat(text, "1");
    assert_string_equal(outcome(&f, text), "error: the expression is nested deeper than 200");
    text[0] = '\0';
    for (int j = 0; j < 500; j++)
        strcat(text, "sent and ");
    strcat(text, "sent");
    assert_string_equal(outcome(&f, text), "=t");
    fixture_done(&f);
}

/* --- meaning --- */

static void logic_has_three_values(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"null and false", "=f"},
        {"null and true", "null"},
        {"null or true", "=t"},
        {"null or false", "null"},
        {"not null", "null"},
        {"null = null", "null"},
        {"id = null", "null"},
        {"id is distinct from null", "=t"},
        {"null is not distinct from null", "=t"},
        {"id in (1, null)", "null"},
        {"id in (7, null)", "=t"},
        {"id not in (1, null)", "null"},
        {"null between 1 and 2", "null"},
        {"3 between null and 2", "=f"},
        {"3 between 1 and null", "null"},
        {"null is true", "=f"},
        {"null is not true", "=t"},
        {"sent and id = 7", "=t"},
        {"'x' || null", "null"},
        {"null + 1", "null"},
        {"upper(null)", "null"},
    };
    CHECK_ALL(cases);
}

static void comparison_goes_by_the_column(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"n = 1.5", "=t"},
        {"n = '1.5000'", "=t"},
        {"n > 1.49999999999999999999999", "=t"},
        {"id < 10", "=t"}, /* as text it would not be */
        {"f = 100000000000000000000", "=t"},
        {"f = 100000000000000000001", "=f"},
        {"'NaN'::numeric > f", "=t"},
        {"sent = 'yes'", "=t"},
        {"sent = true", "=t"},
        {"sent > false", "=t"},
        {"t = ' H\u00e4llo '", "=t"},
        {"t < ' h'", "=t"}, /* bytes: capitals first */
        {"code = 'ab'", "=t"},
        {"code || '!'", "=ab!"},
        {"code", "=ab  "},
        {"u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "=t"},
        {"d = '2024-02-29'", "=t"},
        {"d between '2024-02-01' and '2024-02-29'", "=t"},
        {"d < '10000-01-01'", "error: '10000-01-01' is not a date as the server writes it, in UTC"},
        {"d < 'infinity'", "=t"},
        {"d > '-infinity'", "=t"},
        {"ts > '2024-02-29'", "=t"},
        {"ts > '2024-02-29 12:00'", "=t"},
        {"ts = '2024-02-29T12:00:00.500Z'", "=t"},
        {"ts < '2024-02-29 12:00:01+00'", "=t"},
        {"case n when 1.5 then 'x' end", "=x"},
        {"greatest(id, 10, null)", "=10"},
        {"least(n, id)", "=1.50"},
        {"nullif(n, 1.5)", "null"},
    };
    CHECK_ALL(cases);
}

static void years_before_christ_and_beyond_9999_have_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *date;
        const char *expected;
    } cases[] = {{"0044-03-15 BC", "=t"}, {"2023-12-31", "=t"}, {"-infinity", "=t"},
                 {"10000-01-01", "=f"},   {"infinity", "=f"},   {"2024-01-01", "=f"}};
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.values[4] = (struct value){cases[i].date, (uint32_t)strlen(cases[i].date), VALUE_TEXT};
        assert_string_equal(outcome(&f, "d < '2024-01-01'"), cases[i].expected);
    }
    fixture_done(&f);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"n * 2", "=3.00"},
        {"0.1 + 0.2 = 0.3", "=t"},
        {"id / 2", "=3.5000000000000000"},
        {"div(id, 2)", "=3"},
        {"id % 4", "=3"},
        {"9007199254740993 + 0", "=9007199254740993"},
        {"f + 1", "=100000000000000000001"},
        {"round(n)", "=2"},
        {"round(-2.567, 2)", "=-2.57"},
        {"abs(-n)", "=1.50"},
        {"ceil(1.2)", "=2"},
        {"floor(-1.2)", "=-2"},
        {"1 / 0", "validation_failure: division by zero"},
        {"t::numeric", "validation_failure: not a number"},
        {"'2147483648'::int", "validation_failure: beyond the range of the integer type"},
        {"2.5::int", "=3"},
        {"'2.5'::int", "validation_failure: not an integer"},
        {"true::int", "=1"},
        {"id::boolean", "=t"},
        {"sent::text", "=true"},
    };
    CHECK_ALL(cases);
}

static void texts_are_cut_in_characters(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"left(trim(t), 2)", "=H\u00e4"},
        {"length(trim(t))", "=5"},
        {"upper(trim(t))", "=H\u00c4LLO"},
        {"substring('h\u00e4llo', 2, 2)", "=\u00e4l"},
        {"substring('abc', 1, -1)", "validation_failure: a substring of negative length"},
        {"replace('a.b.c', '.', '')", "=abc"},
        {"split_part('a@b', '@', 2)", "=b"},
        {"split_part('a', ',', 0)", "validation_failure: field 0 of a split text"},
        {"lpad(id::text, 3, '0')", "=007"},
        {"lpad('x', 1048577)", "validation_failure: padded to more than a million characters"},
        {"starts_with('abc', 'ab')", "=t"},
        {"digits('(555) 01')", "=55501"},
        {"initcap('o''neil')", "=O'Neil"},
        {"email_norm(' A@B.C ')", "=a@b.c"},
        {"email_norm('  ')", "null"},
        {"email_norm('nobody')", "validation_failure: not an e-mail address"},
        {"concat('a', id, 'b')", "=a7b"},
    };
    CHECK_ALL(cases);
}

static void patterns_match(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"trim(t) ~ '^H.llo$'", "=t"}, /* a character, not a byte */
        {"trim(t) ~* '^H\u00c4LLO$'", "=t"},
        {"trim(t) !~ 'x'", "=t"},
        {"null ~ 'x'", "null"},
        {"trim(t) like 'H_llo'", "=t"},
        {"trim(t) ilike 'h%'", "=t"},
        {"trim(t) not like 'H%'", "=f"},
        {"regex_replace('a1b22', '[0-9]+', '#')", "=a#b#"},
        {"regex_replace('john doe', '(\\w+) (?<last>\\w+)', '${last}, $1')", "=doe, john"},
        {"regex_replace('x', '(y)?x', '[$1]')", "=[]"},
        {"regex_replace('x', 'x', '$2')",
         "error: at character 1: the replacement refers to a group that the pattern does not have (write $$ for a "
         "dollar)"},
        {"regex_replace('x', 'x', '$$')", "=$"},
        {"regex_replace('aaa', 'A', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'i') like '%b'", "=t"},
        {"regex_extract('tel 555-01', '([0-9]+)-')", "=555"},
        {"regex_extract('abc', 'b.')", "=bc"},
        {"regex_extract('abc', 'x')", "null"},
        {"regex_extract('b', '(a)?b')", "null"},
        {"regex_match('ABC', 'abc', 'i')", "=t"},
        {"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' ~ '^(a|aa)+$'",
         "validation_failure: the regular expression reached its limits on the value"},
    };
    CHECK_ALL(cases);
}

static void json_is_taken_as_jsonb_takes_it(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"json_object('{\"a\": 1}')", "={\"a\": 1}"},
        {"json_object('[1]')", "json_parse: JSON, but not an object"},
        {"json_object('{')", "json_parse: not valid JSON"},
        {"json('[1]')", "=[1]"},
        {"json('\"\\u0000\"')", "json_parse: JSON holds \\u0000, which jsonb does not take"},
        {"json_raw('a\"b')", "={\"raw\": \"a\\\"b\"}"},
        {"json_get(j, 'k')", "=1"},
        {"json_get(j, 'x')", "null"},
        {"json_get('{\"a\": {\"b\": \"c\"}}', 'a', 'b')", "=c"},
        {"json_get('{\"a\": null}', 'a')", "null"},
        {"json_get('x', 'a')", "json_parse: not valid JSON"},
    };
    CHECK_ALL(cases);
}

static void an_absent_column_is_asked_for_only_where_it_decides(void **state)
{
    (void)state;
    static const struct text_case cases[] = {
        {"far", "absent"},
        {"far || 'x'", "needs"},
        {"coalesce(t, far)", "= H\u00e4llo "},
        {"coalesce(null, far)", "needs"},
        {"false and far = 'x'", "=f"},
        {"far = 'x' and false", "=f"},
        {"far = 'x' and 1 / 0 = 1", "needs"},
        {"far = 'x' or sent", "=t"},
        {"far = 'x' and sent", "needs"},
        {"case when sent then t else far end", "= H\u00e4llo "},
        {"case when far is null then 1 end", "needs"},
        {"t in (far, ' H\u00e4llo ')", "=t"},
        {"t in (far, 'x')", "needs"},
        {"null = far", "needs"},
    };
    CHECK_ALL(cases);
}

static void an_absent_column_of_a_completed_change_is_null(void **state)
{
    (void)state;
    struct fixture f;
    struct expr *expr;

    fixture_init(&f);
    assert_int_equal(expr_parse(f.pool, "far", &expr, NULL), 0);
    assert_int_equal(expr_resolve(expr, &f.relation, NULL), 0);
    assert_string_equal(outcome_of(&f, expr, true), "null");
    assert_int_equal(expr_parse(f.pool, "coalesce(far, 'none')", &expr, NULL), 0);
    assert_int_equal(expr_resolve(expr, &f.relation, NULL), 0);
    assert_string_equal(outcome_of(&f, expr, true), "=none");
    fixture_done(&f);
}

static void a_plain_column_is_not_copied(void **state)
{
    (void)state;
    struct fixture f;
    struct expr *expr;
    struct value value;
    bool truth;

    fixture_init(&f);
    struct expr_env env = {.columns = f.values, .arena = &f.arena};

    assert_int_equal(expr_parse(f.pool, "t", &expr, NULL), 0);
    assert_int_equal(expr_resolve(expr, &f.relation, NULL), 0);
    assert_int_equal(expr_eval(expr, &env, &value), EXPR_OK);
    assert_ptr_equal(value.text, f.values[2].text);
    assert_int_equal(expr_parse(f.pool, "sent and id in (1, 7) and n > 1", &expr, NULL), 0);
    assert_int_equal(expr_resolve_condition(expr, &f.relation, NULL), 0);
    assert_int_equal(expr_test(expr, &env, &truth), EXPR_OK);
    assert_true(truth);
    assert_int_equal(arena_used(&f.arena), 0);
    fixture_done(&f);
}

/* --- the YAML heads --- */

static struct expr *text_expr(struct fixture *f, const char *text)
{
    struct expr *expr = NULL;

    assert_int_equal(expr_parse(f->pool, text, &expr, NULL), 0);
    return expr;
}

static void assert_outcome(struct fixture *f, struct expr *expr, const char *expected)
{
    struct err err = {0};

    if (expr_resolve(expr, &f->relation, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(outcome_of(f, expr, false), expected);
}

static void an_enum_maps_codes(void **state)
{
    (void)state;
    static const struct expr_enum_entry entries[] = {{"7", "seven"}, {"true", "yes"}, {"US", "USA"},
                                                     {"gone", NULL}, {"7", "again"},  {"100000000000000000000", "big"}};
    struct fixture f;
    struct expr *otherwise;

    fixture_init(&f);
    otherwise = expr_const(f.pool, "other", 5);
#define ENUM(of, kind, other) expr_enum(f.pool, text_expr(&f, of), entries, 6, kind, other)
    assert_outcome(&f, ENUM("id", EXPR_ELSE_REJECT, NULL), "=seven");
    assert_outcome(&f, ENUM("id * 1.0", EXPR_ELSE_REJECT, NULL), "=seven");
    assert_outcome(&f, ENUM("f", EXPR_ELSE_REJECT, NULL), "=big");
    assert_outcome(&f, ENUM("sent", EXPR_ELSE_REJECT, NULL), "=yes");
    assert_outcome(&f, ENUM("'gone'", EXPR_ELSE_KEEP, NULL), "null");
    assert_outcome(&f, ENUM("'FR'", EXPR_ELSE_KEEP, NULL), "=FR");
    assert_outcome(&f, ENUM("'FR'", EXPR_ELSE_EXPR, otherwise), "=other");
    assert_outcome(&f, ENUM("'FR'", EXPR_ELSE_REJECT, NULL), "ambiguous_value: the value is not in the enum");
    assert_outcome(&f, ENUM("null", EXPR_ELSE_REJECT, NULL), "null");
    assert_outcome(&f, ENUM("far", EXPR_ELSE_REJECT, NULL), "needs");
#undef ENUM
    fixture_done(&f);
}

static void the_first_rule_classifies(void **state)
{
    (void)state;
    static const struct expr_rule rules[] = {
        {EXPR_RULE_EQUALS, true, "APPROVED", "doctor"},
        {EXPR_RULE_CONTAINS, false, "?", "question"},
        {EXPR_RULE_REGEX, true, "\\bplan\\b", "plan"},
        {EXPR_RULE_CONTAINS, true, "plan", NULL},
    };
    static const struct text_case cases[] = {
        {"'approved'", "=doctor"}, {"'the Plan?'", "=question"}, {"'the PLAN'", "=plan"},
        {"'planes'", "null"},      {"'hello'", "=note"},         {"null", "=note"},
    };
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct expr *expr;

        assert_int_equal(
            expr_classify(f.pool, text_expr(&f, cases[i].text), rules, 4, expr_const(f.pool, "note", 4), &expr, NULL),
            0);
        assert_outcome(&f, expr, cases[i].expected);
    }
    fixture_done(&f);
}

static void columns_are_packed_by_their_kind(void **state)
{
    (void)state;
    static const char *const packed[] = {"id", "f", "sent", "t", "j", "u", "d"};
    struct expr_pack_item items[9];
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < 7; i++)
        items[i] = (struct expr_pack_item){packed[i], expr_column(f.pool, packed[i])};
    items[7] = (struct expr_pack_item){"no\"ne", expr_null(f.pool)};
    items[8] = (struct expr_pack_item){"nan", text_expr(&f, "'NaN'::numeric")};
    assert_outcome(&f, expr_pack(f.pool, items, 9),
                   "={\"id\": 7, \"f\": 1e+20, \"sent\": true, \"t\": \" H\u00e4llo \", \"j\": {\"k\": 1}, "
                   "\"u\": \"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\", \"d\": \"2024-02-29\", "
                   "\"no\\\"ne\": null, \"nan\": \"NaN\"}");
    assert_outcome(&f, expr_pack(f.pool, NULL, 0), "={}");
    items[0].of = expr_column(f.pool, "far");
    assert_outcome(&f, expr_pack(f.pool, items, 1), "needs");
    fixture_done(&f);
}

static void identities_come_from_entity_and_key(void **state)
{
    (void)state;
    static const struct uuid ns = {
        {0x0c, 0x1d, 0x2e, 0x3f, 0x40, 0x51, 0x52, 0x63, 0x84, 0x95, 0xa6, 0xb7, 0xc8, 0xd9, 0xea, 0xfb}};
    struct uuid_part part = {"7", 1};
    struct uuid expected = uuid_of_key(&ns, "office", &part, 1);
    char text[UUID_TEXT_LEN + 2] = "=";
    struct expr *parts[2];
    struct fixture f;

    fixture_init(&f);
    uuid_format(&expected, text + 1);
    parts[0] = expr_column(f.pool, "id");
    parts[1] = expr_null(f.pool);
    assert_outcome(&f, expr_uuid5(f.pool, &ns, "office", parts, 1), text);
    assert_outcome(&f, expr_uuid5(f.pool, &ns, "office", parts, 2), "null");
    fixture_done(&f);
}

static void readable_numbers_are_padded(void **state)
{
    (void)state;
    struct fixture f;

    fixture_init(&f);
    assert_outcome(&f, expr_number_format(f.pool, "PAT-", 6, expr_column(f.pool, "id")), "=PAT-000007");
    assert_outcome(&f, expr_number_format(f.pool, "", 0, text_expr(&f, "-12")), "=-12");
    assert_outcome(&f, expr_number_format(f.pool, "N", 4, text_expr(&f, "-12")), "=N-0012");
    assert_outcome(&f, expr_number_format(f.pool, "N", 1, text_expr(&f, "12.00")), "=N12");
    assert_outcome(&f, expr_number_format(f.pool, "N", 1, text_expr(&f, "1.5")),
                   "validation_failure: not a whole number");
    assert_outcome(&f, expr_number_format(f.pool, "N", 1, expr_null(f.pool)), "null");
    fixture_done(&f);
}

static void errors_can_be_caught_and_raised(void **state)
{
    (void)state;
    struct expr *args[1], *raw;
    struct fixture f;

    fixture_init(&f);
    args[0] = text_expr(&f, "'{'");
    assert_int_equal(expr_call(f.pool, "json_raw", args, 1, &raw, NULL), 0);
    assert_outcome(&f, expr_on_error(f.pool, text_expr(&f, "json_object('{')"), raw), "={\"raw\": \"{\"}");
    assert_outcome(&f, expr_on_error(f.pool, text_expr(&f, "json('{')"), NULL), "null");
    assert_outcome(&f, expr_on_error(f.pool, text_expr(&f, "far || ''"), raw), "needs");
    assert_outcome(&f, expr_reject(f.pool, CATEGORY_ORPHAN_REFERENCE, "no parent"), "orphan_reference: no parent");
    assert_outcome(&f, expr_empty(f.pool, text_expr(&f, "trim('  ')"), text_expr(&f, "'Office ' || id")), "=Office 7");
    assert_outcome(&f, expr_empty(f.pool, text_expr(&f, "'x'"), expr_column(f.pool, "far")), "=x");
    fixture_done(&f);
}

static void params_stand_for_their_values(void **state)
{
    (void)state;
    struct fixture f;

    fixture_init(&f);
    expr_pool_set_param(f.pool, "office", "7");
    expr_pool_set_param(f.pool, "nothing", NULL);
    assert_string_equal(outcome(&f, "id = :office"), "=t");
    assert_string_equal(outcome(&f, ":office || 'x'"), "=7x");
    assert_string_equal(outcome(&f, "coalesce(:nothing, :office)"), "=7");
    fixture_done(&f);
}

static void collect(void *context, const char *name)
{
    strcat(context, name);
    strcat(context, " ");
}

static void a_tree_tells_its_columns_and_its_meaning(void **state)
{
    (void)state;
    char columns[64] = "";
    struct buf one, other;
    struct fixture f;
    const char *name;

    fixture_init(&f);
    buf_init(&one, 4096);
    buf_init(&other, 4096);
    expr_each_column(text_expr(&f, "case when sent then t || id else far end"), collect, columns);
    assert_string_equal(columns, "sent t id far ");
    assert_true(expr_is_column(text_expr(&f, "(id)"), &name));
    assert_string_equal(name, "id");
    expr_print(text_expr(&f, "id=1  and (t like 'x')"), &one);
    expr_print(text_expr(&f, "id = 1 AND t LIKE 'x'"), &other);
    assert_string_equal(buf_text(&one), buf_text(&other));
    buf_reset(&other);
    expr_print(text_expr(&f, "id = 1 and t not like 'x'"), &other);
    assert_string_not_equal(buf_text(&one), buf_text(&other));
    buf_done(&one);
    buf_done(&other);
    fixture_done(&f);
}

static void without_a_catalogue_only_the_grammar_is_checked(void **state)
{
    (void)state;
    struct err err = {0};
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(expr_resolve_condition(text_expr(&f, "anything = 1 and other like 'x'"), NULL, &err), 0);
    assert_int_equal(expr_resolve_condition(text_expr(&f, "1 + 1"), NULL, &err), -1);
    assert_int_equal(expr_resolve_condition(text_expr(&f, "sent"), &f.relation, &err), 0);
    assert_int_equal(expr_resolve_condition(text_expr(&f, "t"), &f.relation, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    fixture_done(&f);
}

/* --- what the server would refuse --- */

static void values_that_cannot_fit_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *type, *value, *reason; /* reason NULL: fits */
    } cases[] = {
        {"text", "anything", NULL},
        {"character varying(3)", "\u00e4\u00f6\u00fc", NULL},
        {"character varying(3)", "abc   ", NULL},
        {"character varying(3)", "abcd", "longer than the column allows"},
        {"character(2)", "abc", "longer than the column allows"},
        {"character varying", "as long as it likes", NULL},
        {"integer", "2147483647", NULL},
        {"integer", " -5 ", NULL},
        {"integer", "2147483648", "beyond the range of the integer type"},
        {"integer", "3.0", "not an integer"},
        {"integer", "", "not an integer"},
        {"integer", "0x1F", NULL}, /* newer servers */
        {"smallint", "32768", "beyond the range of the integer type"},
        {"bigint", "-9223372036854775808", NULL},
        {"bigint", "-9223372036854775809", "beyond the range of the integer type"},
        {"numeric(5,2)", "999.994", NULL},
        {"numeric(5,2)", "999.995", "beyond the precision of the column"},
        {"numeric(5,2)", "1000", "beyond the precision of the column"},
        {"numeric(5,2)", "NaN", NULL},
        {"numeric(5,2)", "Infinity", "beyond the precision of the column"},
        {"numeric(2,4)", "0.0099", NULL},
        {"numeric(2,4)", "0.01", "beyond the precision of the column"},
        {"numeric(3,-2)", "99949", NULL},
        {"numeric(3,-2)", "99950", "beyond the precision of the column"},
        {"numeric", "1e400000", "a number beyond the range of numeric"},
        {"numeric", "abc", "not a number"},
        {"double precision", "abc", "not a number"},
        {"double precision", "-Infinity", NULL},
        {"boolean", "yes", NULL},
        {"boolean", "maybe", "not a boolean"},
        {"uuid", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}", NULL},
        {"uuid", "a0eebc99", "not a UUID"},
        {"jsonb", "{\"a\": 1}", NULL},
        {"jsonb", "{a: 1}", "not valid JSON"},
        {"json", "\"\\u0000\"", NULL},
        {"date", "January 8, 1999", NULL},
        {"date", "tomorrow", NULL},
        {"date", "", "not a date or time"},
        {"timestamp with time zone", "soon", "not a date or time"},
        {"public.mood", "whatever", NULL},
        {"integer[]", "{x}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[64], base[64];
        struct column column = {.type = type, .base_type = base};
        struct value value = {cases[i].value, (uint32_t)strlen(cases[i].value), VALUE_TEXT};
        enum category category = CATEGORY_NONE;
        const char *reason = "";
        bool fits;

        snprintf(type, sizeof type, "%s", cases[i].type);
        snprintf(base, sizeof base, "%s", cases[i].type);
        base[strcspn(base, "(")] = '\0';
        fits = expr_value_fits(&column, &value, &category, &reason);
        if (fits != !cases[i].reason || (!fits && strcmp(reason, cases[i].reason) != 0))
            fail_msg("%s in %s: %s", cases[i].value, cases[i].type, reason);
        if (!fits)
            assert_int_equal(category,
                             strstr(cases[i].type, "json") ? CATEGORY_JSON_PARSE : CATEGORY_VALIDATION_FAILURE);
    }
}

static void a_zero_byte_fits_nowhere_and_null_everywhere(void **state)
{
    (void)state;
    char type[] = "integer";
    struct column column = {.type = type, .base_type = type};
    struct value value = {"1\0", 2, VALUE_TEXT}, null = {.state = VALUE_NULL}, absent = {.state = VALUE_ABSENT};
    enum category category;
    const char *reason;

    assert_false(expr_value_fits(&column, &value, &category, &reason));
    assert_true(expr_value_fits(&column, &null, &category, &reason));
    assert_true(expr_value_fits(&column, &absent, &category, &reason));
}

static void categories_have_names(void **state)
{
    (void)state;
    for (int c = CATEGORY_EMAIL_CONFLICT; c <= CATEGORY_TRANSIENT; c++) {
        assert_int_equal(category_parse(category_name((enum category)c)), c);
        assert_non_null(strstr("low medium high critical", category_severity((enum category)c)));
        assert_true(strlen(category_suggestion((enum category)c)) > 10);
    }
    assert_int_equal(category_parse("no such"), CATEGORY_NONE);
    assert_int_equal(category_parse(NULL), CATEGORY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_bind_as_in_sql),
        cmocka_unit_test(names_and_literals_are_read),
        cmocka_unit_test(mistakes_are_placed_and_named),
        cmocka_unit_test(types_that_do_not_go_together_are_refused),
        cmocka_unit_test(a_tree_beyond_the_depth_is_refused),
        cmocka_unit_test(logic_has_three_values),
        cmocka_unit_test(comparison_goes_by_the_column),
        cmocka_unit_test(years_before_christ_and_beyond_9999_have_their_order),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(texts_are_cut_in_characters),
        cmocka_unit_test(patterns_match),
        cmocka_unit_test(json_is_taken_as_jsonb_takes_it),
        cmocka_unit_test(an_absent_column_is_asked_for_only_where_it_decides),
        cmocka_unit_test(an_absent_column_of_a_completed_change_is_null),
        cmocka_unit_test(a_plain_column_is_not_copied),
        cmocka_unit_test(an_enum_maps_codes),
        cmocka_unit_test(the_first_rule_classifies),
        cmocka_unit_test(columns_are_packed_by_their_kind),
        cmocka_unit_test(identities_come_from_entity_and_key),
        cmocka_unit_test(readable_numbers_are_padded),
        cmocka_unit_test(errors_can_be_caught_and_raised),
        cmocka_unit_test(params_stand_for_their_values),
        cmocka_unit_test(a_tree_tells_its_columns_and_its_meaning),
        cmocka_unit_test(without_a_catalogue_only_the_grammar_is_checked),
        cmocka_unit_test(values_that_cannot_fit_are_found),
        cmocka_unit_test(a_zero_byte_fits_nowhere_and_null_everywhere),
        cmocka_unit_test(categories_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
