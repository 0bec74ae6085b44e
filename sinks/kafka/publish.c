/* Rows to events, in source order. What ends where:
 *
 *     source transaction   BEGIN e e e e e e e e e e e END       rows 1 … n, counted also where nothing is published
 *     Kafka transactions   [ e e e  pos(t, 3) ][ … pos(t, 6) ][ … END pos ]      only where it is larger than the
 * setting
 *
 * A position in the midst of a transaction says how many of its rows are out. It comes again from its begin, and so
 * many rows are left out then: the same mapping makes the same rows of the same changes.
 */
#include <string.h>

#include "cdc/base/clock.h"
#include "sinks/kafka/ksink.h"

/* --- one event --- */

static int produce(struct ksink *k, const struct row *row, const struct value *locator, bool tombstone,
                   const struct client_header *header, struct err *reterr)
{
    struct outlet *outlet = k->outlet_of[row->rule->index];
    outlet->published += tombstone ? 2 : 1;
    buf_reset(&k->key);
    message_key(k->shapes[row->rule->index], locator, &k->key);
    if (buf_overflowed(&k->key) || buf_overflowed(&k->value)) {
        (void)err_set(reterr, ERR_REFUSED, "a row of rule %s is larger than a message may be", row->rule->name);
        (void)err_pause(reterr, "message_size");
        return err_hint(reterr, "raise kafka.message_max_bytes, and max.message.bytes of its topic, then start again");
    }
    if (client_produce(k->client, outlet->topic, k->key.data, k->key.len, k->value.data, k->value.len, header,
                       reterr) == 0 &&
        (!tombstone || client_produce(k->client, outlet->topic, k->key.data, k->key.len, NULL, 0, NULL, reterr) == 0))
        return 0;
    return *reterr->pause ? err_wrap(reterr, "rule %s, topic %s", row->rule->name, outlet->name) : -1;
}

static int put_begin(struct ksink *k, struct err *reterr)
{
    char id[ENVELOPE_TXN_MAX];
    struct buf key, value;
    if (k->txn.begun)
        return 0;
    buf_init(&key, 4096);
    buf_init(&value, 65536);
    envelope_txn_id(k->txn.xid, k->txn.lsn, id);
    message_txn_key(k->format, id, &key);
    message_txn_value(k->format, id, k->txn.commit_us, NULL, 0, 0, &value);
    int failed = client_produce(k->client, k->to_txn, key.data, key.len, value.data, value.len, NULL, reterr);
    buf_done(&key);
    buf_done(&value);
    k->txn.begun = true;
    return failed;
}

static int put_end(struct ksink *k, struct err *reterr)
{
    char id[ENVELOPE_TXN_MAX];
    struct collection_count *counts = arena_zalloc(&k->scratch, k->outlet_count + 1, sizeof(*counts));
    envelope_txn_id(k->txn.xid, k->txn.lsn, id);
    for (size_t i = 0; i < k->outlet_count; i++)
        counts[i] = (struct collection_count){k->outlets[i].collection, k->outlets[i].events};
    buf_reset(&k->key);
    buf_reset(&k->value);
    message_txn_key(k->format, id, &k->key);
    message_txn_value(k->format, id, k->txn.commit_us, counts, k->outlet_count, k->txn.events, &k->value);
    return client_produce(k->client, k->to_txn, k->key.data, k->key.len, k->value.data, k->value.len, NULL, reterr);
}

/* Fills in what it is in its transaction; a row that is read again stands outside of any. */
static void place_event(struct ksink *k, const struct row *row, struct event *event)
{
    event->row = row;
    event->snapshot = "false";
    if (row->change->counted || row->change->stray) {
        event->lsn = row->change->lsn;
        event->snapshot = "incremental";
        event->op = event->op == 'd' ? 'd' : 'r';
        return;
    }
    struct outlet *outlet = k->outlet_of[row->rule->index];
    event->lsn = k->txn.lsn;
    event->commit_us = k->txn.commit_us;
    event->xid = k->txn.xid;
    event->ordinal = k->txn.rows;
    event->total_order = ++k->txn.events;
    event->of_topic = ++outlet->events;
}

static int put_event(struct ksink *k, const struct row *row, struct event *event, const struct value *locator,
                     const struct client_header *header, struct err *reterr)
{
    place_event(k, row, event);
    if (event->total_order && put_begin(k, reterr) != 0)
        return -1;
    buf_reset(&k->value);
    message_value(k->shapes[row->rule->index], event, clock_wall_us(), &k->value);
    return produce(k, row, locator, event->op == 'd' && k->options.tombstones, header, reterr);
}

/* --- rows --- */

static int put_delete(struct ksink *k, const struct row *row, const struct value *locator, const char *why,
                      const struct client_header *header, struct err *reterr)
{
    struct event event = {.op = 'd', .why = why, .locator = locator};
    return put_event(k, row, &event, locator, header, reterr);
}

/* The header of one half of a changed key: what the other half's key is. */
static struct client_header name_key(struct ksink *k, const struct row *row, const char *name,
                                     const struct value *locator)
{
    struct buf text;
    buf_init(&text, (size_t)1 << 20);
    message_plain_key(k->shapes[row->rule->index], locator, &text);
    struct client_header header = {
        .name = name, .value = arena_strndup(&k->scratch, buf_text(&text), text.len), .len = text.len};
    buf_done(&text);
    return header;
}

static int put_upsert(struct ksink *k, const struct row *row, struct err *reterr)
{
    struct row *whole = NULL;
    struct event event = {.op = row->born ? 'c' : 'u'};
    struct client_header header = {0};
    if (row->old_locator) { /* the old key goes, whatever becomes of the new one */
        header = name_key(k, row, ENVELOPE_HEADER_NEW_KEY, row->locator);
        if (put_delete(k, row, row->old_locator, "moved", &header, reterr) != 0)
            return -1;
        header = name_key(k, row, ENVELOPE_HEADER_OLD_KEY, row->old_locator);
        event.op = 'c';
    }
    if (row->partial) {
        int found = k->options.rows.complete(k->options.rows.context, row, &k->scratch, &whole, reterr);
        if (found < 0)
            return -1;
        /* gone, or by now something else: the change that made it so is on the way */
        if (found == 0 || !whole || whole->op != ROW_UPSERT || whole->partial)
            return 0;
        if (k->options.names.put && k->options.names.put(k->options.names.context, &whole, 1, &k->scratch, reterr) != 0)
            return -1;
        k->figures.completed_from_source++;
        event.absent = row->values;
        whole->change = row->change;
        row = whole;
    }
    return put_event(k, row, &event, row->locator, &header, reterr);
}

static int put_truncate(struct ksink *k, const struct row *row, struct err *reterr)
{
    const struct rule *rule = row->rule;
    if (rule->on_truncate == TRUNCATE_ROWS)
        return kresync_truncated(k, row, reterr);
    (void)err_set(reterr, ERR_REFUSED, "TRUNCATE of %s.%s on the source, and rule %s says truncate: pause",
                  rule->from_schema, rule->from_table, rule->name);
    (void)err_pause(reterr, "truncate");
    return err_hint(reterr, "with truncate: rows in the mapping its published rows are deleted one by one: change it, "
                            "then start again");
}

static int put_row(struct ksink *k, const struct row *row, struct err *reterr)
{
    const struct rule *rule = row->rule;
    const struct value *locator = row->old_locator ? row->old_locator : row->locator;
    switch (row->op) {
    case ROW_UPSERT:
        breaker_count(k->breaker, 1, 0);
        return letter_resolve(k, row, k->txn.lsn, k->txn.xid, reterr) != 0 ? -1 : put_upsert(k, row, reterr);
    case ROW_EXCLUDE:
    case ROW_DELETE:
        if (letter_resolve(k, row, k->txn.lsn, k->txn.xid, reterr) != 0)
            return -1;
        if (row->born || rule->on_delete == DELETE_KEEP || rule->skip || !locator)
            return 0;
        return put_delete(k, row, locator,
                          row->change->stray       ? "stray"
                          : row->op == ROW_EXCLUDE ? "excluded"
                                                   : "gone",
                          NULL, reterr);
    case ROW_REJECT: return letter_put(k, row, k->txn.lsn, k->txn.xid, reterr);
    case ROW_TRUNCATE: return put_truncate(k, row, reterr);
    }
    return 0;
}

int publish_read(struct ksink *k, const struct row *row, uint64_t point, struct err *reterr)
{
    struct event event = {.op = 'r', .row = row, .snapshot = "true", .lsn = point};
    k->figures.rows++;
    if (row->op == ROW_REJECT)
        return letter_put(k, row, point, 0, reterr);
    if (row->op != ROW_UPSERT)
        return 0;
    breaker_count(k->breaker, 1, 0);
    buf_reset(&k->value);
    message_value(k->shapes[row->rule->index], &event, clock_wall_us(), &k->value);
    return produce(k, row, row->locator, false, NULL, reterr);
}

/* --- transactions --- */

static void open_transaction(struct ksink *k, const struct txn_mark *mark)
{
    if (k->txn.lsn && k->txn.lsn == mark->end_lsn) { /* goes on; after a restart its other figures were not known */
        k->txn.xid = mark->xid;
        k->txn.commit_us = mark->commit_us;
        return;
    }
    k->txn = (struct ktxn){.xid = mark->xid, .lsn = mark->end_lsn, .commit_us = mark->commit_us};
    for (size_t i = 0; i < k->outlet_count; i++)
        k->outlets[i].events = 0;
}

static int put_rows(struct ksink *k, struct row *const *rows, size_t count, struct err *reterr)
{
    for (size_t i = 0; i < count; i++) {
        k->txn.rows++;
        if (k->txn.rows <= k->txn.skip)
            continue;
        k->rows_open++;
        k->figures.rows++;
        if (put_row(k, rows[i], reterr) != 0)
            return -1;
        if (arena_used(&k->scratch) > (size_t)4 << 20)
            arena_reset(&k->scratch, (size_t)1 << 20);
    }
    return 0;
}

static int close_transaction(struct ksink *k, const struct txn_mark *mark, struct err *reterr)
{
    if (k->txn.events > 0 && put_end(k, reterr) != 0)
        return -1;
    k->lsn = mark->end_lsn;
    k->as_of_us = mark->commit_us;
    k->txn = (struct ktxn){0};
    k->figures.transactions++;
    return 0;
}

static bool is_due(const struct ksink *k)
{
    int64_t most_us = k->options.client.transaction_timeout_ms * INT64_C(1000) / 3;
    return k->rows_open >= k->options.transaction_max_rows || clock_mono_us() - client_begun_us(k->client) > most_us;
}

int publish_refuse_if_open(struct ksink *k, struct err *reterr)
{
    if (!breaker_is_open(k->breaker))
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "too many of the last rows could not be mapped");
    (void)err_pause(reterr, "breaker");
    return err_hint(reterr, "mend the mapping or the data, then start again; without mending these rows become dead "
                            "letters");
}

static int put_batch(struct ksink *k, const struct batch *batch, struct err *reterr)
{
    size_t at = 0;
    struct row *const *rows;
    if (knames_put(k, batch->rows, batch->row_count, &rows, reterr) != 0)
        return -1;
    for (size_t i = 0; i < batch->txn_count; i++) {
        const struct txn_mark *mark = &batch->txns[i];
        open_transaction(k, mark);
        if (put_rows(k, rows + at, mark->row_end - at, reterr) != 0 || close_transaction(k, mark, reterr) != 0)
            return -1;
        at = mark->row_end;
    }
    if (at == batch->row_count)
        return 0;
    open_transaction(k, &batch->open);
    return put_rows(k, rows + at, batch->row_count - at, reterr);
}

/* What failed leaves nothing in Kafka; what is remembered of it here is forgotten by the next take-over. */
static int give_up(struct ksink *k)
{
    client_abort(k->client);
    k->rows_open = 0;
    k->stale = true;
    return -1;
}

int publish_batch(struct sink *sink, const struct batch *batch, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    arena_reset(&k->scratch, (size_t)1 << 20);
    if (client_begin(k->client, reterr) != 0)
        return -1;
    if (put_batch(k, batch, reterr) != 0 || publish_refuse_if_open(k, reterr) != 0 ||
        (batch->resync && kresync_progress(k, batch->resync, reterr) != 0))
        return give_up(k);
    if (batch->complete)
        k->lsn = batch->end_lsn;
    /* A piece that is read again has no place in the stream to be taken up at, so it stays whole. */
    else if (batch->open.end_lsn == 0 || !is_due(k))
        return 0;
    if (krecord_commit(k, reterr) != 0)
        return give_up(k);
    breaker_passed(k->breaker);
    k->figures.batches++;
    return 0;
}

int publish_tick(struct ksink *k, struct err *reterr)
{
    if (!client_in_transaction(k->client) || k->txn.lsn == 0 || !is_due(k))
        return 0;
    return krecord_commit(k, reterr) != 0 ? give_up(k) : 0;
}
