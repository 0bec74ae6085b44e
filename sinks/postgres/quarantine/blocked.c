#include "sinks/postgres/quarantine/blocked.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "sinks/postgres/apply/target.h"
#include "sinks/postgres/session/session.h"

struct blocked_name {
    UT_hash_handle hh;
    char name[];
};

void blocked_done(struct blocked *blocked)
{
    struct blocked_name *item, *next;
    HASH_ITER(hh, blocked->names, item, next)
    {
        HASH_DEL(blocked->names, item);
        free(item);
    }
    *blocked = (struct blocked){0};
}

const char *blocked_text(const struct rule *rule, const struct value *locator, struct arena *arena)
{
    struct buf json;
    const char *text;

    buf_init(&json, (size_t)1 << 20);
    buf_puts(&json, "[");
    buf_put_json_string(&json, rule->to_schema, strlen(rule->to_schema));
    buf_putc(&json, ',');
    buf_put_json_string(&json, rule->to_table, strlen(rule->to_table));
    for (size_t i = 0; i < rule->locator_count; i++) {
        buf_putc(&json, ',');
        target_put_json(&json, &locator[i]);
    }
    buf_putc(&json, ']');
    text = arena_strndup(arena, buf_text(&json), json.len);
    buf_done(&json);
    return text;
}

bool blocked_has(const struct blocked *blocked, const char *name)
{
    struct blocked_name *found;
    if (blocked->overflowed)
        return true;
    HASH_FIND_STR(blocked->names, name, found);
    return found != NULL;
}

void blocked_add(struct blocked *blocked, const char *name)
{
    struct blocked_name *item;
    size_t len = strlen(name);

    if (blocked_has(blocked, name))
        return;
    if (blocked->count == BLOCKED_MAX) {
        blocked->overflowed = true;
        return;
    }
    item = mem_alloc(sizeof(*item) + len + 1);
    memcpy(item->name, name, len + 1);
    HASH_ADD_STR(blocked->names, name, item);
    blocked->count++;
}

int blocked_load(struct pgsink *s, struct blocked *blocked, struct err *reterr)
{
    PGresult *result;
    const char *params[] = {s->options.pipeline};

    if (session_query(s, "reading the quarantine",
                      "SELECT DISTINCT blocked_by FROM pgrekey.quarantine"
                      " WHERE pipeline = $1 AND status <> 'resolved' AND blocked_by IS NOT NULL LIMIT 10001",
                      1, params, &result, reterr))
        return -1;
    for (int i = 0; i < PQntuples(result); i++)
        blocked_add(blocked, PQgetvalue(result, i, 0));
    PQclear(result);
    blocked->loaded = true;
    return 0;
}
