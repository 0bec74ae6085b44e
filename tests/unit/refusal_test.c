#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sinks/postgres/quarantine/refusal.h"

static const struct {
    const char *sqlstate, *constraint, *column;
    bool deleting;
    enum category category;
} cases[] = {
    {"23505", "users_pkey", "", false, CATEGORY_CONSTRAINT_VIOLATION},
    {"23505", "users_email_key", "", false, CATEGORY_EMAIL_CONFLICT},
    {"23505", "Users_EMail_idx", "", false, CATEGORY_EMAIL_CONFLICT},
    {"23514", "email_is_valid", "", false, CATEGORY_VALIDATION_FAILURE},
    {"23503", "orders_user_id_fkey", "", false, CATEGORY_ORPHAN_REFERENCE},
    {"23503", "orders_user_id_fkey", "", true, CATEGORY_CONSTRAINT_VIOLATION},
    {"23502", "", "name", false, CATEGORY_VALIDATION_FAILURE},
    {"23P01", "rooms_excl", "", false, CATEGORY_CONSTRAINT_VIOLATION},
    {"22001", "", "", false, CATEGORY_VALIDATION_FAILURE},
    {"22P02", "", "", false, CATEGORY_VALIDATION_FAILURE},
    {"22032", "", "", false, CATEGORY_JSON_PARSE},
    {"54000", "", "", false, CATEGORY_VALIDATION_FAILURE},
    {"P0001", "", "", false, CATEGORY_VALIDATION_FAILURE},
    {"42703", "", "", false, CATEGORY_SCHEMA_MISMATCH},
    {"42804", "", "", false, CATEGORY_SCHEMA_MISMATCH},
    {"40P01", "", "", false, CATEGORY_TRANSIENT},
    {"55P03", "", "", false, CATEGORY_TRANSIENT},
    {"42501", "", "", false, CATEGORY_NONE},
    {"42P01", "", "", false, CATEGORY_NONE},
    {"57P01", "", "", false, CATEGORY_NONE},
    {"53100", "", "", false, CATEGORY_NONE},
    {"", "", "", false, CATEGORY_NONE},
};

static void sqlstates_tell_the_rows_fault_from_everybodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err refusal = {0};
        snprintf(refusal.sqlstate, sizeof(refusal.sqlstate), "%s", cases[i].sqlstate);
        snprintf(refusal.constraint, sizeof(refusal.constraint), "%s", cases[i].constraint);
        snprintf(refusal.column, sizeof(refusal.column), "%s", cases[i].column);
        enum category category = refusal_category(&refusal, cases[i].deleting);
        if (category != cases[i].category)
            fail_msg("%s %s: %d", cases[i].sqlstate, cases[i].constraint, (int)category);
        if (category != CATEGORY_NONE)
            assert_true(strlen(refusal_reason(&refusal, cases[i].deleting)) > 0);
    }
}

static void what_a_trigger_raises_is_the_rows_fault_whatever_its_sqlstate(void **state)
{
    (void)state;
    static const char *const raised[] = {"42501", "PT409", "0A000", "57P01", ""};
    for (size_t i = 0; i < sizeof(raised) / sizeof(*raised); i++) {
        struct err refusal = {.kind = ERR_POISON};
        snprintf(refusal.sqlstate, sizeof(refusal.sqlstate), "%s", raised[i]);
        assert_int_equal(refusal_category(&refusal, false), CATEGORY_VALIDATION_FAILURE);
        assert_string_equal(refusal_reason(&refusal, false), "a trigger or view on the target refuses it");
    }
}

static void only_what_other_rows_can_mend_is_worth_a_second_try(void **state)
{
    (void)state;
    assert_true(refusal_may_pass(CATEGORY_ORPHAN_REFERENCE));
    assert_true(refusal_may_pass(CATEGORY_CONSTRAINT_VIOLATION));
    assert_true(refusal_may_pass(CATEGORY_EMAIL_CONFLICT));
    assert_true(refusal_may_pass(CATEGORY_AMBIGUOUS_VALUE));
    assert_false(refusal_may_pass(CATEGORY_VALIDATION_FAILURE));
    assert_false(refusal_may_pass(CATEGORY_JSON_PARSE));
    assert_false(refusal_may_pass(CATEGORY_SCHEMA_MISMATCH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlstates_tell_the_rows_fault_from_everybodys),
        cmocka_unit_test(what_a_trigger_raises_is_the_rows_fault_whatever_its_sqlstate),
        cmocka_unit_test(only_what_other_rows_can_mend_is_worth_a_second_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
