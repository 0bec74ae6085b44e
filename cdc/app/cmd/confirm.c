#include "cdc/app/cmd/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool confirm(const struct command_line *line, const char *question, struct err *reterr)
{
    char answer[16];
    if (command_has(line, OPT_YES))
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        err_set(reterr, ERR_CONFIG, "%s wants to be confirmed, and there is no terminal to ask on",
                line->command->name);
        err_hint(reterr, "give --yes where it is meant");
        return false;
    }
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) && (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return true;
    err_set(reterr, ERR_CONFIG, "nothing was done");
    return false;
}
