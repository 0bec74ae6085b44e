/* Statements sent in one go through libpq's pipeline mode, and their outcomes: one round trip for all of them.
 *
 * For a few small statements without large results: everything is sent before anything is read.
 */
#ifndef PGREKEY_SINKS_POSTGRES_PIPE_H
#define PGREKEY_SINKS_POSTGRES_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/postgres/apply/target.h"

struct pgsink;

#define PIPE_MAX 160 /* statements, preparing ones included */

struct pipe {
    struct pgsink *s;
    struct err *reterr;
    bool failed; /* sending did */
    size_t count;
    size_t failed_at; /* after a failure: the statement's index; SIZE_MAX where it was none's */
    struct target_statement *preparing[PIPE_MAX]; /* NULL: an execution */
    int64_t affected[PIPE_MAX];                   /* outcome of each */
    int64_t *figures[PIPE_MAX];                   /* where its first row goes to; NULL: nobody asks */
    int figure_count[PIPE_MAX];
};

int pipe_begin(struct pipe *pipe, struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Each gives the statement's index; errors are kept until pipe_end. `sql` without parameters. */
size_t pipe_run(struct pipe *pipe, const char *sql);
size_t pipe_query(struct pipe *pipe, const char *sql, int param_count, const char *const *params);
/* Prepares first where that is still to be done. */
size_t pipe_execute(struct pipe *pipe, struct target_statement *statement, int param_count, const char *const *params);
/* The same of a statement whose one row is `count` numbers. They go to `figures`, which lives until pipe_end. */
size_t pipe_ask(struct pipe *pipe, struct target_statement *statement, int param_count, const char *const *params,
                int64_t *figures, int count);
/* Sends, waits for all outcomes, leaves the pipeline mode. On a statement's failure -1 with its error; what came
 * after it was not executed. */
int pipe_end(struct pipe *pipe) MUST_CHECK;

#endif
