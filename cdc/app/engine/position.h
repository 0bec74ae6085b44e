/* How far the slot may be confirmed: a small pure machine, fed with what happened, asked what may be said.
 *
 *     received ──▶ in flight (commit LSNs in order) ──▶ applied ──▶ durable on the target ──▶ confirmable
 *
 * Two rules, both learned from other people's outages (docs/adr/0003-position.md):
 *   - never a position inside a transaction, and never one that the target could still lose;
 *   - a quiet slot must move too: what a keepalive reports counts as applied when nothing is in flight. The
 *     position is then first written to the target, for a slot ahead of the target's own record would make
 *     that record useless.
 */
#ifndef PGREKEY_APP_POSITION_H
#define PGREKEY_APP_POSITION_H

#include <stdbool.h>
#include <stdint.h>

struct position {
    bool in_transaction; /* BEGIN seen, COMMIT not yet */
    uint64_t committed;  /* end of the newest transaction received whole */
    uint64_t seen;       /* newest point up to which everything that concerns us has been received */
    uint64_t applied;    /* what the target's record says, perhaps not yet flushed */
    uint64_t durable;    /* what the target's record says, flushed */
};

/* start: the target's record, which is durable. */
void position_init(struct position *position, uint64_t start);

void position_begin(struct position *position);
/* A transaction with rows has been received whole. */
void position_received(struct position *position, uint64_t end_lsn);
/* A transaction without any row for us. */
void position_received_empty(struct position *position, uint64_t end_lsn);
/* The server has sent everything up to wal_end. Inside a transaction this says nothing. */
void position_keepalive(struct position *position, uint64_t wal_end);

/* The target's record has been moved to lsn: by a batch, or over empty ground. */
void position_applied(struct position *position, uint64_t lsn);
void position_durable(struct position *position, uint64_t lsn);

/* Nothing received that the target's record does not hold yet? */
bool position_idle(const struct position *position);
/* Where the record may be moved over ground without rows; 0 where there is nothing to move. */
uint64_t position_idle_target(const struct position *position);
/* What the slot may be told. */
uint64_t position_confirmable(const struct position *position);

#endif
