-- A lending library as it grew: integer keys, no foreign keys, what belongs together stands tables apart.
CREATE TABLE branch (id int PRIMARY KEY, name text, city text);
CREATE TABLE shelf (id int PRIMARY KEY, branch_id int, code text);
CREATE TABLE title (id int PRIMARY KEY, name text, kind text);
CREATE TABLE copy (id int PRIMARY KEY, title_id int, shelf_id int);
CREATE TABLE account (id int PRIMARY KEY, login text NOT NULL, name text, active boolean NOT NULL DEFAULT true, last_seen int);
CREATE TABLE role (id int PRIMARY KEY, name text);
CREATE TABLE account_role (id int PRIMARY KEY, account_id int, role_id int);
CREATE TABLE branch_staff (id int PRIMARY KEY, branch_id int, account_id int, UNIQUE (branch_id, account_id));
CREATE TABLE loan (id int PRIMARY KEY, copy_id int, account_id int, lent_on date, cancelled boolean NOT NULL DEFAULT false);
CREATE TABLE fine (id int PRIMARY KEY, loan_id int, cents int);
CREATE TABLE event (id int PRIMARY KEY, loan_id int, code text);
CREATE TABLE content_type (id int PRIMARY KEY, model text);
CREATE TABLE note (id int PRIMARY KEY, content_type_id int, object_id int, author_id int, body text);

INSERT INTO branch SELECT i, CASE i % 5 WHEN 4 THEN '' ELSE 'Branch ' || i END, 'City ' || i % 3 FROM generate_series(1, 12) i;
INSERT INTO shelf SELECT i, 1 + i % 13, 'S' || i FROM generate_series(1, 60) i;
INSERT INTO title SELECT i, 'Title ' || i, CASE i % 3 WHEN 0 THEN 'film' ELSE 'book' END FROM generate_series(1, 100) i;
INSERT INTO copy SELECT i, 1 + i % 105, nullif(1 + i % 62, 7) FROM generate_series(1, 300) i;
INSERT INTO account SELECT i, 'login' || i, 'Account ' || i, i % 11 <> 0, 0 FROM generate_series(1, 200) i;
INSERT INTO role VALUES (1, 'reader'), (2, 'librarian'), (3, 'boss'), (4, 'guest');
INSERT INTO account_role SELECT i, i, 1 + i % 4 FROM generate_series(1, 120) i;
INSERT INTO branch_staff SELECT i, 1 + i % 12, 1 + i % 40 FROM generate_series(1, 50) i ON CONFLICT DO NOTHING;
INSERT INTO loan SELECT i, 1 + i % 310, 1 + i % 205, date '2024-01-01' + i % 400, i % 17 = 0 FROM generate_series(1, 800) i;
INSERT INTO fine SELECT i, 1 + i * 7 % 820, 100 * i FROM generate_series(1, 250) i;
INSERT INTO event SELECT i, 1 + i % 600, (ARRAY['lent', 'reminded', 'returned', 'lost'])[1 + i % 4] FROM generate_series(1, 900) i;
INSERT INTO content_type VALUES (1, 'loan'), (2, 'copy'), (3, 'poster');
INSERT INTO note SELECT i, 1 + i % 4, 1 + i % 330, 1 + i % 210, 'Note ' || i FROM generate_series(1, 400) i;
