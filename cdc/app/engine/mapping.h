/* The mapping as the command line needs it: loaded, and compared with as many of the two catalogues as can be read. */
#ifndef PGREKEY_APP_MAPPING_H
#define PGREKEY_APP_MAPPING_H

#include <libpq-fe.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/cmd/json.h"
#include "transform/map.h"

struct mapping {
    struct map *map; /* NULL where the file has errors */
    struct catalog *source, *target;
    struct map_issues issues;
};

/* Loads the file; `skip` as the setting has it, or NULL. -1 where it has errors: they stand in mapping->issues, and
 * *reterr counts them. */
int mapping_load(struct mapping *mapping, const char *path, const char *skip, struct err *reterr) MUST_CHECK;
/* Reads the catalogue of each connection that is not NULL and binds. -1 likewise; an error without issues is the
 * server's. */
int mapping_bind(struct mapping *mapping, PGconn *source, PGconn *target, struct err *reterr) MUST_CHECK;
void mapping_done(struct mapping *mapping);

/* What `run` and `replay` say of a mapping that they have bound, or failed to: its issues on stderr (warnings at
 * log.level info), and the hint that belongs to errors. */
void mapping_tell(const struct map_issues *issues, const char *path, bool failed, struct err *reterr);

/* "issues": [ … ] */
void mapping_put_issues(struct json *json, const struct mapping *mapping);

#endif
