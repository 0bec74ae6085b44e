/* Quarantine as the sink writes it, inside the batch's transaction: entries are found, put, resolved, and taken out
 * again as changes. At most one entry of a source key stands a rule; what it counts for is account.h's to say.
 *
 * What an entry keeps of its change is an image: a JSON object of the source row's columns, NULL as null, everything
 * else as a string, a column that the change did not hold missing. The target takes it apart again (json_each_text),
 * so that there is no reader of ours.
 */
#ifndef PGREKEY_SINKS_POSTGRES_QUARANTINE_STORE_H
#define PGREKEY_SINKS_POSTGRES_QUARANTINE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/err.h"
#include "sinks/postgres/state/account.h"
#include "transform/row.h"

struct pgsink;
struct place;

/* A source key of a rule, and whether an entry of it stands (is open or discarded). */
struct quarantine_key {
    const struct rule *rule;
    const char *key; /* source_key() */
    bool standing;   /* the answer */
};
/* One query for all keys whose rule's `standing` is not 0; none at all where there is no such rule. */
int quarantine_standing_keys(struct pgsink *s, struct quarantine_key *keys, size_t count,
                             struct err *reterr) MUST_CHECK;

/* An entry that stands. */
struct standing {
    int64_t id;
    const struct rule *rule;
    const char *key;
    enum account_state state; /* QUARANTINED, DISCARDED, DELETE_REFUSED or DELETE_DISCARDED */
    enum category category;
    enum change_op op;
    const char *image;
    uint64_t lsn;
    uint32_t xid;
    int retries;
    const char *kept; /* its target row while it is parked, JSON; or NULL */
};
/* By key: NULL where none stands; asks only where the rule's `standing` is not 0. */
int quarantine_find(struct pgsink *s, const struct rule *rule, const char *key, struct arena *arena,
                    struct standing **ret_entry, struct err *reterr) MUST_CHECK;
/* By id: NULL where it does not stand any more, or its rule is no longer in the mapping. */
int quarantine_load(struct pgsink *s, int64_t id, struct arena *arena, struct standing **ret_entry,
                    struct err *reterr) MUST_CHECK;

/* The entry's change as it was put aside, never with a changed key. NULL where the source's table no longer has the
 * shape of the entry's key. */
int quarantine_change(struct pgsink *s, const struct standing *entry, struct arena *arena, struct change **ret_change,
                      struct err *reterr) MUST_CHECK;
/* A later change of the same row with what it does not hold taken from the entry's image. */
int quarantine_merge(struct pgsink *s, const struct standing *entry, const struct change *change, struct arena *arena,
                     struct change **ret_change, struct err *reterr) MUST_CHECK;

/* Why a row is put aside. Texts "" or NULL where nothing is known; nothing here may hold a row's values, but for
 * blocked_by, which is a locator. */
struct refusal {
    enum category category;
    const char *sqlstate, *column, *constraint, *reason;
    const char *blocked_by;    /* the target row that holds its unique value: blocked_text() of rowmode; or NULL */
    const struct place *waits; /* the parent that is not there: it is parked; or NULL */
    const char *waits_id;
    const char *kept;  /* its target row, which has left with it; NULL: what the entry keeps already stays */
    const char *place; /* park_locator_key(), where the target row does not tell the key; or NULL */
};
/* Puts the change aside under `key`, or replaces what stands there: a new first failure, retries at 0. */
int quarantine_put(struct pgsink *s, const struct rule *rule, const struct change *change, const char *key,
                   const struct refusal *why, int64_t *ret_id, struct err *reterr) MUST_CHECK;
/* What stands of the key is resolved and its image emptied (the values of a healed row have no business here); an
 * entry that this very transaction put goes without a trace. */
int quarantine_resolve(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr) MUST_CHECK;
/* The same for all that stands of a rule: its table was truncated. */
int quarantine_resolve_rule(struct pgsink *s, const struct rule *rule, struct err *reterr) MUST_CHECK;

/* An operator gave the entry up. The account is the caller's. */
int quarantine_discard(struct pgsink *s, int64_t id, struct err *reterr) MUST_CHECK;

/* Another try of an entry failed: why it does now; its count of tries is left alone. */
int quarantine_refresh(struct pgsink *s, int64_t id, const struct change *change, const struct refusal *why,
                       struct err *reterr) MUST_CHECK;
/* Calls back with each open entry that waits for this target row. */
int quarantine_blocked(struct pgsink *s, const char *blocked_by, void (*found)(struct pgsink *s, int64_t id),
                       struct err *reterr) MUST_CHECK;
/* Of these entries, those that the open transaction put and that still stand: failures, and rows that merely wait for
 * a parent. */
int quarantine_count_failures(struct pgsink *s, const int64_t *ids, size_t count, int64_t *ret_failures,
                              int64_t *ret_waiting, struct err *reterr) MUST_CHECK;

/* An automatic try failed: retries + 1, the next one later, or status escalated. */
int quarantine_postpone(struct pgsink *s, int64_t id, struct err *reterr) MUST_CHECK;

#endif
