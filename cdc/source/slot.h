/* Replication slots: made with an exported snapshot, looked at, dropped; and who the server is. */
#ifndef PGREKEY_SOURCE_SLOT_H
#define PGREKEY_SOURCE_SLOT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "cdc/base/identity.h"

struct slot_state {
    bool exists;
    bool active;
    int active_pid;
    bool logical;
    char plugin[64], database[64];
    char wal_status[16]; /* reserved, extended, unreserved, lost */
    uint64_t restart_lsn, confirmed_lsn;
    bool has_safe_wal_size;
    int64_t safe_wal_size;
    uint64_t current_lsn; /* pg_current_wal_lsn() at the same moment */
};

/* Can pgrekey read it as what it is? `database`: the one that the connection is for. The slot exists. */
enum slot_kind { SLOT_OURS, SLOT_PHYSICAL, SLOT_OTHER_PLUGIN, SLOT_OTHER_DATABASE };
enum slot_kind slot_kind(const struct slot_state *state, const char *database);

/* IDENTIFY_SYSTEM on a replication connection. */
int slot_identify(PGconn *replication, struct source_identity *ret_identity, uint64_t *ret_wal_lsn,
                  struct err *reterr) MUST_CHECK;
/* On an ordinary connection. A missing slot is no failure (exists = false). */
int slot_read(PGconn *conn, const char *slot, struct slot_state *ret_state, struct err *reterr) MUST_CHECK;

/* CREATE_REPLICATION_SLOT … LOGICAL wal2json (SNAPSHOT 'export') on a replication connection; the snapshot lives as
 * long as that connection does nothing else. The server waits for transactions that are open: wait_s bounds it, and
 * the error then names the sessions in the way (pid, user, age; by the ordinary connection `conn`, may be NULL).
 * A temporary one goes with its connection. */
int slot_create(PGconn *replication, PGconn *conn, const char *slot, bool temporary, int wait_s,
                uint64_t *ret_consistent_lsn, char *ret_snapshot, size_t snapshot_size, struct err *reterr) MUST_CHECK;
/* Puts a sentence and a way out in place of an error with which the server refuses wal2json itself (not installed,
 * not in output_plugin_libraries, no REPLICATION); leaves any other as it is. Returns -1. */
int slot_explain_plugin(const PGresult *result, struct err *reterr);
/* Waits for an active one to be left, at most wait_s. A missing slot is fine. */
int slot_drop(PGconn *conn, const char *slot, int wait_s, struct err *reterr) MUST_CHECK;

#endif
