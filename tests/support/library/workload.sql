-- A working day, as often as wanted: CALL work(seed, transactions, pause in ms). The same seed does the same. Rows come
-- before those that they belong to and go after them, keys change, what was deleted returns, and now and then hundreds of
-- rows change at once.
CREATE PROCEDURE work_once(what int) LANGUAGE plpgsql AS $$
DECLARE
    a int := 1 + (random() * 219)::int;
    b int := 1 + (random() * 13)::int;
    c int := 1 + (random() * 329)::int;
    l int := 1 + (random() * 849)::int;
    n int := 1 + (random() * 429)::int;
    s int := 1 + (random() * 64)::int;
    t int := 1 + (random() * 109)::int;
BEGIN
    CASE what
    WHEN 0 THEN INSERT INTO loan VALUES (l, c, a, date '2024-01-01' + n, false) ON CONFLICT (id) DO UPDATE SET copy_id = excluded.copy_id, account_id = excluded.account_id;
    WHEN 1 THEN DELETE FROM loan WHERE id = l;
    WHEN 2 THEN UPDATE loan SET cancelled = NOT cancelled WHERE id BETWEEN l AND l + 2;
    WHEN 3 THEN DELETE FROM copy WHERE id = c;
    WHEN 4 THEN INSERT INTO copy VALUES (c, t, s) ON CONFLICT (id) DO UPDATE SET shelf_id = excluded.shelf_id;
    WHEN 5 THEN UPDATE shelf SET branch_id = b WHERE id = s;
    WHEN 6 THEN DELETE FROM shelf WHERE id = s;
    WHEN 7 THEN INSERT INTO shelf VALUES (s, b, 'S' || s) ON CONFLICT (id) DO UPDATE SET code = 'M' || shelf.id;
    WHEN 8 THEN DELETE FROM account_role WHERE account_id = a;
    WHEN 9 THEN INSERT INTO account_role VALUES (200 + n, a, 1 + c % 4) ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, role_id = excluded.role_id;
    WHEN 10 THEN UPDATE account SET active = NOT active WHERE id = a;
    WHEN 11 THEN UPDATE account SET last_seen = l;
    WHEN 12 THEN DELETE FROM account WHERE id = a;
    WHEN 13 THEN INSERT INTO account VALUES (a, 'login' || a, 'Again ' || l, true, 0) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    WHEN 14 THEN INSERT INTO branch_staff VALUES (100 + n, b, a) ON CONFLICT DO NOTHING;
    WHEN 15 THEN DELETE FROM branch_staff WHERE account_id = a OR branch_id = b AND id % 4 = 0;
    WHEN 16 THEN DELETE FROM branch WHERE id = b AND id > 4;
    WHEN 17 THEN INSERT INTO branch VALUES (b, 'Branch again ' || l, 'City') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
    WHEN 18 THEN UPDATE event SET code = 'code' || l WHERE loan_id = l AND id % 2 = 0;
    WHEN 19 THEN INSERT INTO event VALUES (1000 + n, l, 'late') ON CONFLICT (id) DO UPDATE SET loan_id = excluded.loan_id;
    WHEN 20 THEN DELETE FROM event WHERE loan_id = l;
    WHEN 21 THEN UPDATE note SET content_type_id = 1 + a % 4, object_id = c, author_id = a WHERE id = n;
    WHEN 22 THEN INSERT INTO fine VALUES (300 + n, l, n) ON CONFLICT (id) DO UPDATE SET loan_id = excluded.loan_id;
    WHEN 23 THEN DELETE FROM title WHERE id = t;
    WHEN 24 THEN INSERT INTO title VALUES (t, 'Title anew ' || l, 'book') ON CONFLICT (id) DO NOTHING;
    WHEN 25 THEN UPDATE role SET name = (ARRAY['librarian', 'reader', 'boss', 'guest'])[1 + l % 4] WHERE id = 1 + l % 4;
    WHEN 26 THEN -- a copy under another number, its loans with it, or not
        UPDATE copy SET id = 331 + n WHERE id = c AND NOT EXISTS (SELECT FROM copy x WHERE x.id = 331 + n);
        UPDATE loan SET copy_id = 331 + n WHERE copy_id = c AND l % 2 = 0;
    WHEN 27 THEN -- gone and back in one transaction
        DELETE FROM account WHERE id = a;
        DELETE FROM loan WHERE account_id = a AND id % 3 = 0;
        INSERT INTO account VALUES (a, 'login' || a, 'Back ' || l, true, 0);
    WHEN 28 THEN -- children first, all of them new
        INSERT INTO fine VALUES (900 + l, 900 + l, 5) ON CONFLICT DO NOTHING;
        INSERT INTO loan VALUES (900 + l, 400 + c, 300 + a, date '2025-01-01' + n, false) ON CONFLICT DO NOTHING;
        INSERT INTO copy VALUES (400 + c, t, s) ON CONFLICT DO NOTHING;
        INSERT INTO account VALUES (300 + a, 'new' || a, 'New ' || a, true, 0) ON CONFLICT DO NOTHING;
    WHEN 29 THEN UPDATE copy SET shelf_id = s WHERE id BETWEEN c AND c + 40;
    WHEN 30 THEN UPDATE loan SET lent_on = lent_on + 1 WHERE account_id BETWEEN a AND a + 20;
    ELSE DELETE FROM note WHERE id = n; INSERT INTO note VALUES (n, 1 + a % 3, c, a, 'Noted ' || l);
    END CASE;
END $$;

CREATE PROCEDURE work(seed float8, transactions int, pause_ms float8 DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1 .. transactions LOOP
        CALL work_once((random() * 31)::int);
        IF i % 7 = 0 THEN
            CALL work_once((random() * 31)::int);
        END IF;
        COMMIT;
        PERFORM pg_sleep(pause_ms / 1000);
    END LOOP;
END $$;
