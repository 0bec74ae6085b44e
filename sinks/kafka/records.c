/* Records of the state topic: how they are written, and the position. */
#include <inttypes.h>
#include <string.h>

#include "sinks/kafka/ksink.h"

int krecord_put(struct ksink *k, const char *key, const char *value, struct err *reterr)
{
    if (client_begin(k->client, reterr) != 0 ||
        client_produce(k->client, k->to_state, key, strlen(key), value, value ? strlen(value) : 0, NULL, reterr) != 0)
        return -1;
    state_set(k->state, key, value);
    return 0;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    buf_put_json_string(out, text, strlen(text));
}

static void put_open_transaction(const struct ksink *k, struct buf *out)
{
    char id[ENVELOPE_TXN_MAX];
    bool any = false;
    buf_printf(out, ",\"transaction\":{\"id\":\"%s\",\"lsn\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"events\":%" PRIu64,
               envelope_txn_id(k->txn.xid, k->txn.lsn, id), k->txn.lsn, k->txn.rows, k->txn.events);
    buf_puts(out, ",\"collections\":{");
    for (size_t i = 0; i < k->outlet_count; i++) {
        if (k->outlets[i].events == 0)
            continue;
        if (any)
            buf_putc(out, ',');
        buf_put_json_string(out, k->outlets[i].collection, strlen(k->outlets[i].collection));
        buf_printf(out, ":%" PRIu64, k->outlets[i].events);
        any = true;
    }
    buf_puts(out, "}}");
}

int krecord_put_position(struct ksink *k, struct err *reterr)
{
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
    const struct source_identity *source = &k->options.source;
    struct buf *out = &k->text;
    map_fingerprint(k->options.map, whole, identity);
    buf_reset(out);
    buf_printf(out, "{\"state\":\"%s\",\"lsn\":%" PRIu64 ",\"snapshot_lsn\":%" PRIu64,
               k->phase == PIPELINE_STREAMING ? "streaming" : "snapshot", k->lsn, k->snapshot_lsn);
    buf_printf(out, ",\"as_of_ms\":%" PRId64, k->as_of_us / 1000);
    put_text(out, "system_identifier", source->system_identifier);
    buf_printf(out, ",\"timeline\":%" PRIu32, source->timeline);
    put_text(out, "database", source->database);
    put_text(out, "slot", k->options.slot);
    put_text(out, "fingerprint", whole);
    put_text(out, "identity_fingerprint", identity);
    if (k->txn.lsn && k->txn.rows)
        put_open_transaction(k, out);
    buf_putc(out, '}');
    return krecord_put(k, RECORD_POSITION, buf_text(out), reterr);
}

/* --- reading --- */

static int compare(const struct ksink *k, const struct jsontree *record, struct arena *arena, struct err *reterr)
{
    const struct source_identity *source = &k->options.source;
    const char *system = jsontree_text(record, "system_identifier", arena),
               *database = jsontree_text(record, "database", arena), *slot = jsontree_text(record, "slot", arena);
    const char *what = !system || strcmp(system, source->system_identifier) != 0 ? "another source server"
                       : jsontree_int(record, "timeline") != (int64_t)source->timeline
                           ? "another timeline of the source: it has failed over"
                       : !database || strcmp(database, source->database) != 0 ? "another source database"
                       : !slot || strcmp(slot, k->options.slot) != 0          ? "another slot"
                                                                              : NULL;
    if (!what)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the topics under %s were published from %s", k->options.prefix, what);
    return err_hint(reterr, "bring the settings back; or take another kafka.prefix for a new snapshot");
}

static void read_open_transaction(struct ksink *k, const struct jsontree *open)
{
    k->txn = (struct ktxn){.lsn = (uint64_t)jsontree_int(open, "lsn"),
                           .skip = (uint64_t)jsontree_int(open, "rows"),
                           .events = (uint64_t)jsontree_int(open, "events")};
    k->txn.begun = k->txn.events > 0;
    for (size_t i = 0; i < k->outlet_count; i++)
        k->outlets[i].events = (uint64_t)jsontree_int(jsontree_get(open, "collections"), k->outlets[i].collection);
}

/* What is half out was counted by the mapping that put it out. */
static int refuse_half(const struct ksink *k, const struct jsontree *record, struct arena *arena, struct err *reterr)
{
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
    const char *recorded = jsontree_text(record, "fingerprint", arena);
    map_fingerprint(k->options.map, whole, identity);
    if (recorded && strcmp(recorded, whole) == 0)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the mapping changed while a large source transaction was half published");
    return err_hint(reterr, "bring the mapping back and let `pgrekey run` get past that transaction first");
}

int krecord_read_position(struct ksink *k, struct err *reterr)
{
    const char *text = state_get(k->state, RECORD_POSITION);
    k->phase = PIPELINE_NEW;
    k->lsn = k->snapshot_lsn = 0;
    k->as_of_us = 0;
    k->txn = (struct ktxn){0};
    if (!text)
        return 0;
    struct arena arena;
    arena_init(&arena, 0);
    const struct jsontree *record = jsontree_parse(text, strlen(text), &arena),
                          *open = jsontree_get(record, "transaction");
    const char *phase = jsontree_text(record, "state", &arena);
    int failed = !phase ? err_set(reterr, ERR_REFUSED, "topic %s holds a position that cannot be read", k->state_topic)
                        : compare(k, record, &arena, reterr);
    if (!failed) {
        k->phase = strcmp(phase, "streaming") == 0 ? PIPELINE_STREAMING : PIPELINE_SNAPSHOT;
        k->lsn = (uint64_t)jsontree_int(record, "lsn");
        k->snapshot_lsn = (uint64_t)jsontree_int(record, "snapshot_lsn");
        k->as_of_us = jsontree_int(record, "as_of_ms") * 1000;
        if (open) {
            failed = refuse_half(k, record, &arena, reterr);
            read_open_transaction(k, open);
        }
    }
    arena_done(&arena);
    return failed;
}

int krecord_commit(struct ksink *k, struct err *reterr)
{
    if (krecord_put_position(k, reterr) != 0 || client_commit(k->client, reterr) != 0)
        return -1;
    k->rows_open = 0;
    return 0;
}
