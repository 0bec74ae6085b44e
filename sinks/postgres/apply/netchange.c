#include "sinks/postgres/apply/netchange.h"

#include <stdlib.h>
#include <string.h>

struct netchange *netchange_new(size_t rule_count)
{
    struct netchange *net = mem_zalloc(1, sizeof(*net));

    net->rule_count = rule_count;
    net->rules = mem_zalloc(rule_count + 1, sizeof(*net->rules));
    return net;
}

void netchange_free(struct netchange *net)
{
    if (!net)
        return;
    free(net->rules);
    free(net->entries);
    free(net->entry_of);
    free(net->slots);
    free(net);
}

/* --- the hash --- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

static uint64_t hash_locator(const struct rule *rule, const struct value *locator)
{
    uint64_t hash = mix(0, (uint64_t)rule->index + 1);

    for (size_t i = 0; i < rule->locator_count; i++) {
        const char *text = locator[i].text;
        size_t left = locator[i].state == VALUE_TEXT ? locator[i].len : 0;
        uint64_t word;

        hash = mix(hash, left + 1);
        for (; left >= sizeof(word); left -= sizeof(word), text += sizeof(word)) {
            memcpy(&word, text, sizeof(word));
            hash = mix(hash, word);
        }
        if (left) {
            word = 0;
            memcpy(&word, text, left);
            hash = mix(hash, word);
        }
    }
    return hash ^ (hash >> 32);
}

static bool same_locator(const struct rule *rule, const struct value *a, const struct value *b)
{
    for (size_t i = 0; i < rule->locator_count; i++) {
        if (a[i].state != b[i].state)
            return false;
        if (a[i].state == VALUE_TEXT && (a[i].len != b[i].len || memcmp(a[i].text, b[i].text, a[i].len) != 0))
            return false;
    }
    return true;
}

/* The slot where the locator's entry is, or the free one where it belongs. */
static uint32_t *slot_of(const struct netchange *net, const struct rule *rule, const struct value *locator,
                         uint64_t hash)
{
    size_t mask = net->slot_count - 1;

    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        const struct net_entry *entry;

        if (net->slots[i] == 0)
            return &net->slots[i];
        entry = &net->entries[net->slots[i] - 1];
        if (entry->hash == hash && entry->row->rule == rule && same_locator(rule, entry->locator, locator))
            return &net->slots[i];
    }
}

/* --- entries --- */

static uint32_t entry_new(struct netchange *net, const struct row *row, const struct value *locator, uint64_t hash)
{
    struct net_rule *rule = &net->rules[row->rule->index];
    uint32_t index = (uint32_t)net->count;

    net->entries[net->count++] =
        (struct net_entry){.row = row, .locator = locator, .hash = hash, .next = NET_NONE, .action = NET_NOTHING};
    if (rule->first == NET_NONE)
        rule->first = index;
    else
        net->entries[rule->last].next = index;
    rule->last = index;
    rule->entry_count++;
    return index;
}

void netchange_set_aside(struct netchange *net, uint32_t entry)
{
    if (net->entries[entry].aside)
        return;
    net->entries[entry].aside = true;
    net->rules[net->entries[entry].row->rule->index].aside_count++;
}

/* The newer row over the older one: what it leaves ABSENT stays as it was, and what is written once stays as the first
 * one had it (even of updates: the row may prove not to be there, and then the first of them was its birth). */
static void merge(struct netchange *net, struct net_entry *entry, const struct row *newer)
{
    const struct rule *rule = newer->rule;
    const struct row *older = entry->row;
    struct row *sum;
    bool keeps = newer->partial;

    for (size_t i = 0; !keeps && i < rule->column_count; i++)
        keeps = rule->columns[i].once;
    if (!keeps) {
        entry->row = newer;
        entry->merged = false;
        return;
    }
    sum = arena_alloc(net->arena, sizeof(*sum));
    *sum = *newer;
    sum->values = entry->merged ? older->values : arena_alloc(net->arena, rule->column_count * sizeof(*sum->values));
    sum->partial = false;
    for (size_t i = 0; i < rule->column_count; i++) {
        bool stays =
            newer->values[i].state == VALUE_ABSENT || (rule->columns[i].once && older->values[i].state != VALUE_ABSENT);
        sum->values[i] = stays ? older->values[i] : newer->values[i];
        sum->partial |= sum->values[i].state == VALUE_ABSENT;
    }
    entry->row = sum;
    entry->merged = true;
}

/* --- what the rows of a key come to --- */

static bool action_of_first(const struct row *row, enum net_action *ret_action)
{
    switch (row->op) {
    case ROW_UPSERT:
        if (row->born && row->partial)
            return false;
        *ret_action = row->born ? NET_INSERT : NET_UPDATE;
        return true;
    case ROW_EXCLUDE: *ret_action = row->born ? NET_EXCLUDED : NET_EXCLUDE; return true;
    case ROW_DELETE: *ret_action = NET_DELETE; return true;
    case ROW_REJECT:
    case ROW_TRUNCATE: break;
    }
    return false;
}

/* The row stands after `action`: what `row` does to it. False: not plain. */
static bool fold_standing(struct netchange *net, struct net_entry *entry, const struct row *row)
{
    bool new_here = entry->action == NET_INSERT;

    if (row->born)
        return false;
    switch (row->op) {
    case ROW_UPSERT: merge(net, entry, row); return true;
    case ROW_EXCLUDE: entry->action = new_here ? NET_EXCLUDED : NET_EXCLUDE; break;
    case ROW_DELETE: entry->action = new_here ? NET_NOTHING : NET_DELETE; break;
    case ROW_REJECT:
    case ROW_TRUNCATE: return false;
    }
    entry->row = row;
    entry->merged = false;
    return true;
}

/* The source row is gone (`alive` false), or lives without a row here. */
static bool fold_absent(struct net_entry *entry, const struct row *row, bool alive)
{
    bool existed = entry->action == NET_DELETE || entry->action == NET_EXCLUDE;

    if (row->born == alive)
        return false;
    switch (row->op) {
    case ROW_UPSERT:
        if (row->partial)
            return false;
        entry->action = existed ? NET_REPLACE : NET_INSERT;
        break;
    case ROW_EXCLUDE: entry->action = existed ? NET_EXCLUDE : NET_EXCLUDED; break;
    case ROW_DELETE:
        if (!alive)
            return false;
        entry->action = existed ? NET_DELETE : NET_NOTHING;
        break;
    case ROW_REJECT:
    case ROW_TRUNCATE: return false;
    }
    entry->row = row;
    entry->merged = false;
    return true;
}

static bool fold(struct netchange *net, struct net_entry *entry, const struct row *row)
{
    bool standing = entry->action == NET_INSERT || entry->action == NET_UPDATE || entry->action == NET_REPLACE;

    /* Where a delete leaves the row standing, only updates of one row add up plainly. */
    if (row->rule->on_delete != DELETE_ROW && (!standing || row->op != ROW_UPSERT))
        return false;
    if (standing)
        return fold_standing(net, entry, row);
    return fold_absent(entry, row, entry->action == NET_EXCLUDE || entry->action == NET_EXCLUDED);
}

static uint32_t touch(struct netchange *net, const struct row *row, const struct value *locator)
{
    enum net_action action;
    uint64_t hash = 0;
    uint32_t *slot = NULL;
    uint32_t index;

    if (locator && net->rules[row->rule->index].hashed) {
        hash = hash_locator(row->rule, locator);
        slot = slot_of(net, row->rule, locator, hash);
        if (*slot) {
            struct net_entry *entry = &net->entries[*slot - 1];
            if (!entry->aside && (row->old_locator || !fold(net, entry, row)))
                netchange_set_aside(net, *slot - 1);
            return *slot - 1;
        }
    }
    index = entry_new(net, row, locator, hash);
    if (slot)
        *slot = index + 1;
    if (!locator || row->old_locator || !action_of_first(row, &action))
        netchange_set_aside(net, index);
    else
        net->entries[index].action = (uint8_t)action;
    return index;
}

/* --- a chunk --- */

static void make_room(struct netchange *net, size_t count, bool hashed)
{
    size_t slot_count = 64;

    if (net->row_capacity < count) {
        net->row_capacity = count;
        net->entry_of = mem_realloc(net->entry_of, count * sizeof(*net->entry_of));
    }
    if (net->capacity < count * 2) { /* a changed key touches two entries */
        net->capacity = count * 2;
        net->entries = mem_realloc(net->entries, net->capacity * sizeof(*net->entries));
    }
    while (slot_count < count * 4)
        slot_count *= 2;
    if (!hashed)
        return;
    if (net->slot_count < slot_count)
        net->slots = mem_realloc(net->slots, slot_count * sizeof(*net->slots));
    net->slot_count = slot_count;
    memset(net->slots, 0, slot_count * sizeof(*net->slots));
}

void netchange_build(struct netchange *net, struct row *const *rows, size_t count, struct arena *arena)
{
    bool any = false;

    net->arena = arena;
    net->count = 0;
    for (size_t i = 0; i < net->rule_count; i++)
        net->rules[i] =
            (struct net_rule){.first = NET_NONE, .wanted = net->rules[i].wanted, .hashed = net->rules[i].wanted};
    for (size_t i = 0; i < count; i++) {
        struct net_rule *rule = &net->rules[rows[i]->rule->index];
        rule->hashed |= !rows[i]->born || rows[i]->op == ROW_REJECT;
        any |= rule->hashed;
    }
    make_room(net, count, any);
    for (size_t i = 0; i < count; i++) {
        if (rows[i]->old_locator)
            (void)touch(net, rows[i], rows[i]->old_locator);
        net->entry_of[i] = touch(net, rows[i], rows[i]->locator);
    }
}

uint32_t netchange_find(const struct netchange *net, const struct rule *rule, const struct value *locator)
{
    uint32_t slot;

    if (!net->rules[rule->index].hashed || net->rules[rule->index].entry_count == 0)
        return NET_NONE;
    slot = *slot_of(net, rule, locator, hash_locator(rule, locator));
    return slot ? slot - 1 : NET_NONE;
}

size_t netchange_aside_rows(const struct netchange *net, struct row *const *rows, size_t count, struct row ***ret_rows)
{
    size_t aside = 0;

    for (size_t i = 0; i < count; i++)
        aside += net->entries[net->entry_of[i]].aside;
    *ret_rows = arena_alloc(net->arena, (aside + 1) * sizeof(**ret_rows));
    aside = 0;
    for (size_t i = 0; i < count; i++)
        if (net->entries[net->entry_of[i]].aside)
            (*ret_rows)[aside++] = rows[i];
    return aside;
}
