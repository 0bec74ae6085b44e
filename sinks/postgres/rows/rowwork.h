/* Row mode from the inside: what rowmode.c, rowwrite.c, rowmove.c, truncate.c and retry.c share.
 *
 *   rowmode.c     a change: what is known of its key, write, account, quarantine; the end of a source transaction
 *   rowwrite.c    one row onto the target: parents, upsert, update, removal; what is refused comes back as a refusal
 *   rowmove.c     a row whose key changed
 *   rowgroup.c    rows that block one another
 *   marks.c       pgrekey.gone
 *   pending.c     pgrekey.pending_reference
 *   park.c        rows that wait for a parent, and all around it (park.h)
 *   truncate.c    TRUNCATE of a source table
 *   blocked.c     who holds the unique value that a quarantined row needs
 *   retry.c       entries whose time has come, or that an operator wants tried
 */
#ifndef PGREKEY_SINKS_POSTGRES_ROWWORK_H
#define PGREKEY_SINKS_POSTGRES_ROWWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/parents/pending.h"
#include "sinks/postgres/quarantine/blocked.h"
#include "sinks/postgres/quarantine/quarantine_store.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/marks.h"

struct parent_question;

struct rowmode {
    struct arena arena; /* of the row at hand */
    bool savepoint;     /* ours is set */
    uint32_t xid;       /* of the source transaction at hand */
    /* Entries that this batch put, or whose blocker it touched: tried again at the end of their source transaction and
     * of the batch. Bounded; what is beyond waits for its automatic retry. */
    int64_t *aside;
    size_t aside_count;
    size_t aside_from; /* those before are of earlier source transactions of the batch */
    struct blocked blocked;
    struct park_mark group_mark;     /* what had come before the group was tried */
    struct exchanged_pair *exchange; /* only while a group is tried */
    size_t exchange_count;
    char failure[ERR_TEXT_MAX / 2]; /* the last one, in names: what the breaker says, for the batch leaves no entry */
};

/* A source key whose target row may exchange its place with another of the same group. */
struct exchanged_pair {
    const struct rule *rule;
    char *key;
};

/* How writing a row went. -1 is an error of ours, as everywhere. */
enum written {
    WRITE_FAILED = -1,
    WRITE_DONE = 0,
    WRITE_REFUSED = 1,   /* w->refusal says why; the target transaction is back at its savepoint */
    WRITE_NEEDS_ROW = 2, /* only a whole row will do: values are missing that nothing on the target holds */
    WRITE_SKIPPED = 3,   /* the source row is gone: its delete is on the way */
};

/* One change of one rule while it is worked on. */
struct work {
    const struct rule *rule;
    struct target *target;
    const struct change *change;     /* what would be put aside: completed or merged where that was done */
    const char *key;                 /* of the source row after the change */
    const char *old_key;             /* before it; NULL unless the key changed */
    const char *other_key;           /* what else the row may be called, by its place on the target; or NULL */
    const struct value *old_locator; /* NULL unless the target row has to move */
    bool again;                      /* an entry of the quarantine is tried again */
    bool born;

    struct standing *entry;  /* of the key before the change */
    struct standing *at_new; /* of the key after it, where that is another */
    bool gone;               /* the key before the change is marked in pgrekey.gone */

    struct parent_question *questions; /* about the row's parents, and the columns they stand in */
    size_t *question_columns;
    size_t question_count;

    const char *kept; /* the target row that it had before it was parked, JSON; or NULL */
    bool reopened;    /* the target row stood as one that is gone, and is taken up again */
    bool existed;     /* its target row stood before */
    bool stays;       /* …and stands on, although the source row is gone or excluded */
    bool old_stays;   /* key changed, but living children hold the row of the old one */
    int removed;      /* target rows deleted */
    struct refusal refusal;
    struct err server; /* texts of the refusal point here */
};

/* --- savepoints --- */
int row_savepoint(struct pgsink *s, struct err *reterr) MUST_CHECK;     /* all so far is kept, whatever comes */
int row_rollback(struct pgsink *s, struct err *reterr) MUST_CHECK;      /* to it; it stays set */
int row_savepoint_end(struct pgsink *s, struct err *reterr) MUST_CHECK; /* releases it where it is set */

/* --- writing: all roll back to the row's savepoint before they say WRITE_REFUSED or WRITE_NEEDS_ROW --- */
enum written write_upsert(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr);
/* Removes, sets or keeps, as the rule's on_delete says. */
enum written write_removal(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr);
/* A row with w->old_locator: to its new place. */
enum written write_move(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr);
/* The row at w->old_locator goes after all, or w->old_stays. Sets the row's savepoint anew. */
int drop_old(struct pgsink *s, struct work *w, struct err *reterr) MUST_CHECK;

/* What refers to the row leaves before it does; park.h. */
enum written write_leaving(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr);

/* Runs a statement of the target; WRITE_REFUSED (rolled back, w->refusal filled) where the row is to blame. */
enum written write_execute(struct pgsink *s, struct work *w, enum target_op op, const struct row *row,
                           const struct value *locator, int64_t *ret_affected, struct err *reterr);
/* The same for SQL text. */
enum written write_query(struct pgsink *s, struct work *w, const char *sql, int param_count, const char *const *params,
                         int64_t *ret_affected, struct err *reterr);
/* Inserts a whole row, or updates the one that holds its key. */
enum written write_whole(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr);
/* Is the index that refused the row over nothing but columns of the key or the locator? */
bool refused_by_key(const struct work *w);
/* Is the column in some unique index but the primary key? And what it can hold for a moment, as SQL: NULL, or a text
 * that nobody else has; NULL where neither is possible. */
bool unique_by_more_than_key(const struct relation *relation, int column);
const char *unique_stand_in(const struct column *column);
const char *value_text(const struct value *value, struct arena *arena); /* NULL for NULL and ABSENT */

/* --- orchestration --- */
/* Tries the entry again inside the open transaction. *ret_resolved: it stands no longer. Nothing happens where it
 * already does not. */
int rowmode_again(struct pgsink *s, int64_t id, bool *ret_resolved, struct err *reterr) MUST_CHECK;
/* Adds the difference that an event makes to a key's account. */
void account_settle(struct pgsink *s, const struct rule *rule, enum account_state from, enum account_event event,
                    int removed);
/* Entries that may block one another (values swapped between rows, deleted rows that refer to one another): all let
 * go, then all are written, but for those that are stuck for another reason. The resolved ones leave ids[0..*count).
 * Our savepoint must not be set. */
int rowmode_together(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr) MUST_CHECK;
/* Does this source key take part in an exchange of pairs at the moment? */
bool rowmode_exchanges(const struct rowmode *rm, const struct rule *rule, const char *key);
int rowmode_truncate(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;

#endif
