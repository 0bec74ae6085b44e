#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/relation.h"

static void set_column(struct column *column, const char *name, const char *type)
{
    *column = (struct column){.name = mem_strdup(name), .type = mem_strdup(type), .base_type = mem_strdup(type)};
}

/* public.orders (id, note), other.orders (id, note), each keyed by id, with an index and a foreign key. */
static struct catalog *sample(void)
{
    static const char *const schemas[] = {"public", "other"};
    struct catalog *catalog = mem_zalloc(1, sizeof(*catalog));

    catalog->count = 2;
    catalog->relations = mem_zalloc(2, sizeof(*catalog->relations));
    for (size_t i = 0; i < 2; i++) {
        struct relation *relation = &catalog->relations[i];
        relation->schema = mem_strdup(schemas[i]);
        relation->name = mem_strdup("orders");
        relation->kind = 'r';
        relation->replident = 'd';
        relation->columns = mem_zalloc(2, sizeof(*relation->columns));
        relation->column_count = 2;
        set_column(&relation->columns[0], "id", "integer");
        set_column(&relation->columns[1], "note", "text");
        relation->key = mem_zalloc(1, sizeof(uint16_t));
        relation->pk = mem_zalloc(1, sizeof(uint16_t));
        relation->key_count = relation->pk_count = 1;
        relation->uniques = mem_zalloc(1, sizeof(*relation->uniques));
        relation->unique_count = 1;
        relation->uniques[0].name = mem_strdup("orders_pkey");
        relation->uniques[0].columns = mem_zalloc(1, sizeof(uint16_t));
        relation->uniques[0].count = 1;
        relation->fks = mem_zalloc(1, sizeof(*relation->fks));
        relation->fk_count = 1;
        relation->fks[0].name = mem_strdup("orders_id_fkey");
        relation->fks[0].parent_schema = mem_strdup("public");
        relation->fks[0].parent_table = mem_strdup("parents");
        relation->fks[0].columns = mem_zalloc(1, sizeof(uint16_t));
        relation->fks[0].parent_columns = mem_zalloc(1, sizeof(char *));
        relation->fks[0].parent_columns[0] = mem_strdup("id");
        relation->fks[0].count = 1;
    }
    return catalog;
}

static void tables_are_found_by_schema_and_name(void **state)
{
    (void)state;
    struct catalog *catalog = sample();
    assert_ptr_equal(catalog_find(catalog, "public", "orders"), &catalog->relations[0]);
    assert_ptr_equal(catalog_find(catalog, "other", "orders"), &catalog->relations[1]);
    assert_null(catalog_find(catalog, "third", "orders"));
    assert_null(catalog_find(catalog, "public", "Orders"));
    catalog_free(catalog);
    catalog_free(NULL);
}

static void columns_are_found_by_exact_name(void **state)
{
    (void)state;
    struct catalog *catalog = sample();
    assert_int_equal(relation_column(&catalog->relations[0], "id"), 0);
    assert_int_equal(relation_column(&catalog->relations[0], "note"), 1);
    assert_int_equal(relation_column(&catalog->relations[0], "Note"), -1);
    catalog_free(catalog);
}

static void type_elsewhere(struct relation *relation)
{
    relation->columns[1].type_oid = 99;
}
static void length(struct relation *relation)
{
    relation->columns[1].type[0] = 'T';
}
static void renamed_column(struct relation *relation)
{
    relation->columns[0].name[0] = 'x';
}
static void nullable(struct relation *relation)
{
    relation->columns[0].not_null = true;
}
static void dropped_column(struct relation *relation)
{
    relation->column_count--;
}
static void other_key(struct relation *relation)
{
    relation->key[0] = 1;
}
static void no_key(struct relation *relation)
{
    relation->key_count = 0;
}
static void other_pk(struct relation *relation)
{
    relation->pk[0] = 1;
}
static void other_identity(struct relation *relation)
{
    relation->replident = 'f';
}

static void shape_is_columns_types_and_key(void **state)
{
    (void)state;
    static void (*const changes[])(struct relation *) = {type_elsewhere, length, renamed_column, nullable,
                                                         other_key,      no_key, other_pk,       other_identity};
    struct catalog *a = sample();
    assert_true(relation_same_shape(&a->relations[0], &a->relations[1])); /* the table's name is no part of it */
    a->relations[1].estimated_rows = 1e6;
    a->relations[1].oid = 5;
    assert_true(relation_same_shape(&a->relations[0], &a->relations[1]));
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        struct catalog *b = sample();
        changes[i](&b->relations[0]);
        assert_false(relation_same_shape(&a->relations[0], &b->relations[0]));
        catalog_free(b);
    }
    struct relation fewer = a->relations[0];
    dropped_column(&fewer);
    assert_false(relation_same_shape(&a->relations[0], &fewer));
    catalog_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_found_by_schema_and_name),
        cmocka_unit_test(columns_are_found_by_exact_name),
        cmocka_unit_test(shape_is_columns_types_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
