/* The screen and the JSON of `pgrekey map test`. With `quarantine show` the one place that prints a row's values. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/maptest/map_test.h"
#include "cdc/app/cmd/term.h"

#define VALUE_SHOWN_BYTES 160 /* on the screen; --json prints all of it */
#define TALLY_COLUMNS 6

static void put_key(struct buf *out, const struct change *change)
{
    const struct relation *relation = change->relation;
    buf_putc(out, '[');
    for (size_t k = 0; change->identity && k < relation->key_count; k++) {
        const struct value *value = change->columns && change->columns[relation->key[k]].state == VALUE_TEXT
                                        ? &change->columns[relation->key[k]]
                                        : &change->identity[k];
        buf_puts(out, k ? ", " : "");
        if (value->state == VALUE_TEXT)
            buf_put_json_string(out, value->text, value->len);
        else
            buf_puts(out, "null");
    }
    buf_putc(out, ']');
}

static const char *key_text(const struct row *row, struct buf *buf)
{
    buf_reset(buf);
    put_key(buf, row->change);
    return buf_text(buf);
}

/* --- the screen --- */

/* A row's text is not ours: nothing in it may move a terminal's cursor. */
void map_test_print_text(const char *text, size_t len)
{
    size_t shown = len <= VALUE_SHOWN_BYTES ? len : VALUE_SHOWN_BYTES;
    while (shown < len && ((unsigned char)text[shown] & 0xC0) == 0x80)
        shown--;
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            fputs("\\n", stdout);
        else if (c < 0x20 || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    if (shown < len)
        printf("... (%zu bytes)", len);
}

static int name_width(const struct rule *rule)
{
    int widest = 0;
    for (size_t i = 0; i < rule->column_count; i++) {
        int width = (int)strlen(rule->columns[i].name);
        widest = width > widest ? width : widest;
    }
    return widest;
}

void map_test_print_value(const char *name, int width, const struct value *value)
{
    printf("    %s%-*s%s  ", term_colour(stdout, TERM_DIM), width, name, term_colour(stdout, TERM_PLAIN));
    if (value->state == VALUE_TEXT)
        map_test_print_text(value->text, value->len);
    else
        printf("%s%s%s", term_colour(stdout, TERM_DIM), value->state == VALUE_NULL ? "NULL" : "(unchanged)",
               term_colour(stdout, TERM_PLAIN));
    putchar('\n');
}

static void print_values(const struct row *row)
{
    const struct rule *rule = row->rule;
    int width = name_width(rule);
    for (size_t i = 0; row->values && i < rule->column_count; i++)
        map_test_print_value(rule->columns[i].name, width, &row->values[i]);
    for (size_t i = 0; !row->values && row->locator && row->op != ROW_REJECT && i < rule->locator_count; i++)
        map_test_print_value(rule->columns[rule->locator[i]].name, width, &row->locator[i]);
}

static void print_row(const struct row *row, struct buf *key)
{
    bool bad = row->op == ROW_REJECT;
    enum term_colour colour = bad ? TERM_RED : row->op == ROW_UPSERT ? TERM_GREEN : TERM_YELLOW;
    printf("%s%s%s  %s  %s%s%s", term_colour(stdout, TERM_BOLD), row->rule->name, term_colour(stdout, TERM_PLAIN),
           key_text(row, key), term_colour(stdout, colour), map_test_outcome(row), term_colour(stdout, TERM_PLAIN));
    if (bad)
        printf(": %s%s%s%s: %s", category_name(row->category), row->column ? " (" : "", row->column ? row->column : "",
               row->column ? ")" : "", row->reason);
    putchar('\n');
    print_values(row);
}

static void print_tallies(const struct map_test *test)
{
    static const char *const head[TALLY_COLUMNS] = {"rule",     ">rows",        ">mapped",
                                                    ">deleted", ">quarantined", ">excluded"};
    const struct map *map = test->mapping.map;
    size_t count = map_rule_count(map), rows = 1;
    const char **cells = mem_zalloc((count + 1) * TALLY_COLUMNS, sizeof(*cells));
    char(*numbers)[TALLY_COLUMNS - 1][24] = mem_zalloc(count + 1, sizeof(*numbers));
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        const struct map_test_tally *tally = &test->tallies[i];
        const size_t figures[TALLY_COLUMNS - 1] = {tally->rows, tally->mapped, tally->deleted, tally->quarantined,
                                                   tally->excluded};
        if (tally->rows == 0)
            continue;
        cells[rows * TALLY_COLUMNS] = map_rule(map, i)->name;
        for (size_t j = 0; j < TALLY_COLUMNS - 1; j++) {
            snprintf(numbers[i][j], sizeof(numbers[i][j]), "%zu", figures[j]);
            cells[rows * TALLY_COLUMNS + j + 1] = numbers[i][j];
        }
        rows++;
    }
    if (rows > 1)
        term_table(stdout, TALLY_COLUMNS, rows, cells);
    free(numbers);
    free(cells);
}

void map_test_print(const struct map_test *test)
{
    struct buf key;
    buf_init(&key, (size_t)64 << 20);
    for (size_t i = 0; i < test->batch.row_count; i++)
        if (!test->cli->quiet || test->batch.rows[i]->op == ROW_REJECT)
            print_row(test->batch.rows[i], &key);
    buf_done(&key);
    map_test_print_derived(test);
    if (test->cli->quiet)
        return;
    if (test->batch.row_count == 0)
        printf("%s\n", test->stream ? "nothing waits in the slot" : "the tables are empty");
    else
        putchar('\n');
    print_tallies(test);
    map_test_print_derived_sum(test);
    if (!test->target)
        printf("\nwithout the target: whether values fit its columns was not looked at, and nothing was derived\n");
}

/* --- JSON --- */

static void put_value(struct json *json, const char *name, const struct value *value, struct arena *arena)
{
    if (value->state != VALUE_ABSENT)
        json_text(json, name, value->state == VALUE_TEXT ? arena_strndup(arena, value->text, value->len) : NULL);
}

static void put_row(struct json *json, const struct row *row, struct buf *key, struct arena *arena)
{
    const char op[] = {(char)row->change->op, '\0'};
    bool bad = row->op == ROW_REJECT;
    json_open(json, NULL, '{');
    json_text(json, "rule", row->rule->name);
    json_text(json, "source_table", arena_printf(arena, "%s.%s", row->rule->from_schema, row->rule->from_table));
    json_text(json, "target_table", arena_printf(arena, "%s.%s", row->rule->to_schema, row->rule->to_table));
    json_text(json, "op", op);
    json_raw(json, "key", key_text(row, key));
    json_text(json, "outcome", map_test_outcome(row));
    json_text(json, "category", bad ? category_name(row->category) : NULL);
    json_text(json, "column", bad ? row->column : NULL);
    json_text(json, "reason", bad ? row->reason : NULL);
    json_bool(json, "partial", row->partial);
    if (row->values)
        json_open(json, "values", '{');
    else
        json_null(json, "values");
    for (size_t i = 0; row->values && i < row->rule->column_count; i++)
        put_value(json, row->rule->columns[i].name, &row->values[i], arena);
    if (row->values)
        json_close(json, '}');
    json_close(json, '}');
}

static void put_tallies(struct json *json, const struct map_test *test)
{
    json_open(json, "rules", '[');
    for (size_t i = 0; i < map_rule_count(test->mapping.map); i++) {
        const struct map_test_tally *tally = &test->tallies[i];
        json_open(json, NULL, '{');
        json_text(json, "rule", map_rule(test->mapping.map, i)->name);
        json_int(json, "rows", (int64_t)tally->rows);
        json_int(json, "mapped", (int64_t)tally->mapped);
        json_int(json, "deleted", (int64_t)tally->deleted);
        json_int(json, "quarantined", (int64_t)tally->quarantined);
        json_int(json, "excluded", (int64_t)tally->excluded);
        json_close(json, '}');
    }
    json_close(json, ']');
}

int map_test_print_json(const struct map_test *test)
{
    struct json json;
    struct arena arena;
    struct buf key;
    buf_init(&key, (size_t)64 << 20);
    arena_init(&arena, 0);
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "mapping", test->cli->settings->mapping);
    json_text(&json, "rows_of", test->stream ? "slot" : "source");
    json_bool(&json, "checked_target", test->target != NULL);
    json_open(&json, "rows", '[');
    for (size_t i = 0; i < test->batch.row_count; i++)
        put_row(&json, test->batch.rows[i], &key, &arena);
    json_close(&json, ']');
    put_tallies(&json, test);
    map_test_put_derived(&json, test, &arena);
    json_close(&json, '}');
    arena_done(&arena);
    buf_done(&key);
    return json_print(&json, stdout);
}
