/* One change of one source row, decoded: what cdc/source produces and transform/ consumes.
 *
 * Values are the source's output text (bool as t/f, bytea with \x). Everything a change points to
 * lives in the arena of the batch it belongs to; the relation lives as long as the catalogue
 * that the mapping is bound to.
 */
#ifndef PGREKEY_BASE_CHANGE_H
#define PGREKEY_BASE_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/relation.h"

enum value_state {
    VALUE_ABSENT = 0, /* not in the message: unchanged and out of line. Not NULL. */
    VALUE_NULL,
    VALUE_TEXT,
};

struct value {
    const char *text; /* not NUL-terminated */
    uint32_t len;
    uint8_t state; /* enum value_state */
};

enum change_op {
    CHANGE_INSERT = 'I',
    CHANGE_UPDATE = 'U',
    CHANGE_DELETE = 'D',
    CHANGE_TRUNCATE = 'T',
    CHANGE_READ = 'r', /* a row of the snapshot */
};

struct change {
    enum change_op op;
    bool key_changed; /* an update whose identity differs from the new key */
    bool completed;   /* absent values were read from the source by key */
    bool gone;        /* they were looked for, but no row has this key any more: what is absent stays unknown, and
                         later changes (a delete, another key) settle what it meant */
    bool counted;     /* a row that is read again where the stream stands: the account knows it as it is, whatever
                      the target holds */
    bool stray;       /* a delete of what nobody counted: the target has a row that the source never told of */
    const struct relation *relation;
    struct value *columns;  /* relation->column_count; NULL for delete and truncate */
    struct value *identity; /* relation->key_count, in key order: the OLD key of an update or delete, the
                               key of an insert or read; NULL for truncate */
    uint64_t lsn;           /* end of the transaction's commit for changes of the stream once known, else the
                               message's own; the snapshot's point for CHANGE_READ */
    uint64_t commit_lsn;    /* end of its transaction's commit, where the stream was asked for it; else 0 */
    uint32_t xid;           /* 0 in a snapshot */
};

#endif
