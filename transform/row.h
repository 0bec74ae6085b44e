/* One target row, or the news that there is none: what transform/ makes of a change, one for each rule
 * of the change's table, and what a sink applies. Lives in the batch's arena.
 */
#ifndef PGREKEY_TRANSFORM_ROW_H
#define PGREKEY_TRANSFORM_ROW_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/change.h"
#include "transform/rule.h"

enum row_op {
    ROW_UPSERT,   /* the source row is mapped: values hold the row, ABSENT ones are unchanged */
    ROW_EXCLUDE,  /* the source row lives, but not for this rule: the target row goes as on_delete says */
    ROW_DELETE,   /* the source row is gone */
    ROW_REJECT,   /* the source row cannot be mapped: to quarantine */
    ROW_TRUNCATE, /* all rows of the source table are gone */
};

/* Why a row stands in quarantine. */
enum category {
    CATEGORY_NONE = 0,
    CATEGORY_EMAIL_CONFLICT,
    CATEGORY_VALIDATION_FAILURE,
    CATEGORY_CONSTRAINT_VIOLATION,
    CATEGORY_SCHEMA_MISMATCH,
    CATEGORY_JSON_PARSE,
    CATEGORY_ORPHAN_REFERENCE,
    CATEGORY_AMBIGUOUS_VALUE,
    CATEGORY_TRANSIENT,
};
const char *category_name(enum category category);       /* "email_conflict" … */
enum category category_parse(const char *name);          /* CATEGORY_NONE where unknown */
const char *category_severity(enum category category);   /* "low", "medium", "high", "critical" */
const char *category_suggestion(enum category category); /* one sentence: what usually resolves it */

struct row {
    const struct rule *rule;
    const struct change *change; /* for the quarantine, and for reading absent values from the source */
    enum row_op op;
    bool born;                 /* the change is an insert or a snapshot row: no earlier row of this key */
    bool partial;              /* some value is ABSENT */
    bool stood;                /* its target row was there before the source's: what is ABSENT is not in it */
    struct value *values;      /* rule->column_count; NULL unless ROW_UPSERT. Key columns are never ABSENT. */
    struct value *locator;     /* rule->locator_count, where the row is found now; NULL for truncate */
    struct value *old_locator; /* where it was found before; NULL unless the key changed */
    enum category category;    /* of ROW_REJECT */
    const char *column;        /* of ROW_REJECT: the target column at fault, or NULL */
    const char *reason;        /* of ROW_REJECT: one phrase without any value, "not valid JSON" */
    const char *kept;          /* a sink's own: the target row that it had before it was parked, JSON; else NULL */
    const char *key;           /* a sink's own: its name in quarantine where the change cannot tell it; else NULL */
};

#endif
