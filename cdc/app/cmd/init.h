/* `pgrekey init`: what its parts share. */
#ifndef PGREKEY_APP_INIT_H
#define PGREKEY_APP_INIT_H

#include <libpq-fe.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/engine/mapping.h"
#include "cdc/base/buf.h"

/* The user that a DSN names, or libpq's default for it. Caller frees. */
char *init_user_of(const char *dsn);

/* init_source.c: the SQL for the source's side; printed, never run. */
int init_print_source(const struct cli *cli);

#endif
