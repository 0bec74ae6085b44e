/* Rows that could not be mapped: out as dead letters, and remembered until a later change of the row is mapped. */
#include <string.h>

#include "cdc/base/clock.h"
#include "sinks/kafka/ksink.h"

/* {"kind":"letter","rule":…,"key":…} into k->text, the letter's own key into k->key. */
static void make_keys(struct ksink *k, const struct row *row, struct buf *source_key)
{
    buf_reset(source_key);
    message_source_key(row->change, source_key);
    buf_reset(&k->key);
    message_letter_key(row->rule->name, buf_text(source_key), &k->key);
    buf_reset(&k->text);
    buf_puts(&k->text, "{\"kind\":\"letter\",");
    buf_puts(&k->text, buf_text(&k->key) + 1);
}

static int put(struct ksink *k, const struct row *row, bool pending, uint64_t lsn, uint32_t xid, struct err *reterr)
{
    struct buf source_key;
    int failed = 0;
    buf_init(&source_key, (size_t)1 << 20);
    make_keys(k, row, &source_key);
    if (pending || state_get(k->state, buf_text(&k->text))) {
        buf_reset(&k->value);
        message_letter_value(row->rule, buf_text(&source_key), pending ? row : NULL, lsn, xid, clock_wall_us(),
                             &k->value);
        failed = krecord_put(k, buf_text(&k->text), pending ? "{}" : NULL, reterr) != 0 ||
                 client_produce(k->client, k->to_letter, k->key.data, k->key.len, k->value.data, k->value.len, NULL,
                                reterr) != 0;
    }
    buf_done(&source_key);
    return failed ? -1 : 0;
}

int letter_put(struct ksink *k, const struct row *row, uint64_t lsn, uint32_t xid, struct err *reterr)
{
    k->figures.quarantined++;
    breaker_count(k->breaker, 0, 1);
    return put(k, row, true, lsn, xid, reterr);
}

int letter_resolve(struct ksink *k, const struct row *row, uint64_t lsn, uint32_t xid, struct err *reterr)
{
    return put(k, row, false, lsn, xid, reterr);
}
