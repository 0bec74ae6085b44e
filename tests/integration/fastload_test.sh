#!/usr/bin/env bash
# Fast load: a snapshot takes indexes and foreign keys off empty tables and builds them again. Whatever dies when, and
# whatever an index looks like: afterwards every definition is as it was, and the rows are those of an ordinary load.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE region (id int PRIMARY KEY, name text);
CREATE TABLE person (id int PRIMARY KEY, region_id int, boss_id int, email text, note text, extra text, born date);
CREATE TABLE visit (id int PRIMARY KEY, person_id int NOT NULL, note text);
INSERT INTO region SELECT i, 'Region ' || i FROM generate_series(1, 50) i;
INSERT INTO person SELECT i, CASE WHEN i % 50 <> 7 THEN i % 60 END, CASE WHEN i % 9 = 0 THEN i / 2 END, 'p' || i % 19980 || '@example.com',
        i % 70, '{"n": ' || i || '}', date '1950-01-01' + i % 9000
    FROM generate_series(1, 20000) i;
INSERT INTO visit SELECT i, 1 + i % 20000, 'Visit ' || i FROM generate_series(1, 40000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE SCHEMA "other Schema";
CREATE FUNCTION "other Schema".tidy(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE EXTENSION btree_gist;
CREATE EXTENSION "uuid-ossp";
CREATE TABLE regions (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE people (
    id uuid PRIMARY KEY, legacy_id int NOT NULL, region_id uuid, boss_id uuid, email text, note text, extra jsonb, born date,
    place uuid REFERENCES regions, year int GENERATED ALWAYS AS (extract(year FROM born)::int) STORED,
    CONSTRAINT "the region's" FOREIGN KEY (region_id) REFERENCES regions ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT one_email UNIQUE (email) DEFERRABLE,
    CONSTRAINT no_overlap EXCLUDE USING gist (legacy_id WITH =)
);
ALTER TABLE people ADD CONSTRAINT boss FOREIGN KEY (boss_id) REFERENCES people MATCH FULL NOT VALID;
CREATE UNIQUE INDEX people_legacy ON people (legacy_id);
ALTER TABLE people REPLICA IDENTITY USING INDEX people_legacy;
CREATE INDEX ON people (region_id);
CREATE INDEX "we""ird 'name'" ON people ((note::int), "other Schema".tidy(email) COLLATE "C" text_pattern_ops DESC NULLS LAST) WHERE born > '1950-01-02';
CREATE INDEX covering ON people (boss_id) INCLUDE (note, born) WITH (fillfactor = 73);
CREATE INDEX gin ON people USING gin (extra jsonb_path_ops) WITH (fastupdate = off);
CREATE INDEX hashed ON people USING hash (note);
CREATE INDEX brin ON people USING brin (born) WITH (pages_per_range = 7);
CREATE INDEX generated ON people (year, born DESC);
CREATE INDEX ordered ON people (born);
ALTER TABLE people CLUSTER ON ordered;
CREATE INDEX expression ON people ((upper(note)));
ALTER INDEX expression ALTER COLUMN 1 SET STATISTICS 345;
COMMENT ON INDEX covering IS E'with a ''quote'', a \\ and\na second line';
COMMENT ON CONSTRAINT "the region's" ON people IS 'a comment''s comment';
CREATE TABLE visits (id uuid PRIMARY KEY, person_id uuid NOT NULL REFERENCES people, note text) PARTITION BY HASH (id);
CREATE TABLE visits_0 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON visits (person_id);
CREATE TABLE badges (id uuid PRIMARY KEY, legacy_id int NOT NULL);
CREATE TABLE notes (id uuid PRIMARY KEY, person_id uuid NOT NULL REFERENCES people ON DELETE CASCADE, badge_id uuid NOT NULL REFERENCES badges, note text);
CREATE INDEX notes_person ON notes (person_id);
CREATE INDEX notes_note ON notes (note);
CREATE TABLE later (id uuid PRIMARY KEY, person_id uuid NOT NULL REFERENCES people, note text);
CREATE INDEX ON later (person_id, note);
SQL
mapping_write <<'YAML'
rows:
  - {from: region, to: regions, key: {id: {uuid: region, of: id}}, columns: {legacy_id: id, name: name}}
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns:
      {legacy_id: id, region_id: {uuid: region, of: region_id, required: false}, boss_id: {uuid: person, of: boss_id, required: false},
       email: email, note: note, extra: extra, born: born}
  - {from: visit, to: visits, key: {id: {uuid: visit, of: id}}, columns: {person_id: {uuid: person, of: person_id}, note: note}}
  - {from: visit, to: notes, key: {id: {uuid: note, of: id}}, columns: {person_id: {uuid: person, of: person_id}, badge_id: {uuid: badge, of: person_id}, note: note}}
mirrors:
  visit: {columns: [person_id], index: [person_id]}
derive:
  - to: badges
    key: {id: {uuid: badge, of: person_id}}
    touched: {visit: select person_id from touched}
    query: select k.person_id, k.person_id as legacy_id from keys k where exists (select from visit v where v.person_id = k.person_id)
    gone: delete
YAML
settings_write "snapshot: {workers: 2, range_rows: 4000, fast_load: true}" "batch: {max_rows: 300}" "breaker: {window: 0}" "quarantine: {retries: 0}"
check "init" pgrekey init

# Everything that a definition may say, of every table.
definitions() {
    target_sql "SELECT i.indrelid::regclass, pg_get_indexdef(c.oid), i.indisclustered, i.indisreplident, i.indisvalid, obj_description(c.oid, 'pg_class'),
            (SELECT string_agg(attnum || '=' || attstattarget, ',') FROM pg_attribute a WHERE a.attrelid = c.oid), c.reloptions
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 2"
    target_sql "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, condeferrable, condeferred, obj_description(oid, 'pg_constraint')
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
}
same_definitions() {
    definitions >"$T/definitions.now"
    if cmp -s "$T/definitions.was" "$T/definitions.now"; then
        ok "$1: definitions ($(wc -l <"$T/definitions.was"))"
    else
        not_ok "$1: definitions"
        diff "$T/definitions.was" "$T/definitions.now" | head -n 20 | sed 's/^/    /' || true
    fi
    equals "$1: nothing is recorded as off" 0 "$(target_sql "SELECT count(*) FROM pgrekey.taken_off")"
}
rows_of() { target_sql "SELECT 'r', id, name FROM regions UNION ALL SELECT 'p', id, concat_ws(',', legacy_id, region_id, boss_id, note, extra, born) FROM people
    WHERE legacy_id BETWEEN 2001 AND 18000 UNION ALL SELECT 'v', v.id, concat_ws(',', person_id, v.note) FROM visits v JOIN people p ON p.id = v.person_id
    WHERE legacy_id BETWEEN 2001 AND 18000 ORDER BY 1, 2"; }
# Of two people with one e-mail address either may come first; all others are the same as without a fast load.
same_load() {
    rows_of >"$T/rows.now"
    check "$1: rows ($(wc -l <"$T/rows.now"))" cmp -s "$T/rows.was" "$T/rows.now"
    for rule in "person->people" "visit->visits" "visit->notes"; do accounts "$1: accounts of $rule" "$rule" "${rule%%-*}"; done
}
# A superuser's drop takes the mirrors' empty schema too.
drop_all() {
    pgrekey drop --yes >/dev/null
    target_sql "TRUNCATE regions, people, visits, notes, badges, later"
    pgrekey init >/dev/null
}
off() { target_sql "SELECT count(*) FROM pgrekey.taken_off"; }
is_off() { [ "$(off)" -gt 0 ]; }

check "an ordinary load" pgrekey run --until-caught-up --set snapshot.fast_load=false
definitions >"$T/definitions.was"
rows_of >"$T/rows.was"
check "its drop" drop_all

# --- as it should be

check "a fast load" pgrekey run --until-caught-up
same_definitions "a fast load"
same_load "a fast load"
equals "the mirror's index" 1 "$(target_sql "SELECT count(*) FROM pg_indexes WHERE schemaname = 'pgrekey_mirror' AND indexdef LIKE '%(person_id)'")"
check "its drop" drop_all
# Held in its midst by a lock, it shows what is off.
target_sql "BEGIN; LOCK TABLE people IN SHARE MODE; SELECT pg_sleep(6); COMMIT" >/dev/null &
HOLDER=$!
sleep 1
engine_start --set target.lock_timeout=0
sleep 1
equals "it waits for a lock, with nothing off and nothing recorded" 0 "$(off)"
wait "$HOLDER"
wait_for 30 "the taking off" is_off
engine_kill
names=$(target_sql "SELECT string_agg(name, ' ' ORDER BY name) FROM pgrekey.taken_off WHERE schema_name = 'public'")
equals "what is off" "boss brin covering expression generated gin hashed notes_badge_id_fkey notes_note notes_person notes_person_id_fkey ordered people_region_id_idx the region's we\"ird 'name'" "$names"
equals "and is not there" "" "$(target_sql "SELECT string_agg(c.relname, ' ') FROM pg_class c JOIN pgrekey.taken_off o ON o.name = c.relname WHERE schema_name = 'public'")"
check "status tells" grep -q 'fast load .* off' <(pgrekey status || true)

# --- what ends it otherwise

check "drop brings back" pgrekey drop --yes
pgrekey run --until-caught-up --set snapshot.fast_load=false >/dev/null 2>&1 || true # the mirror's index, as the others
same_definitions "drop in the midst" || true
drop_all
engine_start
wait_for 30 "the taking off" is_off
engine_kill
check "the setting taken back in the midst" pgrekey run --until-caught-up --set snapshot.fast_load=false
same_definitions "the setting taken back"
same_load "the setting taken back"
drop_all
target_sql "ALTER TABLE notes ADD CONSTRAINT never CHECK (note = 'x')"
pgrekey_fails "the breaker ends it" 4 'too many of the last rows failed' run --until-caught-up --set breaker.window=100
target_sql "ALTER TABLE notes DROP CONSTRAINT never"
equals "the breaker: nothing is off" 0 "$(off)"
equals "the breaker: no pipeline" 0 "$(target_sql "SELECT count(*) FROM pgrekey.pipeline")"

# --- kills, at any point

done_streaming() { [ "$(target_sql "SELECT state FROM pgrekey.pipeline" 2>/dev/null)" = streaming ]; }
kills=0
for _ in $(seq 1 $((PGREKEY_KILLS / 3 + 1))); do
    for _ in 1 2 3; do
        engine_start
        sleep "$(printf '0.%03d' $((RANDOM % 900 + 50)))"
        if [ $((RANDOM % 2)) -eq 0 ]; then cut_connections target || true; fi
        kills=$((kills + 1))
        engine_kill
    done
    engine_start
    wait_for 60 "the stream" done_streaming
    caught_up
    engine_stop
    definitions >"$T/definitions.now"
    rows_of >"$T/rows.now"
    cmp -s "$T/definitions.was" "$T/definitions.now" || not_ok "a definition is not what it was"
    cmp -s "$T/rows.was" "$T/rows.now" || not_ok "a row is not what it was"
    drop_all
done
ok "$kills kills"

# --- what cannot be built again

target_script <<'SQL'
CREATE FUNCTION take_person_5() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM people WHERE legacy_id = 1005; RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT ON notes FOR EACH ROW WHEN (NEW.note = 'Visit 1004') EXECUTE FUNCTION take_person_5();
ALTER TABLE visits DROP CONSTRAINT visits_person_id_fkey;
SQL
source_sql "UPDATE person SET note = 'no number' WHERE id = 3000"
check "it goes on without" pgrekey run --until-caught-up
equals "what could not be built again" "foreign key notes_person_id_fkey 23503 unvalidated" \
    "$(target_sql "SELECT string_agg(concat_ws(' ', kind, name, failed, state), '|' ORDER BY kind DESC) FROM pgrekey.taken_off")"
aside() { target_sql "SELECT string_agg(concat_ws(' ', rule, key, category, sqlstate, constraint_name), '|' ORDER BY rule, key) FROM pgrekey.quarantine
    WHERE status <> 'resolved' AND key IN ('[\"3000\"]', '[\"2999\"]', '[\"22999\"]')"; }
children='visit->notes ["22999"] orphan_reference  |visit->notes ["2999"] orphan_reference  |visit->visits ["22999"] orphan_reference  |visit->visits ["2999"] orphan_reference  '
equals "a row that an index does not take is in quarantine, and its children wait" \
    "person->people [\"3000\"] validation_failure 22P02 we\"ird 'name'|$children" "$(aside)"
equals "the index is there" 1 "$(target_sql "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'we_ird%'")"
accounts "with a row aside" "person->people" person
source_sql "UPDATE person SET note = 60 WHERE id = 3000"
check "it is mended on the source" pgrekey run --until-caught-up
equals "and back, with its children" "|3" "$(aside)|$(target_sql "SELECT count(*) + count(DISTINCT p.id) FROM notes n JOIN people p ON p.id = n.person_id WHERE p.legacy_id = 3000")"
equals "the foreign key holds for new rows" f "$(target_sql "SELECT convalidated FROM pg_constraint WHERE conname = 'notes_person_id_fkey'")"
check "status tells of it" grep -q 'could not be built again' <(pgrekey status || true)
pgrekey_fails "drop keeps what it cannot build" 4 'cannot be built again' drop --yes
target_sql "DELETE FROM notes n WHERE NOT EXISTS (SELECT FROM people p WHERE p.id = n.person_id)"
check "drop when that is mended" pgrekey drop --yes
target_sql "TRUNCATE visits; ALTER TABLE visits ADD FOREIGN KEY (person_id) REFERENCES people; DROP TRIGGER t ON notes"
definitions >"$T/definitions.now"
check "definitions are as they were" cmp -s "$T/definitions.was" "$T/definitions.now"

# --- made by somebody himself in the meantime

drop_all
engine_start
wait_for 30 "the taking off" is_off
engine_kill
target_sql "CREATE INDEX notes_note ON notes (note); CREATE INDEX gin ON people (note); DROP INDEX IF EXISTS notes_person"
pgrekey run --until-caught-up >/dev/null 2>&1 || true
equals "the same index is settled, another one of its name is not" "gin 42P07" "$(target_sql "SELECT string_agg(name || ' ' || failed, '|') FROM pgrekey.taken_off")"
target_sql "DROP INDEX gin"
check "the next start builds it" pgrekey run --until-caught-up
same_definitions "in the end"

# --- a rule that joins

cp "$T/mapping.yaml" "$T/mapping.base"
sed -i 's/^mirrors:/  - {from: visit, to: later, key: {id: {uuid: later, of: id}}, columns: {person_id: {uuid: person, of: person_id}, note: note}}\n&/' "$T/mapping.yaml"
engine_start
joining() { grep -q 'event=joining' "$T/engine.log"; }
wait_for 60 "the joining" joining
engine_kill
equals "its table is filled beside the stream: nothing of it is off" 0 "$(off)"
source_sql "INSERT INTO visit SELECT i, i, 'New ' || i FROM generate_series(50001, 50005) i; DELETE FROM visit WHERE id <= 5"
engine_start
caught_up
joined 120
engine_stop
same_definitions "a rule that joins"
accounts "a rule that joins: accounts" "visit->later" visit
source_sql "INSERT INTO visit SELECT i, 1 + i % 20000, 'Visit ' || i FROM generate_series(1, 5) i; DELETE FROM visit WHERE id > 50000"
cp "$T/mapping.base" "$T/mapping.yaml"
drop_all

# --- a role that owns nothing, then one that owns some

pgrekey init --login >/dev/null
sed -i -e 's/dbname=app user=postgres/dbname=app user=pgrekey/' "$T/pgrekey.yaml"
check "check names tables that are not ours" grep -q 'fast load leaves' <(pgrekey check || true)
engine_start
in_snapshot() { [ "$(target_sql "SELECT snapshot_parts FROM pgrekey.pipeline WHERE state = 'snapshot'")" ]; }
wait_for 30 "the snapshot" in_snapshot
engine_kill
equals "of another's tables nothing is off" 0 "$(target_sql "SELECT count(*) FROM pgrekey.taken_off WHERE schema_name = 'public'")"
target_sql "ALTER TABLE notes OWNER TO pgrekey; GRANT CREATE ON SCHEMA public TO pgrekey"
pgrekey drop --yes >/dev/null
target_sql "TRUNCATE regions, people, visits, notes, badges, later"
engine_start
wait_for 30 "the taking off" is_off
engine_kill
equals "a foreign key to another's table stays" "notes_note notes_person" "$(target_sql "SELECT string_agg(name, ' ' ORDER BY name) FROM pgrekey.taken_off WHERE schema_name = 'public'")"
check "to the end" pgrekey run --until-caught-up
same_definitions "as a plain role"
same_load "as a plain role"
test_end
