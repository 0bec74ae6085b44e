/* Messages of our topics, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/source/kafka/record.h"

#define SOURCE "\"source\":{\"name\":\"shop\",\"ts_ms\":1760000000000,\"txId\":4711,\"lsn\":26844512}"
#define TXN "\"transaction\":{\"id\":\"4711:26844512\",\"total_order\":3,\"data_collection_order\":2}"
#define EXTRA "\"pgrekey\":{\"rule\":\"a->b\",\"key\":{\"id\":\"7\"}}"
#define CREATE(after)                                                                                                  \
    "{\"before\":null,\"after\":" after "," SOURCE "," TXN ",\"op\":\"c\",\"ts_ms\":1760000000100," EXTRA "}"

static struct record decoded(const char *text)
{
    struct record_decoder *decoder = record_decoder_new();
    struct record record;
    record_decode(decoder, text, strlen(text), &record);
    record_decoder_free(decoder);
    return record;
}

static void a_change_tells_its_place_and_its_rule(void **state)
{
    (void)state;
    struct record record = decoded(CREATE("{\"id\":1}"));
    assert_int_equal(record.kind, RECORD_CHANGE);
    assert_int_equal(record.op, 'c');
    assert_int_equal(record.lsn, 26844512);
    assert_int_equal(record.xid, 4711);
    assert_int_equal(record.order, 3);
    assert_int_equal(record.ts_ms, 1760000000000);
    assert_string_equal(record.rule, "a->b");
}

static void a_row_of_a_snapshot_belongs_to_no_transaction(void **state)
{
    (void)state;
    struct record record = decoded("{\"after\":{\"id\":1}," SOURCE ",\"transaction\":null,\"op\":\"r\"," EXTRA "}");
    assert_int_equal(record.kind, RECORD_CHANGE);
    assert_int_equal(record.order, 0);
}

static void an_end_counts_its_events(void **state)
{
    (void)state;
    static const char end[] =
        "{\"status\":\"END\",\"id\":\"4711:26844512\",\"ts_ms\":5,\"event_count\":3,\"data_collections\":"
        "[{\"data_collection\":\"public.a\",\"event_count\":2},{\"data_collection\":\"public.b\",\"event_count\":1}]}";
    struct record record = decoded(end);
    assert_int_equal(record.kind, RECORD_END);
    assert_int_equal(record.event_count, 3);
    assert_int_equal(record.lsn, 26844512);
    assert_int_equal(decoded("{\"status\":\"BEGIN\",\"id\":\"1:2\",\"event_count\":null}").kind, RECORD_BEGIN);
}

static void what_is_not_ours_is_foreign(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "x",
        "null",
        "[]",
        "\"text\"",
        "{",
        "{}",
        "{\"op\":\"c\"}",
        "{\"op\":\"x\"}",
        "{\"op\":7}",
        "{\"schema\":{},\"payload\":{}}",
        "{\"status\":\"END\",\"id\":\"x\"}",
        "{\"status\":\"MAYBE\",\"id\":\"1:2\"}",
        "{" SOURCE "," TXN ",\"op\":\"c\"}",
        "{" SOURCE ",\"op\":\"c\"," EXTRA "}",
        "{\"source\":{},\"op\":\"r\"," EXTRA "}",
        "{\"source\":7,\"op\":\"r\"," EXTRA "}",
        "{" SOURCE ",\"transaction\":{\"id\":\"47\"},\"op\":\"c\"," EXTRA "}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct record record = decoded(texts[i]);
        assert_int_equal(record.kind, RECORD_FOREIGN);
        assert_non_null(record.reason);
    }
}

static struct column columns[] = {{.name = (char[]){"id"}}, {.name = (char[]){"name"}}, {.name = (char[]){"flag"}}};
static uint16_t key[] = {0};
static const struct relation relation = {.column_count = 3, .columns = columns, .key_count = 1, .key = key};

static bool values(const char *text, struct value *out, struct arena *arena)
{
    struct record_decoder *decoder = record_decoder_new();
    struct record record;
    const char *reason;
    record_decode(decoder, text, strlen(text), &record);
    bool fine = record_values(decoder, text, strlen(text), &record, &relation, out, arena, &reason);
    record_decoder_free(decoder);
    return fine;
}

static void values_keep_their_digits_and_lose_their_escapes(void **state)
{
    (void)state;
    struct arena arena;
    struct value out[3];
    arena_init(&arena, 0);
    assert_true(values(CREATE("{\"flag\":true,\"id\":12345678901234567890.50,\"name\":\"a\\\"\\u00e4\",\"new\":1}"),
                       out, &arena));
    assert_string_equal(out[0].text, "12345678901234567890.50");
    assert_string_equal(out[1].text, "a\"\xc3\xa4");
    assert_string_equal(out[2].text, "t");
    assert_true(values(CREATE("{\"id\":\"x\",\"name\":null}"), out, &arena));
    assert_int_equal(out[1].state, VALUE_NULL);
    assert_int_equal(out[2].state, VALUE_ABSENT);
    assert_false(values(CREATE("{\"id\":null}"), out, &arena));
    assert_false(values(CREATE("{\"id\":{}}"), out, &arena));
    assert_false(values(CREATE("null"), out, &arena));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_tells_its_place_and_its_rule),
        cmocka_unit_test(a_row_of_a_snapshot_belongs_to_no_transaction),
        cmocka_unit_test(an_end_counts_its_events),
        cmocka_unit_test(what_is_not_ours_is_foreign),
        cmocka_unit_test(values_keep_their_digits_and_lose_their_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
