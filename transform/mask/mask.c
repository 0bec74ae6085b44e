#include "transform/mask/mask.h"

#include <stdlib.h>
#include <string.h>

#include "transform/map_internal.h"
#include "transform/mask/value.h"

struct plan {
    enum mask_kind kind;
    const struct mask_fields *json;
    const char *limit; /* of the column's integers; NULL: none */
};

struct masker {
    struct permuter *permuter;
    size_t rule_count;
    struct plan **rules; /* by rule->index, a plan a column */
};

static const char *limit_of(const struct relation *relation, const char *column)
{
    static const char *const limits[][2] = {
        {"smallint", "32767"}, {"integer", "2147483647"}, {"bigint", "9223372036854775807"}};
    int at = relation ? relation_column(relation, column) : -1;
    for (size_t i = 0; at >= 0 && i < sizeof limits / sizeof *limits; i++)
        if (strcmp(relation->columns[at].base_type, limits[i][0]) == 0)
            return limits[i][1];
    return NULL;
}

static struct plan *plan_of(const struct map *map, const struct rule *rule)
{
    struct plan *plans = mem_zalloc(rule->column_count + 1, sizeof *plans);
    for (size_t c = 0; c < rule->column_count; c++) {
        const struct mask_field *field = map_mask_of(map, rule, rule->columns[c].name);
        if (field)
            plans[c] =
                (struct plan){field->kind, field->json, limit_of(map_rule_target(map, rule), rule->columns[c].name)};
    }
    return plans;
}

struct masker *masker_new(const struct map *map, const void *secret, size_t len)
{
    struct masker *masker = mem_zalloc(1, sizeof *masker);
    masker->permuter = permuter_new(secret, len);
    masker->rule_count = map_rule_count(map);
    masker->rules = mem_zalloc(masker->rule_count + 1, sizeof *masker->rules);
    for (size_t r = 0; r < masker->rule_count; r++)
        masker->rules[r] = plan_of(map, map_rule(map, r));
    return masker;
}

void masker_free(struct masker *masker)
{
    if (!masker)
        return;
    for (size_t r = 0; r < masker->rule_count; r++)
        free(masker->rules[r]);
    free(masker->rules);
    permuter_free(masker->permuter);
    free(masker);
}

static void mask_one(struct masker *masker, const struct plan *plan, struct value *value, struct arena *arena)
{
    struct masking masking = {masker->permuter, arena};
    struct slice of = {value->text, value->len};
    struct buf out;
    buf_init(&out, UINT32_MAX - 1);
    bool shown = plan->kind == MASK_JSON ? mask_json(&masking, plan->json, of, &out)
                                         : mask_value(&masking, plan->kind, plan->limit, of, &out);
    if (shown)
        *value = (struct value){arena_strndup(arena, buf_text(&out), out.len), (uint32_t)out.len, VALUE_TEXT};
    else
        *value = (struct value){.state = VALUE_NULL};
    buf_done(&out);
}

void masker_apply(struct masker *masker, const struct rule *rule, struct value *values, struct arena *arena)
{
    const struct plan *plans = masker->rules[rule->index];
    for (size_t c = 0; c < rule->column_count; c++)
        if (values[c].state == VALUE_TEXT && plans[c].kind != MASK_CLEAR)
            mask_one(masker, &plans[c], &values[c], arena);
}
