/* What the categories of the quarantine are called, how bad they are, and what usually resolves them. */
#include "transform/row.h"

#include <string.h>

static const struct {
    const char *name, *severity, *suggestion;
} CATEGORIES[] = {
    [CATEGORY_NONE] = {"none", "low", "nothing to do"},
    [CATEGORY_EMAIL_CONFLICT] = {"email_conflict", "medium",
                                 "decide in the source which row keeps the e-mail address, or map the others to NULL"},
    [CATEGORY_VALIDATION_FAILURE] = {"validation_failure", "medium",
                                     "correct the value in the source or cleanse it in the mapping, then retry"},
    [CATEGORY_CONSTRAINT_VIOLATION] = {"constraint_violation", "high",
                                       "look at the constraint's other rows on the target; retry once they gave way"},
    [CATEGORY_SCHEMA_MISMATCH] = {"schema_mismatch", "critical",
                                  "bring mapping and tables into line (pgrekey map check), then resume and retry"},
    [CATEGORY_JSON_PARSE] = {"json_parse", "medium",
                             "correct the JSON in the source or give the column an on_error, then retry"},
    [CATEGORY_ORPHAN_REFERENCE] = {"orphan_reference", "high",
                                   "the row it refers to is not on the target: mend that one, then retry this one"},
    [CATEGORY_AMBIGUOUS_VALUE] = {"ambiguous_value", "medium",
                                  "add the value to the mapping or correct it in the source, then retry"},
    [CATEGORY_TRANSIENT] = {"transient", "low", "passes by itself; it is tried again automatically"},
};
#define CATEGORY_COUNT (sizeof CATEGORIES / sizeof *CATEGORIES)

static size_t known(enum category category)
{
    return (size_t)category < CATEGORY_COUNT ? (size_t)category : CATEGORY_NONE;
}

const char *category_name(enum category category)
{
    return CATEGORIES[known(category)].name;
}

const char *category_severity(enum category category)
{
    return CATEGORIES[known(category)].severity;
}

const char *category_suggestion(enum category category)
{
    return CATEGORIES[known(category)].suggestion;
}

enum category category_parse(const char *name)
{
    for (size_t i = 1; name && i < CATEGORY_COUNT; i++)
        if (strcmp(name, CATEGORIES[i].name) == 0)
            return (enum category)i;
    return CATEGORY_NONE;
}
