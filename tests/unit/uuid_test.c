#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* The golden vectors: computed with PostgreSQL's uuid_generate_v5() (uuid-ossp) and, independently, with Python's
 * uuid.uuid5(). They never change, for UUIDs made from them stand in databases. */
#include <stdio.h>

#include "cdc/base/uuid.h"

static const char ns_text[] = "0c1d2e3f-4051-5263-8495-a6b7c8d9eafb";

static struct uuid parse(const char *text)
{
    struct uuid uuid;
    assert_true(uuid_parse_text(text, strlen(text), &uuid));
    return uuid;
}

static void name_based_uuids_are_those_of_rfc_4122(void **state)
{
    (void)state;
    static const struct {
        const char *name, *uuid;
    } cases[] = {
        {"python.org", "886313e1-3b8a-5372-9b90-0c9aee199e5d"},
        {"www.example.com", "2ed6657d-e927-568b-95e1-2665a8aea6a2"},
    };
    struct uuid dns = parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[UUID_TEXT_LEN + 1];
        struct uuid uuid = uuid_v5(&dns, cases[i].name, strlen(cases[i].name));
        uuid_format(&uuid, text);
        assert_string_equal(text, cases[i].uuid);
    }
}

struct golden {
    const char *entity;
    size_t count;
    const char *parts[3];
    const char *uuid;
};

static const struct golden golden[] = {
    {"order", 1, {"1"}, "fdd9fc6f-9766-5318-a876-3af8d8874f36"},
    {"order", 1, {"750000"}, "836859c8-17ac-58cd-8add-acc920ee8cae"},
    {"order", 1, {"-7"}, "6e18847b-7d14-5461-a55c-9e1fd13af0b0"},
    {"office", 1, {"1"}, "7fa7e6a1-6c4e-5479-a859-63e05db42fce"},
    {"profile", 1, {"00000000-0000-4000-8000-000000000001"}, "1691335d-ceb1-5734-80f8-1d33ec963c6d"},
    {"order", 1, {""}, "525be004-f8a0-577d-8415-671159a8713a"},
    {"office", 1, {"Zürich"}, "13573844-bff8-5916-9dff-5af8dc272566"},
    {"arzt_größe", 1, {"日本語 🦷"}, "3c17cf2d-0797-56ef-9d4d-ce379a570b81"},
    {"tag", 1, {"a|b"}, "23b03693-d454-5e81-96ff-3fef4df5d6ab"},
    {"tag", 1, {"a\\b"}, "b2a38a51-ba0a-592d-9708-fd03dad9511d"},
    {"membership", 2, {"1", "2"}, "e002d185-c6f4-5b40-8453-7cd73bfc4ca4"},
    {"membership", 2, {"12", ""}, "516dfd04-b03f-51f2-8a4a-c5f926cc2c7c"},
    {"membership", 2, {"", "12"}, "623e339d-d621-5950-b387-73f23ca5f01c"},
    {"membership", 2, {"a|b", "c"}, "450717a2-32aa-5694-8366-0d954d5f83af"},
    {"membership", 2, {"a", "b|c"}, "07b49706-fddb-5113-8999-d24fe7dac13a"},
    {"membership", 2, {"a\\", "b"}, "c32cfc28-5a28-5042-b20c-88c73e9305d4"},
    {"membership", 2, {"a", "\\b"}, "03700ddf-d474-57dd-8965-c30c71b5d102"},
    {"membership", 3, {"é|\\", "ñ", "3"}, "79af8d16-3185-5aee-a61a-8eec7e399ea0"},
};

static void assert_key(const struct golden *want)
{
    struct uuid ns = parse(ns_text);
    struct uuid_part parts[3];
    char text[UUID_TEXT_LEN + 1];

    for (size_t i = 0; i < want->count; i++)
        parts[i] = (struct uuid_part){want->parts[i], strlen(want->parts[i])};
    struct uuid uuid = uuid_of_key(&ns, want->entity, parts, want->count);
    uuid_format(&uuid, text);
    assert_string_equal(text, want->uuid);
}

static void keys_have_their_golden_uuid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(*golden); i++)
        assert_key(&golden[i]);
}

static void keys_too_long_for_the_stack_do_too(void **state)
{
    (void)state;
    char xs[601] = "", bars[301] = "";
    memset(xs, 'x', 600);
    memset(bars, '|', 300);
    assert_key(&(struct golden){"long", 1, {xs}, "d58b1311-44eb-5100-bc10-4f7b6b8b8af0"});
    assert_key(&(struct golden){"long", 2, {bars, "y"}, "476169fa-c9c0-5e13-b4fd-9ca388bbfb99"});
}

static void a_key_need_not_be_terminated(void **state)
{
    (void)state;
    struct uuid ns = parse(ns_text);
    struct uuid_part whole = {"1", 1}, piece = {"123", 1}, none = {NULL, 0}, empty = {"", 0};
    struct uuid a = uuid_of_key(&ns, "order", &whole, 1), b = uuid_of_key(&ns, "order", &piece, 1);
    assert_memory_equal(&a, &b, sizeof(a));
    a = uuid_of_key(&ns, "order", &none, 1);
    b = uuid_of_key(&ns, "order", &empty, 1);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void text_is_read_and_written(void **state)
{
    (void)state;
    char text[UUID_TEXT_LEN + 1];
    struct uuid uuid = parse("0C1D2E3F-4051-5263-8495-a6b7c8d9EAFB");
    uuid_format(&uuid, text);
    assert_string_equal(text, ns_text);
}

static void other_text_is_refused_and_leaves_the_result(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "0c1d2e3f-4051-5263-8495-a6b7c8d9eaf",
        "0c1d2e3f-4051-5263-8495-a6b7c8d9eafb0",
        "{0c1d2e3f-4051-5263-8495-a6b7c8d9eafb}",
        "0c1d2e3f405152638495a6b7c8d9eafb",
        "0c1d2e3f-4051-5263-8495-a6b7c8d9eafg",
        "0c1d2e3f-4051-5263-8495_a6b7c8d9eafb",
        "0c1d2e3f4-051-5263-8495-a6b7c8d9eafb",
        "-c1d2e3f-4051-5263-8495-a6b7c8d9eafb",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct uuid uuid = {{7}};
        assert_false(uuid_parse_text(cases[i], strlen(cases[i]), &uuid));
        assert_int_equal(uuid.bytes[0], 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_based_uuids_are_those_of_rfc_4122),
        cmocka_unit_test(keys_have_their_golden_uuid),
        cmocka_unit_test(keys_too_long_for_the_stack_do_too),
        cmocka_unit_test(a_key_need_not_be_terminated),
        cmocka_unit_test(text_is_read_and_written),
        cmocka_unit_test(other_text_is_refused_and_leaves_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
