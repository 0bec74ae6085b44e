#include "cdc/app/engine/position.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void position_init(struct position *position, uint64_t start)
{
    *position = (struct position){.committed = start, .seen = start, .applied = start, .durable = start};
}

void position_begin(struct position *position)
{
    position->in_transaction = true;
}

void position_received(struct position *position, uint64_t end_lsn)
{
    position->in_transaction = false;
    position->committed = later(position->committed, end_lsn);
    position->seen = later(position->seen, end_lsn);
}

void position_received_empty(struct position *position, uint64_t end_lsn)
{
    position->in_transaction = false;
    position->seen = later(position->seen, end_lsn);
}

void position_keepalive(struct position *position, uint64_t wal_end)
{
    if (!position->in_transaction)
        position->seen = later(position->seen, wal_end);
}

void position_applied(struct position *position, uint64_t lsn)
{
    position->applied = later(position->applied, lsn);
}

void position_durable(struct position *position, uint64_t lsn)
{
    /* What was never applied cannot be durable: a sink that says so is not believed. */
    if (lsn <= position->applied)
        position->durable = later(position->durable, lsn);
}

bool position_idle(const struct position *position)
{
    return !position->in_transaction && position->applied >= position->committed;
}

uint64_t position_idle_target(const struct position *position)
{
    return position_idle(position) && position->seen > position->applied ? position->seen : 0;
}

uint64_t position_confirmable(const struct position *position)
{
    return position->durable;
}
