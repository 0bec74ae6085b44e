/* A source row whose key changed: its target row moves.
 *
 *   1. UPDATE .. SET key, … WHERE old key     keeps what the mapping does not own, and what an unchanged out-of-line
 *                                             value left out of the change
 *   2. children hang on the old key (23503):  INSERT a copy under the new key, then DELETE the old one. Where the
 *                                             children have not moved yet that fails, and is tried again at the end
 *                                             of the source transaction as a refused delete of the old key.
 *   3. the new key is taken (by a row whose delete was refused): it is written over, the old one deleted.
 */
#include "sinks/postgres/rows/rowwork.h"

#include <string.h>

#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"

static void put_where_old(struct buf *sql, const struct work *w, const char *alias, const char **params, int *count,
                          struct arena *arena)
{
    for (size_t i = 0; i < w->rule->locator_count; i++) {
        params[*count] = value_text(&w->old_locator[i], arena);
        buf_printf(sql, "%s%s%s = $%d", i ? " AND " : " WHERE ", alias, w->target->columns[w->rule->locator[i]],
                   ++*count);
    }
}

bool unique_by_more_than_key(const struct relation *relation, int column)
{
    for (size_t u = 0; u < relation->unique_count; u++)
        for (size_t i = 0; i < relation->uniques[u].count && !relation->uniques[u].primary; i++)
            if (relation->uniques[u].columns[i] == column)
                return true;
    return false;
}

const char *unique_stand_in(const struct column *column)
{
    if (!column->not_null)
        return "NULL";
    if (strcmp(column->base_type, "text") == 0 || strcmp(column->base_type, "character varying") == 0 ||
        strcmp(column->base_type, "citext") == 0)
        return "left(md5(random()::text || ctid::text), 24)";
    return NULL;
}

/* The copy brings the old row's unique values with it, so the old one lets go of them until it is deleted. */
static enum written release_unique(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    const char **params = arena_zalloc(&s->rowmode->arena, w->rule->locator_count, sizeof(*params));
    struct buf sql;
    int64_t affected;
    int released = 0, count = 0;
    enum written written = WRITE_DONE;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", w->target->table);
    for (size_t i = 0; i < w->rule->column_count; i++) {
        int column = relation_column(w->target->relation, w->rule->columns[i].name);
        if (row->values[i].state != VALUE_TEXT || w->rule->columns[i].key || w->rule->columns[i].once || column < 0 ||
            !unique_by_more_than_key(w->target->relation, column) ||
            !unique_stand_in(&w->target->relation->columns[column]))
            continue;
        buf_printf(&sql, "%s%s = %s", released++ ? ", " : "", w->target->columns[i],
                   unique_stand_in(&w->target->relation->columns[column]));
    }
    put_where_old(&sql, w, "", params, &count, &s->rowmode->arena);
    if (released)
        written = write_query(s, w, session_text(&sql), count, params, &affected, reterr);
    buf_done(&sql);
    return written;
}

/* INSERT .. SELECT: what the change holds is new, the rest comes from the old row. */
static enum written insert_copy(struct pgsink *s, struct work *w, const struct row *row, int64_t *ret_affected,
                                struct err *reterr)
{
    const struct rule *rule = w->rule;
    const char **params = arena_zalloc(&s->rowmode->arena, rule->column_count + rule->locator_count, sizeof(*params));
    int count = 0;
    struct buf sql, value;

    buf_init(&sql, (size_t)1 << 20);
    buf_init(&value, 4096);
    buf_printf(&sql, "INSERT INTO %s (%s)%s SELECT ", w->target->table, w->target->column_list,
               w->target->overriding ? " OVERRIDING SYSTEM VALUE" : "");
    for (size_t i = 0; i < rule->column_count; i++) {
        buf_puts(&sql, i ? ", " : "");
        if (row->values[i].state == VALUE_ABSENT || rule->columns[i].once) {
            buf_printf(&sql, "o.%s", w->target->columns[i]);
            continue;
        }
        params[count] = value_text(&row->values[i], &s->rowmode->arena);
        buf_reset(&value);
        buf_printf(&value, "$%d::%s", ++count, w->target->types[i]);
        target_put_value(&sql, w->target, i, "o", buf_text(&value));
    }
    buf_done(&value);
    buf_printf(&sql, " FROM %s o", w->target->table);
    put_where_old(&sql, w, "o.", params, &count, &s->rowmode->arena);
    enum written written = write_query(s, w, session_text(&sql), count, params, ret_affected, reterr);
    buf_done(&sql);
    return written;
}

static enum written move_by_copy(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    int64_t affected;
    enum written written = release_unique(s, w, row, reterr);

    if (written == WRITE_DONE)
        written = insert_copy(s, w, row, &affected, reterr);
    if (written != WRITE_DONE)
        return written;
    if (affected == 0) /* nothing to copy: it has left with a parent */
        return row->partial ? (row_rollback(s, reterr) ? WRITE_FAILED : WRITE_NEEDS_ROW)
                            : write_whole(s, w, row, reterr);
    w->existed = true;
    return drop_old(s, w, reterr) ? WRITE_FAILED : WRITE_DONE;
}

static enum written move_over(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    if (row->partial)
        return WRITE_NEEDS_ROW;
    enum written written = write_whole(s, w, row, reterr);
    if (written != WRITE_DONE)
        return written;
    return drop_old(s, w, reterr) ? WRITE_FAILED : WRITE_DONE;
}

/* Nobody's row needs the old key; derived rows that refer to it let go, and their keys run again. */
static enum written leave_and_move(struct pgsink *s, struct work *w, const struct row *row, int64_t *ret_affected,
                                   struct err *reterr)
{
    const struct park_mark mark = park_mark(s);
    enum written written = write_leaving(s, w, w->old_locator, reterr);

    if (written != WRITE_DONE)
        return written;
    written = write_execute(s, w, TARGET_MOVE, row, w->old_locator, ret_affected, reterr);
    if (written != WRITE_DONE)
        park_undo(s, mark);
    return written;
}

enum written write_move(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    int64_t affected = 0;
    bool needed;

    if (park_row_is_needed(s, w->rule, w->old_locator, &needed, reterr))
        return WRITE_FAILED;
    if (needed) /* its children have not moved yet */
        return move_by_copy(s, w, row, reterr);
    enum written written = leave_and_move(s, w, row, &affected, reterr);

    if (written == WRITE_REFUSED && strcmp(w->refusal.sqlstate, "23503") == 0)
        return move_by_copy(s, w, row, reterr);
    if (written == WRITE_REFUSED && refused_by_key(w))
        return move_over(s, w, row, reterr);
    if (written != WRITE_DONE)
        return written;
    if (affected > 0) {
        w->existed = true;
        parents_forget(s->parents);
        return WRITE_DONE;
    }
    if (row->partial)
        return row_rollback(s, reterr) ? WRITE_FAILED : WRITE_NEEDS_ROW;
    return write_whole(s, w, row, reterr);
}

int drop_old(struct pgsink *s, struct work *w, struct err *reterr)
{
    const struct row row = {.rule = w->rule, .change = w->change, .op = ROW_DELETE};
    int64_t affected = 0;
    /* What the refusal of the row itself says must outlive this. */
    struct refusal refusal = w->refusal;
    struct err server = w->server;
    bool needed;

    if (row_savepoint(s, reterr) || park_row_is_needed(s, w->rule, w->old_locator, &needed, reterr))
        return -1;
    if (needed) {
        w->old_stays = w->existed = true;
        parents_forget(s->parents);
        return 0;
    }
    const struct park_mark mark = park_mark(s);
    enum written written = write_leaving(s, w, w->old_locator, reterr);
    if (written == WRITE_DONE)
        written = write_execute(s, w, TARGET_DELETE, &row, w->old_locator, &affected, reterr);
    if (written == WRITE_FAILED)
        return -1;
    if (written == WRITE_REFUSED) {
        park_undo(s, mark);
        w->old_stays = true;
    } else {
        w->removed += (int)affected;
    }
    /* For the account: what is written over under the new key says nothing of the old one. */
    w->existed |= w->old_stays || affected > 0;
    w->refusal = refusal;
    w->server = server;
    parents_forget(s->parents);
    return 0;
}
