/* What every sink keeps besides rows, in the words of the engine: how far a pipeline is, the parts of its snapshot, the
 * steps of its mapping, its figures. Plain data; sink.h has the functions.
 */
#ifndef PGREKEY_SINKS_PIPELINE_H
#define PGREKEY_SINKS_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

enum pipeline_state {
    PIPELINE_NEW,       /* no record yet */
    PIPELINE_SNAPSHOT,  /* a snapshot is or was under way: its rows are not whole */
    PIPELINE_STREAMING, /* position is valid */
};

struct sink_position {
    enum pipeline_state state;
    uint64_t lsn;          /* end of the last applied source transaction; 0 unless STREAMING */
    uint64_t snapshot_lsn; /* where the slot begins; 0 before the snapshot's plan is recorded */
    bool paused;           /* stays paused over a restart */
    char pause_category[ERR_PAUSE_MAX], pause_reason[ERR_TEXT_MAX];
};

/* A part of a snapshot. */
struct sink_part {
    int id, level;
    char *schema, *table; /* of the source */
    char *lo, *hi;        /* of the first key column: lo <= key < hi; NULL: open */
    char **rules;         /* names */
    size_t rule_count;
    bool done;
    uint64_t point; /* it was read at, where done; 0 where the stream is known to be past it */
};
void sink_parts_free(struct sink_part *parts, size_t count);

/* Steps of the mapping whose rows are not, or no longer, those of the mapping at hand. state "new": they are to be
 * loaded; "back": its table is to be read again over what it left; "changed": they are due to be written again;
 * "removed": the mapping has it no more, rows and counters stay. */
struct sink_step {
    char *name, *kind, *source_table, *state; /* source_table "" of a derivation */
};
void sink_steps_free(struct sink_step *steps, size_t count);

/* A step that holds more rows in quarantine than the mapping accepts. */
struct sink_loss {
    char *step;
    int64_t quarantined, accepted;
};
void sink_losses_free(struct sink_loss *losses, size_t count);

/* What became of indexes and foreign keys since the sink was opened. */
struct sink_fast_load {
    size_t taken_off, restored;
    size_t failed;         /* could not be built again, and stay recorded; tried again when the sink is next opened */
    char last_failed[256]; /* "index a_b of public.a (SQLSTATE 54000)" */
    bool bound_without;    /* some were off when the sink was opened: what the map was bound to does not know them */
};

/* Figures since the sink was opened. */
struct sink_figures {
    uint64_t rows, transactions, batches, row_mode_batches, quarantined, completed_from_source;
    uint64_t quick_batches, quick_derived; /* by the quick path; of them, those with derivations to run */
};

#endif
