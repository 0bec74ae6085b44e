#include "sinks/postgres/state/namespace.h"

#include "cdc/base/uuid.h"
#include "sinks/postgres/session/session.h"

int namespace_set(struct pgsink *s, struct err *reterr)
{
    char space[UUID_TEXT_LEN + 1];
    const char *params[2] = {s->options.pipeline, space};

    uuid_format(map_namespace(s->options.map), space);
    return session_query(s, "setting up the session",
                         "SELECT set_config('pgrekey.pipeline', $1, false), set_config('pgrekey.namespace', $2, false)",
                         2, params, NULL, reterr);
}

int namespace_record(struct pgsink *s, struct err *reterr)
{
    char space[UUID_TEXT_LEN + 1];
    const char *params[2] = {s->options.pipeline, space};

    uuid_format(map_namespace(s->options.map), space);
    return session_query(s, "recording the namespace",
                         "INSERT INTO pgrekey.namespace AS n (pipeline, namespace) VALUES ($1, $2::uuid) "
                         "ON CONFLICT (pipeline) DO UPDATE SET namespace = excluded.namespace "
                         "WHERE n.namespace <> excluded.namespace",
                         2, params, NULL, reterr);
}
