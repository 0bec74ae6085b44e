/* A message as a row: read, masked, then through its rule like any change. Masked before anybody can keep it: what goes
 * to quarantine is the change, and that is masked too. */
#include "cdc/app/replay/replay.h"

static enum change_op op_of(const struct record *record, bool state)
{
    switch (record->op) {
    case 'c': return CHANGE_INSERT;
    case 'd': return CHANGE_DELETE;
    default: return state ? CHANGE_READ : CHANGE_UPDATE;
    }
}

/* The columns that an older mapping did not have. */
static void fill_up(const struct relation *relation, struct value *values)
{
    for (size_t i = 0; i < relation->column_count; i++)
        if (values[i].state == VALUE_ABSENT)
            values[i].state = VALUE_NULL;
}

int replay_row(struct replay *r, struct record_decoder *decoder, struct masker *masker,
               const struct kafka_message *message, const struct record *record, const struct replay_rule *rule,
               bool state, struct arena *arena, struct row **ret_row, const char **ret_reason, struct err *reterr)
{
    const struct relation *relation = rule->relation;
    struct change *change = arena_zalloc(arena, 1, sizeof *change);
    struct value *values = arena_alloc(arena, (relation->column_count + 1) * sizeof *values);
    *ret_row = NULL;
    if (!record_values(decoder, message->value, message->value_len, record, relation, values, arena, ret_reason))
        return 0;
    if (masker)
        masker_apply(masker, rule->rule, values, arena);
    change->op = op_of(record, state);
    change->relation = relation;
    change->lsn = change->commit_lsn = record->lsn;
    change->xid = record->xid;
    change->identity = arena_alloc(arena, (relation->key_count + 1) * sizeof *change->identity);
    for (size_t k = 0; k < relation->key_count; k++)
        change->identity[k] = values[relation->key[k]];
    if (record->op != 'd') {
        fill_up(relation, values);
        change->columns = values;
    }
    return map_transform_rule(r->map, rule->rule, change, arena, ret_row, reterr);
}
