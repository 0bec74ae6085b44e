#!/usr/bin/env bash
# Target tables that lived before: rows are adopted by column, by pair and by SQL, doubles become one, references and
# changes find the ids that were there, and what is the application's stays as it is.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
target_sql 'CREATE SCHEMA extensions; CREATE EXTENSION "uuid-ossp" SCHEMA extensions'
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text NOT NULL, code text);
CREATE TABLE person (id int PRIMARY KEY, office_id int, boss_id int, name text NOT NULL, active boolean NOT NULL DEFAULT true);
CREATE TABLE membership (a int, b int, role text, PRIMARY KEY (a, b));
CREATE TABLE tag (id int PRIMARY KEY, label text NOT NULL);
CREATE TABLE chair (id int PRIMARY KEY, office_id int, side int);
CREATE TABLE claim (id int PRIMARY KEY, chair_id int);
CREATE TABLE badge (id int PRIMARY KEY, a int NOT NULL, b int NOT NULL, colour text);
INSERT INTO office SELECT i, 'Office ' || i, 'c' || i FROM generate_series(1, 400) i;
INSERT INTO person SELECT i, 1 + i % 400, nullif(i / 2, 0), 'Person ' || i, i % 10 <> 0 FROM generate_series(1, 3000) i;
INSERT INTO membership SELECT 1 + i % 100, i, 'role ' || i FROM generate_series(1, 300) i;
INSERT INTO tag SELECT i, 'tag ' || i FROM generate_series(1, 200) i;
INSERT INTO chair SELECT i, i, i % 2 FROM generate_series(1, 200) i;
INSERT INTO claim SELECT i, 50 + i % 151 FROM generate_series(1, 300) i;
INSERT INTO badge SELECT i, i / 10, i % 10, 'colour ' || i FROM generate_series(1, 100) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int, name text NOT NULL, first_name text,
    created_at timestamptz NOT NULL DEFAULT now(), colour text, needed text NOT NULL, head_id uuid REFERENCES offices);
CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, office_id uuid REFERENCES offices,
    boss_id uuid REFERENCES people, name text NOT NULL, mood text DEFAULT 'fine');
CREATE TABLE memberships (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_a int, legacy_b int, role text, note text);
CREATE TABLE tags (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), label text NOT NULL, note text);
CREATE TABLE badges (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, a int, b int, colour text, note text);
CREATE TABLE seats (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int, office_id uuid REFERENCES offices, side text, note text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE claims (id uuid PRIMARY KEY, seat_id uuid NOT NULL REFERENCES seats);
-- the application's own, of which the mapping knows nothing
CREATE TABLE visits (id int PRIMARY KEY, office_id uuid NOT NULL REFERENCES offices ON DELETE CASCADE, note text);
CREATE TABLE bills (id int PRIMARY KEY, office_id uuid REFERENCES offices ON DELETE SET NULL, payer_id uuid REFERENCES offices ON DELETE SET NULL);
CREATE TABLE rooms (office_id uuid REFERENCES offices ON DELETE CASCADE, name text, PRIMARY KEY (office_id, name));
-- every second office stands, some twice or three times; some that no source row is there for; one that is nobody's
INSERT INTO offices (legacy_id, name, first_name, colour, needed, created_at)
    SELECT i, 'old ' || i, 'first ' || i, 'colour ' || i, 'x', now() - interval '1 day' FROM generate_series(2, 500, 2) i;
INSERT INTO offices (legacy_id, name, colour, needed, created_at)
    SELECT i, 'double ' || i, 'double', 'x', now() - interval '1 hour' * k FROM generate_series(20, 100, 20) i, generate_series(1, 2) k;
INSERT INTO offices (name, needed) VALUES ('nobody''s', 'x');
INSERT INTO visits SELECT row_number() OVER (), id, name FROM offices;
INSERT INTO bills SELECT row_number() OVER (), id, id FROM offices;
INSERT INTO rooms SELECT id, id::text FROM offices;
UPDATE offices SET head_id = (SELECT id FROM offices WHERE name = 'double 40' LIMIT 1) WHERE legacy_id IN (20, 22, 40);
INSERT INTO people (legacy_id, name, mood) SELECT i, 'old ' || i, 'mood ' || i FROM generate_series(3, 3300, 3) i;
INSERT INTO memberships (legacy_a, legacy_b, role, note) SELECT 1 + i % 100, i, 'old', 'note ' || i FROM generate_series(1, 300, 5) i;
-- pairs of which a part is not there, and doubles enough for several rounds
INSERT INTO memberships (legacy_a, legacy_b, role, note) VALUES (7, NULL, 'old', 'half'), (NULL, 7, 'old', 'half');
INSERT INTO memberships (legacy_a, legacy_b, role, note) SELECT 5000, i % 2500, 'old', 'one of two' FROM generate_series(0, 4999) i;
INSERT INTO tags (label, note) SELECT 'tag ' || i, 'note ' || i FROM generate_series(1, 250, 4) i;
INSERT INTO tags (id, label, note) VALUES ('ffffffff-ffff-4fff-bfff-ffffffffffff', 'tag 21', 'a double');
CREATE TABLE tag_of AS SELECT substr(label, 5)::int AS legacy, id AS tag FROM tags;
-- two legacy keys claim one row; a row that is not there; no key
INSERT INTO tag_of VALUES (7, (SELECT id FROM tags WHERE label = 'tag 5')), (15, gen_random_uuid()), (NULL, (SELECT id FROM tags WHERE label = 'tag 9')), (17, NULL);
INSERT INTO badges (a, b, note) SELECT i / 10, i % 10, 'note ' || i FROM generate_series(2, 120, 2) i;
INSERT INTO seats (legacy_id, side, note) SELECT i, 'old', 'note ' || i FROM generate_series(1, 240, 3) i;
INSERT INTO seats (legacy_id, side, note, created_at) SELECT i, 'old', 'a double', now() + interval '1 hour' FROM generate_series(1, 30, 3) i;
ALTER TABLE offices ALTER needed SET DEFAULT 'by default';
-- as it was
CREATE TABLE was_offices AS SELECT * FROM offices;
CREATE TABLE was_people AS SELECT * FROM people;
CREATE TABLE was_memberships AS SELECT * FROM memberships;
CREATE TABLE was_tags AS SELECT * FROM tags;
CREATE TABLE was_seats AS SELECT * FROM seats;
CREATE TABLE was_badges AS SELECT * FROM badges;
SQL
mapping_write <<'YAML'
rows:
  - {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}, adopt: legacy_id}, once: [first_name],
     columns: {legacy_id: id, name: name, first_name: name}}
  - {name: people, from: person, to: people, when: active, key: {id: {uuid: person, of: id}, adopt: legacy_id},
     columns: {legacy_id: id, name: name, office_id: {uuid: office, of: office_id}, boss_id: {uuid: person, of: boss_id, required: false}}}
  - {name: memberships, from: membership, to: memberships, key: {id: {uuid: membership, of: [a, b]}, adopt: [legacy_a, legacy_b]},
     columns: {legacy_a: a, legacy_b: b, role: role}}
  - {name: tags, from: tag, to: tags, key: {id: {uuid: tag, of: id}, adopt: {sql: "SELECT legacy, tag FROM tag_of"}},
     columns: {label: label}}
  - {name: badges, from: badge, to: badges, key: {id: {uuid: badge, of: [a, b]}, adopt: [a, b]}, identity: legacy_id,
     columns: {legacy_id: id, a: a, b: b, colour: colour}}
  - {name: claims, from: claim, to: claims, key: {id: {uuid: claim, of: id}}, columns: {seat_id: {uuid: seat, of: chair_id}}}
mirrors: {chair: }
derive:
  - name: seats
    to: seats
    key: {id: {uuid: seat, of: chair_id}, adopt: legacy_id}
    touched: {chair: select id as chair_id from touched}
    query: select k.chair_id, k.chair_id as legacy_id, case c.side when 0 then 'left' else 'right' end as side, pgrekey.id('office', c.office_id) as office_id from keys k join pgrekey_mirror.chair c on c.id = k.chair_id
YAML
settings_write "snapshot:" "  workers: 2" "  range_rows: 1000" "batch:" "  max_rows: 200"
check "init" pgrekey init --quiet

compare() {
    same_rows "$1: offices" "SELECT id, name FROM office" \
        "SELECT legacy_id, name FROM offices WHERE legacy_id IN (SELECT legacy::int FROM pgrekey.adopted WHERE entity = 'office' AND met <> '{}') OR id NOT IN (SELECT id FROM was_offices)"
    same_rows "$1: people and what they refer to" \
        "SELECT p.id, p.name, o.id, b.id FROM person p JOIN office o ON o.id = p.office_id LEFT JOIN person b ON b.id = p.boss_id AND (b.active OR b.id % 3 = 0) WHERE p.active" \
        "SELECT p.legacy_id, p.name, o.legacy_id, b.legacy_id FROM people p JOIN offices o ON o.id = p.office_id LEFT JOIN people b ON b.id = p.boss_id"
    same_rows "$1: memberships" "SELECT a, b, role FROM membership" "SELECT legacy_a, legacy_b, role FROM memberships WHERE legacy_a <> 5000 AND legacy_b IS NOT NULL"
    same_rows "$1: seats" "SELECT id, CASE side WHEN 0 THEN 'left' ELSE 'right' END, office_id FROM chair" \
        "SELECT s.legacy_id, s.side, o.legacy_id FROM seats s JOIN offices o ON o.id = s.office_id"
    same_rows "$1: claims" "SELECT count(*), sum(c.chair_id) FROM claim c JOIN chair h ON h.id = c.chair_id" \
        "SELECT count(*), sum(s.legacy_id) FROM claims c JOIN seats s ON s.id = c.seat_id"
    same_rows "$1: badges" "SELECT id, a, b, colour FROM badge" "SELECT legacy_id, a, b, colour FROM badges WHERE legacy_id IS NOT NULL"
    same_rows "$1: tags" "SELECT label FROM tag" \
        "SELECT label FROM tags t WHERE NOT EXISTS (SELECT FROM pgrekey.adopted a WHERE a.entity = 'tag' AND a.id = t.id AND met = '{}')"
    local each
    for each in office:offices person:people membership:memberships tag:tags badge:badges claim:claims; do
        accounts "$1: account of ${each#*:}" "${each#*:}" "${each%:*}"
    done
    equals "$1: each row bears the id that SQL gives it" 0 "$(target_sql "
        SELECT (SELECT count(*) FROM offices WHERE id <> pgrekey.id('office', legacy_id))
            + (SELECT count(*) FROM people WHERE id <> pgrekey.id('person', legacy_id))
            + (SELECT count(*) FROM memberships WHERE id <> pgrekey.id('membership', legacy_a, legacy_b))
            + (SELECT count(*) FROM seats WHERE id <> pgrekey.id('seat', legacy_id))
            + (SELECT count(*) FROM badges WHERE id <> pgrekey.id('badge', a, b))
            + (SELECT count(*) FROM tags WHERE id <> pgrekey.id('tag', substr(label, 5)))")"
}

# --- check says what is there

pgrekey check >"$T/check.log" 2>&1 || true
check "check asks for no empty table" bash -c "! grep -q 'no snapshot has been taken yet' '$T/check.log'"

# --- kill -9 in the midst of the adoption, then of the snapshot

target_sql "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END \$\$;
            CREATE TRIGGER slow AFTER DELETE ON memberships FOR EACH STATEMENT EXECUTE FUNCTION slow()"
engine_start
wait_merge() { [ "$(target_sql "SELECT merged FROM pgrekey.adoption WHERE rule = 'memberships'")" = 1000 ]; }
wait_for 60 "doubles to be merged" wait_merge
engine_kill
equals "killed in the midst of the adoption" "offices:t people:t memberships:f" \
    "$(target_sql "SELECT string_agg(rule || ':' || left(done::text, 1), ' ' ORDER BY merged <> 10, adopted = 0) FROM pgrekey.adoption")"
target_sql "DROP TRIGGER slow ON memberships"
for each in 1 2 3; do
    engine_start
    nap_ms "$(random_between 100 500)"
    engine_kill
done
engine_start
caught_up
compare "snapshot"

equals "doubles went into the oldest, each once" "memberships:2500 offices:10 seats:10 tags:1" \
    "$(target_sql "SELECT string_agg(rule || ':' || n, ' ' ORDER BY rule) FROM (SELECT rule, count(*) AS n FROM pgrekey.audit WHERE action = 'adopt_merge' GROUP BY rule) x")"
equals "each adoption is recorded once" "badges:60 memberships:2560 offices:250 people:1100 seats:80 tags:63" \
    "$(target_sql "SELECT string_agg(rule || ':' || rows, ' ' ORDER BY rule) FROM pgrekey.audit WHERE action = 'adopt'")"
equals "what was left out is recorded" "adopt_missing:legacy key 15 claims adopt_shared:legacy key 7 claims" \
    "$(target_sql "SELECT string_agg(action || ':' || substring(detail from 'legacy key \d+ claims'), ' ' ORDER BY action) FROM pgrekey.audit WHERE rule = 'tags' AND action IN ('adopt_missing', 'adopt_shared')")"
equals "figures of each" "badges|60|0|0|0|0
memberships|2560|2500|0|0|2
offices|250|10|0|0|1
people|1100|0|0|0|0
seats|80|10|0|0|0
tags|63|1|1|1|0" "$(target_sql "SELECT rule, adopted, merged, shared, missing, others FROM pgrekey.adoption ORDER BY rule")"
check "status tells" bash -c "'$PGREKEY' -c '$T/pgrekey.yaml' status | grep -q 'adopted     4113 rows of 6 tables, 2521 doubles merged, 2 claims left out'"
check "status tells in JSON" bash -c "'$PGREKEY' -c '$T/pgrekey.yaml' status --json | grep -q '\"adoption\":{\"done\":true,\"adopted\":63,\"merged\":1,\"shared\":1,\"missing\":1,\"others\":0}'"
check "map test shows the id that a row has" bash -c "'$PGREKEY' -c '$T/pgrekey.yaml' map test --json --table office 2 2>&1 | grep -q '$(target_sql "SELECT id FROM was_offices WHERE legacy_id = 2")'"
equals "the oldest of doubles stayed" 5 \
    "$(target_sql "SELECT count(*) FROM offices o JOIN was_offices w USING (id) WHERE o.legacy_id IN (20, 40, 60, 80, 100) AND w.first_name IS NOT NULL")"
equals "children of doubles hang on the oldest; none is lost" "261|261|15" "$(target_sql "
    SELECT count(*), count(o.id), count(*) FILTER (WHERE o.legacy_id IN (20, 40, 60, 80, 100)) FROM visits v LEFT JOIN offices o ON o.id = v.office_id")"
equals "in a second and a third table too, by each of two columns" "261|15|15|261|15" "$(target_sql "
    SELECT count(*), count(*) FILTER (WHERE o.legacy_id IN (20, 40, 60, 80, 100)), count(*) FILTER (WHERE p.legacy_id IN (20, 40, 60, 80, 100)),
        (SELECT count(*) FROM rooms), (SELECT count(*) FROM rooms r JOIN offices o ON o.id = r.office_id WHERE o.legacy_id IN (20, 40, 60, 80, 100))
    FROM bills b LEFT JOIN offices o ON o.id = b.office_id LEFT JOIN offices p ON p.id = b.payer_id")"
equals "and in the table itself" "20|40 22|40 40|40" "$(target_sql "
    SELECT string_agg(o.legacy_id || '|' || h.legacy_id, ' ' ORDER BY o.legacy_id) FROM offices o JOIN offices h ON h.id = o.head_id")"
equals "the row that two keys claim went to the first" "tag 5|note 5" "$(target_sql "SELECT label, note FROM tags WHERE id = pgrekey.id('tag', 5)")"
kept() {
    equals "$1: the application's columns are as they were" 0 "$(target_sql "
        SELECT (SELECT count(*) FROM offices n JOIN was_offices w USING (id) WHERE (n.colour, n.needed, n.created_at) IS DISTINCT FROM (w.colour, w.needed, w.created_at) AND n.legacy_id <> 430)
            + (SELECT count(*) FROM people n JOIN was_people w USING (id) WHERE n.mood IS DISTINCT FROM w.mood)
            + (SELECT count(*) FROM seats n JOIN was_seats w USING (id) WHERE n.note IS DISTINCT FROM w.note)
            + (SELECT count(*) FROM badges n JOIN was_badges w USING (id) WHERE n.note IS DISTINCT FROM w.note AND (n.a, n.b) <> (1, 2))
            + (SELECT count(*) FROM memberships n JOIN was_memberships w USING (id) WHERE n.note IS DISTINCT FROM w.note)
            + (SELECT count(*) FROM tags n JOIN was_tags w USING (id) WHERE n.note IS DISTINCT FROM w.note)")"
    equals "$1: what is written once was not written over" 0 "$(target_sql "
        SELECT count(*) FROM offices n JOIN was_offices w USING (id) WHERE n.first_name IS DISTINCT FROM w.first_name AND n.legacy_id <> 430")"
}
kept "snapshot"
equals "a row of nobody and those without a source row are as they were" "51|0" "$(target_sql "
    SELECT count(*), count(*) FILTER (WHERE o IS DISTINCT FROM w) FROM was_offices w LEFT JOIN offices o USING (id) WHERE w.legacy_id > 400 OR w.legacy_id IS NULL")"
equals "an excluded person's row stands, and counts as excluded" "100|300" "$(target_sql "
    SELECT (SELECT count(*) FROM people WHERE legacy_id <= 3000 AND legacy_id % 30 = 0), excluded FROM pgrekey.counter WHERE rule = 'people'")"

# --- the stream

source_script <<'SQL'
UPDATE office SET name = name || '!' WHERE id % 3 = 0;
UPDATE person SET office_id = 2 WHERE id % 7 = 0;
INSERT INTO office SELECT i, 'late ' || i FROM generate_series(401, 420) i;
INSERT INTO person SELECT i, 402, 6, 'late ' || i FROM generate_series(3001, 3100) i;
UPDATE person SET active = NOT active WHERE id IN (2010, 2013, 2016, 2040, 2011);
BEGIN;
INSERT INTO office VALUES (430, 'born');
UPDATE office SET name = 'born and changed' WHERE id = 430;
COMMIT;
BEGIN;
DELETE FROM office WHERE id = 430;
INSERT INTO office VALUES (430, 'again');
COMMIT;
BEGIN;
INSERT INTO office VALUES (432, 'short');
DELETE FROM office WHERE id = 432;
COMMIT;
INSERT INTO membership VALUES (900, 901, 'new');
UPDATE membership SET role = 'changed' WHERE b % 4 = 0;
UPDATE tag SET label = label WHERE id % 2 = 0;
DELETE FROM tag WHERE id IN (1, 2, 5);
UPDATE chair SET side = 1 - side, office_id = office_id - 1 WHERE id % 6 = 1 AND id > 1;
DELETE FROM chair WHERE id IN (4, 5);
INSERT INTO chair SELECT i, i, 1 FROM generate_series(201, 208) i;
UPDATE badge SET colour = 'changed' WHERE id % 3 = 0;
DELETE FROM badge WHERE id IN (10, 11, 12);
INSERT INTO badge SELECT i, i / 10, i % 10, 'late ' || i FROM generate_series(101, 110) i;
INSERT INTO badge VALUES (1012, 1, 2, 'the pair returns');
SQL
caught_up
compare "stream"
kept "stream"
equals "deleted adopted rows are gone, and short-lived ones took their adopted row with them" 0 "$(target_sql "
    SELECT (SELECT count(*) FROM tags WHERE label IN ('tag 1', 'tag 2', 'tag 5')) + (SELECT count(*) FROM offices WHERE legacy_id = 432)")"

# A changed key: the row moves to the id of the new key, adopted or derived.
source_script <<'SQL'
UPDATE membership SET a = 950 WHERE b IN (1, 2);
UPDATE badge SET a = 90 WHERE id IN (20, 21);
UPDATE tag SET id = 1000, label = 'tag 1000' WHERE id = 9;
UPDATE person SET id = 3303 WHERE id = 2997;
UPDATE person SET id = 3201 WHERE id = 2998;
DELETE FROM person WHERE id IN (3000, 2994);
SQL
caught_up
compare "changed keys"
equals "nothing stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"

# --- a second start does nothing again

before=$(target_sql "SELECT count(*), max(id) FROM pgrekey.audit WHERE action LIKE 'adopt%'")
engine_stop
engine_start
source_sql "UPDATE office SET name = 'once more' WHERE id IN (2, 3)"
caught_up
equals "a second start adopts nothing" "$before" \
    "$(target_sql "SELECT count(*), max(id) FROM pgrekey.audit WHERE action LIKE 'adopt%'")"
compare "second start"
engine_stop

# --- begun anew after a drop, all is found again

ids() { target_sql "SELECT md5(string_agg(id::text, ',' ORDER BY id)) FROM (SELECT id FROM offices UNION ALL SELECT id FROM people UNION ALL SELECT id FROM memberships) x"; }
before=$(ids)
target_sql "TRUNCATE claims" # its rows bear computed ids: it does not adopt
pgrekey drop --yes --quiet
pgrekey init --quiet
equals "drop forgets what was adopted" 0 "$(target_sql "SELECT (SELECT count(*) FROM pgrekey.adopted) + (SELECT count(*) FROM pgrekey.adoption)")"
engine_start
caught_up
equals "a new beginning finds every row under its id" "$before" "$(ids)"
compare "begun anew"
engine_stop
target_sql "TRUNCATE claims"
pgrekey drop --yes --quiet
pgrekey init --quiet

# --- a snapshot that is given up takes back what it inserted, and nothing else

target_sql "DELETE FROM offices o WHERE legacy_id = 7 AND NOT EXISTS (SELECT FROM people WHERE office_id = o.id);
            ALTER TABLE people ADD CONSTRAINT never CHECK (name = 'x') NOT VALID"
source_sql "INSERT INTO office SELECT i, 'fresh' FROM generate_series(5001, 5100) i;
            INSERT INTO person SELECT i, 1, NULL, 'fresh ' || i FROM generate_series(5001, 6000) i"
before=$(target_sql "SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)) FROM offices")
settings_write "breaker:" "  window: 100" "  percent: 50"
pgrekey_fails "the breaker ends the snapshot" 4 "too many of the last rows failed" run
equals "the offices are those that were there" "$before" \
    "$(target_sql "SELECT count(*), md5(string_agg(id::text, ',' ORDER BY id)) FROM offices")"
equals "no record is left" 0 "$(target_sql "SELECT (SELECT count(*) FROM pgrekey.pipeline) + (SELECT count(*) FROM pgrekey.adopted)")"
target_sql "ALTER TABLE people DROP CONSTRAINT never"

# --- doubles that cannot be made one are refused before anything is written

target_sql "DROP TABLE visits; CREATE TABLE visits (office_id uuid REFERENCES offices, day date, UNIQUE (office_id, day) );
            INSERT INTO offices (legacy_id, name, needed) VALUES (2, 'another', 'x');
            INSERT INTO visits SELECT id, '2024-01-01' FROM offices WHERE legacy_id = 2"
pgrekey_fails "they are refused" 4 "cannot be made one: visits .*visits_office_id_day_key" run
equals "and nothing is left of it" "2|0" "$(target_sql "SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM pgrekey.pipeline)")"
target_sql "DELETE FROM visits WHERE office_id = (SELECT id FROM offices WHERE name = 'another')"
engine_start
caught_up
compare "after mending"
engine_stop
# --- a rule that joins later adopts as well

source_script <<'SQL'
CREATE TABLE desk (id int PRIMARY KEY, office_id int, name text);
INSERT INTO desk SELECT i, 1 + i % 100, 'desk ' || i FROM generate_series(1, 100) i;
SQL
target_script <<'SQL'
CREATE TABLE desks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int, office_id uuid NOT NULL REFERENCES offices, name text, note text);
INSERT INTO desks (legacy_id, office_id, note) SELECT i, (SELECT id FROM offices LIMIT 1), 'note' FROM generate_series(1, 120, 2) i;
CREATE TABLE was_desks AS SELECT * FROM desks;
SQL
sed -i 's/^mirrors:/  - {name: desks, from: desk, to: desks, key: {id: {uuid: desk, of: id}, adopt: legacy_id}, columns: {legacy_id: id, name: name, office_id: {uuid: office, of: office_id}}}\n&/' "$T/mapping.yaml"
engine_start
source_sql "UPDATE desk SET name = name || '!' WHERE id % 5 = 0; INSERT INTO desk VALUES (101, 1, 'late'), (102, 1, 'later')"
caught_up
same_rows "joined: desks" "SELECT id, name, office_id FROM desk" \
    "SELECT d.legacy_id, d.name, o.legacy_id FROM desks d JOIN offices o ON o.id = d.office_id WHERE d.name IS NOT NULL"
accounts "joined: account of desks" desks desk
equals "joined: ids and notes are as they were" "60|60|51" "$(target_sql "
    SELECT count(*), count(*) FILTER (WHERE d.note = 'note'), count(*) FILTER (WHERE d.name IS NOT NULL) FROM desks d JOIN was_desks USING (id)")"
compare "joined"
engine_stop

check "no value of a row is in the log" bash -c "! grep -Eq 'Office 1|Person 1|old [0-9]|colour' '$T/engine.log'"
test_end
