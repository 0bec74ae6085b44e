#include "sinks/postgres/quarantine/refusal.h"

#include <string.h>

#define UNIQUE_VIOLATION "23505"
#define FOREIGN_KEY_VIOLATION "23503"

static bool is_state(const struct err *refusal, const char *sqlstate)
{
    return strcmp(refusal->sqlstate, sqlstate) == 0;
}

static bool is_class(const struct err *refusal, const char *prefix)
{
    return strncmp(refusal->sqlstate, prefix, strlen(prefix)) == 0;
}

static bool is_email(const struct err *refusal)
{
    return strcasestr(refusal->constraint, "email") || strcasestr(refusal->column, "email");
}

enum category refusal_category(const struct err *refusal, bool deleting)
{
    if (is_state(refusal, UNIQUE_VIOLATION))
        return is_email(refusal) ? CATEGORY_EMAIL_CONFLICT : CATEGORY_CONSTRAINT_VIOLATION;
    if (is_state(refusal, FOREIGN_KEY_VIOLATION))
        return deleting ? CATEGORY_CONSTRAINT_VIOLATION : CATEGORY_ORPHAN_REFERENCE;
    if (is_state(refusal, "23502") || is_state(refusal, "23514"))
        return CATEGORY_VALIDATION_FAILURE;
    if (is_class(refusal, "23"))
        return CATEGORY_CONSTRAINT_VIOLATION;
    if (is_class(refusal, "2203"))
        return CATEGORY_JSON_PARSE;
    /* Data exceptions, WITH CHECK OPTION, a trigger's RAISE, a value too large for an index. */
    if (is_class(refusal, "22") || is_class(refusal, "44") || is_class(refusal, "P0") || is_class(refusal, "54"))
        return CATEGORY_VALIDATION_FAILURE;
    if (is_state(refusal, "42703") || is_state(refusal, "42804") || is_state(refusal, "428C9"))
        return CATEGORY_SCHEMA_MISMATCH;
    if (is_class(refusal, "40") || is_state(refusal, "55P03"))
        return CATEGORY_TRANSIENT;
    /* A trigger may raise any SQLSTATE. */
    return refusal->kind == ERR_POISON ? CATEGORY_VALIDATION_FAILURE : CATEGORY_NONE;
}

const char *refusal_reason(const struct err *refusal, bool deleting)
{
    if (is_state(refusal, UNIQUE_VIOLATION))
        return "another row holds its unique value";
    if (is_state(refusal, FOREIGN_KEY_VIOLATION))
        return deleting ? "rows that refer to it stand on the target" : "a row that it refers to is not there";
    if (is_state(refusal, "23502"))
        return "a column that must not be NULL would be NULL";
    if (is_state(refusal, "23514"))
        return "a check constraint refuses it";
    if (is_class(refusal, "23"))
        return "a constraint refuses it";
    if (is_class(refusal, "2203"))
        return "not JSON that the target takes";
    if (is_state(refusal, "22001"))
        return "a value is too long";
    if (is_state(refusal, "22003"))
        return "a number is out of range";
    if (is_class(refusal, "22"))
        return "a value does not fit its column's type";
    if (is_class(refusal, "54"))
        return "the row or a value is too large";
    if (is_class(refusal, "42") && refusal->kind != ERR_POISON)
        return "the target table has changed";
    if (is_class(refusal, "40") || is_state(refusal, "55P03"))
        return "somebody else held the row";
    return "a trigger or view on the target refuses it";
}

bool refusal_may_pass(enum category category)
{
    return category == CATEGORY_ORPHAN_REFERENCE || category == CATEGORY_CONSTRAINT_VIOLATION ||
           category == CATEGORY_EMAIL_CONFLICT || category == CATEGORY_AMBIGUOUS_VALUE ||
           category == CATEGORY_TRANSIENT;
}
