-- The engine's role on a legacy server on AWS RDS (or Aurora) for PostgreSQL: it reads the tables, and the stream.
--
--   psql "host=… dbname=… user=<master user>" -v role=pgrekey -v schema=public -f rds-source.sql
--   then: \password pgrekey
--
-- Before it, in the parameter group (a restart): rds.logical_replication = 1. Narrower grants, column by column and without
-- what stands under `never:`, are what `pgrekey init --source` prints for your mapping; this is the shape of them.
\set ON_ERROR_STOP on
CREATE ROLE :"role" LOGIN;
GRANT rds_replication TO :"role";
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"role";
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"role";
-- For the age of the source's oldest transaction; nothing needs it but that figure.
GRANT pg_read_all_stats TO :"role";
