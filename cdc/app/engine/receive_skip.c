/* The receiver on ground that a resumed snapshot has read in part: what of a change is news. skip.h says why. */
#include "cdc/app/engine/receiver.h"

static int judge(struct receiver *r, const struct rule *rule, const struct change *change,
                 enum skip_verdict *ret_verdict, struct err *reterr)
{
    struct engine *engine = r->engine;
    if (!engine->receiver_conn &&
        engine_open_source(engine->settings, "rows", ENGINE_BRIEF, &engine->receiver_conn, reterr) != 0)
        return -1;
    return skip_judge(engine->skip, rule, change, r->commit_lsn, skip_ask_source, engine->receiver_conn, ret_verdict,
                      reterr);
}

/* The half of a changed key that is news. */
static struct change *half(const struct change *change, enum skip_verdict verdict, struct arena *arena)
{
    const struct relation *relation = change->relation;
    struct change *part = arena_alloc(arena, sizeof(*part));
    *part = *change;
    part->key_changed = false;
    part->op = verdict == SKIP_OLD_KEY ? CHANGE_INSERT : CHANGE_DELETE;
    if (verdict == SKIP_NEW_KEY) {
        part->columns = NULL;
        return part;
    }
    part->identity = arena_zalloc(arena, relation->key_count + 1, sizeof(*part->identity));
    for (size_t k = 0; k < relation->key_count; k++)
        part->identity[k] = change->columns[relation->key[k]];
    return part;
}

/* The row of one rule, of a change or of its half. */
static int transform_one(struct receiver *r, const struct rule *rule, struct change *change, struct row **ret_row,
                         struct err *reterr)
{
    struct arena *arena = &r->handover->filling->arena;
    const struct map *map = r->engine->binding.map;
    int outcome = map_transform_rule(map, rule, change, arena, ret_row, reterr);
    if (outcome == 1 && receiver_complete(r, change, reterr) != 0)
        return -1;
    if (outcome == 1)
        outcome = map_transform_rule(map, rule, change, arena, ret_row, reterr);
    if (outcome > 0)
        return err_set(reterr, ERR_FATAL, "a completed change still lacks a column (table %s.%s)",
                       change->relation->schema, change->relation->name);
    return outcome;
}

/* What is news of a change, by the verdict for each rule. */
struct news {
    const struct rule *const *rules; /* of the change's table */
    struct change **changes;         /* the change or its half for each of them; NULL: nothing */
    struct row **rows;               /* without gaps */
    size_t rule_count, count;
};

static int transform_news(struct receiver *r, struct news *news, struct err *reterr)
{
    news->count = 0;
    for (size_t i = 0; i < news->rule_count; i++) {
        if (!news->changes[i])
            continue;
        if (transform_one(r, news->rules[i], news->changes[i], &news->rows[news->count], reterr) != 0)
            return -1;
        news->count++;
    }
    return 0;
}

/* As receiver_add_rows() does it. */
static int add_news(struct receiver *r, struct news *news, const struct change *change, struct err *reterr)
{
    struct lookups *lookups = r->engine->binding.lookups;
    if (transform_news(r, news, reterr) != 0)
        return -1;
    if (lookups_concern(lookups, change->relation) && (lookups_take(lookups, news->rows, news->count, reterr) != 0 ||
                                                       (news->count > 1 && transform_news(r, news, reterr) != 0)))
        return -1;
    for (size_t i = 0; i < news->count; i++)
        receiver_add_row(r, news->rows[i]);
    return 0;
}

/* A table whose parts were all read before, or all after, is decided without a look at the key, and a change that is
 * no news is not completed either. */
int receiver_on_known_ground(struct receiver *r, struct change *change, struct err *reterr)
{
    struct arena *arena = &r->handover->filling->arena;
    struct news news;
    bool any = false;
    news.rules = map_rules_of(r->engine->binding.map, change->relation, &news.rule_count);
    news.changes = arena_zalloc(arena, news.rule_count + 1, sizeof(struct change *));
    news.rows = arena_zalloc(arena, news.rule_count + 1, sizeof(struct row *));
    enum skip_verdict *verdicts = arena_zalloc(arena, news.rule_count + 1, sizeof(*verdicts));
    change->commit_lsn = r->commit_lsn;
    for (size_t i = 0; i < news.rule_count; i++) {
        if (judge(r, news.rules[i], change, &verdicts[i], reterr) != 0)
            return -1;
        any |= verdicts[i] != SKIP_ALL;
        r->reread |= verdicts[i] == SKIP_REREAD;
    }
    if (!any)
        return 0;
    bool looked_up = lookups_concern(r->engine->binding.lookups, change->relation);
    if (complete_nonfinite(r->engine, change, arena, reterr) != 0 ||
        ((change->key_changed || looked_up) && receiver_lacks_columns(change) &&
         receiver_complete(r, change, reterr) != 0))
        return -1;
    for (size_t i = 0; i < news.rule_count; i++)
        if (verdicts[i] == SKIP_NOTHING || verdicts[i] == SKIP_REREAD)
            news.changes[i] = change;
        else if (verdicts[i] != SKIP_ALL)
            news.changes[i] = half(change, verdicts[i], arena);
    if (add_news(r, &news, change, reterr) != 0)
        return -1;
    return receiver_is_full(r, FILL_INSIDE) ? receiver_wait_for_applier(r, reterr) : 0;
}
