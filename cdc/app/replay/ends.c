/* The ENDs of the transaction topic, in order, up to where it ended when it was asked. */
#include "cdc/app/replay/replay.h"

#define WAIT_MS 200
#define QUIET_MAX 300 /* times that nothing comes */

static int visit(struct kafka_partition *reader, int64_t high, replay_visit_end *visitor, void *context, int *ret_quiet,
                 struct err *reterr)
{
    struct record_decoder *decoder = record_decoder_new();
    bool more = true;
    int got = 0, quiet = 0;
    while (got >= 0 && more && kafka_reached(reader) < high && quiet < QUIET_MAX && !run_stop) {
        struct kafka_message message;
        struct record record;
        got = kafka_next(reader, WAIT_MS, &message, reterr);
        quiet = got ? 0 : quiet + 1;
        if (got <= 0 || !message.value)
            continue;
        record_decode(decoder, message.value, message.value_len, &record);
        more = record.kind != RECORD_END || visitor(context, &record, message.offset);
    }
    record_decoder_free(decoder);
    *ret_quiet = quiet;
    return got < 0 ? -1 : 0;
}

int replay_read_ends(struct replay *r, int64_t from, replay_visit_end *visitor, void *context, int64_t *ret_low,
                     struct err *reterr)
{
    struct kafka_partition *reader = NULL;
    int64_t low = 0, high = 0;
    int quiet;
    if (kafka_watermarks(r->kafka, r->txn_topic, 0, &low, &high, reterr) != 0 ||
        kafka_partition_open(r->kafka, r->txn_topic, 0, from > low ? from : low, &reader, reterr) != 0)
        return -1;
    int failed = visit(reader, high, visitor, context, &quiet, reterr);
    kafka_partition_close(reader);
    if (failed)
        return -1;
    if (run_stop)
        return err_set(reterr, ERR_STOP, "stopped");
    if (quiet == QUIET_MAX)
        return err_set(reterr, ERR_RETRY, "kafka: topic %.200s cannot be read to its end", r->txn_topic);
    *ret_low = low;
    return 0;
}
