/* Row mode: a change at a time.
 *
 *   change ─ what stands of its key? ─ merge with it ─ write under a savepoint ─┬─ done ──▶ resolve, account
 *                 (entry, gone mark)                                            └─ refused ▶ quarantine, account
 *
 * At the end of each source transaction, what it put aside is tried again until nothing moves, for inside a source
 * transaction the order may have been any (deferred constraints); then rows that block one another are taken together.
 */
#include "sinks/postgres/rows/rowmode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/breaker.h"
#include "sinks/postgres/quarantine/refusal.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/session/shared.h"

#define ASIDE_MAX 4096
#define ARENA_KEEP_BYTES ((size_t)256 << 10)

void rowmode_open(struct pgsink *s)
{
    s->rowmode = mem_zalloc(1, sizeof(*s->rowmode));
    arena_init(&s->rowmode->arena, 0);
    s->rowmode->aside = mem_alloc(ASIDE_MAX * sizeof(*s->rowmode->aside));
}

void rowmode_close(struct pgsink *s)
{
    if (!s->rowmode)
        return;
    arena_done(&s->rowmode->arena);
    blocked_done(&s->rowmode->blocked);
    free(s->rowmode->exchange);
    free(s->rowmode->aside);
    free(s->rowmode);
    s->rowmode = NULL;
}

void rowmode_end(struct pgsink *s)
{
    s->rowmode->savepoint = false;
    s->rowmode->aside_count = s->rowmode->aside_from = 0;
    s->rowmode->xid = 0;
    arena_reset(&s->rowmode->arena, ARENA_KEEP_BYTES);
}

/* --- accounts --- */

void account_settle(struct pgsink *s, const struct rule *rule, enum account_state from, enum account_event event,
                    int removed)
{
    struct account_delta step;
    account_next(from, event, &step);
    struct account delta = {.mapped = step.mapped,
                            .quarantined = step.quarantined,
                            .excluded = step.excluded,
                            .failed_deletes = step.failed_deletes,
                            .deletes = removed};
    counters_add(s, rule->index, &delta);
}

/* A row that lives on the source and has none here. Of a replay it may never have been published. */
static enum account_state state_without_row(const struct target *target)
{
    return target->rule->replayed ? STATE_ABSENT : STATE_EXCLUDED;
}

/* A row without an entry or a mark: whether its target row stands tells, where a rule may exclude. Where it may not,
 * a row that is not there was deleted by somebody else, and counts as mapped all the same. */
static enum account_state state_by_row(const struct target *target, bool stands)
{
    return stands || !target->may_exclude ? STATE_MAPPED : state_without_row(target);
}

/* Where the key stood before this change. */
static enum account_state state_before(const struct work *w, enum account_event event)
{
    if (w->entry)
        return w->entry->state;
    if (w->born || w->change->stray)
        return STATE_ABSENT;
    if (!w->gone && target_counted(w->target, w->change))
        return event == EVENT_NOT_WANTED ? STATE_EXCLUDED : STATE_MAPPED;
    return w->gone ? state_without_row(w->target) : state_by_row(w->target, w->existed);
}

/* A changed key is the end of the old one and the birth of the new one. */
static void settle(struct pgsink *s, const struct work *w, enum account_event event)
{
    if (!w->old_key) {
        account_settle(s, w->rule, state_before(w, event), event, w->removed);
        return;
    }
    account_settle(s, w->rule, state_before(w, event), w->old_stays ? EVENT_DELETE_FAILED : EVENT_DELETED, w->removed);
    account_settle(s, w->rule, w->at_new ? w->at_new->state : STATE_ABSENT, event, 0);
}

/* --- what is known of the key --- */

/* It left with its parent, and was known by its place on the target alone: from now on it has its name. */
static int find_by_place(struct pgsink *s, struct work *w, const char *key, struct err *reterr)
{
    const char *params[] = {NULL, key};

    if (quarantine_find(s, w->rule, w->other_key, &s->rowmode->arena, &w->entry, reterr))
        return -1;
    if (!w->entry)
        return 0;
    w->entry->key = key;
    params[0] = arena_printf(&s->rowmode->arena, "%" PRId64, w->entry->id);
    return session_query(s, "naming a quarantined row", "UPDATE pgrekey.quarantine SET key = $2 WHERE id = $1", 2,
                         params, NULL, reterr);
}

static int look_up(struct pgsink *s, struct work *w, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    const char *before = w->old_key ? w->old_key : w->key;

    if (quarantine_find(s, w->rule, before, arena, &w->entry, reterr))
        return -1;
    if (!w->entry && w->other_key && find_by_place(s, w, before, reterr))
        return -1;
    if (w->entry && w->entry->kept)
        w->kept = w->entry->kept;
    if (w->old_key && quarantine_find(s, w->rule, w->key, arena, &w->at_new, reterr))
        return -1;
    if (gone_find(s, w->rule, before, &w->gone, reterr))
        return -1;
    w->reopened = w->gone;
    return 0;
}

static bool holds_all(const struct change *change)
{
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return false;
    return true;
}

/* The change as one of the key that the row has now. */
static struct change *under_new_key(const struct change *change, struct arena *arena)
{
    struct change *moved = arena_alloc(arena, sizeof(*moved));
    const struct relation *relation = change->relation;

    *moved = *change;
    if (!change->key_changed)
        return moved;
    moved->key_changed = false;
    moved->identity = arena_zalloc(arena, relation->key_count + 1, sizeof(*moved->identity));
    for (size_t i = 0; i < relation->key_count; i++)
        moved->identity[i] = change->columns[relation->key[i]];
    return moved;
}

/* Asks for the whole row behind a change. WRITE_SKIPPED: the source row is gone. */
static enum written complete(struct pgsink *s, struct work *w, const struct row **row, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct change *change = arena_alloc(arena, sizeof(*change));
    struct row partial = **row, *whole = NULL;

    partial.change = under_new_key(w->change, arena);
    int found = s->options.rows.complete(s->options.rows.context, &partial, arena, &whole, reterr);
    if (found < 0)
        return WRITE_FAILED;
    if (found == 0)
        return WRITE_SKIPPED;
    if (adopted_rows(s, &whole, 1, arena, reterr))
        return WRITE_FAILED;
    s->figures.completed_from_source++;
    *change = *whole->change;
    change->op = w->change->op;
    change->lsn = w->change->lsn;
    change->xid = w->change->xid;
    w->change = change;
    *row = whole;
    return WRITE_DONE;
}

/* Later changes of a key that stands aside merge into its image, and are mapped anew. */
static enum written merge(struct pgsink *s, struct work *w, const struct row **row, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct change *merged;
    struct row *anew;

    if (!w->entry || w->again || !w->change->columns || holds_all(w->change))
        return WRITE_DONE;
    if (quarantine_merge(s, w->entry, w->change, arena, &merged, reterr))
        return WRITE_FAILED;
    w->change = merged;
    int mapped = adopted_transform(s, w->rule, merged, arena, &anew, reterr);
    if (mapped < 0)
        return WRITE_FAILED;
    if (mapped > 0)
        return complete(s, w, row, reterr);
    *row = anew;
    return WRITE_DONE;
}

/* What of a parked row the change does not hold comes from the target row that it had. */
static enum written fill(struct pgsink *s, const struct work *w, const struct row **row, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct row *whole;

    if (!w->kept || (*row)->op != ROW_UPSERT)
        return WRITE_DONE;
    whole = arena_alloc(arena, sizeof(*whole));
    *whole = **row;
    whole->kept = w->kept;
    whole->values = arena_alloc(arena, (w->rule->column_count + 1) * sizeof(*whole->values));
    memcpy(whole->values, (*row)->values, w->rule->column_count * sizeof(*whole->values));
    whole->locator = arena_zalloc(arena, w->rule->locator_count + 1, sizeof(*whole->locator));
    *row = whole;
    return park_fill(s, &whole, 1, arena, reterr) ? WRITE_FAILED : WRITE_DONE;
}

/* --- write --- */

static enum written write_row(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    switch (row->op) {
    case ROW_UPSERT: return write_upsert(s, w, row, reterr);
    case ROW_EXCLUDE:
        if (w->born && !w->entry) /* it never had a row */
            return WRITE_DONE;
        if (w->gone && !w->entry && w->rule->on_delete == DELETE_ROW) { /* an adopted row that was never written */
            w->stays = true;
            return WRITE_DONE;
        }
        return write_removal(s, w, w->old_locator ? w->old_locator : row->locator, reterr);
    case ROW_DELETE: return write_removal(s, w, row->locator, reterr);
    case ROW_REJECT:
        w->refusal = (struct refusal){.category = row->category, .column = row->column, .reason = row->reason};
        return WRITE_REFUSED;
    case ROW_TRUNCATE: break;
    }
    err_set(reterr, ERR_FATAL, "rule %s: a truncate among rows", w->rule->name);
    return WRITE_FAILED;
}

static enum written write_with_completion(struct pgsink *s, struct work *w, const struct row **row, struct err *reterr)
{
    enum written written = write_row(s, w, *row, reterr);

    if (written != WRITE_NEEDS_ROW)
        return written;
    written = complete(s, w, row, reterr);
    if (written != WRITE_DONE)
        return written;
    if ((*row)->op == ROW_UPSERT && (*row)->partial) {
        err_set(reterr, ERR_FATAL, "rule %s: a row read from the source is not whole", w->rule->name);
        return WRITE_FAILED;
    }
    return write_row(s, w, *row, reterr);
}

/* --- and then --- */

static enum account_event event_of(enum row_op op)
{
    switch (op) {
    case ROW_DELETE: return EVENT_DELETED;
    case ROW_EXCLUDE: return EVENT_NOT_WANTED;
    case ROW_UPSERT:
    case ROW_REJECT:
    case ROW_TRUNCATE: break;
    }
    return EVENT_APPLIED;
}

static void put_aside(struct pgsink *s, int64_t id)
{
    struct rowmode *rm = s->rowmode;
    for (size_t i = 0; i < rm->aside_count; i++)
        if (rm->aside[i] == id)
            return;
    if (rm->aside_count < ASIDE_MAX)
        rm->aside[rm->aside_count++] = id;
}

void rowmode_take_up(struct pgsink *s, int64_t id)
{
    put_aside(s, id);
}

/* The row under the old key stands on, held by children: a refused delete of that key. */
static int put_old_aside(struct pgsink *s, const struct work *w, struct err *reterr)
{
    struct change gone = *w->change;
    struct refusal refusal = {.category = CATEGORY_CONSTRAINT_VIOLATION,
                              .sqlstate = "23503",
                              .reason = "rows that refer to it stand on the target",
                              .place = w->other_key};
    int64_t id;

    gone.op = CHANGE_DELETE;
    gone.columns = NULL;
    gone.key_changed = false;
    if (quarantine_put(s, w->rule, &gone, w->old_key, &refusal, &id, reterr))
        return -1;
    put_aside(s, id);
    return 0;
}

static int resolve_entries(struct pgsink *s, const struct work *w, struct err *reterr)
{
    if (w->entry && quarantine_resolve(s, w->rule, w->entry->key, reterr))
        return -1;
    if (w->at_new && quarantine_resolve(s, w->rule, w->key, reterr))
        return -1;
    return w->old_stays ? put_old_aside(s, w, reterr) : 0;
}

/* What stands beside the rows: a mark where the target row stays, no reference that waits for a row that went. */
static int settle_marks(struct pgsink *s, const struct work *w, enum row_op op, struct err *reterr)
{
    const char *before = w->old_key ? w->old_key : w->key;

    if ((op != ROW_UPSERT || w->old_key) && pending_remove(s, w->rule, before, w->other_key, NULL, reterr))
        return -1;
    /* The new key may be one that a kept row was left behind under: it lives again. */
    if (op == ROW_UPSERT && w->old_key && gone_remove(s, w->rule, w->key, reterr))
        return -1;
    if (w->stays)
        return gone_put(s, w->rule, before, reterr);
    if (op == ROW_EXCLUDE && w->born) /* a new row that has none here: what an older one left stays marked */
        return 0;
    return w->gone ? gone_remove(s, w->rule, before, reterr) : 0;
}

static int after_done(struct pgsink *s, const struct work *w, const struct row *row, struct err *reterr)
{
    if (resolve_entries(s, w, reterr) || settle_marks(s, w, row->op, reterr))
        return -1;
    settle(s, w, event_of(row->op));
    park_settle(s);
    if (row->op == ROW_UPSERT && (!w->existed || w->old_locator || w->reopened))
        park_row_arrived(s, row);
    if (!w->again)
        breaker_count(s->breaker, 1, 0);
    return 0;
}

/* Without an entry or a mark: did the row stand? Only where the account depends on it. */
static int look_whether_it_stood(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    const struct value *locator = w->old_locator ? w->old_locator : row->locator;
    const struct row probe = {.rule = w->rule, .change = w->change};
    int64_t found;

    if (w->entry || w->born || w->gone || !w->target->may_exclude || !locator)
        return 0;
    if (target_execute(s, w->target, TARGET_EXISTS, &probe, locator, &found, reterr))
        return -1;
    w->existed = found > 0;
    return 0;
}

static void note_failure(struct pgsink *s, const struct work *w)
{
    const struct refusal *why = &w->refusal;
    const char *column = why->column ? why->column : "", *constraint = why->constraint ? why->constraint : "";

    snprintf(s->rowmode->failure, sizeof(s->rowmode->failure), "rule %s, %s, %s%s%s%s%s", w->rule->name,
             category_name(why->category), why->reason ? why->reason : "", *column ? ", column " : "", column,
             *constraint ? ", constraint " : "", constraint);
}

/* A refused row goes aside under its new key. The row under the old key goes: nothing of the source stands for it. */
static int after_refused(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    struct change *kept = under_new_key(w->change, &s->rowmode->arena);
    int64_t id;

    if (look_whether_it_stood(s, w, row, reterr))
        return -1;
    if (!w->refusal.kept)
        w->refusal.kept = row->kept;
    if (w->refusal.waits && park_take_row(s, w, w->old_locator ? w->old_locator : row->locator, reterr))
        return -1;
    if (w->old_locator && drop_old(s, w, reterr))
        return -1;
    if (w->old_key && resolve_entries(s, w, reterr))
        return -1;
    w->refusal.place = w->old_key ? NULL : w->other_key;
    if (w->old_key && !w->old_stays && pending_remove(s, w->rule, w->old_key, w->other_key, NULL, reterr))
        return -1;
    if (quarantine_put(s, w->rule, kept, w->key, &w->refusal, &id, reterr))
        return -1;
    settle(s, w, w->change->op == CHANGE_DELETE ? EVENT_DELETE_FAILED : EVENT_FAILED);
    park_settle(s);
    if (w->refusal.waits) { /* its parent wakes it */
        s->figures.quarantined++;
        return 0;
    }
    note_failure(s, w);
    if (w->refusal.blocked_by)
        blocked_add(&s->rowmode->blocked, w->refusal.blocked_by);
    /* What the mapping rejects by itself is rejected again, whatever else its transaction does. */
    bool final = row->op == ROW_REJECT && w->refusal.category != CATEGORY_ORPHAN_REFERENCE;
    if (!final && refusal_may_pass(w->refusal.category)) {
        put_aside(s, id); /* counted as a failure once its transaction has ended */
        return 0;
    }
    s->figures.quarantined++;
    breaker_count(s->breaker, 0, 1);
    return 0;
}

/* What the delete of a row that was never written will take it to have been: a row may stand where it would. */
static int event_for_delete(struct pgsink *s, const struct work *w, const struct row *row,
                            enum account_event *ret_event, struct err *reterr)
{
    const struct row probe = {.rule = w->rule, .change = w->change};
    int64_t found = 0;
    bool gone = false;

    *ret_event = EVENT_APPLIED;
    if (!w->target->may_exclude)
        return 0;
    if (gone_find(s, w->rule, w->key, &gone, reterr) ||
        (!gone && target_execute(s, w->target, TARGET_EXISTS, &probe, row->locator, &found, reterr)))
        return -1;
    if (gone || found == 0)
        *ret_event = EVENT_NOT_WANTED;
    return 0;
}

/* The source row is gone already. A changed key still ends the old one; what the new one, or a row that was born,
 * counts for is what its delete, which is on the way, will take it to have been. */
static int after_skipped(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    enum account_event event;

    if (!w->old_key && (!w->born || w->entry))
        return 0;
    if (w->old_key && w->old_locator && drop_old(s, w, reterr))
        return -1;
    if (w->old_key && (resolve_entries(s, w, reterr) || gone_remove(s, w->rule, w->old_key, reterr)))
        return -1;
    if (!w->target->may_exclude && gone_remove(s, w->rule, w->key, reterr))
        return -1;
    if (event_for_delete(s, w, row, &event, reterr))
        return -1;
    settle(s, w, event);
    return 0;
}

static int after_refused_again(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    if (w->refusal.waits && park_take_row(s, w, row->locator, reterr))
        return -1;
    park_settle(s);
    if (w->refusal.blocked_by)
        blocked_add(&s->rowmode->blocked, w->refusal.blocked_by);
    return quarantine_refresh(s, w->entry->id, w->change, &w->refusal, reterr);
}

static int work_through(struct pgsink *s, struct work *w, const struct row *row, bool *ret_done, struct err *reterr)
{
    enum written written = merge(s, w, &row, reterr);

    if (written == WRITE_DONE)
        written = fill(s, w, &row, reterr);
    if (written == WRITE_DONE) {
        if (row_savepoint(s, reterr))
            return -1;
        written = write_with_completion(s, w, &row, reterr);
    }
    *ret_done = written == WRITE_DONE;
    switch (written) {
    case WRITE_DONE: return after_done(s, w, row, reterr);
    case WRITE_REFUSED: return w->again ? after_refused_again(s, w, row, reterr) : after_refused(s, w, row, reterr);
    case WRITE_SKIPPED: return w->again ? 0 : after_skipped(s, w, row, reterr);
    case WRITE_NEEDS_ROW:
    case WRITE_FAILED: break;
    }
    return -1;
}

/* A replay that was set back meets rows again that it has made; then it is a look that tells whether one is new. A row
 * that is woken counts for nothing, whether its last version stands or not. */
static bool is_born(const struct pgsink *s, const struct row *row)
{
    return row->born && (s->waking || !row->rule->replayed);
}

static int apply_row(struct pgsink *s, const struct row *row, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct work w = {.rule = row->rule,
                     .target = &rule_state_of(s, row->rule)->target,
                     .change = row->change,
                     .old_locator = row->old_locator,
                     .kept = row->kept,
                     .born = is_born(s, row)};
    const struct value *locator = row->old_locator ? row->old_locator : row->locator;
    bool done;

    arena_reset(arena, ARENA_KEEP_BYTES);
    w.key = park_key(row, arena);
    if (!w.target->knows_key && locator)
        w.other_key = park_locator_key(w.rule, locator, arena);
    if (row->change->key_changed) {
        w.old_key = w.key;
        w.key = source_key_new(row->change, arena);
    }
    if (look_up(s, &w, reterr))
        return -1;
    return work_through(s, &w, row, &done, reterr);
}

/* --- again --- */

/* The row's image is taken before and behind the work; before it, of a partial row, once it is whole. */
static int work_touched(struct pgsink *s, struct work *w, const struct row *row, bool *ret_resolved, struct err *reterr)
{
    const struct row touched = *row;
    const struct row *one = &touched;

    return derive_touch_rows(s, &one, 1, reterr) || work_through(s, w, row, ret_resolved, reterr) ||
                   derive_touch_rows(s, &one, 1, reterr)
               ? -1
               : 0;
}

static int again(struct pgsink *s, int64_t id, bool *ret_resolved, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct standing *entry;
    struct change *change;
    struct row *row = NULL;

    *ret_resolved = false;
    arena_reset(arena, ARENA_KEEP_BYTES);
    if (quarantine_load(s, id, arena, &entry, reterr))
        return -1;
    if (!entry) { /* woken, or overtaken by a later change */
        *ret_resolved = true;
        return 0;
    }
    if (entry->state == STATE_DISCARDED || entry->state == STATE_DELETE_DISCARDED)
        return 0;
    if (quarantine_change(s, entry, arena, &change, reterr))
        return -1;
    if (!change)
        return 0;
    struct work w = {.rule = entry->rule,
                     .target = &rule_state_of(s, entry->rule)->target,
                     .change = change,
                     .key = entry->key,
                     .entry = entry,
                     .again = true};
    if (gone_find(s, w.rule, w.key, &w.gone, reterr))
        return -1;
    w.reopened = w.gone;
    w.kept = entry->kept;
    if (entry->op != CHANGE_DELETE && w.kept && park_is_empty(change))
        return work_touched(s, &w, park_row(w.rule, change, w.kept, arena), ret_resolved, reterr);
    int mapped = adopted_transform(s, w.rule, change, arena, &row, reterr);
    if (mapped < 0)
        return -1;
    if (mapped > 0) {
        const struct row stub = {.rule = w.rule, .change = change, .op = ROW_UPSERT, .partial = true};
        const struct row *whole = &stub;
        enum written written = complete(s, &w, &whole, reterr);
        if (written != WRITE_DONE)
            return written == WRITE_SKIPPED ? 0 : -1;
        return work_touched(s, &w, whole, ret_resolved, reterr);
    }
    return work_touched(s, &w, row, ret_resolved, reterr);
}

int rowmode_again(struct pgsink *s, int64_t id, bool *ret_resolved, struct err *reterr)
{
    bool derived;

    if (derive_again(s, id, &derived, ret_resolved, reterr))
        return -1;
    return derived ? 0 : again(s, id, ret_resolved, reterr);
}

/* Tries what stands aside from `from` on, again and again while something moves. */
static int try_aside(struct pgsink *s, size_t from, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    bool moved = true;

    while (moved && rm->aside_count > from) {
        size_t kept = from, count = rm->aside_count;
        moved = false;
        for (size_t i = from; i < count; i++) {
            bool resolved;
            if (rowmode_again(s, rm->aside[i], &resolved, reterr))
                return -1;
            if (resolved)
                moved = true;
            else
                rm->aside[kept++] = rm->aside[i];
        }
        rm->aside_count = kept;
    }
    return row_savepoint_end(s, reterr);
}

static int try_all_ways(struct pgsink *s, size_t from, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    size_t before, left;

    if (try_aside(s, from, reterr))
        return -1;
    before = left = rm->aside_count - from;
    if (rowmode_together(s, rm->aside + from, &left, reterr))
        return -1;
    rm->aside_count = from + left;
    return left < before ? try_aside(s, from, reterr) : 0;
}

/* The end of a source transaction: its own rows. What still stands aside is looked at once more at the end of the
 * batch, for sets of rows take a batch's transactions together, and so their order is not the source's. */
static int end_of_transaction(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;

    if (try_all_ways(s, rm->aside_from, reterr))
        return -1;
    rm->aside_from = rm->aside_count;
    return 0;
}

static int count_failures(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    int64_t failures, waiting;

    if (quarantine_count_failures(s, rm->aside, rm->aside_count, &failures, &waiting, reterr))
        return -1;
    s->figures.quarantined += (uint64_t)(failures + waiting);
    breaker_count(s->breaker, 0, (uint64_t)failures);
    rm->aside_count = rm->aside_from = 0;
    return 0;
}

/* Derivations run once rows that stood aside have moved; and where they wrote something, others may move. */
static int try_with_derivations(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    bool wrote = true;

    while (wrote) {
        if (rm->aside_count && try_all_ways(s, 0, reterr))
            return -1;
        if (derive_run(s, &wrote, reterr))
            return -1;
        derive_stands(s);
        wrote = wrote && rm->aside_count;
    }
    return 0;
}

int rowmode_finish(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;

    if (end_of_transaction(s, reterr) || try_with_derivations(s, reterr))
        return -1;
    return rm->aside_count ? count_failures(s, reterr) : 0;
}

static int apply_rows(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;

    for (size_t i = 0; i < count;) {
        if (rows[i]->change->xid != rm->xid) {
            if (end_of_transaction(s, reterr))
                return -1;
            rm->xid = rows[i]->change->xid;
        }
        if (rows[i]->op == ROW_TRUNCATE) {
            size_t end = i + 1;
            while (end < count && rows[end]->op == ROW_TRUNCATE && rows[end]->change->xid == rm->xid)
                end++;
            if (row_savepoint_end(s, reterr) || rowmode_truncate(s, rows + i, end - i, reterr))
                return -1;
            i = end;
        } else if (apply_row(s, rows[i++], reterr)) {
            return -1;
        }
    }
    return row_savepoint_end(s, reterr);
}

/* What is derived from these rows: their images before and behind all of them lead to keys, as those of a set do. */
int rowmode_apply(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    const struct row *const *touched = (const struct row *const *)rows;

    if (derive_touch_rows(s, touched, count, reterr) || apply_rows(s, rows, count, reterr) ||
        derive_touch_rows(s, touched, count, reterr) || derive_run(s, NULL, reterr))
        return -1;
    derive_stands(s);
    return 0;
}

/* The name of the target row that the change may let go of, where somebody waits for it; else NULL. */
static const char *released_name(struct pgsink *s, const struct row *row)
{
    const struct value *locator = row->old_locator ? row->old_locator : row->locator;
    const char *name;

    if (!locator || row->born)
        return NULL;
    arena_reset(&s->rowmode->arena, ARENA_KEEP_BYTES);
    name = blocked_text(row->rule, locator, &s->rowmode->arena);
    return blocked_has(&s->rowmode->blocked, name) ? name : NULL;
}

void rowmode_forget_blocked(struct pgsink *s)
{
    blocked_done(&s->rowmode->blocked);
}

static int load_blocked(struct pgsink *s, bool *ret_any, struct err *reterr)
{
    struct blocked *blocked = &s->rowmode->blocked;

    *ret_any = false;
    if (!shared_may_release(s))
        return 0;
    if (!s->snapshot && !blocked->loaded && blocked_load(s, blocked, reterr))
        return -1;
    *ret_any = !s->snapshot && blocked->count > 0;
    return 0;
}

int rowmode_releases(struct pgsink *s, struct row *const *rows, size_t count, bool *ret_releases, struct err *reterr)
{
    bool any;

    *ret_releases = false;
    if (load_blocked(s, &any, reterr))
        return -1;
    for (size_t i = 0; any && !*ret_releases && i < count; i++)
        *ret_releases = released_name(s, rows[i]) != NULL;
    return 0;
}

int rowmode_released(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    bool any;

    if (load_blocked(s, &any, reterr))
        return -1;
    for (size_t i = 0; any && i < count; i++) {
        const char *name = released_name(s, rows[i]);
        if (name && quarantine_blocked(s, name, put_aside, reterr))
            return -1;
    }
    return 0;
}
