#include "cdc/base/relation.h"

#include <stdlib.h>
#include <string.h>

static void relation_done(struct relation *relation)
{
    for (size_t i = 0; i < relation->column_count; i++) {
        free(relation->columns[i].name);
        free(relation->columns[i].type);
        free(relation->columns[i].base_type);
    }
    for (size_t i = 0; i < relation->unique_count; i++) {
        free(relation->uniques[i].name);
        free(relation->uniques[i].columns);
    }
    for (size_t i = 0; i < relation->fk_count; i++) {
        struct foreign_key *fk = &relation->fks[i];
        for (size_t j = 0; fk->parent_columns && j < fk->count; j++)
            free(fk->parent_columns[j]);
        free(fk->name);
        free(fk->parent_schema);
        free(fk->parent_table);
        free(fk->columns);
        free(fk->parent_columns);
    }
    free(relation->schema);
    free(relation->name);
    free(relation->columns);
    free(relation->key);
    free(relation->pk);
    free(relation->uniques);
    free(relation->fks);
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->count; i++)
        relation_done(&catalog->relations[i]);
    free(catalog->relations);
    free(catalog);
}

const struct relation *catalog_find(const struct catalog *catalog, const char *schema, const char *name)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct relation *relation = &catalog->relations[i];
        if (strcmp(relation->name, name) == 0 && strcmp(relation->schema, schema) == 0)
            return relation;
    }
    return NULL;
}

int relation_column(const struct relation *relation, const char *name)
{
    for (size_t i = 0; i < relation->column_count; i++) {
        if (strcmp(relation->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static bool same_column(const struct column *a, const struct column *b)
{
    return strcmp(a->name, b->name) == 0 && a->type_oid == b->type_oid && strcmp(a->type, b->type) == 0 &&
           strcmp(a->base_type, b->base_type) == 0 && a->kind == b->kind && a->not_null == b->not_null &&
           a->generated == b->generated && a->identity_always == b->identity_always && a->toastable == b->toastable;
}

static bool same_indexes(const uint16_t *a, size_t a_count, const uint16_t *b, size_t b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

bool relation_same_shape(const struct relation *a, const struct relation *b)
{
    if (a->kind != b->kind || a->replident != b->replident || a->column_count != b->column_count)
        return false;
    for (size_t i = 0; i < a->column_count; i++) {
        if (!same_column(&a->columns[i], &b->columns[i]))
            return false;
    }
    return same_indexes(a->key, a->key_count, b->key, b->key_count) &&
           same_indexes(a->pk, a->pk_count, b->pk, b->pk_count);
}
