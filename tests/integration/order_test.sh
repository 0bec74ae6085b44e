#!/usr/bin/env bash
# The order of changes: unique values that wander between rows, parents and children that come and go in any order the
# source allows. The target's constraints are checked at once, the source's at the end; nothing may stay in quarantine.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE team (id int PRIMARY KEY, name text NOT NULL, parent_id int REFERENCES team DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE member (id int PRIMARY KEY, email text, seat int, team_id int NOT NULL REFERENCES team DEFERRABLE INITIALLY DEFERRED,
    UNIQUE (email) DEFERRABLE INITIALLY DEFERRED, UNIQUE (seat) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE badge (id int PRIMARY KEY, member_id int NOT NULL REFERENCES member DEFERRABLE INITIALLY DEFERRED, code text NOT NULL);
CREATE TABLE claim (id int PRIMARY KEY, email text NOT NULL, note text);
INSERT INTO team SELECT i, 'Team ' || i, CASE WHEN i > 1 THEN i / 2 END FROM generate_series(1, 20) i;
INSERT INTO member SELECT i, 'm' || i || '@example.org', i, 1 + i % 20 FROM generate_series(1, 200) i;
INSERT INTO badge SELECT i, 1 + i % 200, 'B' || i FROM generate_series(1, 400) i;
INSERT INTO claim SELECT i, 'c' || i || '@example.org', 'n' FROM generate_series(1, 20) i;
SQL
target_script <<'SQL'
CREATE TABLE teams (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, name text NOT NULL, parent_id uuid REFERENCES teams);
CREATE TABLE members (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, email text UNIQUE, seat int UNIQUE, team_id uuid NOT NULL REFERENCES teams);
CREATE TABLE badges (id uuid PRIMARY KEY, member_id uuid NOT NULL REFERENCES members, code text NOT NULL UNIQUE);
CREATE TABLE claims (id uuid PRIMARY KEY, legacy_id int NOT NULL, email text NOT NULL UNIQUE, note text);
SQL
# Children stand before their parents in the file: the order is found, not read.
mapping_write <<'YAML'
rows:
  - {name: badge, from: badge, to: badges, key: {id: {uuid: badge, of: id}}, columns: {member_id: {uuid: member, of: member_id, required: true}, code: code}}
  - {name: member, from: member, to: members, key: {id: {uuid: member, of: id}},
     columns: {legacy_id: id, email: email, seat: seat, team_id: {uuid: team, of: team_id, required: true}}}
  - {name: team, from: team, to: teams, key: {id: {uuid: team, of: id}},
     columns: {legacy_id: id, name: name, parent_id: {uuid: team, of: parent_id, required: false}}}
  - {name: claim, from: claim, to: claims, key: {id: {uuid: claim, of: id}}, columns: {legacy_id: id, email: email, note: note}}
YAML
settings_write "breaker:" "  window: 0"
check "init" pgrekey init
check "check" pgrekey check --quiet

compare() {
    local rule
    same_rows "$1: teams" "SELECT $(uuid_sql team id), id, name, $(uuid_sql team parent_id) FROM team" "SELECT id, legacy_id, name, parent_id FROM teams"
    same_rows "$1: members" "SELECT $(uuid_sql member id), id, email, seat, $(uuid_sql team team_id) FROM member" "SELECT id, legacy_id, email, seat, team_id FROM members"
    same_rows "$1: badges" "SELECT $(uuid_sql badge id), $(uuid_sql member member_id), code FROM badge" "SELECT id, member_id, code FROM badges"
    for rule in team member badge claim; do accounts "$1: accounts of $rule" $rule $rule; done
    equals "$1: nothing in quarantine" "" \
        "$(target_sql "SELECT rule, category, count(*) FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule <> 'claim' GROUP BY 1, 2")"
}
step() {
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"

step "two rows swap a unique value" <<'SQL'
BEGIN;
UPDATE member SET email = 'tmp' WHERE id = 1;
UPDATE member SET email = 'm1@example.org' WHERE id = 2;
UPDATE member SET email = 'm2@example.org' WHERE id = 1;
COMMIT;
SQL
step "and in one statement" <<<"UPDATE member SET email = 'm' || (7 - id) || '@example.org' WHERE id IN (3, 4)"
step "two hundred rows pass their values on in a circle" <<<"UPDATE member SET seat = 1 + seat % 200, email = 'm' || (1 + id % 200) || '@example.org'"
step "a value comes back to a row, another had it in between" <<'SQL'
BEGIN;
UPDATE member SET email = 'x' WHERE id = 5;
UPDATE member SET email = 'y' WHERE id = 5;
UPDATE member SET email = 'x' WHERE id = 6;
UPDATE member SET email = 'z' WHERE id = 6;
UPDATE member SET email = 'x' WHERE id = 5;
COMMIT;
SQL
step "delete, then a new row takes the unique value" <<'SQL'
BEGIN;
DELETE FROM badge WHERE member_id = 10;
DELETE FROM member WHERE id = 10;
INSERT INTO member SELECT 1010, 'm11@example.org', 11, 3;
COMMIT;
SQL
step "a new row takes the value before the old one is deleted" <<'SQL'
BEGIN;
INSERT INTO member SELECT 1011, email, seat, 3 FROM member WHERE id = 11;
UPDATE badge SET member_id = 1011 WHERE member_id = 11;
DELETE FROM member WHERE id = 11;
COMMIT;
SQL
step "a child is moved off a parent that is then deleted" <<'SQL'
BEGIN;
UPDATE member SET team_id = 1 WHERE team_id = 20;
DELETE FROM team WHERE id = 20;
COMMIT;
SQL
step "the parent is deleted first, its children leave later" <<'SQL'
BEGIN;
DELETE FROM team WHERE id = 19;
UPDATE member SET team_id = 2 WHERE team_id = 19;
COMMIT;
SQL
step "a parent comes after its children" <<'SQL'
BEGIN;
INSERT INTO badge VALUES (5001, 5001, 'late'), (5002, 5001, 'later');
INSERT INTO member VALUES (5001, 'late@example.org', 5001, 5001);
INSERT INTO team VALUES (5001, 'late', 5002);
INSERT INTO team VALUES (5002, 'last', 1);
COMMIT;
SQL
step "a family comes and goes in one transaction" <<'SQL'
BEGIN;
INSERT INTO team VALUES (6001, 'short-lived', NULL);
INSERT INTO member VALUES (6001, 'short@example.org', 6001, 6001);
INSERT INTO badge VALUES (6001, 6001, 'short');
DELETE FROM team WHERE id = 6001;
DELETE FROM badge WHERE id = 6001;
DELETE FROM member WHERE id = 6001;
COMMIT;
SQL
step "a parent is deleted and born again under its children" <<'SQL'
BEGIN;
DELETE FROM team WHERE id = 3;
INSERT INTO team VALUES (3, 'Third, again', 1);
COMMIT;
SQL
step "a parent's key changes, its children follow" <<'SQL'
BEGIN;
UPDATE team SET id = 7004 WHERE id = 4;
UPDATE member SET team_id = 7004 WHERE team_id = 4;
UPDATE team SET parent_id = 7004 WHERE parent_id = 4;
COMMIT;
SQL
step "two parents exchange their keys" <<'SQL'
BEGIN;
UPDATE member SET id = -1 WHERE id = 51;
UPDATE member SET id = 51 WHERE id = 52;
UPDATE member SET id = 52 WHERE id = -1;
COMMIT;
SQL
step "a tree is turned round" <<'SQL'
BEGIN;
UPDATE team SET parent_id = NULL WHERE id = 6;
UPDATE team SET parent_id = 6 WHERE id = 3;
UPDATE team SET parent_id = 3 WHERE id = 1;
DELETE FROM team WHERE id = 18;
UPDATE member SET team_id = 6 WHERE team_id = 18;
COMMIT;
SQL
step "the whole family goes, oldest first" <<'SQL'
BEGIN;
DELETE FROM team WHERE id = 17;
DELETE FROM member WHERE team_id = 17;
DELETE FROM badge WHERE NOT EXISTS (SELECT FROM member WHERE member.id = member_id);
COMMIT;
SQL

# The same in transactions of their own that arrive in one batch.
engine_stop
source_script <<'SQL'
UPDATE member SET email = NULL WHERE id = 61;
UPDATE member SET email = 'once 61''s', seat = NULL WHERE id = 62;
UPDATE member SET email = 'once 62''s', seat = 62 WHERE id = 61;
UPDATE member SET seat = 63000 WHERE id = 63;
UPDATE member SET seat = 64 WHERE id = 62;
DELETE FROM badge WHERE member_id = 70;
DELETE FROM member WHERE id = 70;
INSERT INTO member VALUES (2070, 'm71@example.org', 71, 6);
DELETE FROM member WHERE id = 2070;
INSERT INTO member VALUES (70, 'm71@example.org', 71, 6);
INSERT INTO team VALUES (8001, 'passing', 6);
UPDATE member SET team_id = 8001 WHERE id BETWEEN 80 AND 90;
UPDATE member SET team_id = 6 WHERE team_id = 8001;
DELETE FROM team WHERE id = 8001;
INSERT INTO team VALUES (8001, 'passing again', 8001);
SQL
engine_start
caught_up
compare "many transactions in one batch"

# The source knows no unique e-mail in claim: the later row stands aside until the earlier lets go.
claims() { # NAME QUARANTINED
    caught_up
    same_rows "$1: claims" "SELECT $(uuid_sql claim id), id, email, note FROM claim WHERE id NOT IN ($2)" "SELECT id, legacy_id, email, note FROM claims WHERE legacy_id NOT IN ($2)"
    equals "$1: the others wait" "$2" \
        "$(target_sql "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '0') FROM (SELECT (key::jsonb->>0)::int FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = 'claim') q (id)")"
    accounts "$1: accounts" claim claim
}
source_sql "INSERT INTO claim VALUES (101, 'c1@example.org', 'second'), (102, 'c2@example.org', 'second'), (103, 'c3@example.org', 'second'), (104, 'new@example.org', 'free')"
claims "taken values" "101,102,103"
equals "a taken e-mail is a conflict" email_conflict "$(target_sql "SELECT DISTINCT category FROM pgrekey.quarantine WHERE rule = 'claim' AND status <> 'resolved'")"
source_sql "UPDATE claim SET email = 'free@example.org' WHERE id = 1"
claims "released by an update" "102,103"
source_sql "DELETE FROM claim WHERE id = 2"
claims "released by a delete" "103"
source_sql "BEGIN; UPDATE claim SET note = 'edited while waiting' WHERE id = 103; UPDATE claim SET id = 3003, email = 'c3b@example.org' WHERE id = 3; COMMIT"
claims "released by a row that moves, after an edit" "0"
source_sql "UPDATE claim SET email = 'c4@example.org' WHERE id IN (5, 6)"
claims "two wait for one" "5,6"
source_sql "UPDATE claim SET email = 'c5@example.org' WHERE id = 5"
claims "the row frees itself" "6"
source_sql "DELETE FROM claim WHERE id = 6"
claims "or goes" "0"
engine_stop

# Circles.
source_sql "CREATE TABLE egg (id int PRIMARY KEY, hen_id int); CREATE TABLE hen (id int PRIMARY KEY, egg_id int)"
target_sql "CREATE TABLE eggs (id uuid PRIMARY KEY, hen_id uuid); CREATE TABLE hens (id uuid PRIMARY KEY, egg_id uuid);
    CREATE TABLE egg (id int PRIMARY KEY, hen_id int); CREATE TABLE hen (id int PRIMARY KEY, egg_id int REFERENCES egg); ALTER TABLE egg ADD FOREIGN KEY (hen_id) REFERENCES hen"
mapping_write <<'YAML'
rows:
  - {from: egg, to: eggs, key: {id: {uuid: egg, of: id}}, columns: {hen_id: {uuid: hen, of: hen_id, required: false}}}
  - {from: hen, to: hens, key: {id: {uuid: hen, of: id}}, columns: {egg_id: {uuid: egg, of: egg_id, required: false}}}
YAML
pgrekey_fails "a circle of references is refused without a server" 6 'circle: .*egg.*hen' map check --offline
pgrekey_fails "a circle is refused by run" 2 'circle|has 1 error' --set pipeline=circle --set source.slot=circle run
mapping_write <<'YAML'
rows:
  - {from: egg, to: egg, key: {id: id}, columns: {hen_id: hen_id}}
  - {from: hen, to: hen, key: {id: id}, columns: {egg_id: egg_id}}
YAML
pgrekey_fails "a circle of the target's foreign keys is refused" 6 'circle: .*egg.*hen' map check
target_sql "ALTER TABLE hen DROP CONSTRAINT hen_egg_id_fkey; ALTER TABLE hen ADD FOREIGN KEY (egg_id) REFERENCES egg DEFERRABLE INITIALLY DEFERRED"
pgrekey_fails "and one that a deferrable one closes" 6 'circle: .*egg.*hen' map check
target_sql "ALTER TABLE hen DROP CONSTRAINT hen_egg_id_fkey"
check "without it there is none" pgrekey map check
test_end
