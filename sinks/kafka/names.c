/* Ids of adopted rows: transform/ gives every row its computed one, identity.target knows what it is called there. What
 * was adopted when rows were published stands in the state, {"kind":"adopted","entity":…}. It is settled before that
 * target's first snapshot; only a rule that joins there later adopts more. */
#include <stdio.h>
#include <string.h>

#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "sinks/kafka/ksink.h"

int knames_put(struct ksink *k, struct row *const *rows, size_t count, struct row *const **ret_rows, struct err *reterr)
{
    const struct row_names *names = &k->options.names;
    *ret_rows = rows;
    if (!names->put || count == 0)
        return 0;
    arena_reset(&k->renamed, (size_t)4 << 20);
    struct row **copy = arena_alloc(&k->renamed, count * sizeof(*copy));
    memcpy(copy, rows, count * sizeof(*copy));
    *ret_rows = copy;
    return names->put(names->context, copy, count, &k->renamed, reterr);
}

static void make_key(const char *entity, struct buf *out)
{
    buf_puts(out, "{\"kind\":\"adopted\",\"entity\":");
    buf_put_json_string(out, entity, strlen(entity));
    buf_putc(out, '}');
}

static int refuse(const char *entity, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED,
                  "rows of entity %s have other ids on identity.target than those that are "
                  "published",
                  entity);
    return err_hint(reterr, "bring that target back; or take another kafka.prefix and a new snapshot");
}

static bool concerns(const struct rule *rule, const char *entity)
{
    bool found = rule->entity && strcmp(rule->entity, entity) == 0;
    for (size_t c = 0; c < rule->column_count && !found; c++)
        found = rule->columns[c].parent_entity && strcmp(rule->columns[c].parent_entity, entity) == 0;
    return found;
}

/* What was published under computed ids is published again. */
static int read_again(struct ksink *k, const char *entity, struct err *reterr)
{
    int64_t id = clock_wall_us();
    for (size_t i = 0; i < map_rule_count(k->options.map); i++) {
        const struct rule *rule = map_rule(k->options.map, i);
        char table[2 * ERR_NAME_MAX];
        if (!concerns(rule, entity) || ksteps_is_new(k, rule) || kresync_refills(k, rule))
            continue;
        snprintf(table, sizeof(table), "%s.%s", rule->from_schema, rule->from_table);
        log_event(LOG_WARN, "adopted_since", "entity=%s table=%s msg=\"it is read again\"", entity, table);
        if (kresync_add(k, id++, &(struct resync_ask){.table = table, .reason = "adopted"}, reterr) != 0)
            return -1;
    }
    return 0;
}

static int follow(struct ksink *k, const struct row_names_fact *fact, bool *ret_any, struct err *reterr)
{
    struct buf key;
    int failed = 0;
    buf_init(&key, 4096);
    make_key(fact->entity, &key);
    const char *known = state_get(k->state, buf_text(&key));
    buf_reset(&k->text);
    buf_printf(&k->text, "{\"digest\":\"%s\"}", fact->digest);
    if (known && strcmp(known, buf_text(&k->text)) != 0) {
        failed = refuse(fact->entity, reterr);
    } else if (!known) {
        *ret_any = true;
        failed = krecord_put(k, buf_text(&key), buf_text(&k->text), reterr) != 0 ||
                 (k->phase == PIPELINE_STREAMING && read_again(k, fact->entity, reterr) != 0);
    }
    buf_done(&key);
    return failed ? -1 : 0;
}

int knames_follow(struct ksink *k, struct err *reterr)
{
    const struct row_names *names = &k->options.names;
    bool any = false;
    for (size_t i = 0; names->put && i < names->fact_count; i++)
        if (follow(k, &names->facts[i], &any, reterr) != 0)
            return -1;
    return any ? client_commit(k->client, reterr) : 0;
}
