/* The engine's own schema `pgrekey` on the target: SQL that `init` runs or prints. Idempotent.
 *
 *   pipeline          a record a pipeline: state, position, source, fingerprints, pause, heartbeat, snapshot
 *   counter           mapped, quarantined, excluded, failed_deletes a rule
 *   mapping_step      what each step of the mapping meant when its rows were written
 *   snapshot_part     a piece of a snapshot: what it holds, whether it is done, at which point it was read
 *   quarantine        rows kept aside, with their change
 *   pending_reference optional references that are NULL because their parent is not there
 *   gone              keys whose row stays on the target although the source row is gone or excluded
 *   derivation        short numbers of derivations
 *   derived           keys whose target rows, or columns, a derivation has written
 *   mirror            tables and views of the side schema, and whose they are
 *   taken_off         indexes and foreign keys that a fast load has still to build again
 *   request           what operators ask of a running engine
 *   resync            tables that are read again while the stream runs, and how far they are
 *   replay_offset     how far a replay has read its topics
 *   dead_letter       messages that a replay could not read
 *   audit             retries, discards, pauses, resumes, deletes by count
 *   namespace         the UUIDv5 namespace a pipeline, for pgrekey.id()
 *   adopted           target rows that were there before and are the source's: derived id -> existing id
 *   adoption          what each `adopt` found
 */
#ifndef PGREKEY_SINKS_POSTGRES_SCHEMA_H
#define PGREKEY_SINKS_POSTGRES_SCHEMA_H

#include "cdc/base/buf.h"

struct schema_options {
    const char *role;                 /* the engine's role; NULL: no roles, grants to the current user only */
    const char *const *target_tables; /* schema and name in turn: granted SELECT, INSERT, UPDATE, DELETE, TRUNCATE */
    size_t target_table_count;
};

/* CREATE SCHEMA … and all its tables and functions. */
void schema_put_tables(struct buf *sql);
/* Of these, pgrekey.id() and what it reads (schema_functions.c), and what the role needs to call it. */
void schema_put_functions(struct buf *sql);
void schema_put_function_grants(struct buf *sql, const char *role);
/* CREATE ROLE (without a password), grants, ALTER ROLE … SET log_min_messages and friends. */
void schema_put_roles(struct buf *sql, const struct schema_options *options);

#define SCHEMA_VERSION 3

#endif
