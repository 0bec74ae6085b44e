/* What derive_quick*.c share: the statements. */
#ifndef PGREKEY_SINKS_POSTGRES_DERIVE_QUICK_WORK_H
#define PGREKEY_SINKS_POSTGRES_DERIVE_QUICK_WORK_H

#include "sinks/postgres/derive/derive_work.h"

enum quick_kind {
    QUICK_TOUCH,     /* rows of a rule, by locators -> keys */
    QUICK_KEEP,      /* their old images */
    QUICK_COMPARE,   /* old and new images that differ -> keys; the old ones go */
    QUICK_TOUCH_OWN, /* the same of rows that a derivation changed */
    QUICK_COMPARE_OWN,
    QUICK_MERGE,
};

/* What the merge says in its one row. */
enum quick_figure {
    QUICK_KEYS,
    QUICK_ROWS, /* of the query */
    QUICK_UPDATED,
    QUICK_INSERTED,
    QUICK_NEW,     /* keys that are good now and were not */
    QUICK_GONE,    /* keys that were good and yield no row any more */
    QUICK_DELETED, /* their rows */
    QUICK_ODD,     /* not 0: not plain */
    QUICK_FIGURES,
};

/* Which looks the merge takes: where nothing stands in quarantine, there is nothing to look for. */
enum {
    QUICK_STANDING = 1, /* entries of the derivation stand in quarantine */
    QUICK_AWAITED = 2,  /* somebody waits for rows of its table */
    QUICK_PENDING = 4,  /* some of its references wait */
};
unsigned derive_quick_flags(const struct pgsink *s, const struct derive_one *one);

/* `from`: the rule's or derivation's index. The merge has the derivation's number as its parameter, the first three
 * kinds the locators. */
void derive_quick_put(struct pgsink *s, struct buf *sql, size_t derivation, enum quick_kind kind, size_t input,
                      size_t from, unsigned flags);

#endif
