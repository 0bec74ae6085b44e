/* Adopted ids for somebody who brings rows elsewhere than to the target that holds them: a publisher. A session that
 * only reads, without the pipeline's lock: which ids are adopted is settled before that pipeline's first snapshot. */
#ifndef PGREKEY_SINKS_POSTGRES_ADOPT_NAMES_H
#define PGREKEY_SINKS_POSTGRES_ADOPT_NAMES_H

#include "sinks/postgres/pgsink.h"

struct names;

/* options: conninfo, pipeline, map and catalogue are looked at. ERR_REFUSED where that pipeline has not adopted yet
 * what the mapping says. */
int names_open(const struct pgsink_options *options, struct names **ret_names, struct err *reterr) MUST_CHECK;
void names_close(struct names *names); /* NULL is fine */
/* Rows in which ids have to take their places are replaced by copies in arena. May ask the target. */
int names_put(struct names *names, struct row **rows, size_t count, struct arena *arena, struct err *reterr) MUST_CHECK;
/* What is adopted there, by entity; lives as long as names. */
const struct row_names_fact *names_facts(const struct names *names, size_t *ret_count);

#endif
