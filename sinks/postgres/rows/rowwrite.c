/* One row onto the target, under the savepoint that row mode has set.
 *
 *   born              INSERT .. ON CONFLICT (key) DO UPDATE
 *   else              UPDATE .. WHERE locator; where that finds nothing:
 *                       whole row    INSERT .. ON CONFLICT (key) DO UPDATE
 *                       partial row  WRITE_NEEDS_ROW
 *
 * UPDATE comes first even for whole rows, since whether the row stood there is what the account needs, and since an
 * upsert by key cannot move a row that is found by `identity:` columns to another key.
 */
#include "sinks/postgres/rows/rowwork.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/quarantine/refusal.h"
#include "sinks/postgres/rows/rowmode.h"
#include "transform/map.h"

/* --- savepoints --- */

int row_savepoint(struct pgsink *s, struct err *reterr)
{
    const char *sql =
        s->rowmode->savepoint ? "RELEASE SAVEPOINT pgrekey_row; SAVEPOINT pgrekey_row" : "SAVEPOINT pgrekey_row";
    if (session_run(s, "setting a savepoint", sql, reterr))
        return -1;
    s->rowmode->savepoint = true;
    return 0;
}

int row_rollback(struct pgsink *s, struct err *reterr)
{
    return session_back_to(s, "going back to a savepoint", "pgrekey_row", false, reterr);
}

int row_savepoint_end(struct pgsink *s, struct err *reterr)
{
    if (!s->rowmode->savepoint)
        return 0;
    s->rowmode->savepoint = false;
    return session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_row", reterr);
}

/* --- statements and their refusals --- */

/* What the target said: the row's fault, or everybody's. */
static enum written judge(struct pgsink *s, struct work *w, bool deleting, const struct err *said, struct err *reterr)
{
    enum category category = session_refusal(s, said, deleting);

    if (category == CATEGORY_NONE) {
        *reterr = *said;
        return WRITE_FAILED;
    }
    if (row_rollback(s, reterr))
        return WRITE_FAILED;
    w->server = *said;
    w->refusal = (struct refusal){.category = category,
                                  .sqlstate = w->server.sqlstate,
                                  .column = w->server.column,
                                  .constraint = w->server.constraint,
                                  .reason = refusal_reason(&w->server, deleting)};
    return WRITE_REFUSED;
}

enum written write_leaving(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr)
{
    const struct park_mark mark = park_mark(s);
    struct err said = {0};

    if (park_row_leaving(s, w->rule, locator, &said) == 0)
        return WRITE_DONE;
    park_undo(s, mark);
    return judge(s, w, true, &said, reterr);
}

enum written write_execute(struct pgsink *s, struct work *w, enum target_op op, const struct row *row,
                           const struct value *locator, int64_t *ret_affected, struct err *reterr)
{
    struct err said = {0};

    if (target_execute(s, w->target, op, row, locator, ret_affected, &said))
        return judge(s, w, op == TARGET_DELETE, &said, reterr);
    return WRITE_DONE;
}

enum written write_query(struct pgsink *s, struct work *w, const char *sql, int param_count, const char *const *params,
                         int64_t *ret_affected, struct err *reterr)
{
    struct err said = {0};
    PGresult *result;

    if (session_query(s, "writing a row", sql, param_count, params, &result, &said))
        return judge(s, w, false, &said, reterr);
    *ret_affected = strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return WRITE_DONE;
}

const char *value_text(const struct value *value, struct arena *arena)
{
    return value->state == VALUE_TEXT ? arena_strndup(arena, value->text, value->len) : NULL;
}

static const struct unique_index *refused_by(const struct work *w)
{
    const struct relation *relation = w->target->relation;

    if (!w->refusal.sqlstate || strcmp(w->refusal.sqlstate, "23505") != 0)
        return NULL;
    for (size_t i = 0; i < relation->unique_count; i++)
        if (strcmp(relation->uniques[i].name, w->refusal.constraint) == 0)
            return &relation->uniques[i];
    return NULL;
}

static bool is_locator(const struct rule *rule, size_t column)
{
    for (size_t i = 0; i < rule->locator_count; i++)
        if (rule->locator[i] == column)
            return true;
    return false;
}

bool refused_by_key(const struct work *w)
{
    const struct unique_index *index = refused_by(w);

    if (!index || index->partial_or_expression)
        return false;
    for (size_t i = 0; i < index->count; i++) {
        int column = map_column_index(w->rule, w->target->relation->columns[index->columns[i]].name);
        if (column < 0 || !(w->rule->columns[column].key || is_locator(w->rule, (size_t)column)))
            return false;
    }
    return true;
}

/* --- who holds the value --- */

/* SELECT locator FROM table WHERE the index's columns are this row's. NULL where it cannot be asked. */
static const char *holder_query(const struct work *w, const struct row *row, const struct unique_index *index,
                                struct arena *arena, const char **params, struct buf *sql)
{
    buf_puts(sql, "SELECT ");
    for (size_t i = 0; i < w->rule->locator_count; i++)
        buf_printf(sql, "%s%s::text", i ? ", " : "", w->target->columns[w->rule->locator[i]]);
    buf_printf(sql, " FROM %s WHERE ", w->target->table);
    for (size_t i = 0; i < index->count; i++) {
        int column = map_column_index(w->rule, w->target->relation->columns[index->columns[i]].name);
        if (column < 0 || row->values[column].state != VALUE_TEXT)
            return NULL;
        params[i] = value_text(&row->values[column], arena);
        buf_printf(sql, "%s%s = $%zu", i ? " AND " : "", w->target->columns[column], i + 1);
    }
    buf_puts(sql, " LIMIT 1");
    return session_text(sql);
}

/* The locator of the row that holds the unique value; NULL where it cannot be told. */
static int find_holder(struct pgsink *s, struct work *w, const struct row *row, struct value **ret_locator,
                       struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    const struct unique_index *index = refused_by(w);
    PGresult *result = NULL;
    struct buf sql;
    int failed = 0;

    *ret_locator = NULL;
    if (!index || index->partial_or_expression || index->count == 0)
        return 0;
    const char **params = arena_zalloc(arena, index->count, sizeof(*params));
    buf_init(&sql, (size_t)1 << 20);
    if (holder_query(w, row, index, arena, params, &sql))
        failed = session_query(s, "looking for who holds a unique value", session_text(&sql), (int)index->count, params,
                               &result, reterr);
    if (!failed && result && PQntuples(result) > 0) {
        struct value *locator = arena_zalloc(arena, w->rule->locator_count, sizeof(*locator));
        for (size_t i = 0; i < w->rule->locator_count; i++)
            if (!PQgetisnull(result, 0, (int)i))
                locator[i] = (struct value){.text = arena_strdup(arena, PQgetvalue(result, 0, (int)i)),
                                            .len = (uint32_t)PQgetlength(result, 0, (int)i),
                                            .state = VALUE_TEXT};
        *ret_locator = locator;
    }
    PQclear(result);
    buf_done(&sql);
    return failed;
}

/* A key by `identity:`: the source key that stands in a target row. */
static const char *identity_key(const struct rule *rule, const struct value *locator, struct arena *arena)
{
    struct relation shape = {.key_count = rule->locator_count};
    struct value *identity = arena_alloc(arena, rule->locator_count * sizeof(*identity));
    struct change change = {.relation = &shape, .identity = identity};

    memcpy(identity, locator, rule->locator_count * sizeof(*identity));
    return source_key(&change, arena);
}

/* --- pairs --- */

/* " WHERE a = $2 AND b = $3": columns of the rule, parameters from first_param on. */
static void put_equals(struct buf *sql, const struct work *w, const uint16_t *columns, size_t count, size_t first_param)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%s%s = $%zu", i ? " AND " : " WHERE ", w->target->columns[columns[i]], first_param + i);
}

static size_t key_columns(const struct rule *rule, uint16_t *columns)
{
    size_t count = 0;

    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].key)
            columns[count++] = (uint16_t)i;
    return count;
}

/* A target row under its key, while another takes its identity. */
struct left_pair {
    bool there;
    uint16_t *key;
    size_t key_count;
    const char **values; /* of the key */
};

static int find_own(struct pgsink *s, struct work *w, const struct row *row, struct left_pair *own, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    const char **params = arena_zalloc(arena, w->rule->locator_count, sizeof(*params));
    PGresult *result;
    struct buf sql;
    int failed;

    own->key = arena_zalloc(arena, w->rule->column_count, sizeof(*own->key));
    own->key_count = key_columns(w->rule, own->key);
    own->values = arena_zalloc(arena, own->key_count + w->rule->locator_count, sizeof(*own->values));
    buf_init(&sql, (size_t)1 << 20);
    for (size_t i = 0; i < own->key_count; i++)
        buf_printf(&sql, "%s%s::text", i ? ", " : "SELECT ", w->target->columns[own->key[i]]);
    buf_printf(&sql, " FROM %s", w->target->table);
    for (size_t i = 0; i < w->rule->locator_count; i++)
        params[i] = value_text(&row->locator[i], arena);
    put_equals(&sql, w, w->rule->locator, w->rule->locator_count, 1);
    failed =
        session_query(s, "looking for a row", session_text(&sql), (int)w->rule->locator_count, params, &result, reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    own->there = PQntuples(result) > 0;
    for (size_t i = 0; own->there && i < own->key_count; i++)
        own->values[i] = arena_strdup(arena, PQgetvalue(result, 0, (int)i));
    PQclear(result);
    return 0;
}

/* The identity of the row under that key; holder NULL: none. */
static enum written give_identity(struct pgsink *s, struct work *w, const struct left_pair *own,
                                  const struct value *holder, struct err *reterr)
{
    size_t count = w->rule->locator_count;
    int64_t affected;
    struct buf sql;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", w->target->table);
    for (size_t i = 0; i < count; i++) {
        own->values[own->key_count + i] = holder ? value_text(&holder[i], &s->rowmode->arena) : NULL;
        buf_printf(&sql, "%s%s = $%zu", i ? ", " : "", w->target->columns[w->rule->locator[i]], own->key_count + i + 1);
    }
    put_equals(&sql, w, own->key, own->key_count, 1);
    enum written written =
        write_query(s, w, session_text(&sql), (int)(own->key_count + count), own->values, &affected, reterr);
    buf_done(&sql);
    return written;
}

/* The source row stands, or is kept, under another pair, and that target row is now what a deleted one would be. */
static enum written close_own(struct pgsink *s, struct work *w, const struct row *row, const struct left_pair *own,
                              struct err *reterr)
{
    enum written written = WRITE_DONE;
    int64_t affected;

    if (w->rule->on_delete == DELETE_SET && !w->gone) {
        written = write_execute(s, w, TARGET_SET, row, row->locator, &affected, reterr);
        w->existed = true;
    }
    return written == WRITE_DONE ? give_identity(s, w, own, NULL, reterr) : written;
}

/* The row takes up the kept one of its pair. A row that it leaves behind is kept in its place, under the identity
 * that this one had: so each kept row has one, and one mark. */
static enum written take_up(struct pgsink *s, struct work *w, const struct row *row, const struct value *holder,
                            const char *holder_key, struct err *reterr)
{
    struct left_pair own;
    int64_t affected;
    enum written written = WRITE_DONE;

    if (find_own(s, w, row, &own, reterr))
        return WRITE_FAILED;
    if (own.there)
        written = close_own(s, w, row, &own, reterr);
    if (written == WRITE_DONE)
        written = write_execute(s, w, TARGET_MOVE, row, holder, &affected, reterr);
    if (written == WRITE_DONE && own.there)
        return give_identity(s, w, &own, holder, reterr);
    if (written == WRITE_DONE && gone_remove(s, w->rule, holder_key, reterr))
        return WRITE_FAILED;
    return written;
}

/* Two rows, or more in a circle, want each other's pairs: the target row of this one goes to the holder, which is
 * written anew, and whole, in its turn. */
static enum written exchange(struct pgsink *s, struct work *w, const struct row *row, const struct value *holder,
                             struct err *reterr)
{
    struct left_pair own;
    int64_t affected;

    if (find_own(s, w, row, &own, reterr))
        return WRITE_FAILED;
    if (!own.there)
        return WRITE_REFUSED;
    enum written written = give_identity(s, w, &own, NULL, reterr);
    if (written == WRITE_DONE)
        written = write_execute(s, w, TARGET_MOVE, row, holder, &affected, reterr);
    return written == WRITE_DONE ? give_identity(s, w, &own, holder, reterr) : written;
}

/* The pair that the row wants is taken. Its holder's source row may be gone and the target row have been kept: then it
 * is opened again for this one. Else two living rows want one key. */
static enum written reopen(struct pgsink *s, struct work *w, const struct row *row, const struct value *holder,
                           struct err *reterr)
{
    const char *key = identity_key(w->rule, holder, &s->rowmode->arena);
    bool gone;

    if (gone_find(s, w->rule, key, &gone, reterr))
        return WRITE_FAILED;
    if (!gone) {
        w->refusal.category = CATEGORY_AMBIGUOUS_VALUE;
        w->refusal.reason = "another living row of the source has the same key";
        return rowmode_exchanges(s->rowmode, w->rule, key) ? exchange(s, w, row, holder, reterr) : WRITE_REFUSED;
    }
    if (row->partial)
        return WRITE_NEEDS_ROW;
    w->reopened = true;
    return take_up(s, w, row, holder, key, reterr);
}

/* A unique value was refused: who holds it? */
static enum written look_at_holder(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    struct value *holder;

    if (find_holder(s, w, row, &holder, reterr))
        return WRITE_FAILED;
    if (!holder)
        return WRITE_REFUSED;
    w->refusal.blocked_by = blocked_text(w->rule, holder, &s->rowmode->arena);
    if (!w->rule->locator_is_key && refused_by_key(w) && !w->old_locator)
        return reopen(s, w, row, holder, reterr);
    return WRITE_REFUSED;
}

/* --- parents --- */

/* The row may be its own parent. */
static bool is_own_key(const struct row *row, const struct rule_column *column, const struct value *value)
{
    const struct value *own;

    if (column->parent != row->rule || row->rule->locator_count != 1 || !row->rule->locator_is_key)
        return false;
    own = &row->values[row->rule->locator[0]];
    return own->len == value->len && memcmp(own->text, value->text, own->len) == 0;
}

static size_t put_questions(struct pgsink *s, const struct row *row, struct parent_question *questions, size_t *columns)
{
    size_t count = 0;
    for (size_t i = 0; i < row->rule->column_count; i++) {
        const struct rule_column *column = &row->rule->columns[i];
        int place = references_place(&s->references, row->rule, i);
        if (place == NO_PLACE || row->values[i].state != VALUE_TEXT || is_own_key(row, column, &row->values[i]))
            continue;
        questions[count] = (struct parent_question){.place = (size_t)place, .value = &row->values[i]};
        columns[count++] = i;
    }
    return count;
}

/* Notes what the row's references are waiting for; forgets what its columns waited for before. Comes after the write,
 * which may go back to its savepoint on the way. */
static int note_references(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    for (size_t i = 0; i < row->rule->column_count; i++)
        if (references_place(&s->references, row->rule, i) != NO_PLACE && row->values[i].state != VALUE_ABSENT &&
            pending_remove(s, w->rule, w->key, w->other_key, row->rule->columns[i].name, reterr))
            return -1;
    for (size_t i = 0; i < w->question_count; i++) {
        size_t column = w->question_columns[i];
        if (w->questions[i].found)
            continue;
        if (pending_put(s, row, w->key, column, w->questions[i].value, reterr))
            return -1;
    }
    return 0;
}

static struct row *copy_row(const struct row *row, struct arena *arena)
{
    struct row *copy = arena_alloc(arena, sizeof(*copy));

    *copy = *row;
    copy->values = arena_alloc(arena, row->rule->column_count * sizeof(*copy->values));
    memcpy(copy->values, row->values, row->rule->column_count * sizeof(*copy->values));
    return copy;
}

/* A missing required parent refuses the row; a missing optional one becomes NULL in the copy that *ret_row is then. */
static enum written check_parents(struct pgsink *s, struct work *w, const struct row *row, const struct row **ret_row,
                                  struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct row *copy = NULL;

    *ret_row = row;
    w->questions = arena_zalloc(arena, row->rule->column_count, sizeof(*w->questions));
    w->question_columns = arena_zalloc(arena, row->rule->column_count, sizeof(*w->question_columns));
    w->question_count = put_questions(s, row, w->questions, w->question_columns);
    if (w->question_count && parents_ask_afresh(s, w->questions, w->question_count, reterr))
        return WRITE_FAILED;
    for (size_t i = 0; i < w->question_count; i++) {
        const struct rule_column *column = &row->rule->columns[w->question_columns[i]];
        if (w->questions[i].found)
            continue;
        if (column->required) {
            w->refusal = (struct refusal){.category = CATEGORY_ORPHAN_REFERENCE,
                                          .column = column->name,
                                          .reason = PARK_REASON_MISSING,
                                          .waits = &s->references.places[w->questions[i].place],
                                          .waits_id = value_text(w->questions[i].value, arena)};
            return WRITE_REFUSED;
        }
        if (!copy)
            copy = copy_row(row, arena);
        copy->values[w->question_columns[i]] = (struct value){.state = VALUE_NULL};
        *ret_row = copy;
    }
    return WRITE_DONE;
}

/* --- upsert --- */

enum written write_whole(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    int64_t affected;
    enum target_op op = w->target->can_upsert && w->rule->locator_is_key ? TARGET_UPSERT : TARGET_INSERT;
    enum written written = write_execute(s, w, op, row, row->locator, &affected, reterr);

    return written == WRITE_REFUSED ? look_at_holder(s, w, row, reterr) : written;
}

static enum written write_in_place(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    int64_t affected;
    enum written written = write_execute(s, w, TARGET_UPDATE, row, row->locator, &affected, reterr);

    if (written == WRITE_REFUSED)
        return look_at_holder(s, w, row, reterr);
    if (written != WRITE_DONE)
        return written;
    if (affected > 0) {
        w->existed = true;
        return WRITE_DONE;
    }
    if (!row->partial)
        return write_whole(s, w, row, reterr);
    return row_rollback(s, reterr) ? WRITE_FAILED : WRITE_NEEDS_ROW;
}

/* A row that returns: stamps, and what `delete: {set: ..}` did to columns that the mapping does not own, are undone. */
static enum written undo_set(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr)
{
    const char **params = arena_zalloc(&s->rowmode->arena, w->rule->locator_count, sizeof(*params));
    enum written written = WRITE_DONE;
    int64_t affected;
    int count = 0;
    struct buf sql;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", w->target->table);
    for (size_t i = 0; i < w->rule->set_count; i++) {
        const struct rule_set *set = &w->rule->set[i];
        if (!set->stamp && map_column_index(w->rule, set->column) >= 0)
            continue;
        buf_puts(&sql, count++ ? ", " : "");
        pg_put_ident(&sql, set->column);
        buf_puts(&sql, " = ");
        if (set->stamp) {
            pg_put_ident(&sql, set->column);
            buf_puts(&sql, " - ");
            pg_put_literal(&sql, set->text);
            buf_puts(&sql, "::text");
        } else {
            buf_puts(&sql, "DEFAULT");
        }
    }
    for (size_t i = 0; i < w->rule->locator_count; i++) {
        params[i] = value_text(&locator[i], &s->rowmode->arena);
        buf_printf(&sql, "%s%s = $%zu", i ? " AND " : " WHERE ", w->target->columns[w->rule->locator[i]], i + 1);
    }
    if (count)
        written = write_query(s, w, session_text(&sql), (int)w->rule->locator_count, params, &affected, reterr);
    buf_done(&sql);
    return written;
}

static enum written write_restored(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    struct row back = *row;
    const struct row *rows[] = {&back};
    struct err said = {0};

    back.kept = w->kept;
    return park_restore(s, rows, 1, &said) ? judge(s, w, false, &said, reterr) : WRITE_DONE;
}

/* The target refused a reference that the mapping does not name: the row waits for that parent, if it is one of ours.
 */
static void wait_for_foreign_key(struct pgsink *s, struct work *w, const struct row *row)
{
    const struct reference *reference;

    if (!w->refusal.sqlstate || strcmp(w->refusal.sqlstate, "23503") != 0 || !w->refusal.constraint)
        return;
    reference = references_by_constraint(&s->references, w->rule, w->target->relation, w->refusal.constraint);
    if (!reference || row->values[reference->column].state != VALUE_TEXT)
        return;
    w->refusal.waits = &s->references.places[reference->place];
    w->refusal.waits_id = value_text(&row->values[reference->column], &s->rowmode->arena);
}

enum written write_upsert(struct pgsink *s, struct work *w, const struct row *row, struct err *reterr)
{
    const struct row *checked;

    /* What the change left out would be that of the row whose place this one takes; or as it was before the row was
     * left to itself. */
    if (row->partial && (row->stood || w->gone || rowmode_exchanges(s->rowmode, w->rule, w->key)))
        return WRITE_NEEDS_ROW;
    enum written written = check_parents(s, w, row, &checked, reterr);
    if (written != WRITE_DONE)
        return written;
    if (w->old_locator) {
        written = write_move(s, w, checked, reterr);
        if (written == WRITE_REFUSED && !w->refusal.blocked_by)
            written = look_at_holder(s, w, checked, reterr);
    } else if (w->born && !checked->partial && w->rule->locator_is_key && w->target->can_upsert) {
        written = write_whole(s, w, checked, reterr);
    } else {
        written = write_in_place(s, w, checked, reterr);
    }
    if (written == WRITE_DONE && w->reopened && w->rule->on_delete == DELETE_SET)
        written = undo_set(s, w, row->locator, reterr);
    if (written == WRITE_DONE && w->kept)
        written = write_restored(s, w, row, reterr);
    if (written == WRITE_DONE && note_references(s, w, row, reterr))
        return WRITE_FAILED;
    if (written == WRITE_REFUSED)
        wait_for_foreign_key(s, w, checked);
    return written;
}

/* --- removal --- */

static void forget_parent(struct pgsink *s, const struct work *w, const struct value *locator)
{
    if (w->target->cascades)
        parents_forget(s->parents);
    else
        parents_row_deleted(s, w->rule, locator);
}

enum written write_removal(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr)
{
    static const enum target_op ops[] = {
        [DELETE_ROW] = TARGET_DELETE, [DELETE_SET] = TARGET_SET, [DELETE_KEEP] = TARGET_EXISTS};
    const struct row row = {.rule = w->rule, .change = w->change, .op = ROW_DELETE};
    int64_t affected;
    const struct park_mark mark = park_mark(s);
    enum written written = WRITE_DONE;

    if (target_ends(w->rule))
        written = write_leaving(s, w, locator, reterr);
    if (written == WRITE_DONE)
        written = write_execute(s, w, ops[w->rule->on_delete], &row, locator, &affected, reterr);
    if (written != WRITE_DONE) {
        park_undo(s, mark);
        return written;
    }
    w->existed = affected > 0;
    w->stays = w->existed && w->rule->on_delete != DELETE_ROW;
    if (w->existed && target_ends(w->rule))
        forget_parent(s, w, locator);
    if (w->existed && !w->stays)
        w->removed += (int)affected;
    return WRITE_DONE;
}
