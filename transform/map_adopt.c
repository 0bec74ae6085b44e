/* adopt: the word, and what it needs of its rule or derivation. That the columns are there is for whoever binds. */
#include "transform/map_internal.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void map_adopt_of(struct loader *l, const struct yaml_node *node, struct adopt *adopt)
{
    static const char *const words[] = {"sql"};
    if (node->kind != YAML_MAP) {
        adopt->columns = map_text_list(l, node, "a target column that holds the legacy key, or a list of them,",
                                       &adopt->column_count);
        adopt->by = ADOPT_COLUMNS;
        return;
    }
    const struct yaml_node *sql = yaml_get(node, "sql");
    if (!map_words_check(l, node, "adopt", words, COUNT(words)))
        return;
    adopt->sql = sql ? map_sql_of(l, sql, "a query that returns (legacy key, existing id)") : NULL;
    if (!sql)
        issue_error(l->issues, node, "adopt is a column of the target, a list of columns, or {sql: query}");
    adopt->by = ADOPT_SQL;
}

void map_check_adopt(const struct adopt *adopt, const struct yaml_node *node, const char *entity, size_t parts,
                     size_t key_count, struct map_issues *issues)
{
    if (!entity)
        issue_error(issues, node, "only rows whose key is a UUID of an entity of their own are adopted");
    else if (key_count != 1)
        issue_error(issues, node, "adopt needs a key of one column: it is what the adopted rows are called");
    else if (parts > ADOPT_PARTS_MAX)
        issue_error(issues, node, "adopt takes legacy keys of up to %d parts", ADOPT_PARTS_MAX);
    else if (adopt->by == ADOPT_COLUMNS && adopt->column_count != parts)
        issue_error(issues, node, "adopt names %zu column%s, but the legacy key has %zu part%s", adopt->column_count,
                    adopt->column_count == 1 ? "" : "s", parts, parts == 1 ? "" : "s");
}
