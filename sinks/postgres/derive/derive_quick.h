/* Derivations of a few rows, sent along in the quick path's pipe (apply/quickpath.h).
 *
 *     BEGIN ─ old images ─ rows ─ new images ─ merges ──▶│sync│─▶ images of what they changed ─ merges ──▶│sync│─▶
 * COMMIT
 *
 * One statement merges what a derivation gives for the keys at hand: it takes the keys out, runs the query, and writes
 * what differs. It also looks whether anything about these keys is not plain (rejected, doubled, an orphan, an entry in
 * quarantine, somebody who waits for a row that comes ..); then the whole is rolled back, and goes the long way. */
#ifndef PGREKEY_SINKS_POSTGRES_DERIVE_QUICK_H
#define PGREKEY_SINKS_POSTGRES_DERIVE_QUICK_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/postgres/session/pipe.h"

struct pgsink;
struct quick_due;

struct quick_sent {
    size_t derivation;
    size_t input; /* QUICK_MERGED: none, it is the merge */
    size_t index; /* in the pipe */
    bool images;  /* old ones that are kept, not keys */
};

struct derive_quick {
    struct pgsink *s;
    struct pipe *pipe;
    bool due_any;
    bool planner;          /* the planner is set for derivations */
    bool odd;              /* something is not plain */
    struct quick_due *due; /* by derivation, in s->scratch */
    struct quick_sent sent[PIPE_MAX];
    size_t sent_count;
};

/* The net change's derivations. False: there are some, and they need the long way. */
bool derive_quick_begin(struct derive_quick *quick, struct pgsink *s, struct pipe *pipe);
/* Makes what they lean on, before the transaction begins. */
int derive_quick_ready(struct derive_quick *quick, struct err *reterr) MUST_CHECK;

/* Each sends; what fails is kept by the pipe. Before any row, and behind the rows of each rule. */
void derive_quick_before(struct derive_quick *quick);
void derive_quick_after(struct derive_quick *quick, size_t rule_index);
/* A derivation's turn. False: the pipe is to be read first; then again. */
bool derive_quick_step(struct derive_quick *quick, size_t index);
/* Statements that are no derivation's come next. */
void derive_quick_leave_planner(struct derive_quick *quick);

/* The pipe has been read. False: something is not plain. */
bool derive_quick_took(struct derive_quick *quick);
/* All is done and plain: into the accounts; and, when it is committed, into the breaker. */
void derive_quick_count(const struct derive_quick *quick);
void derive_quick_committed(const struct derive_quick *quick);

#endif
