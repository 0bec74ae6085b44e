/* Source and target as the settings name them: what every command that meets them has in common. */
#ifndef PGREKEY_APP_SIDES_H
#define PGREKEY_APP_SIDES_H

#include <libpq-fe.h>

#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"
#include "transform/map.h"

enum side { SIDE_SOURCE, SIDE_TARGET };

/* ERR_CONFIG where the side's dsn is not set. */
int side_check_dsn(const struct settings *settings, enum side side, struct err *reterr) MUST_CHECK;
/* An ordinary connection, to look at the target. */
int side_open_target(const struct settings *settings, PGconn **ret_conn, struct err *reterr) MUST_CHECK;
/* The target's catalogue, as far as the mapping names schemas there, by a connection of its own. The caller frees it.
 */
int side_read_target(const struct settings *settings, const struct map *map, struct catalog **ret_catalog,
                     struct err *reterr) MUST_CHECK;
/* What the settings say of a PostgreSQL sink. Slot, source, map, catalogue and rows are the caller's to add. */
struct pgsink_options side_sink_options(const struct settings *settings);

#endif
