/* Entries of derivations' keys in the quarantine: run again, or given up. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/rows/rowwork.h"

struct entry {
    int index; /* of the derivation; -1: the entry is a rule's, or there is none */
    bool deleting;
    char *key;
};

static bool any_standing(const struct pgsink *s)
{
    for (size_t i = 0; i < derive_count(s); i++)
        if (s->derive->all[i].standing > 0)
            return true;
    return false;
}

/* An entry that is open. */
static int find(struct pgsink *s, int64_t id, struct entry *ret_entry, struct err *reterr)
{
    char id_text[24];
    const char *params[] = {s->options.pipeline, id_text};
    PGresult *result = NULL;

    *ret_entry = (struct entry){.index = -1};
    if (!any_standing(s))
        return 0;
    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    if (session_query(s, "reading the quarantine",
                      "SELECT rule, key, op FROM pgrekey.quarantine WHERE pipeline = $1 AND id = $2 AND status IN "
                      "('pending', 'in_progress', 'escalated')",
                      2, params, &result, reterr))
        return -1;
    if (PQntuples(result) > 0)
        ret_entry->index = derive_index(s, PQgetvalue(result, 0, 0));
    if (ret_entry->index >= 0) {
        ret_entry->key = mem_strdup(PQgetvalue(result, 0, 1));
        ret_entry->deleting = *PQgetvalue(result, 0, 2) == 'D';
    }
    PQclear(result);
    return 0;
}

/* The key's text through the types of the temporary table, as the server reads them from JSON. */
static int add_key(struct pgsink *s, struct derive_one *one, const char *key, struct err *reterr)
{
    struct buf sql;
    int failed;

    if (derive_make(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "INSERT INTO pgrekey_k%d SELECT k.* FROM ", one->derivation->index);
    derive_put_read_key(&sql, one, "$1::json");
    failed = derive_sql(s, one, &sql, 1, &key, NULL, reterr);
    buf_done(&sql);
    one->keys++;
    one->kept++;
    return failed;
}

static int run(struct pgsink *s, const struct entry *entry, struct err *reterr)
{
    int failed;

    s->derive->again = true;
    failed = row_savepoint_end(s, reterr) || add_key(s, &s->derive->all[entry->index], entry->key, reterr) ||
             derive_step(s, entry->index, reterr) || derive_finish(s, reterr);
    s->derive->again = false;
    derive_stands(s);
    return failed ? -1 : 0;
}

int derive_again(struct pgsink *s, int64_t id, bool *ret_mine, bool *ret_resolved, struct err *reterr)
{
    struct entry entry, left = {.index = -1};
    int failed;

    *ret_mine = *ret_resolved = false;
    if (find(s, id, &entry, reterr))
        return -1;
    if (entry.index < 0)
        return 0;
    *ret_mine = true;
    failed = run(s, &entry, reterr) || find(s, id, &left, reterr);
    *ret_resolved = !failed && left.index < 0;
    free(entry.key);
    free(left.key);
    return failed ? -1 : 0;
}

int derive_discard(struct pgsink *s, int64_t id, bool *ret_done, struct err *reterr)
{
    struct entry entry;

    *ret_done = false;
    if (find(s, id, &entry, reterr))
        return -1;
    if (entry.index < 0)
        return 0;
    free(entry.key);
    if (quarantine_discard(s, id, reterr))
        return -1;
    struct account *delta = derive_delta(s, (size_t)entry.index);
    delta->quarantined -= !entry.deleting;
    delta->excluded += !entry.deleting;
    delta->failed_deletes -= entry.deleting;
    *ret_done = true;
    return 0;
}
