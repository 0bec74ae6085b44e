#!/usr/bin/env bash
# Circles of optional references: second_pass opens them in the order, and every reference is filled when its parent is
# there, in snapshot and stream, with foreign keys that are checked at once.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE team (id int PRIMARY KEY, name text, lead_id int);
CREATE TABLE person (id int PRIMARY KEY, name text, team_id int, mentor_id int);
INSERT INTO team SELECT i, 'Team ' || i, 10 * i FROM generate_series(1, 300) i;
INSERT INTO person SELECT i, 'Person ' || i, 1 + i % 300, nullif(3001 - i, i) FROM generate_series(1, 3000) i;
SQL
target_script <<'SQL'
CREATE TABLE teams (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, lead_id uuid);
CREATE TABLE persons (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, team_id uuid NOT NULL REFERENCES teams, mentor_id uuid REFERENCES persons);
ALTER TABLE teams ADD FOREIGN KEY (lead_id) REFERENCES persons;
CREATE INDEX ON teams (lead_id);
CREATE INDEX ON persons (team_id);
CREATE INDEX ON persons (mentor_id);
SQL
circle() {
    mapping_write <<YAML
rows:
  - from: team
    to: teams
    key: {id: {uuid: team, of: id}}
    columns: {legacy_id: id, name: name, lead_id: {uuid: person, of: lead_id}}
    ${1:-second_pass: lead_id}
  - from: person
    to: persons
    key: {id: {uuid: person, of: id}}
    columns: {legacy_id: id, name: name, team_id: {uuid: team, of: team_id}, mentor_id: {uuid: person, of: mentor_id}}
YAML
}
settings_write
circle 'delete: row'
pgrekey_fails "a circle is refused, and told how to open it" 6 'circle' map check
circle
check "second_pass opens it" pgrekey map check -q

TEAMS="SELECT legacy_id, name, id, lead_id FROM teams"
PERSONS="SELECT legacy_id, name, id, team_id, mentor_id FROM persons"
# all NAME: both tables as the source has them, an optional reference being there where its row is.
all() {
    same_rows "$1: teams" "SELECT o.id, name, $(uuid_sql team o.id), $(uuid_sql person 'SELECT p.id FROM person p JOIN team t ON t.id = p.team_id WHERE p.id = o.lead_id') FROM team o" "$TEAMS"
    same_rows "$1: persons" "SELECT o.id, name, $(uuid_sql person o.id), $(uuid_sql team team_id), $(uuid_sql person 'SELECT p.id FROM person p JOIN team t ON t.id = p.team_id WHERE p.id = o.mentor_id') FROM person o WHERE EXISTS (SELECT FROM team WHERE id = team_id)" "$PERSONS"
}
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up
all "after the snapshot"

source_script <<'SQL'
BEGIN; INSERT INTO team VALUES (401, 'New', 4001); INSERT INTO person VALUES (4001, 'Lead', 401, 4002); COMMIT;
BEGIN; INSERT INTO person VALUES (4002, 'Later', 402, NULL); INSERT INTO team VALUES (402, 'Other', 4002); COMMIT;
INSERT INTO team VALUES (403, 'Waits', 4003);
UPDATE team SET name = 'Still waits' WHERE id = 403;
SQL
caught_up
equals "until the lead comes the reference is NULL" 1 "$(target_sql "SELECT count(*) FROM teams WHERE legacy_id = 403 AND lead_id IS NULL AND name = 'Still waits'")"
source_sql "INSERT INTO person VALUES (4003, 'Comes', 403, 1)"
caught_up
all "in the stream"
source_script <<'SQL'
UPDATE team SET lead_id = 5000 + id WHERE id < 200;
DELETE FROM person WHERE id IN (SELECT 10 * i FROM generate_series(150, 250) i);
INSERT INTO person SELECT 5000 + i, 'Led ' || i, i, 5001 + i FROM generate_series(1, 250) i;
DELETE FROM team WHERE id = 17;
UPDATE person SET team_id = 19 WHERE id IN (46, 316);
INSERT INTO team VALUES (17, 'Again', 46);
SQL
caught_up
all "after both sides went and came"

cat >"$T/load.sql" <<'SQL'
\set t random(1, 310)
\set p random(1, 3100)
\set what random(1, 6)
\sleep 10 ms
\if :what = 1
INSERT INTO team VALUES (:t, 'Made', :p) ON CONFLICT (id) DO UPDATE SET lead_id = excluded.lead_id;
\elif :what = 2
DELETE FROM team WHERE id = :t;
\elif :what = 3
INSERT INTO person VALUES (:p, 'Made', :t, :p / 2) ON CONFLICT (id) DO UPDATE SET team_id = excluded.team_id;
\elif :what = 4
DELETE FROM person WHERE id = :p;
\elif :what = 5
UPDATE team SET lead_id = :p WHERE id = :t;
\else
BEGIN;
DELETE FROM person WHERE id = :p;
INSERT INTO team VALUES (:t, 'Both', :p) ON CONFLICT (id) DO UPDATE SET lead_id = excluded.lead_id;
INSERT INTO person VALUES (:p, 'Both', :t, :t) ON CONFLICT (id) DO NOTHING;
COMMIT;
\endif
SQL
load_start "${PGREKEY_LOAD_SECONDS:-10}" 2 "$T/load.sql"
kill_loop "$PGREKEY_KILLS" 200 900
load_wait
caught_up 180
all "under load and kills"
accounts "every team is accounted for" 'team->teams' team
accounts "every person too" 'person->persons' person
equals "who stands in quarantine waits for a team that is not there" 0 \
    "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND category <> 'orphan_reference'")"
engine_stop
test_end
