/* Will a column's value be taken by the target's column? The server has the last word, value by value; this says
 * beforehand what it surely refuses (errors) and what depends on the rows (warnings). */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

enum family { FAMILY_TEXT, FAMILY_NUMBER, FAMILY_BOOL, FAMILY_JSON, FAMILY_MOMENT, FAMILY_UUID, FAMILY_OTHER };

static const struct {
    const char *type;
    enum family family;
    int rank; /* of numbers: a higher one does not always fit into a lower one */
} known_types[] = {
    {"text", FAMILY_TEXT, 0},
    {"character varying", FAMILY_TEXT, 0},
    {"character", FAMILY_TEXT, 0},
    {"citext", FAMILY_TEXT, 0},
    {"public.citext", FAMILY_TEXT, 0},
    {"name", FAMILY_TEXT, 0},
    {"smallint", FAMILY_NUMBER, 1},
    {"integer", FAMILY_NUMBER, 2},
    {"bigint", FAMILY_NUMBER, 3},
    {"numeric", FAMILY_NUMBER, 4},
    {"real", FAMILY_NUMBER, 4},
    {"double precision", FAMILY_NUMBER, 4},
    {"boolean", FAMILY_BOOL, 0},
    {"json", FAMILY_JSON, 0},
    {"jsonb", FAMILY_JSON, 0},
    {"date", FAMILY_MOMENT, 0},
    {"timestamp without time zone", FAMILY_MOMENT, 0},
    {"timestamp with time zone", FAMILY_MOMENT, 0},
    {"uuid", FAMILY_UUID, 0},
};

static enum family family_of(const struct column *column, int *ret_rank)
{
    *ret_rank = 0;
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++) {
        if (strcmp(known_types[i].type, column->base_type) != 0)
            continue;
        *ret_rank = known_types[i].rank;
        return known_types[i].family;
    }
    return FAMILY_OTHER;
}

/* varchar(n), char(n): n; 0 where there is no limit. */
static long length_limit(const struct column *column)
{
    const char *open = strchr(column->type, '(');
    bool text = strncmp(column->type, "character", 9) == 0;
    return text && open ? strtol(open + 1, NULL, 10) : 0;
}

enum verdict { FITS, DEPENDS, NEVER };

static enum verdict judge(enum family from, enum family to)
{
    if (from == to || to == FAMILY_TEXT)
        return FITS;
    if (from == FAMILY_TEXT || to == FAMILY_OTHER || from == FAMILY_OTHER)
        return DEPENDS;
    if ((from == FAMILY_NUMBER && to == FAMILY_BOOL) || (from == FAMILY_NUMBER && to == FAMILY_JSON))
        return DEPENDS;
    return NEVER;
}

static void copied(const struct column_spec *spec, const struct column *source, const struct column *target, bool copy,
                   struct map_issues *issues)
{
    int from_rank, to_rank;
    enum family from = family_of(source, &from_rank), to = family_of(target, &to_rank);
    enum verdict verdict = judge(from, to);
    bool other = from == FAMILY_OTHER || to == FAMILY_OTHER;
    if (other && to != FAMILY_TEXT && strcmp(source->base_type, target->base_type) == 0)
        verdict = FITS;
    if (verdict == NEVER)
        issue_error(issues, spec->node, "\"%s\" is %s, but \"%s\" on the target is %s", source->name, source->type,
                    spec->name, target->type);
    else if (verdict == DEPENDS)
        issue_warning(issues, spec->node,
                      "\"%s\" is %s, \"%s\" on the target is %s; rows whose value does not fit are "
                      "quarantined",
                      source->name, source->type, spec->name, target->type);
    else if (from == FAMILY_NUMBER && from_rank > to_rank)
        issue_warning(issues, spec->node, "\"%s\" is %s, wider than \"%s\" on the target, %s", source->name,
                      source->type, spec->name, target->type);
    else if (from == FAMILY_MOMENT && to == FAMILY_MOMENT && strcmp(source->base_type, target->base_type) != 0)
        issue_warning(issues, spec->node, "\"%s\" is %s, \"%s\" on the target is %s; values are read as UTC",
                      source->name, source->type, spec->name, target->type);
    else if (copy)
        issue_warning(issues, spec->node, "\"%s\" is %s on the source and %s on the target", source->name, source->type,
                      target->type);
    long have = length_limit(source), room = length_limit(target);
    if (room > 0 && (have > room || (have == 0 && from == FAMILY_TEXT)))
        issue_warning(issues, spec->node, "\"%s\" is %s, longer than \"%s\" on the target, %s", source->name,
                      source->type, spec->name, target->type);
}

static void computed(const struct column_spec *spec, const struct column *target, struct map_issues *issues)
{
    static const struct {
        enum expr_type type;
        enum family family;
        const char *name;
    } kinds[] = {{EXPR_NUMBER, FAMILY_NUMBER, "a number"},
                 {EXPR_BOOL, FAMILY_BOOL, "a truth value"},
                 {EXPR_JSON, FAMILY_JSON, "JSON"},
                 {EXPR_TEMPORAL, FAMILY_MOMENT, "a date or time"}};
    int rank;
    enum family to = family_of(target, &rank);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == expr_result_type(spec->value) && to != FAMILY_OTHER && judge(kinds[i].family, to) == NEVER)
            issue_error(issues, spec->node, "the value is %s, but \"%s\" on the target is %s", kinds[i].name,
                        spec->name, target->type);
}

static void constant(const struct column_spec *spec, const struct column *target, const char *text, size_t len,
                     struct map_issues *issues)
{
    struct value value = {.text = text, .len = (uint32_t)len, .state = text ? VALUE_TEXT : VALUE_NULL};
    enum category category;
    const char *reason;
    if (!text && target->not_null)
        issue_error(issues, spec->node, "the constant is null, but \"%s\" must not be NULL on the target", spec->name);
    else if (!expr_value_fits(target, &value, &category, &reason))
        issue_error(issues, spec->node, "the constant does not fit \"%s\" on the target (%s): %s", spec->name,
                    target->type, reason);
}

static void derived(const struct column_spec *spec, const struct column *target, struct map_issues *issues)
{
    int rank;
    enum family to = family_of(target, &rank);
    if (to == FAMILY_TEXT && (length_limit(target) == 0 || length_limit(target) >= UUID_TEXT_LEN))
        issue_warning(issues, spec->node, "a UUID goes into \"%s\", which is %s on the target", spec->name,
                      target->type);
    else if (to != FAMILY_UUID)
        issue_error(issues, spec->node, "a UUID goes into \"%s\", but that is %s on the target", spec->name,
                    target->type);
}

void map_check_types(const struct column_spec *spec, const struct column *source, const struct column *target,
                     bool copy, struct map_issues *issues)
{
    const char *text;
    size_t len;
    if (spec->entity)
        derived(spec, target, issues);
    else if (expr_is_const(spec->value, &text, &len))
        constant(spec, target, text, len, issues);
    else if (!source)
        computed(spec, target, issues);
    else if (strcmp(source->type, target->type) != 0)
        copied(spec, source, target, copy, issues);
    if (source && target->not_null && !source->not_null)
        issue_warning(issues, spec->node,
                      "\"%s\" may be NULL on the source but not in \"%s\" on the target; such "
                      "rows are quarantined",
                      source->name, spec->name);
}
