-- A working day on the legacy side, transaction by transaction, most of them of one statement: of twenty, five are
-- notifications that are not sent yet, five such flipped to sent, three logins, two tasks, one a file, and four of the
-- kinds of work-kinds.sql in turn. CALL estate.work(seed, transactions, late[, pause_ms]); what was done is in estate.done.
CREATE TABLE estate.kind (n serial PRIMARY KEY, name text UNIQUE NOT NULL, statements text[] NOT NULL);
CREATE TABLE estate.done (name text PRIMARY KEY, n bigint NOT NULL, in_vain bigint NOT NULL);
CREATE TABLE estate.base AS SELECT (SELECT max(id) FROM auth_user) AS users, (SELECT max(id) FROM dispatch_office) AS offices, (SELECT max(id) FROM dispatch_notification) AS notifications;

-- The times of the day: after all that the data have, half a second apart.
CREATE FUNCTION estate.today(i bigint) RETURNS timestamptz STABLE LANGUAGE sql RETURN timestamptz '2025-10-18 06:00+00' + i * interval '0.5 second';
CREATE FUNCTION estate.late() RETURNS bigint STABLE LANGUAGE sql RETURN current_setting('estate.late')::bigint;
-- The patient who leaves as the n-th, and comes back, and the user behind.
CREATE FUNCTION estate.leaving_number(n bigint) RETURNS bigint STABLE LANGUAGE sql AS
    'SELECT estate.patient(c.no_office + 2 * c.no_office_lone + c.heavy_patients + 2 * n, c.patients) FROM estate.c';
CREATE FUNCTION estate.leaving(n bigint) RETURNS int STABLE LANGUAGE sql AS 'SELECT estate.id(estate.leaving_number(n))';
CREATE FUNCTION estate.leaving_user(n bigint) RETURNS int STABLE LANGUAGE sql AS 'SELECT estate.id(c.users - c.patients + estate.leaving_number(n)) FROM estate.c';
-- Some row's id, the first from a place on, and from the beginning where there is none behind it.
CREATE FUNCTION estate.pick(tab text, i bigint, stream int, condition text DEFAULT 'true') RETURNS int STABLE LANGUAGE plpgsql AS $$
DECLARE
    top bigint;
    found int;
BEGIN
    EXECUTE format('SELECT max(id) FROM %I', tab) INTO top;
    EXECUTE format('SELECT id FROM %I t WHERE id >= $1 AND (%s) ORDER BY id LIMIT 1', tab, condition) INTO found
        USING (1 + estate.rnd(i * 7 + current_setting('estate.day')::bigint, stream, least(top, 2900000)))::int;
    IF found IS NULL THEN
        EXECUTE format('SELECT id FROM %I t WHERE %s ORDER BY id LIMIT 1', tab, condition) INTO found;
    END IF;
    RETURN found;
END $$;

-- One transaction of a kind: whether each of its statements did something.
CREATE FUNCTION estate.did(statements text[], i bigint, n bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    each text;
    rows bigint;
BEGIN
    FOREACH each IN ARRAY statements LOOP
        EXECUTE each USING i, n;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows = 0 THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;
-- The everyday ones. Every fifth context is longer than eight kilobytes, and does not compress.
CREATE FUNCTION estate.everyday(slot int, i bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    CASE
    WHEN slot < 10 AND slot % 2 = 0 THEN
        INSERT INTO dispatch_notification (created_at, sender, template_name, template_context, item_id, item_type_id, recipient_id, sent, send)
        SELECT estate.today(i), 'noreply@example.org', (ARRAY['order_submitted', 'case_update', 'reminder'])[1 + i % 3],
            '{"name": "' || estate.first_name(estate.rnd(i, 1, 60)) || '", "order": ' || i || CASE WHEN i % 10 = 0
                THEN ', "table": "' || (SELECT string_agg(md5(i * 1000 + s || 'w'), '') FROM generate_series(1, 300) s) || '"' ELSE '' END || '}',
            estate.pick('dispatch_instruction', i, 2), 13, estate.pick('auth_user', i, 3), false, true;
        RETURN 'notification';
    WHEN slot < 10 THEN
        UPDATE dispatch_notification SET sent = true, read = i % 3 = 0 WHERE id = coalesce(
            (SELECT id FROM dispatch_notification, estate.base WHERE id = base.notifications + (i / 20) * 5 + slot / 2 - 20 AND id > base.notifications AND NOT sent),
            estate.pick('dispatch_notification', i, 4, 'send AND NOT sent'));
        RETURN 'notification is sent';
    WHEN slot < 13 THEN
        UPDATE auth_user SET last_login = estate.today(i) WHERE id = estate.pick('auth_user', i, 5);
        RETURN 'login';
    WHEN slot = 13 THEN
        INSERT INTO dispatch_task (template_id, plan_id, instruction_id, jaw) SELECT estate.pick('dispatch_template', i, 6), estate.pick('dispatch_plan', i, 7), estate.pick('dispatch_instruction', i, 8), 1 + i % 3;
        RETURN 'task';
    WHEN slot = 14 THEN
        UPDATE dispatch_task SET checked = true, done_at = estate.today(i), actor_id = estate.pick('auth_user', i, 9) WHERE id = estate.pick('dispatch_task', i, 10, 'NOT checked');
        RETURN 'task is done';
    ELSE
        INSERT INTO dispatch_file (uid, name, ext, size, type, instruction_id, record_id, parameters, created_at)
        SELECT estate.uid(i, 11), 'day_' || i || '.stl', '.stl', 1000 * i, 1 + i % 17, CASE WHEN i % 40 > 0 THEN estate.pick('dispatch_instruction', i, 12) END,
            CASE WHEN i % 60 < 20 THEN estate.pick('dispatch_record', i, 13) END, '{"day": true}', estate.today(i);
        RETURN 'file';
    END CASE;
END $$;

CREATE PROCEDURE estate.work(seed bigint, transactions bigint, late bigint, pause_ms float8 DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    kinds bigint := (SELECT count(*) FROM estate.kind);
    each estate.kind;
    first bigint := (SELECT coalesce(sum(n + in_vain), 0) FROM estate.done); -- the day goes on
    rest bigint := (SELECT coalesce(sum(done.n + in_vain), 0) FROM estate.done JOIN estate.kind USING (name));
    slot int;
    what text;
    tally jsonb := '{}';
    vain jsonb := '{}';
BEGIN
    PERFORM set_config('estate.day', (seed * 1000003)::text, false);
    -- so many of a kind later that as many transactions are between as are wanted
    PERFORM set_config('estate.late', (1 + late / (kinds * 5))::text, false);
    FOR i IN first + 1 .. first + transactions LOOP
        slot := i % 20;
        IF slot < 16 THEN
            what := estate.everyday(slot, i);
            tally := jsonb_set(tally, ARRAY[what], to_jsonb(coalesce((tally ->> what)::bigint, 0) + 1));
        ELSE
            SELECT * INTO each FROM estate.kind k WHERE k.n = 1 + rest % kinds;
            IF estate.did(each.statements, i, 1 + rest / kinds) THEN
                tally := jsonb_set(tally, ARRAY[each.name], to_jsonb(coalesce((tally ->> each.name)::bigint, 0) + 1));
            ELSE
                vain := jsonb_set(vain, ARRAY[each.name], to_jsonb(coalesce((vain ->> each.name)::bigint, 0) + 1));
            END IF;
            rest := rest + 1;
        END IF;
        COMMIT;
        IF pause_ms > 0 THEN
            PERFORM pg_sleep(pause_ms / 1000);
        END IF;
    END LOOP;
    INSERT INTO estate.done
    SELECT name, coalesce((tally ->> name)::bigint, 0), coalesce((vain ->> name)::bigint, 0)
    FROM (SELECT name FROM estate.kind UNION SELECT jsonb_object_keys(tally)) x
    ON CONFLICT (name) DO UPDATE SET n = done.n + excluded.n, in_vain = done.in_vain + excluded.in_vain;
END $$;

-- The same kind again and again, for what it costs: so often, with a pause behind each.
CREATE PROCEDURE estate.turns(what text, times bigint, pause_ms float8) LANGUAGE plpgsql AS $$
DECLARE
    slots jsonb := '{"notification": 0, "notification is sent": 1, "login": 10, "task": 13, "task is done": 14, "file": 15}';
    each estate.kind;
    started bigint := coalesce((SELECT sum(n + in_vain) FROM estate.turned), 0);
    vain bigint := 0;
BEGIN
    PERFORM set_config('estate.day', '7', false), set_config('estate.late', '1', false);
    SELECT * INTO each FROM estate.kind WHERE name = what;
    FOR i IN 1 .. times LOOP
        -- numbers that no working day comes to
        IF slots ? what THEN
            PERFORM estate.everyday((slots ->> what)::int, 50000000 + (started + i) * 20 + (slots ->> what)::int);
        ELSIF NOT estate.did(each.statements, 50000000 + (started + i) * 20, i) THEN
            vain := vain + 1;
        END IF;
        COMMIT;
        IF pause_ms > 0 THEN
            PERFORM pg_sleep(pause_ms / 1000);
        END IF;
    END LOOP;
    INSERT INTO estate.turned VALUES (what, times - vain, vain);
END $$;
CREATE TABLE estate.turned (name text, n bigint NOT NULL, in_vain bigint NOT NULL);
