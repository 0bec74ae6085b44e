/* What the rows of a chunk come to: cases told in a small script, and random histories against a model that takes one
 * row after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/base/buf.h"
#include "sinks/postgres/apply/netchange.h"

#define COLUMNS 3 /* key, plain, once */
#define ROWS_MAX 512

static const struct rule_column COLUMN_LIST[COLUMNS] = {
    {.name = "id", .key = true}, {.name = "plain"}, {.name = "born", .once = true}};
static const uint16_t LOCATOR[1] = {0};

static struct rule rule_of(int index, enum rule_delete on_delete)
{
    return (struct rule){.index = index,
                         .column_count = COLUMNS,
                         .columns = COLUMN_LIST,
                         .locator_count = 1,
                         .locator = LOCATOR,
                         .locator_is_key = true,
                         .on_delete = on_delete};
}

struct fixture {
    struct arena arena;
    struct netchange *net;
    struct rule rules[3]; /* delete: row; delete: keep; wanted by others */
    struct row *rows[ROWS_MAX];
    size_t count;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    arena_init(&f->arena, 0);
    f->net = netchange_new(3);
    f->rules[0] = rule_of(0, DELETE_ROW);
    f->rules[1] = rule_of(1, DELETE_KEEP);
    f->rules[2] = rule_of(2, DELETE_ROW);
    f->net->rules[2].wanted = true;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    netchange_free(f->net);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static struct value text(struct fixture *f, char letter)
{
    char *copy = arena_strndup(&f->arena, &letter, 1);

    if (letter == '-')
        return (struct value){.state = VALUE_ABSENT};
    return (struct value){.text = copy, .len = 1, .state = VALUE_TEXT};
}

static struct value *locator(struct fixture *f, char letter)
{
    struct value *value = arena_alloc(&f->arena, sizeof(*value));
    *value = text(f, letter);
    return value;
}

/* op: I born, U upsert, x born but excluded, E excluded, D deleted, R rejected, M moved (from `old`). */
static struct row *row_of(struct fixture *f, int rule, char op, char key, char plain, char once, char old)
{
    struct row *row = arena_zalloc(&f->arena, 1, sizeof(*row));

    row->rule = &f->rules[rule];
    row->locator = locator(f, key);
    row->old_locator = op == 'M' ? locator(f, old) : NULL;
    row->born = op == 'I' || op == 'x';
    row->op = op == 'E' || op == 'x' ? ROW_EXCLUDE : op == 'D' ? ROW_DELETE : op == 'R' ? ROW_REJECT : ROW_UPSERT;
    if (row->op == ROW_UPSERT) {
        row->values = arena_alloc(&f->arena, COLUMNS * sizeof(*row->values));
        row->values[0] = text(f, key);
        row->values[1] = text(f, plain);
        row->values[2] = text(f, once);
        row->partial = plain == '-' || once == '-';
    }
    return row;
}

/* "Ia12 Ua-3 Db Mcd12": op, key (for M: old and new), values of an upsert. */
static void read_script(struct fixture *f, int rule, const char *script)
{
    f->count = 0;
    for (const char *at = script; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        bool moved = *at == 'M', writes = strchr("IUM", *at) != NULL;
        const char *key = at + 1 + moved;
        f->rows[f->count++] =
            row_of(f, rule, *at, *key, writes ? key[1] : '-', writes ? key[2] : '-', moved ? at[1] : '-');
    }
}

/* "INSERT a12" for each entry in order; an entry set aside is "aside a". */
static const char *told(struct fixture *f)
{
    static const char *const NAMES[] = {"nothing", "insert", "update", "replace", "delete", "exclude", "excluded"};
    struct buf out;

    buf_init(&out, 4096);
    for (size_t i = 0; i < f->net->count; i++) {
        const struct net_entry *entry = &f->net->entries[i];
        bool writes = !entry->aside && entry->action != NET_NOTHING && entry->row->values;

        buf_printf(&out, "%s%s %.1s", i ? "; " : "", entry->aside ? "aside" : NAMES[entry->action],
                   entry->locator->text);
        for (size_t c = 1; writes && c < COLUMNS; c++)
            buf_printf(&out, "%.1s", entry->row->values[c].state ? entry->row->values[c].text : "-");
    }
    const char *text = arena_strdup(&f->arena, buf_text(&out));
    buf_done(&out);
    return text;
}

static const struct {
    int rule;
    const char *script, *sum;
} CASES[] = {
    {0, "", ""},
    {0, "Ia12 Ib34", "insert a12; insert b34"},
    {0, "Ia12 Ua34", "insert a32"}, /* the once column stays as the birth wrote it */
    {0, "Ia12 Ua-4 Ua5-", "insert a52"},
    {0, "Ia12 Da", "nothing a"},
    {0, "Ia12 Da Ia34", "insert a34"},
    {0, "Ia12 Ea", "excluded a"},
    {0, "Ia12 Ea Ua34", "insert a34"},
    {0, "Ia12 Ea Ua-4", "aside a"}, /* nothing here holds the absent value */
    {0, "xa Ua12", "insert a12"},
    {0, "xa Da", "nothing a"},
    {0, "xa", "excluded a"},
    {0, "Ua12", "update a12"},
    {0, "Ua1- Ua-2", "update a12"},
    {0, "Ua1- Ua2-", "update a2-"},
    {0, "Ua12 Ua3- Ub56", "update a32; update b56"},
    {0, "Ua12 Ua34", "update a32"}, /* should the row not be there, the first update is its birth */
    {0, "Ua12 Da", "delete a"},
    {0, "Da", "delete a"},
    {0, "Da Ia12", "replace a12"},
    {0, "Da Ia12 Ua34", "replace a32"},
    {0, "Da Ia12 Da", "delete a"},
    {0, "Da Ia12 Ea", "exclude a"},
    {0, "Da xa", "exclude a"},
    {0, "Ea", "exclude a"},
    {0, "Ea Ua12", "replace a12"},
    {0, "Ea Ua1-", "aside a"},
    {0, "Ea Da", "delete a"},
    {0, "Ua12 Ea", "exclude a"},
    {0, "Ra", "aside a"},
    {0, "Ua12 Ra Ua34 Ub56", "aside a; update b56"},
    {0, "Mab12", "aside a; aside b"},
    {0, "Ua12 Mab34 Ub56 Ia78 Uc90", "aside a; aside b; update c90"},
    {0, "Ia12 Ua34 Ia56", "aside a"}, /* born twice: no history of a source */
    {0, "Da Ua12", "aside a"},
    {0, "Da Da", "aside a"},
    {0, "Ia1-", "aside a"},
    {1, "Ia12 Ua34", "insert a32"},
    {1, "Ua1- Ua-2", "update a12"},
    {1, "Da", "delete a"},
    {1, "Ia12 Da", "aside a"}, /* the row stays: insert, then keep */
    {1, "Da Ia12", "aside a"},
    {1, "Ua12 Ea", "aside a"},
};

static void cases_come_to_what_they_should(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        read_script(f, CASES[i].rule, CASES[i].script);
        netchange_build(f->net, f->rows, f->count, &f->arena);
        if (strcmp(told(f), CASES[i].sum) != 0)
            fail_msg("%s: got %s, not %s", CASES[i].script, told(f), CASES[i].sum);
    }
}

static void only_births_are_not_hashed_unless_wanted(void **state)
{
    struct fixture *f = *state;

    read_script(f, 0, "Ia12 Ib34 xc");
    netchange_build(f->net, f->rows, f->count, &f->arena);
    assert_false(f->net->rules[0].hashed);
    assert_int_equal(netchange_find(f->net, &f->rules[0], f->rows[0]->locator), NET_NONE);
    read_script(f, 2, "Ia12 Ib34");
    netchange_build(f->net, f->rows, f->count, &f->arena);
    assert_int_equal(netchange_find(f->net, &f->rules[2], f->rows[1]->locator), 1);
    assert_int_equal(netchange_find(f->net, &f->rules[2], locator(f, 'z')), NET_NONE);
}

static void one_locator_in_two_rules_is_two_entries(void **state)
{
    struct fixture *f = *state;

    f->rows[0] = row_of(f, 0, 'U', 'a', '1', '2', '-');
    f->rows[1] = row_of(f, 2, 'U', 'a', '3', '4', '-');
    f->rows[2] = row_of(f, 0, 'D', 'a', '-', '-', '-');
    netchange_build(f->net, f->rows, 3, &f->arena);
    assert_string_equal(told(f), "delete a; update a34");
    assert_int_equal(f->net->rules[0].entry_count, 1);
    assert_int_equal(f->net->rules[1].first, NET_NONE);
}

static void rows_set_aside_come_back_whole_and_in_order(void **state)
{
    struct fixture *f = *state;
    struct row **aside;

    read_script(f, 0, "Ua12 Ub12 Ua34 Ra Uc12 Mbd56 Ua78 Ud90");
    netchange_build(f->net, f->rows, f->count, &f->arena);
    assert_int_equal(netchange_aside_rows(f->net, f->rows, f->count, &aside), 7);
    for (size_t i = 0, j = 0; i < f->count; i++)
        if (i != 4)
            assert_ptr_equal(aside[j++], f->rows[i]);
    netchange_set_aside(f->net, f->net->entry_of[4]);
    netchange_set_aside(f->net, f->net->entry_of[4]);
    assert_int_equal(netchange_aside_rows(f->net, f->rows, f->count, &aside), 8);
    assert_int_equal(f->net->rules[0].aside_count, 4);
}

static void a_row_without_locator_goes_aside(void **state)
{
    struct fixture *f = *state;

    read_script(f, 0, "Ra Ua12");
    f->rows[0]->locator = NULL;
    netchange_build(f->net, f->rows, f->count, &f->arena);
    assert_true(f->net->entries[0].aside);
    assert_false(f->net->entries[1].aside);
}

/* --- random histories against a model --- */

#define KEYS 6

enum life { ABSENT, MAPPED, EXCLUDED };

struct model {
    enum life life[KEYS];         /* of the source row, for this rule */
    char plain[KEYS], once[KEYS]; /* of the target row; there where MAPPED */
    bool unsure[KEYS];            /* a value would have come from the source */
};

static void model_take(struct model *m, int key, const struct row *row)
{
    if (row->op == ROW_DELETE || row->op == ROW_EXCLUDE) {
        m->life[key] = row->op == ROW_DELETE ? ABSENT : EXCLUDED;
        return;
    }
    bool fresh = m->life[key] != MAPPED;
    m->unsure[key] |= fresh && row->partial;
    if (row->values[1].state)
        m->plain[key] = *row->values[1].text;
    if (fresh && row->values[2].state)
        m->once[key] = *row->values[2].text;
    m->life[key] = MAPPED;
}

static char any_letter(void)
{
    return (char)('A' + rand() % 26);
}

/* A next row that a source could send, for this key. */
static struct row *next_row(struct fixture *f, const struct model *m, int key)
{
    char name = (char)('a' + key);

    if (m->life[key] == ABSENT)
        return rand() % 4 ? row_of(f, 0, 'I', name, any_letter(), any_letter(), '-')
                          : row_of(f, 0, 'x', name, '-', '-', '-');
    switch (rand() % 5) {
    case 0: return row_of(f, 0, 'D', name, '-', '-', '-');
    case 1: return row_of(f, 0, 'E', name, '-', '-', '-');
    case 2: return row_of(f, 0, 'U', name, '-', any_letter(), '-');
    default: return row_of(f, 0, 'U', name, any_letter(), any_letter(), '-');
    }
}

static void net_take(struct model *m, int key, const struct net_entry *entry)
{
    switch ((enum net_action)entry->action) {
    case NET_NOTHING: assert_int_equal(m->life[key], ABSENT); return;
    case NET_INSERT:
        assert_int_equal(m->life[key], ABSENT);
        assert_false(entry->row->partial);
        break;
    case NET_REPLACE:
        assert_int_not_equal(m->life[key], ABSENT);
        assert_false(entry->row->partial);
        m->life[key] = ABSENT;
        break;
    case NET_UPDATE: assert_int_not_equal(m->life[key], ABSENT); break;
    case NET_DELETE: assert_int_not_equal(m->life[key], ABSENT); break;
    case NET_EXCLUDE: assert_int_not_equal(m->life[key], ABSENT); break;
    case NET_PARKED:
    case NET_EXCLUDED: assert_int_equal(m->life[key], ABSENT); break;
    }
    model_take(m, key, entry->row);
}

static void compare(const struct model *one_by_one, const struct model *summed, const bool *aside)
{
    for (int key = 0; key < KEYS; key++) {
        if (aside[key] || one_by_one->unsure[key] || summed->unsure[key])
            continue;
        assert_int_equal(one_by_one->life[key], summed->life[key]);
        if (one_by_one->life[key] != MAPPED)
            continue;
        assert_int_equal(one_by_one->plain[key], summed->plain[key]);
        assert_int_equal(one_by_one->once[key], summed->once[key]);
    }
}

static void random_histories_come_to_the_same_as_one_by_one(void **state)
{
    struct fixture *f = *state;
    size_t aside_count = 0;

    srand(7);
    for (int round = 0; round < 5000; round++) {
        struct model before, one_by_one, summed;
        bool aside[KEYS] = {false};

        memset(&before, 0, sizeof(before));
        for (int key = 0; key < KEYS; key++) {
            before.life[key] = (enum life)(rand() % 3);
            before.plain[key] = before.once[key] = '0';
        }
        one_by_one = summed = before;
        f->count = (size_t)(rand() % 40);
        for (size_t i = 0; i < f->count; i++) {
            int key = rand() % KEYS;
            f->rows[i] = next_row(f, &one_by_one, key);
            model_take(&one_by_one, key, f->rows[i]);
        }
        netchange_build(f->net, f->rows, f->count, &f->arena);
        for (uint32_t e = 0; e < f->net->count; e++) {
            int key = *f->net->entries[e].locator->text - 'a';
            aside[key] = f->net->entries[e].aside;
            aside_count += aside[key];
            if (!aside[key])
                net_take(&summed, key, &f->net->entries[e]);
        }
        compare(&one_by_one, &summed, aside);
        arena_reset(&f->arena, (size_t)1 << 20);
    }
    assert_true(aside_count < 20000); /* else nothing was compared */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cases_come_to_what_they_should, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_births_are_not_hashed_unless_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_locator_in_two_rules_is_two_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_set_aside_come_back_whole_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_row_without_locator_goes_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_histories_come_to_the_same_as_one_by_one, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
