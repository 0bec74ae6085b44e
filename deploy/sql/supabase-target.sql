-- The engine's role on a Supabase project: it logs in by the session pooler or directly, owns nothing, and the web's roles
-- (anon, authenticated) reach nothing of it.
--
--   psql "<connection string of postgres, session mode>" -v role=pgrekey -f supabase-target.sql
--   then: \password pgrekey
--   then: pgrekey init --dsn "<the same>"     its schema, and what the mapping's tables need
\set ON_ERROR_STOP on
CREATE ROLE :"role" LOGIN;
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec
GRANT USAGE ON SCHEMA public TO :"role";
-- Tables with row-level security: postgres may bypass it, and so must whoever writes for all users. Where the host
-- refuses this, a policy for the role does the same; `pgrekey check` lists the tables.
DO $$BEGIN
    EXECUTE format('ALTER ROLE %I BYPASSRLS', 'pgrekey');
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'BYPASSRLS was refused: give the role a policy on tables with row-level security';
END$$;
