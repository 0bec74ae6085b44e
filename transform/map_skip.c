/* Rules and derivations that a setting leaves out, as `skip: true` in the file does. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define SEPARATORS ", \t\n"

static bool is_named(const char *name, size_t len, const char *text)
{
    return text && strlen(text) == len && memcmp(text, name, len) == 0;
}

/* A rule's name may hold blanks: a name ends at a comma, and blanks around it do not count. */
static const char *next_name(const char **at, size_t *ret_len)
{
    *at += strspn(*at, SEPARATORS);
    const char *name = *at;
    size_t len = strcspn(name, ",\n");
    *at += len;
    while (len > 0 && strchr(SEPARATORS, name[len - 1]))
        len--;
    *ret_len = len;
    return len ? name : NULL;
}

/* Known from the compiled rules and derivations, which stand in the order of their specs. */
static bool skip_named(struct map *map, const char *name, size_t len)
{
    bool found = false;
    for (size_t i = 0; i < map->spec_count; i++) {
        bool named = is_named(name, len, map->rules[i]->name) || is_named(name, len, map->rules[i]->entity);
        map->specs[i].skip = map->specs[i].skip || named;
        found = found || named;
    }
    for (size_t i = 0; i < map->derive_count; i++) {
        const struct derivation *derivation = map->derivations[i];
        bool named = is_named(name, len, derivation->name) || is_named(name, len, derivation->entity);
        map->derives[i].skip = map->derives[i].skip || named;
        found = found || named;
    }
    return found;
}

static const char *nearest(struct map *map, const char *name, size_t len)
{
    const char **names = arena_zalloc(&map->bound, 2 * (map->rule_count + map->derivation_count) + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < map->rule_count; i++) {
        names[count++] = map->rules[i]->name;
        if (map->rules[i]->entity)
            names[count++] = map->rules[i]->entity;
    }
    for (size_t i = 0; i < map->derivation_count; i++) {
        names[count++] = map->derivations[i]->name;
        if (map->derivations[i]->entity)
            names[count++] = map->derivations[i]->entity;
    }
    return map_suggest(arena_strndup(&map->bound, name, len), names, count);
}

void map_warn_of_skipped_parents(const struct map *map, struct map_issues *issues)
{
    for (size_t i = 0; i < map->rule_count; i++) {
        const struct rule *rule = map->rules[i];
        for (size_t c = 0; c < rule->column_count && !rule->program->skip; c++)
            if (rule->columns[c].parent && rule->columns[c].parent->program->skip)
                issue_warning(issues, rule->program->spec->columns[c].node,
                              "the entity \"%s\" belongs to rule %s, which is skipped; its rows are not on the target",
                              rule->columns[c].parent_entity, rule->columns[c].parent->name);
    }
}

int map_skip(struct map *map, const char *names, struct map_issues *issues, struct err *reterr)
{
    size_t len;
    for (const char *at = names, *name; (name = next_name(&at, &len));) {
        if (skip_named(map, name, len))
            continue;
        const char *near = nearest(map, name, len);
        (void)err_set(reterr, ERR_CONFIG, "the setting skip names \"%.*s\": no rule, derivation or entity is called so",
                      (int)(len < 100 ? len : 100), name);
        return near ? err_hint(reterr, "did you mean \"%s\"?", near) : -1;
    }
    arena_reset(&map->bound, 0);
    map_compile(map, NULL, 0, issues);
    map_sort(map, issues);
    map_warn_of_skipped_parents(map, issues);
    return 0;
}
