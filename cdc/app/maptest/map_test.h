/* `pgrekey map test` from the inside: what it gathers (map_test.c), what derivations make of it (map_test_derived.c)
 * and how it shows it (map_test_print.c). */
#ifndef PGREKEY_APP_MAP_TEST_H
#define PGREKEY_APP_MAP_TEST_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/mapping.h"
#include "sinks/postgres/derive/rehearsal.h"
#include "sinks/sink.h"

/* What would become of rows of one rule. */
struct map_test_tally {
    size_t rows, mapped, deleted, quarantined, excluded;
};

struct map_test {
    const struct cli *cli;
    struct mapping mapping;
    struct engine engine; /* settings and binding, for rows read by key; the binding is a view of `mapping` */
    PGconn *source, *target;
    bool stream;                         /* a peek at the slot, else a sample */
    struct batch batch;                  /* rows of all tables, in source order */
    struct map_test_tally *tallies;      /* by rule->index */
    const struct derivation *derivation; /* --rule names it; NULL: all */
    bool has_derived;                    /* derivations were run */
    struct rehearsal derived;
    struct err not_derived; /* why they could not be; no message where that is no news */
};

/* "mapped", "deleted", "excluded", "truncated", "quarantined" */
const char *map_test_outcome(const struct row *row);

/* map_test_adopted.c: puts adopted ids in place of computed ones, where the target knows some. */
int map_test_adopted(struct map_test *test, struct err *reterr) MUST_CHECK;

/* map_test_derived.c */
int map_test_derive(struct map_test *test, struct err *reterr) MUST_CHECK;
bool map_test_derived_clean(const struct map_test *test); /* no key would be quarantined */
void map_test_print_derived(const struct map_test *test);
void map_test_print_derived_sum(const struct map_test *test);
void map_test_put_derived(struct json *json, const struct map_test *test, struct arena *arena);

void map_test_print_text(const char *text, size_t len); /* a value, safe for a terminal */
void map_test_print_value(const char *name, int width, const struct value *value);
void map_test_print(const struct map_test *test);
int map_test_print_json(const struct map_test *test);

#endif
