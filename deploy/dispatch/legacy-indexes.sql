-- What Django indexes by itself, every reference to one table, enforced or not. Apart from legacy.sql, so that it can
-- follow the loading of rows.
DO $$
DECLARE
    ref record;
BEGIN
    FOR ref IN
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname LIKE '%\_id' AND a.attnum > 0
            AND NOT a.attisdropped AND a.attname NOT IN ('item_id', 'target_id')
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum)
    LOOP
        EXECUTE format('CREATE INDEX ON %I (%I)', ref.relname, ref.attname);
    END LOOP;
END $$;
