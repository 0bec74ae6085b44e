#include "tests/support/catalogs.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

static char *piece(const char *text, size_t len)
{
    while (len > 0 && *text == ' ')
        text++, len--;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    char *copy = mem_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* The next piece up to `end`, or NULL; freed by the caller. */
static char *next_piece(const char **text, char end)
{
    if (!*text || !**text)
        return NULL;
    const char *stop = strchr(*text, end);
    size_t len = stop ? (size_t)(stop - *text) : strlen(*text);
    char *copy = piece(*text, len);
    *text = stop ? stop + 1 : NULL;
    return copy;
}

static bool take_mark(char *text, char mark)
{
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != mark)
        return false;
    text[len - 1] = '\0';
    return true;
}

static char *base_type_of(const char *type)
{
    const char *open = strchr(type, '(');
    return open ? piece(type, (size_t)(open - type)) : mem_strdup(type);
}

static bool is_one_of(const char *type, const char *const *types)
{
    for (; *types; types++)
        if (strcmp(*types, type) == 0)
            return true;
    return false;
}

static enum column_kind kind_of(const char *type)
{
    static const char *const numbers[] = {"smallint", "integer", "bigint", "numeric", "real", "double precision", NULL};
    if (is_one_of(type, numbers))
        return COLUMN_NUMBER;
    if (strcmp(type, "boolean") == 0)
        return COLUMN_BOOL;
    return strcmp(type, "bytea") == 0 ? COLUMN_BYTEA : COLUMN_TEXT;
}

static void add_column(struct relation *relation, char *text)
{
    static const char *const floats[] = {"numeric", "real", "double precision", NULL};
    relation->columns = mem_realloc(relation->columns, (relation->column_count + 1) * sizeof *relation->columns);
    struct column *column = &relation->columns[relation->column_count++];
    *column = (struct column){.attnum = (int)relation->column_count};
    column->generated = take_mark(text, '~');
    column->identity_always = take_mark(text, '@');
    column->has_default = take_mark(text, '=');
    column->not_null = take_mark(text, '!');
    char *space = strchr(text, ' ');
    column->name = piece(text, (size_t)(space - text));
    column->type = mem_strdup(space + 1);
    column->base_type = base_type_of(column->type);
    column->kind = kind_of(column->base_type);
    column->toastable = column->kind == COLUMN_TEXT;
    column->nonfinite_possible = is_one_of(column->base_type, floats);
    free(text);
}

static uint16_t *columns_of(const struct relation *relation, const char *list, size_t *ret_count)
{
    uint16_t *columns = mem_zalloc(16, sizeof *columns);
    char *name;
    *ret_count = 0;
    while ((name = next_piece(&list, ','))) {
        int at = relation_column(relation, name);
        if (at < 0)
            abort();
        columns[(*ret_count)++] = (uint16_t)at;
        free(name);
    }
    return columns;
}

static void add_unique(struct relation *relation, char *text, bool primary)
{
    relation->uniques = mem_realloc(relation->uniques, (relation->unique_count + 1) * sizeof *relation->uniques);
    struct unique_index *index = &relation->uniques[relation->unique_count++];
    *index = (struct unique_index){.name = mem_strdup("index"), .primary = primary};
    index->partial_or_expression = take_mark(text, '?');
    index->deferrable = take_mark(text, '^');
    index->columns = columns_of(relation, text, &index->count);
    free(text);
}

static void add_fk(struct relation *relation, char *text)
{
    relation->fks = mem_realloc(relation->fks, (relation->fk_count + 1) * sizeof *relation->fks);
    struct foreign_key *fk = &relation->fks[relation->fk_count++];
    *fk = (struct foreign_key){.name = mem_strdup("fk"), .on_delete = 'a'};
    fk->deferrable = take_mark(text, '^');
    const char *rest = text;
    char *column = next_piece(&rest, '>');
    fk->parent_schema = next_piece(&rest, '.');
    fk->parent_table = next_piece(&rest, '.');
    fk->parent_columns = mem_zalloc(1, sizeof(char *));
    fk->parent_columns[0] = next_piece(&rest, '.');
    fk->columns = columns_of(relation, column, &fk->count);
    free(column);
    free(text);
}

static void fill(struct relation *relation, const struct table_text *table)
{
    const char *rest = table->columns;
    char *text;
    relation->schema = mem_strdup(table->schema);
    relation->name = mem_strdup(table->name);
    relation->kind = table->kind ? table->kind : 'r';
    relation->replident = table->replident ? table->replident : 'd';
    while ((text = next_piece(&rest, ';')))
        add_column(relation, text);
    if (table->pk) {
        relation->pk = columns_of(relation, table->pk, &relation->pk_count);
        if (relation->replident == 'd')
            relation->key = columns_of(relation, table->pk, &relation->key_count);
        add_unique(relation, mem_strdup(table->pk), true);
    }
    for (rest = table->uniques; (text = next_piece(&rest, ';'));)
        add_unique(relation, text, false);
    for (rest = table->fks; (text = next_piece(&rest, ';'));)
        add_fk(relation, text);
}

struct catalog *catalog_of(const struct table_text *tables)
{
    struct catalog *catalog = mem_zalloc(1, sizeof *catalog);
    while (tables[catalog->count].name)
        catalog->count++;
    catalog->relations = mem_zalloc(catalog->count + 1, sizeof *catalog->relations);
    for (size_t i = 0; i < catalog->count; i++)
        fill(&catalog->relations[i], &tables[i]);
    return catalog;
}
