/* pgrekey.id(): the UUID of a legacy row in SQL, as cdc/base/uuid.h computes it.
 *
 *     pgrekey.id('office', 7)          ─┐                                     adopted? ─▶ the id that the target had
 *     pgrekey.id('membership', 1, 2)   ─┴▶ name 'membership:1|2' ─▶ v5 ──────────────▶ else v5
 *
 * PostgreSQL has no SHA-1 of its own: pgrekey.uuid_v5() is made anew by each `init` over the extension that is there,
 * in whatever schema. The overloads are plain expressions, which the planner puts in place of the call; the one
 * function that runs is pgrekey.id_of_name(). Namespace and pipeline are settings of the engine's sessions; anybody
 * else's session reads them from pgrekey.namespace.
 */
#include "sinks/postgres/state/schema.h"

#include "cdc/pg/pg.h"

static const char TABLES[] =
    "CREATE TABLE IF NOT EXISTS pgrekey.namespace (\n"
    "    pipeline  text PRIMARY KEY,\n"
    "    namespace uuid NOT NULL\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.namespace IS 'the mapping''s UUIDv5 namespace, a pipeline: what pgrekey.id() reads';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.adopted (\n"
    "    pipeline text NOT NULL,\n"
    "    derived  uuid NOT NULL, -- what the row would be called by its legacy key\n"
    "    id       uuid NOT NULL, -- what it is called\n"
    "    entity   text NOT NULL,\n"
    "    legacy   text NOT NULL, -- the legacy key, parts escaped and joined as in the UUID's name\n"
    "    met      text[] NOT NULL DEFAULT '{}', -- rules that have seen its source row\n"
    "    PRIMARY KEY (pipeline, derived),\n"
    "    UNIQUE (pipeline, entity, id)\n"
    ");\n"
    "ALTER TABLE pgrekey.adopted ADD COLUMN IF NOT EXISTS met text[] NOT NULL DEFAULT '{}'; -- since version 2\n"
    "ALTER TABLE pgrekey.adopted SET (fillfactor = 45); -- each row is met once: beside itself, without its indexes\n"
    "COMMENT ON TABLE pgrekey.adopted IS 'target rows that were there before and are the source''s';\n"
    "\n"
    "CREATE TABLE IF NOT EXISTS pgrekey.adoption (\n"
    "    pipeline     text NOT NULL,\n"
    "    rule         text NOT NULL, -- or derivation\n"
    "    entity       text NOT NULL,\n"
    "    target_table text NOT NULL,\n"
    "    done         boolean NOT NULL DEFAULT false,\n"
    "    adopted      bigint NOT NULL DEFAULT 0, -- rows that are the source's\n"
    "    merged       bigint NOT NULL DEFAULT 0, -- doubles that went into the oldest\n"
    "    shared       bigint NOT NULL DEFAULT 0, -- legacy keys left out, for their row is an earlier key's\n"
    "    missing      bigint NOT NULL DEFAULT 0, -- ids without a row\n"
    "    others       bigint NOT NULL DEFAULT 0, -- rows that no legacy key was found for\n"
    "    PRIMARY KEY (pipeline, rule)\n"
    ");\n"
    "COMMENT ON TABLE pgrekey.adoption IS 'what each `adopt` of the mapping found, once, before the snapshot';\n"
    "\n";

/* uuid-ossp first: it is one call. Where neither is there the function says so when it is called. */
static const char UUID_V5[] =
    "DO $init$ DECLARE place text; body text; BEGIN\n"
    "    SELECT pg_catalog.quote_ident(n.nspname) INTO place FROM pg_catalog.pg_extension e\n"
    "        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'uuid-ossp';\n"
    "    IF FOUND THEN\n"
    "        body := 'SELECT ' || place || '.uuid_generate_v5($1, $2)';\n"
    "    ELSE\n"
    "        SELECT pg_catalog.quote_ident(n.nspname) INTO place FROM pg_catalog.pg_extension e\n"
    "            JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pgcrypto';\n"
    "        IF FOUND THEN\n"
    "            body := 'SELECT pgrekey.uuid_v5_of_sha1(' || place\n"
    "                || '.digest(pg_catalog.uuid_send($1) || pg_catalog.convert_to($2, ''UTF8''), ''sha1''))';\n"
    "        END IF;\n"
    "    END IF;\n"
    "    IF body IS NULL THEN\n"
    "        CREATE OR REPLACE FUNCTION pgrekey.uuid_v5(namespace uuid, name text) RETURNS uuid\n"
    "            LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $v5$ BEGIN\n"
    "            RAISE EXCEPTION 'pgrekey.id() needs the extension uuid-ossp or pgcrypto'\n"
    "                USING HINT = 'CREATE EXTENSION \"uuid-ossp\"; then run `pgrekey init` again',\n"
    "                      ERRCODE = 'undefined_function';\n"
    "        END $v5$;\n"
    "    ELSE\n"
    "        EXECUTE 'CREATE OR REPLACE FUNCTION pgrekey.uuid_v5(namespace uuid, name text) RETURNS uuid '\n"
    "            || 'LANGUAGE sql STABLE STRICT PARALLEL SAFE AS ' || pg_catalog.quote_literal(body);\n"
    "    END IF;\n"
    "END $init$;\n"
    "\n";

static const char FUNCTIONS[] =
    "-- The first 16 bytes of a SHA-1 as a UUID of version 5.\n"
    "CREATE OR REPLACE FUNCTION pgrekey.uuid_v5_of_sha1(sha1 bytea) RETURNS uuid\n"
    "    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $v5$\n"
    "    SELECT pg_catalog.encode(pg_catalog.set_byte(pg_catalog.set_byte(pg_catalog.substr($1, 1, 16),\n"
    "        6, pg_catalog.get_byte($1, 6) & 15 | 80), 8, pg_catalog.get_byte($1, 8) & 63 | 128), 'hex')::uuid\n"
    "$v5$;\n";

static const char ID_OF_NAME[] =
    "CREATE OR REPLACE FUNCTION pgrekey.id_of_name(name text) RETURNS uuid\n"
    "    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $id$\n"
    "DECLARE\n"
    "    of_pipeline text := pg_catalog.current_setting('pgrekey.pipeline', true);\n"
    "    in_space    text := pg_catalog.current_setting('pgrekey.namespace', true);\n"
    "    derived_id  uuid;\n"
    "    adopted_id  uuid;\n"
    "    pipelines   bigint;\n"
    "BEGIN\n"
    "    IF in_space IS NULL OR in_space = '' THEN\n"
    "        SELECT min(n.pipeline), min(n.namespace::text), count(*) INTO of_pipeline, in_space, pipelines\n"
    "            FROM pgrekey.namespace n\n"
    "            WHERE of_pipeline IS NULL OR of_pipeline = '' OR n.pipeline = of_pipeline;\n"
    "        IF pipelines > 1 THEN\n"
    "            RAISE EXCEPTION 'pgrekey.id(): this database is the target of several pipelines'\n"
    "                USING HINT = 'SET pgrekey.pipeline = ''<name>''';\n"
    "        ELSIF pipelines = 0 THEN\n"
    "            RAISE EXCEPTION 'pgrekey.id(): no such pipeline has been run into this database';\n"
    "        END IF;\n"
    "    END IF;\n"
    "    derived_id := pgrekey.uuid_v5(in_space::uuid, name);\n"
    "    SELECT a.id INTO adopted_id FROM pgrekey.adopted a\n"
    "        WHERE a.pipeline = of_pipeline AND a.derived = derived_id;\n"
    "    RETURN coalesce(adopted_id, derived_id);\n"
    "END $id$;\n"
    "\n"
    "-- Of several parts each is escaped, and '|' joins them; a single one is taken as it is. NULL in any gives NULL.\n"
    "CREATE OR REPLACE FUNCTION pgrekey.key_text(parts text[]) RETURNS text\n"
    "    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $key$\n"
    "DECLARE\n"
    "    whole text;\n"
    "    part  text;\n"
    "BEGIN\n"
    "    IF pg_catalog.cardinality(parts) = 1 THEN\n"
    "        RETURN parts[pg_catalog.array_lower(parts, 1)];\n"
    "    END IF;\n"
    "    FOREACH part IN ARRAY parts LOOP\n"
    "        IF part IS NULL THEN\n"
    "            RETURN NULL;\n"
    "        END IF;\n"
    "        part := replace(replace(part, E'\\\\', E'\\\\\\\\'), '|', E'\\\\|');\n"
    "        whole := CASE WHEN whole IS NULL THEN part ELSE whole || '|' || part END;\n"
    "    END LOOP;\n"
    "    RETURN whole;\n"
    "END $key$;\n"
    "\n";

/* A text of the source that should be JSON; where it is none (or none that jsonb takes), the text itself is kept. */
static const char JSON[] =
    "CREATE OR REPLACE FUNCTION pgrekey.json(document text) RETURNS jsonb\n"
    "    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $json$\n"
    "BEGIN\n"
    "    RETURN document::jsonb;\n"
    "EXCEPTION WHEN data_exception OR program_limit_exceeded THEN\n"
    "    RETURN pg_catalog.jsonb_build_object('raw', document);\n"
    "END $json$;\n"
    "COMMENT ON FUNCTION pgrekey.json(text) IS 'the text as jsonb; what is not JSON as {\"raw\": text}';\n"
    "\n";

static void put_overload(struct buf *sql, const char *args, const char *key)
{
    buf_printf(
        sql,
        "CREATE OR REPLACE FUNCTION pgrekey.id(entity text, %s) RETURNS uuid\n"
        "    LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $id$ SELECT pgrekey.id_of_name($1 || ':' || %s) $id$;\n",
        args, key);
}

void schema_put_functions(struct buf *sql)
{
    buf_puts(sql, TABLES);
    buf_puts(sql, FUNCTIONS);
    buf_puts(sql, UUID_V5);
    buf_puts(sql, ID_OF_NAME);
    buf_puts(sql, JSON);
    put_overload(sql, "legacy text", "$2");
    put_overload(sql, "legacy bigint", "$2::text");
    put_overload(sql, "legacy uuid", "$2::text");
    put_overload(sql, "VARIADIC legacy text[]", "pgrekey.key_text($2)");
    put_overload(sql, "VARIADIC legacy bigint[]", "pgrekey.key_text($2::text[])");
    buf_puts(sql,
             "COMMENT ON FUNCTION pgrekey.id(text, text) IS 'the UUID of a legacy row: adopted, else UUIDv5';\n\n");
}

/* Whoever may use the schema may ask; the extension lies where its owner put it. */
void schema_put_function_grants(struct buf *sql, const char *role)
{
    buf_puts(sql, "DO $init$ DECLARE place name; BEGIN\n"
                  "    FOR place IN SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n\n"
                  "        ON n.oid = e.extnamespace WHERE e.extname IN ('uuid-ossp', 'pgcrypto') LOOP\n"
                  "        EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', place, ");
    pg_put_literal(sql, role);
    buf_puts(sql, ");\n"
                  "    END LOOP;\n"
                  "EXCEPTION WHEN insufficient_privilege THEN\n"
                  "    RAISE WARNING 'the role may not be given the schema of uuid-ossp or pgcrypto';\n"
                  "END $init$;\n");
}
