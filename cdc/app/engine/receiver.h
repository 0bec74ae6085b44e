/* The receiver from the inside: what receive.c, receive_skip.c and resync.c share. One thread. */
#ifndef PGREKEY_APP_RECEIVER_H
#define PGREKEY_APP_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/fill.h"

struct receiver {
    struct engine *engine;
    struct handover *handover;
    bool in_transaction;
    struct txn_mark begun;   /* the open transaction, where the stream was asked for commits; else 0 */
    size_t transaction_rows; /* rows of the open transaction so far, whatever batch they are in */
    struct fill fill;
    uint64_t received_lsn;
    uint64_t commit_lsn; /* of the open transaction, while the engine skips; else 0 */
    bool reread;         /* parts of the snapshot have to be read anew */
};

/* --- a transaction: of the stream, or one of our own --- */

void receiver_begin(struct receiver *r);
/* The rows of a change, by all rules of its table; may complete it from the source. */
int receiver_add_rows(struct receiver *r, struct change *change, struct err *reterr) MUST_CHECK;
/* One that is there already. */
void receiver_add_row(struct receiver *r, struct row *row);
void receiver_commit(struct receiver *r, uint64_t end_lsn, int64_t commit_us, uint32_t xid);

bool receiver_lacks_columns(const struct change *change);
int receiver_complete(struct receiver *r, struct change *change, struct err *reterr) MUST_CHECK;
/* receive_skip.c: a change of a transaction that a part of the snapshot may hold already. */
int receiver_on_known_ground(struct receiver *r, struct change *change, struct err *reterr) MUST_CHECK;

/* --- the hand-over --- */

bool receiver_is_full(const struct receiver *r, enum fill_limit limit);
/* Gives away what is filled, waiting for the applier where it is busy. */
int receiver_wait_for_applier(struct receiver *r, struct err *reterr) MUST_CHECK;
/* Waits until everything received is on the target. Between transactions. */
int receiver_drain(struct receiver *r, struct err *reterr) MUST_CHECK;

/* --- meanwhile --- */

int receiver_report(struct receiver *r, bool now, struct err *reterr) MUST_CHECK;
/* That report, what the other threads have to say (-1 with it), and the source's walsender hears of us: for whoever
 * does not read the stream for a while. */
int receiver_stay(struct receiver *r, struct err *reterr) MUST_CHECK;

#endif
