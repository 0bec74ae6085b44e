/* The tables of the engine's own schema, and the roles that may touch them.
 *
 * What a batch writes at every commit (pipeline, counter) is kept in narrow rows with room on the page, so that the
 * update stays on its page and leaves nothing for the indexes. What only people read lies elsewhere.
 */
#include "sinks/postgres/state/schema.h"

#include "cdc/pg/pg.h"

static const char TABLES[] =
    "CREATE SCHEMA IF NOT EXISTS pgrekey;\n"
    "COMMENT ON SCHEMA pgrekey IS 'pgrekey: position, accounts and quarantine of its pipelines';\n"
    "REVOKE ALL ON SCHEMA pgrekey FROM PUBLIC;\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.schema_version (\n"
    "    version integer PRIMARY KEY\n"
    ");\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.pipeline (\n"
    "    name                 text PRIMARY KEY,\n"
    "    lsn                  pg_lsn NOT NULL DEFAULT '0/0', -- end of the last applied source transaction\n"
    "    updated_at           timestamptz,                   -- of the last applied batch\n"
    "    state                text NOT NULL CHECK (state IN ('snapshot', 'streaming')),\n"
    "    slot                 text NOT NULL,\n"
    "    system_identifier    text NOT NULL,\n"
    "    timeline             bigint NOT NULL,\n"
    "    database             text NOT NULL,\n"
    "    fingerprint          text NOT NULL, -- of the whole mapping\n"
    "    identity_fingerprint text NOT NULL, -- of namespace, entities and keys\n"
    "    paused               boolean NOT NULL DEFAULT false,\n"
    "    pause_category       text,\n"
    "    pause_reason         text,\n"
    "    snapshot_lsn         pg_lsn,  -- the slot's consistent point\n"
    "    snapshot_parts       integer, -- NULL before the point is known\n"
    "    snapshot_begun       timestamptz,\n"
    "    snapshot_ended       timestamptz,\n"
    "    created_at           timestamptz NOT NULL DEFAULT now()\n"
    ") WITH (fillfactor = 20);\n"
    "COMMENT ON TABLE pgrekey.pipeline IS 'one record a pipeline: position, source, mapping, pause';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.heartbeat (\n"
    "    pipeline      text PRIMARY KEY REFERENCES pgrekey.pipeline (name) ON DELETE CASCADE,\n"
    "    at            timestamptz NOT NULL,\n"
    "    received_lsn  pg_lsn NOT NULL,\n"
    "    source_lsn    pg_lsn NOT NULL,\n"
    "    confirmed_lsn pg_lsn NOT NULL,\n"
    "    lag_s         double precision NOT NULL,\n"
    "    rows_per_s    double precision NOT NULL,\n"
    "    phase         text NOT NULL,\n"
    "    source_rate   double precision NOT NULL, -- bytes of WAL a second\n"
    "    apply_rate    double precision NOT NULL,\n"
    "    time_left_s   double precision NOT NULL, -- this and the following: -1 where it is not known\n"
    "    message_age_s double precision NOT NULL, -- of the newest message that came through the whole pipeline\n"
    "    p50_s         double precision NOT NULL,\n"
    "    p99_s         double precision NOT NULL,\n"
    "    snapshot_left_s   double precision NOT NULL,\n"
    "    snapshot_expected bigint NOT NULL -- rows\n"
    ") WITH (fillfactor = 20);\n"
    "COMMENT ON TABLE pgrekey.heartbeat IS 'what only the running engine knows, about once a second';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.counter (\n"
    "    pipeline       text NOT NULL,\n"
    "    rule           text NOT NULL,\n"
    "    mapped         bigint NOT NULL DEFAULT 0,\n"
    "    quarantined    bigint NOT NULL DEFAULT 0,\n"
    "    excluded       bigint NOT NULL DEFAULT 0,\n"
    "    failed_deletes bigint NOT NULL DEFAULT 0, -- outside the equation\n"
    "    source_table   text NOT NULL,\n"
    "    target_table   text NOT NULL,\n"
    "    PRIMARY KEY (pipeline, rule)\n"
    ") WITH (fillfactor = 20);\n"
    "COMMENT ON TABLE pgrekey.counter IS 'mapped + quarantined + excluded = rows of the source table, a rule';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.mapping_step (\n"
    "    pipeline             text NOT NULL,\n"
    "    step                 text NOT NULL, -- name of a rule, mirror or derivation\n"
    "    kind                 text NOT NULL CHECK (kind IN ('rule', 'mirror', 'derivation')),\n"
    "    identity_fingerprint text NOT NULL, -- of what its rows' identities hang on\n"
    "    fingerprint          text NOT NULL, -- of all that its rows are made by\n"
    "    entity               text NOT NULL DEFAULT '',\n"
    "    source_table         text NOT NULL DEFAULT '',\n"
    "    target_table         text NOT NULL,\n"
    "    state                text NOT NULL \n"
    "        CHECK (state IN ('current', 'new', 'back', 'changed', 'removed')),\n"
    "    accept_rows          bigint, -- rows in quarantine that are accepted as loss\n"
    "    accept_ppm           bigint, -- the same in millionths of the source's rows\n"
    "    skipped              boolean NOT NULL DEFAULT false,\n"
    "    PRIMARY KEY (pipeline, step)\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.mapping_step IS 'the mapping that the rows were written by, step by step';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.snapshot_part (\n"
    "    pipeline text NOT NULL,\n"
    "    part     integer NOT NULL,\n"
    "    rows     bigint NOT NULL DEFAULT 0, -- source rows times rules, as applied\n"
    "    done     boolean NOT NULL DEFAULT false,\n"
    "    PRIMARY KEY (pipeline, part)\n"
    ") WITH (fillfactor = 50);\n"
    "COMMENT ON TABLE pgrekey.snapshot_part IS 'pieces of a snapshot and how far they are';\n"
    "ALTER TABLE pgrekey.snapshot_part\n"
    "    ADD COLUMN IF NOT EXISTS level integer NOT NULL DEFAULT 0,\n"
    "    ADD COLUMN IF NOT EXISTS source_schema text NOT NULL DEFAULT '',\n"
    "    ADD COLUMN IF NOT EXISTS source_table text NOT NULL DEFAULT '',\n"
    "    ADD COLUMN IF NOT EXISTS rules text[] NOT NULL DEFAULT '{}',\n"
    "    ADD COLUMN IF NOT EXISTS lo text, -- first key column: from here, NULL: from the first\n"
    "    ADD COLUMN IF NOT EXISTS hi text, -- to before here, NULL: to the last\n"
    "    ADD COLUMN IF NOT EXISTS point pg_lsn; -- it was read at; NULL: not done, or the stream is past it\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.quarantine (\n"
    "    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    pipeline        text NOT NULL,\n"
    "    rule            text NOT NULL,\n"
    "    key             text NOT NULL, -- of the source row: JSON array of its identity's values\n"
    "    source_table    text NOT NULL,\n"
    "    target_table    text NOT NULL,\n"
    "    op              text NOT NULL, -- I, U, D, T; r for a row of the snapshot\n"
    "    category        text NOT NULL,\n"
    "    severity        text NOT NULL,\n"
    "    status          text NOT NULL DEFAULT 'pending'\n"
    "                    CHECK (status IN ('pending', 'in_progress', 'escalated', 'discarded', 'resolved')),\n"
    "    sqlstate        text NOT NULL DEFAULT '',\n"
    "    column_name     text NOT NULL DEFAULT '',\n"
    "    constraint_name text NOT NULL DEFAULT '',\n"
    "    reason          text NOT NULL,\n"
    "    suggestion      text NOT NULL,\n"
    "    change          text NOT NULL, -- JSON; text, since it must take whatever the source holds\n"
    "    blocked_by      text, -- the target row that holds its unique value: JSON array, table and locator\n"
    "    waits_table     text, -- parked: the parent that is not there, schema.table\n"
    "    waits_id        text, -- and its key\n"
    "    target_row      jsonb, -- parked: the target row that it had, which comes back with it\n"
    "    place           text, -- where its last good version may stand, where the target does not tell the key\n"
    "    lsn             pg_lsn NOT NULL,\n"
    "    xid             bigint NOT NULL,\n"
    "    retries         integer NOT NULL DEFAULT 0,\n"
    "    next_try        timestamptz, -- NULL: not by itself\n"
    "    first_seen      timestamptz NOT NULL DEFAULT now(),\n"
    "    last_tried      timestamptz NOT NULL DEFAULT now(),\n"
    "    resolved_at     timestamptz\n"
    ");\n"
    "ALTER TABLE pgrekey.quarantine ADD COLUMN IF NOT EXISTS waits_table text,\n"
    "    ADD COLUMN IF NOT EXISTS waits_id text, ADD COLUMN IF NOT EXISTS target_row jsonb,\n"
    "    ADD COLUMN IF NOT EXISTS place text; -- since version 2\n"
    "COMMENT ON TABLE pgrekey.quarantine IS 'rows kept aside with their change; holds data of the source';\n"
    "-- A key stands aside at most once a rule; a discarded one stands until it changes again.\n"
    "CREATE UNIQUE INDEX IF NOT EXISTS quarantine_standing ON pgrekey.quarantine (pipeline, rule, key)\n"
    "    WHERE status <> 'resolved';\n"
    "CREATE INDEX IF NOT EXISTS quarantine_blocked ON pgrekey.quarantine (pipeline, blocked_by)\n"
    "    WHERE status <> 'resolved' AND blocked_by IS NOT NULL;\n"
    "CREATE INDEX IF NOT EXISTS quarantine_waits ON pgrekey.quarantine (pipeline, waits_table, waits_id)\n"
    "    WHERE status <> 'resolved' AND waits_id IS NOT NULL;\n"
    "CREATE INDEX IF NOT EXISTS quarantine_place ON pgrekey.quarantine (pipeline, rule, place)\n"
    "    WHERE status <> 'resolved' AND place IS NOT NULL;\n"
    "CREATE INDEX IF NOT EXISTS quarantine_resolved ON pgrekey.quarantine (pipeline, resolved_at)\n"
    "    WHERE status = 'resolved';\n"
    "CREATE INDEX IF NOT EXISTS quarantine_due ON pgrekey.quarantine (pipeline, next_try)\n"
    "    WHERE status = 'pending' AND next_try IS NOT NULL;\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.pending_reference (\n"
    "    pipeline      text NOT NULL,\n"
    "    rule          text NOT NULL,\n"
    "    key           text NOT NULL, -- of the source row, as in quarantine\n"
    "    column_name   text NOT NULL, -- of the target: NULL until the parent comes\n"
    "    parent_entity text NOT NULL,\n"
    "    parent_id     text NOT NULL,\n"
    "    parent_table  text,   -- schema.table\n"
    "    locator       text[], -- where the row stands on the target; NULL in notes of version 1\n"
    "    PRIMARY KEY (pipeline, rule, key, column_name)\n"
    ");\n"
    "ALTER TABLE pgrekey.pending_reference ADD COLUMN IF NOT EXISTS parent_table text,\n"
    "    ADD COLUMN IF NOT EXISTS locator text[]; -- since version 2\n"
    "COMMENT ON TABLE pgrekey.pending_reference IS 'optional references whose parent is not there';\n"
    "DROP INDEX IF EXISTS pgrekey.pending_reference_parent; -- of version 1\n"
    "CREATE INDEX IF NOT EXISTS pending_reference_waits\n"
    "    ON pgrekey.pending_reference (pipeline, parent_table, parent_id);\n"
    "CREATE INDEX IF NOT EXISTS pending_reference_place ON pgrekey.pending_reference (pipeline, rule, locator);\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.gone (\n"
    "    pipeline text NOT NULL,\n"
    "    rule     text NOT NULL,\n"
    "    key      text NOT NULL, -- of the source row, as in quarantine\n"
    "    PRIMARY KEY (pipeline, rule, key)\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.gone IS 'source rows that are deleted or excluded while their target row stays';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.mirror (\n"
    "    schema_name text NOT NULL,\n"
    "    name        text NOT NULL,\n"
    "    pipeline    text NOT NULL,\n"
    "    kind        text NOT NULL CHECK (kind IN ('table', 'view')),\n"
    "    position    integer NOT NULL, -- in the order they were made in\n"
    "    definition  text NOT NULL,    -- a view's query\n"
    "    PRIMARY KEY (schema_name, name)\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.mirror IS 'tables and views that a pipeline has made in the side schema';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.derivation (\n"
    "    id       integer GENERATED ALWAYS AS IDENTITY UNIQUE,\n"
    "    pipeline text NOT NULL,\n"
    "    rule     text NOT NULL,\n"
    "    PRIMARY KEY (pipeline, rule)\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.derivation IS 'short numbers of derivations, for pgrekey.derived';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.derived (\n"
    "    derivation integer NOT NULL,\n"
    "    key        text NOT NULL, -- JSON array of its values, as in quarantine\n"
    "    good       boolean, -- false: its row is an older one, the key stands in quarantine; NULL: gone, its row is "
    "kept\n"
    "    row        text, -- the target row's key, where it refers to others\n"
    "    PRIMARY KEY (derivation, key)\n"
    ");\n"
    "CREATE INDEX IF NOT EXISTS derived_row ON pgrekey.derived (derivation, row) WHERE row IS NOT NULL;\n"
    "COMMENT ON TABLE pgrekey.derived IS 'keys whose target rows, or columns, a derivation has written';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.taken_off (\n"
    "    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    pipeline    text NOT NULL,\n"
    "    level       integer NOT NULL, -- of the snapshot: behind it, it is built again\n"
    "    kind        text NOT NULL CHECK (kind IN ('index', 'foreign key')),\n"
    "    table_oid   oid NOT NULL,\n"
    "    schema_name text NOT NULL,\n"
    "    table_name  text NOT NULL,\n"
    "    name        text NOT NULL,\n"
    "    definition  text NOT NULL, -- CREATE INDEX ..; of a foreign key, what stands behind its name\n"
    "    extras      text NOT NULL, -- statements for what a definition does not say: comment, CLUSTER, statistics\n"
    "    validated   boolean NOT NULL,\n"
    "    state       text NOT NULL DEFAULT 'off' CHECK (state IN ('off', 'unvalidated')),\n"
    "    failed      text NOT NULL DEFAULT '' -- SQLSTATE of the last attempt to build it\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.taken_off IS 'indexes and foreign keys that a fast load builds again';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.request (\n"
    "    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    pipeline     text NOT NULL,\n"
    "    kind         text NOT NULL CHECK (kind IN ('resume', 'quarantine_retry', 'quarantine_discard')),\n"
    "    ids          bigint[],\n"
    "    rule         text,\n"
    "    category     text,\n"
    "    status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'done', 'failed')),\n"
    "    result       text,\n"
    "    requested_by text NOT NULL DEFAULT session_user,\n"
    "    requested_at timestamptz NOT NULL DEFAULT now(),\n"
    "    done_at      timestamptz\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.request IS 'what operators ask of the running engine';\n"
    "CREATE INDEX IF NOT EXISTS request_waiting ON pgrekey.request (pipeline, id) WHERE status = 'waiting';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.resync (\n"
    "    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    pipeline     text NOT NULL,\n"
    "    source_table text NOT NULL, -- as it was asked for, then schema.table\n"
    "    reason       text NOT NULL DEFAULT 'asked',\n"
    "    keys         text[], -- only rows with these; each a value, or a JSON array of them\n"
    "    lo           text, -- first key column: from here, NULL: from the first\n"
    "    hi           text, -- to here, NULL: to the last\n"
    "    next         text, -- done to before here\n"
    "    status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'done', 'failed')),\n"
    "    expected     bigint NOT NULL DEFAULT 0,\n"
    "    rows         bigint NOT NULL DEFAULT 0,\n"
    "    removed      bigint NOT NULL DEFAULT 0, -- target rows without a source row\n"
    "    point        pg_lsn, -- of what was read last\n"
    "    result       text, -- what it waits for, or came to\n"
    "    requested_by text NOT NULL DEFAULT session_user,\n"
    "    requested_at timestamptz NOT NULL DEFAULT now(),\n"
    "    begun_at     timestamptz,\n"
    "    done_at      timestamptz\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.resync IS 'tables that are read again while the stream runs; keys only until they are "
    "done';\n"
    "CREATE INDEX IF NOT EXISTS resync_open ON pgrekey.resync (pipeline, id) WHERE status IN ('waiting', 'running');\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.replay_offset (\n"
    "    pipeline    text NOT NULL,\n"
    "    topic       text NOT NULL,\n"
    "    partition   integer NOT NULL,\n"
    "    next_offset bigint NOT NULL, -- of the first message that is not applied\n"
    "    lsn         pg_lsn NOT NULL, -- of the last source transaction that was seen there\n"
    "    PRIMARY KEY (pipeline, topic, partition)\n"
    ") WITH (fillfactor = 20);\n"
    "COMMENT ON TABLE pgrekey.replay_offset IS 'how far a replay has read the partitions of its topics';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.dead_letter (\n"
    "    pipeline  text NOT NULL,\n"
    "    topic     text NOT NULL,\n"
    "    partition integer NOT NULL,\n"
    "    \"offset\"  bigint NOT NULL,\n"
    "    reason    text NOT NULL,\n"
    "    at        timestamptz NOT NULL DEFAULT now(),\n"
    "    PRIMARY KEY (pipeline, topic, partition, \"offset\")\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.dead_letter IS 'messages that a replay could not read: where they stand, not what they "
    "hold';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.audit (\n"
    "    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
    "    pipeline text NOT NULL,\n"
    "    at       timestamptz NOT NULL DEFAULT now(),\n"
    "    action   text NOT NULL, -- retry, discard, pause, resume, delete\n"
    "    rule     text NOT NULL DEFAULT '',\n"
    "    rows     bigint NOT NULL DEFAULT 0,\n"
    "    actor    text NOT NULL DEFAULT session_user,\n"
    "    detail   text NOT NULL DEFAULT '' -- names and categories, never values\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.audit IS 'decisions, pauses, and deletes by rule and hour';\n"
    "CREATE UNIQUE INDEX IF NOT EXISTS audit_deletes ON pgrekey.audit (pipeline, rule, at) WHERE action = 'delete';\n"
    "\n";

void schema_put_tables(struct buf *sql)
{
    buf_puts(sql, TABLES);
    schema_put_functions(sql);
    buf_printf(sql, "INSERT INTO pgrekey.schema_version VALUES (%d) ON CONFLICT DO NOTHING;\n", SCHEMA_VERSION);
}

/* The role may not exist yet, and may be there already: both are fine. */
static void put_role(struct buf *sql, const char *role)
{
    buf_puts(sql, "DO $init$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ");
    pg_put_literal(sql, role);
    buf_puts(sql, ") THEN\n        EXECUTE format('CREATE ROLE %I LOGIN', ");
    pg_put_literal(sql, role);
    buf_puts(sql, ");\n    END IF;\nEND $init$;\n");
}

/* One setting for the role, and the right to set it for itself where the server knows such a right. */
static void put_log_setting(struct buf *sql, const char *role, const char *name, const char *value)
{
    buf_printf(sql, "DO $init$ BEGIN\n    EXECUTE format('ALTER ROLE %%I SET %s = ''%s''', ", name, value);
    pg_put_literal(sql, role);
    buf_printf(sql,
               ");\n    IF current_setting('server_version_num')::int >= 150000 THEN\n"
               "        EXECUTE format('GRANT SET ON PARAMETER %s TO %%I', ",
               name);
    pg_put_literal(sql, role);
    buf_printf(sql,
               ");\n    END IF;\n"
               "EXCEPTION WHEN insufficient_privilege THEN\n"
               "    RAISE WARNING '%s may not be set for the role: values may reach the server''s log';\n"
               "END $init$;\n",
               name);
}

/* So that the server's log quotes no values of our statements. A host may refuse it; the rest then still holds. */
static void put_log_settings(struct buf *sql, const char *role)
{
    static const char *const SETTINGS[][2] = {
        {"log_min_messages", "fatal"},
        {"log_min_error_statement", "panic"},
        {"log_error_verbosity", "terse"}, /* a session that is ended within a COPY tells of its line in the context */
        {"log_statement", "none"},
        {"log_min_duration_statement", "-1"},
        {"log_duration", "off"},
        {"log_parameter_max_length", "0"},
        {"log_parameter_max_length_on_error", "0"},
    };

    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(*SETTINGS); i++)
        put_log_setting(sql, role, SETTINGS[i][0], SETTINGS[i][1]);
}

static void put_grant(struct buf *sql, const char *what, const char *role)
{
    buf_printf(sql, "GRANT %s TO ", what);
    pg_put_ident(sql, role);
    buf_puts(sql, ";\n");
}

static void put_table_grants(struct buf *sql, const struct schema_options *options)
{
    for (size_t i = 0; i < options->target_table_count; i++) {
        const char *schema = options->target_tables[2 * i], *table = options->target_tables[2 * i + 1];

        buf_puts(sql, "GRANT USAGE ON SCHEMA ");
        pg_put_ident(sql, schema);
        buf_puts(sql, " TO ");
        pg_put_ident(sql, options->role);
        buf_puts(sql, ";\nGRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ");
        pg_put_qualified(sql, schema, table);
        buf_puts(sql, " TO ");
        pg_put_ident(sql, options->role);
        buf_puts(sql, ";\n");
    }
}

void schema_put_roles(struct buf *sql, const struct schema_options *options)
{
    /* Roles that a hosting platform gives to everybody who comes over the web must see nothing of it. */
    buf_puts(sql, "DO $init$ DECLARE web name; BEGIN\n"
                  "    FOR web IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP\n"
                  "        EXECUTE format('REVOKE ALL ON SCHEMA pgrekey FROM %I', web);\n"
                  "        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA pgrekey FROM %I', web);\n"
                  "    END LOOP;\n"
                  "END $init$;\n");
    if (!options->role)
        return;
    put_role(sql, options->role);
    put_grant(sql, "USAGE ON SCHEMA pgrekey", options->role);
    put_grant(sql, "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgrekey", options->role);
    put_grant(sql, "USAGE ON ALL SEQUENCES IN SCHEMA pgrekey", options->role);
    schema_put_function_grants(sql, options->role);
    /* For the temporary tables that updates are staged in. */
    buf_puts(sql, "DO $init$ BEGIN\n"
                  "    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), ");
    pg_put_literal(sql, options->role);
    buf_puts(sql, ");\nEND $init$;\n");
    put_table_grants(sql, options);
    put_log_settings(sql, options->role);
}
