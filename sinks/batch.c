#include "sinks/sink.h"

#include <stdlib.h>

/* What a batch keeps of its arena between rounds; the rest goes back to the system. */
#define BATCH_KEEP_BYTES ((size_t)8 << 20)

void batch_init(struct batch *batch)
{
    *batch = (struct batch){.snapshot_part = -1, .complete = true};
    arena_init(&batch->arena, (size_t)256 << 10);
}

void batch_done(struct batch *batch)
{
    arena_done(&batch->arena);
    free(batch->rows);
    free(batch->txns);
    *batch = (struct batch){.snapshot_part = -1, .complete = true};
}

void batch_reset(struct batch *batch)
{
    arena_reset(&batch->arena, BATCH_KEEP_BYTES);
    batch->row_count = 0;
    batch->txn_count = 0;
    batch->complete = true;
    batch->end_lsn = 0;
    batch->open = (struct txn_mark){0};
    batch->snapshot_part = -1;
    batch->part_done = false;
    batch->joins = false;
    batch->resync = NULL;
    batch->offset_count = batch->letter_count = 0;
}

void batch_add_row(struct batch *batch, struct row *row)
{
    if (batch->row_count == batch->row_capacity) {
        batch->row_capacity = batch->row_capacity ? batch->row_capacity * 2 : 1024;
        batch->rows = mem_realloc(batch->rows, batch->row_capacity * sizeof(*batch->rows));
    }
    batch->rows[batch->row_count++] = row;
    batch->complete = false;
}

void batch_add_mark(struct batch *batch, uint64_t end_lsn, int64_t commit_us, uint32_t xid)
{
    if (batch->txn_count == batch->txn_capacity) {
        batch->txn_capacity = batch->txn_capacity ? batch->txn_capacity * 2 : 256;
        batch->txns = mem_realloc(batch->txns, batch->txn_capacity * sizeof(*batch->txns));
    }
    batch->txns[batch->txn_count++] =
        (struct txn_mark){.row_end = batch->row_count, .end_lsn = end_lsn, .commit_us = commit_us, .xid = xid};
    batch->complete = true;
    batch->end_lsn = end_lsn;
}

bool batch_is_empty(const struct batch *batch)
{
    return batch->row_count == 0 && batch->txn_count == 0;
}
