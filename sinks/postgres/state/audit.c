#include "sinks/postgres/state/audit.h"

#include <inttypes.h>
#include <stdio.h>

#include "sinks/postgres/session/session.h"

int audit_put(struct pgsink *s, const char *action, const char *rule, int64_t rows, const char *detail,
              struct err *reterr)
{
    char count[24];
    snprintf(count, sizeof(count), "%" PRId64, rows);
    const char *params[] = {s->options.pipeline, action, rule ? rule : "", count, detail ? detail : ""};
    return session_query(s, "writing the audit",
                         "INSERT INTO pgrekey.audit (pipeline, action, rule, rows, detail) VALUES ($1, $2, $3, $4, $5)",
                         5, params, NULL, reterr);
}
