/* Derived rows in `map test`: the rows that were tried are written on the target and its derivations run, in a
 * transaction that is rolled back (sinks/postgres/derive/rehearsal.h); what they came to is shown like the rows of
 * rules.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/app/maptest/map_test.h"
#include "cdc/app/cmd/term.h"

#define LOCK_NOT_AVAILABLE "55P03"
#define TRIES 5
#define REST_NS (300L * 1000 * 1000)
#define TALLY_COLUMNS 7

static bool has_derivations(const struct map *map)
{
    for (size_t i = 0; i < map_derivation_count(map); i++)
        if (!map_derivation(map, i)->skip)
            return true;
    return false;
}

/* By another session; a rehearsal gives way to it, so that a busy engine goes on meanwhile. */
static bool is_held(const struct err *said)
{
    return strcmp(said->sqlstate, LOCK_NOT_AVAILABLE) == 0;
}

/* A target that is not made for it yet is no mistake of the mapping's: its rules have been tried all the same. */
static int excuse(struct map_test *test, const struct err *said, struct err *reterr)
{
    if (said->kind == ERR_CONFIG || said->kind == ERR_REFUSED) {
        test->not_derived = *said;
        return 0;
    }
    *reterr = *said;
    if (!is_held(said))
        return -1;
    (void)err_set(reterr, ERR_RETRY,
                  "derived rows could not be tried: another session, perhaps the engine, holds rows "
                  "of theirs on the target");
    return err_hint(reterr, "try again, with fewer rows (--limit) or others");
}

int map_test_derive(struct map_test *test, struct err *reterr)
{
    struct err said = {0};
    if (!test->target || !has_derivations(test->mapping.map) || test->batch.row_count == 0)
        return 0;
    struct pgsink_options options = engine_sink_options(&test->engine);
    for (int tries = 1; pgsink_rehearse(&options, test->batch.rows, test->batch.row_count, !test->stream,
                                        &test->batch.arena, &test->derived, &said) < 0;
         tries++) {
        if (tries == TRIES || !is_held(&said))
            return excuse(test, &said, reterr);
        nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        said = (struct err){0};
    }
    test->has_derived = true;
    return 0;
}

static bool is_shown(const struct map_test *test, const struct rehearsed *key)
{
    return !test->derivation || key->derivation == test->derivation;
}

bool map_test_derived_clean(const struct map_test *test)
{
    for (size_t i = 0; i < test->derived.count; i++)
        if (is_shown(test, &test->derived.keys[i]) && test->derived.keys[i].outcome == REHEARSED_QUARANTINED)
            return false;
    return true;
}

/* By derivation and outcome. */
static size_t (*count_keys(const struct map_test *test))[REHEARSED_OUTCOMES]
{
    size_t(*counts)[REHEARSED_OUTCOMES] = mem_zalloc(map_derivation_count(test->mapping.map) + 1, sizeof(*counts));
    for (size_t i = 0; i < test->derived.count; i++)
        if (is_shown(test, &test->derived.keys[i]))
            counts[test->derived.keys[i].derivation->index][test->derived.keys[i].outcome]++;
    return counts;
}

/* --- the screen --- */

static enum term_colour colour_of(enum rehearsed_outcome outcome)
{
    switch (outcome) {
    case REHEARSED_QUARANTINED: return TERM_RED;
    case REHEARSED_INSERTED:
    case REHEARSED_UPDATED:
    case REHEARSED_UNCHANGED: return TERM_GREEN;
    default: return TERM_YELLOW;
    }
}

static void print_why(const struct rehearsed *key)
{
    const char *what = key->column ? key->column : key->constraint;
    if (!key->category)
        return;
    printf(": %s%s%s%s: %s", key->category, what ? " (" : "", what ? what : "", what ? ")" : "",
           key->reason ? key->reason : "");
    if (!key->waits_table || !key->waits_id)
        return;
    printf(": %s ", key->waits_table);
    map_test_print_text(key->waits_id, strlen(key->waits_id));
}

static void print_key(const struct rehearsed *key)
{
    int width = 0;
    printf("%s%s%s  ", term_colour(stdout, TERM_BOLD), key->derivation->name, term_colour(stdout, TERM_PLAIN));
    map_test_print_text(key->key, strlen(key->key));
    printf("  %s%s%s", term_colour(stdout, colour_of(key->outcome)), rehearsed_name(key->outcome),
           term_colour(stdout, TERM_PLAIN));
    print_why(key);
    putchar('\n');
    for (size_t i = 0; i < key->value_count; i++)
        width = (int)strlen(key->names[i]) > width ? (int)strlen(key->names[i]) : width;
    for (size_t i = 0; i < key->value_count; i++)
        map_test_print_value(key->names[i], width, &key->values[i]);
}

void map_test_print_derived(const struct map_test *test)
{
    for (size_t i = 0; i < test->derived.count; i++) {
        const struct rehearsed *key = &test->derived.keys[i];
        if (is_shown(test, key) && (!test->cli->quiet || key->outcome == REHEARSED_QUARANTINED))
            print_key(key);
    }
}

static void print_table(const struct map_test *test, size_t (*counts)[REHEARSED_OUTCOMES])
{
    static const char *const head[TALLY_COLUMNS] = {"derivation", ">written", ">unchanged",  ">gone",
                                                    ">no row",    ">parked",  ">quarantined"};
    const struct map *map = test->mapping.map;
    size_t count = map_derivation_count(map), rows = 1;
    const char **cells = mem_zalloc((count + 1) * TALLY_COLUMNS, sizeof(*cells));
    char(*numbers)[TALLY_COLUMNS - 1][24] = mem_zalloc(count + 1, sizeof(*numbers));
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        const size_t *of = counts[i];
        const size_t figures[TALLY_COLUMNS - 1] = {of[REHEARSED_INSERTED] + of[REHEARSED_UPDATED],
                                                   of[REHEARSED_UNCHANGED],
                                                   of[REHEARSED_GONE],
                                                   of[REHEARSED_NO_ROW],
                                                   of[REHEARSED_PARKED],
                                                   of[REHEARSED_QUARANTINED]};
        if (map_derivation(map, i)->skip || (test->derivation && map_derivation(map, i) != test->derivation))
            continue;
        cells[rows * TALLY_COLUMNS] = map_derivation(map, i)->name;
        for (size_t j = 0; j < TALLY_COLUMNS - 1; j++) {
            snprintf(numbers[i][j], sizeof(numbers[i][j]), "%zu", figures[j]);
            cells[rows * TALLY_COLUMNS + j + 1] = numbers[i][j];
        }
        rows++;
    }
    term_table(stdout, TALLY_COLUMNS, rows, cells);
    free(numbers);
    free(cells);
}

void map_test_print_derived_sum(const struct map_test *test)
{
    if (test->not_derived.message[0]) {
        printf("\nderived rows were not tried: %s\n", test->not_derived.message);
        if (test->not_derived.hint[0])
            term_wrap(stdout, test->not_derived.hint, "  ", 110);
    }
    if (!test->has_derived)
        return;
    size_t(*counts)[REHEARSED_OUTCOMES] = count_keys(test);
    putchar('\n');
    print_table(test, counts);
    free(counts);
    if (test->derived.alone)
        printf("\nmirrors do not stand on the target yet: those that are missing held the rows above and no others\n");
}

/* --- JSON --- */

static void put_key(struct json *json, const struct rehearsed *key, struct arena *arena)
{
    const struct derivation *d = key->derivation;
    json_open(json, NULL, '{');
    json_text(json, "derivation", d->name);
    json_text(json, "target_table", arena_printf(arena, "%s.%s", d->to_schema, d->to_table));
    json_raw(json, "key", key->key);
    json_text(json, "outcome", rehearsed_name(key->outcome));
    json_text(json, "category", key->category);
    json_text(json, "column", key->column);
    json_text(json, "constraint", key->constraint);
    json_text(json, "sqlstate", key->sqlstate);
    json_text(json, "reason", key->reason);
    json_text(json, "waits_table", key->waits_table);
    json_text(json, "waits_id", key->waits_id);
    if (key->value_count)
        json_open(json, "values", '{');
    else
        json_null(json, "values");
    for (size_t i = 0; i < key->value_count; i++)
        json_text(json, key->names[i],
                  key->values[i].state == VALUE_TEXT ? arena_strndup(arena, key->values[i].text, key->values[i].len)
                                                     : NULL);
    if (key->value_count)
        json_close(json, '}');
    json_close(json, '}');
}

static void put_sums(struct json *json, const struct map_test *test)
{
    size_t(*counts)[REHEARSED_OUTCOMES] = count_keys(test);
    json_open(json, "derivations", '[');
    for (size_t i = 0; i < map_derivation_count(test->mapping.map); i++) {
        const struct derivation *d = map_derivation(test->mapping.map, i);
        if (d->skip || (test->derivation && d != test->derivation))
            continue;
        json_open(json, NULL, '{');
        json_text(json, "derivation", d->name);
        for (enum rehearsed_outcome o = 0; o < REHEARSED_OUTCOMES; o++)
            json_int(json, o == REHEARSED_NO_ROW ? "no_row" : rehearsed_name(o), (int64_t)counts[i][o]);
        json_close(json, '}');
    }
    json_close(json, ']');
    free(counts);
}

void map_test_put_derived(struct json *json, const struct map_test *test, struct arena *arena)
{
    json_bool(json, "tried_derivations", test->has_derived);
    json_text(json, "not_derived", test->not_derived.message[0] ? test->not_derived.message : NULL);
    json_bool(json, "mirrors_missing", test->derived.alone);
    json_open(json, "derived", '[');
    for (size_t i = 0; i < test->derived.count; i++)
        if (is_shown(test, &test->derived.keys[i]))
            put_key(json, &test->derived.keys[i], arena);
    json_close(json, ']');
    put_sums(json, test);
}
