#include "sinks/postgres/adopt/names.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/session/session.h"

struct names {
    struct pgsink *s;
    struct row_names_fact *facts;
    size_t fact_count;
};

/* Which of the mapping's names is not among those that are done; NULL: none. */
static const char *find_undone(const struct map *map, const PGresult *done)
{
    for (size_t i = 0; i < map_rule_count(map) + map_derivation_count(map); i++) {
        bool is_rule = i < map_rule_count(map), found = false;
        size_t at = is_rule ? i : i - map_rule_count(map);
        const struct adopt *adopt = is_rule ? &map_rule(map, at)->adopt : &map_derivation(map, at)->adopt;
        const char *name = is_rule ? map_rule(map, at)->name : map_derivation(map, at)->name;
        for (int row = 0; row < PQntuples(done) && !found; row++)
            found = strcmp(PQgetvalue(done, row, 0), name) == 0;
        if (adopt->by != ADOPT_NONE && !found)
            return name;
    }
    return NULL;
}

static int check_done(struct pgsink *s, struct err *reterr)
{
    const char *params[] = {s->options.pipeline};
    PGresult *done = NULL;
    if (session_query(s, "looking for adopted rows", "SELECT rule FROM pgrekey.adoption WHERE pipeline = $1 AND done",
                      1, params, &done, reterr))
        return -1;
    const char *undone = find_undone(s->options.map, done);
    PQclear(done);
    if (!undone)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "pipeline %s has not adopted rows of %s yet on identity.target",
                  s->options.pipeline, undone);
    return err_hint(reterr, "`pgrekey run` into that target first, with this mapping; identity.pipeline is the name of "
                            "its pipeline");
}

static int read_facts(struct names *names, struct err *reterr)
{
    const char *params[] = {names->s->options.pipeline};
    PGresult *result = NULL;
    if (session_query(names->s, "looking for adopted rows",
                      "SELECT entity, count(*) || ' ' || sum(hashtextextended(derived || ' ' || id, 0)::numeric) "
                      "FROM pgrekey.adopted WHERE pipeline = $1 GROUP BY entity ORDER BY entity",
                      1, params, &result, reterr))
        return -1;
    names->fact_count = (size_t)PQntuples(result);
    names->facts = mem_zalloc(names->fact_count + 1, sizeof(*names->facts));
    for (int i = 0; i < PQntuples(result); i++)
        names->facts[i] = (struct row_names_fact){.entity = mem_strdup(PQgetvalue(result, i, 0)),
                                                  .digest = mem_strdup(PQgetvalue(result, i, 1))};
    PQclear(result);
    return 0;
}

int names_open(const struct pgsink_options *options, struct names **ret_names, struct err *reterr)
{
    struct names *names = mem_zalloc(1, sizeof(*names));
    if (session_open(options, &names->s, reterr) != 0 || check_done(names->s, reterr) != 0 ||
        adopted_open(names->s, reterr) != 0 || read_facts(names, reterr) != 0) {
        names_close(names);
        (void)err_wrap(reterr, "identity.target");
        return -1;
    }
    *ret_names = names;
    return 0;
}

void names_close(struct names *names)
{
    if (!names)
        return;
    if (names->s)
        sink_close(&names->s->sink);
    for (size_t i = 0; i < names->fact_count; i++) {
        free(names->facts[i].entity);
        free(names->facts[i].digest);
    }
    free(names->facts);
    free(names);
}

int names_put(struct names *names, struct row **rows, size_t count, struct arena *arena, struct err *reterr)
{
    return adopted_rows(names->s, rows, count, arena, reterr);
}

const struct row_names_fact *names_facts(const struct names *names, size_t *ret_count)
{
    *ret_count = names->fact_count;
    return names->facts;
}
