/* "Are you sure?", where it is hard to undo. */
#ifndef PGREKEY_APP_CONFIRM_H
#define PGREKEY_APP_CONFIRM_H

#include <stdbool.h>

#include "cdc/app/cmd/command.h"

/* True with --yes, or where a person at the terminal says yes. Else false and ERR_CONFIG: without a terminal nobody can
 * be asked. */
bool confirm(const struct command_line *line, const char *question, struct err *reterr);

#endif
