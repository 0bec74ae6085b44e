/* What rules and derivations ask of the target alike. */
#include "transform/map_internal.h"

#include <string.h>

const struct column *map_target_column(struct map *map, const struct relation *relation, const struct yaml_node *node,
                                       const char *name, struct map_issues *issues)
{
    int at = relation_column(relation, name);
    if (at >= 0)
        return &relation->columns[at];
    issue_error(issues, node, "%s.%s has no column \"%s\" on the target%s", relation->schema, relation->name, name,
                map_near_column(map, relation, name));
    return NULL;
}

static void check_constant(const struct rule_set *set, const struct column *column, const struct yaml_node *node,
                           struct map_issues *issues)
{
    struct value value = {.text = set->text, .state = set->text ? VALUE_TEXT : VALUE_NULL};
    enum category category;
    const char *reason;
    value.len = set->text ? (uint32_t)strlen(set->text) : 0;
    if (column->generated || column->identity_always)
        issue_error(issues, node, "\"%s\" cannot be written on the target", set->column);
    else if (set->stamp && strcmp(column->base_type, "jsonb") != 0)
        issue_error(issues, node, "\"%s\" is %s on the target; only jsonb can be stamped", set->column, column->type);
    else if (set->stamp)
        return;
    else if (!set->text && column->not_null)
        issue_error(issues, node, "\"%s\" must not be NULL on the target", set->column);
    else if (!expr_value_fits(column, &value, &category, &reason))
        issue_error(issues, node, "the constant for \"%s\" does not fit %s: %s", set->column, column->type, reason);
}

void map_check_set(struct map *map, const struct relation *relation, const struct yaml_node *node,
                   const struct rule_set *set, size_t count, struct map_issues *issues)
{
    for (size_t i = 0; i < count; i++) {
        const struct column *column = map_target_column(map, relation, node, set[i].column, issues);
        if (column)
            check_constant(&set[i], column, node, issues);
    }
}
