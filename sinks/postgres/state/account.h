/* The account of promise 5 as a pure function: where a source row stands, what happened to it, where it stands then.
 *
 *     mapped + quarantined + excluded = rows of the source table, for each rule, at every commit
 *
 * What an event adds to the four counters is nothing but the difference between two states:
 *
 *   state                counts in            on the target             entry in quarantine
 *   ABSENT               -                    no row (or one `gone`)    none
 *   MAPPED               mapped               the row                   none
 *   QUARANTINED          quarantined          none or last good row     open, op upsert
 *   EXCLUDED             excluded             no row (or one `gone`)    none
 *   DISCARDED            excluded             none or last good row     discarded
 *   DELETE_REFUSED       failed_deletes       the row, no source row    open, op delete
 *   DELETE_DISCARDED     -                    the row, no source row    discarded, op delete
 *
 *   event \ state        ABSENT      MAPPED      QUARANTINED EXCLUDED    DISCARDED   DELETE_REF. DELETE_DISC.
 *   APPLIED              MAPPED      MAPPED      MAPPED      MAPPED      MAPPED      MAPPED      MAPPED
 *   FAILED               QUARANTINED QUARANTINED QUARANTINED QUARANTINED QUARANTINED QUARANTINED QUARANTINED
 *   NOT_WANTED           EXCLUDED    EXCLUDED    EXCLUDED    EXCLUDED    EXCLUDED    EXCLUDED    EXCLUDED
 *   DELETED              ABSENT      ABSENT      ABSENT      ABSENT      ABSENT      ABSENT      ABSENT
 *   DELETE_FAILED        D_REFUSED   D_REFUSED   D_REFUSED   D_REFUSED   D_REFUSED   D_REFUSED   D_REFUSED
 *   DISCARD              ABSENT      MAPPED      DISCARDED   EXCLUDED    DISCARDED   D_DISCARDED D_DISCARDED
 *
 * All but DISCARD lead to one state wherever they come from; that is what makes it robust.
 */
#ifndef PGREKEY_SINKS_POSTGRES_ACCOUNT_H
#define PGREKEY_SINKS_POSTGRES_ACCOUNT_H

#include <stdint.h>

/* What a rule's counters move by. */
struct account {
    int64_t mapped, quarantined, excluded, failed_deletes;
    int64_t deletes; /* target rows removed: for the audit */
};

enum account_state {
    STATE_ABSENT,
    STATE_MAPPED,
    STATE_QUARANTINED,
    STATE_EXCLUDED,
    STATE_DISCARDED,
    STATE_DELETE_REFUSED,
    STATE_DELETE_DISCARDED,
    STATE_COUNT,
};

enum account_event {
    EVENT_APPLIED,       /* the row stands on the target as the source has it */
    EVENT_FAILED,        /* it could not be mapped or written */
    EVENT_NOT_WANTED,    /* it lives, but the rule excludes it */
    EVENT_DELETED,       /* it is gone at the source, and the rule's delete was done */
    EVENT_DELETE_FAILED, /* it is gone at the source, living children hold the target row */
    EVENT_DISCARD,       /* the operator gave it up */
    EVENT_COUNT,
};

struct account_delta {
    int mapped, quarantined, excluded, failed_deletes;
};

void account_add(struct account *sum, const struct account *more);

/* The state after the event; what it adds to the counters in *ret_delta. */
enum account_state account_next(enum account_state state, enum account_event event, struct account_delta *ret_delta);

#endif
