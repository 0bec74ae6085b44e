#!/usr/bin/env bash
# Rows that cannot be applied: kept aside with their category, never in the way of others, healed by a later good
# change, by retry, by time; given up by discard. And the breaker. The accounts are exact after each step.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE team (id int PRIMARY KEY, name text);
CREATE TABLE member (id int PRIMARY KEY, team_id int, email text, seat int, code int NOT NULL DEFAULT 0, label text, born text,
    facts text, age int, note text, marked boolean NOT NULL DEFAULT false);
ALTER TABLE member ALTER note SET STORAGE EXTERNAL;
CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL, t text);
INSERT INTO team SELECT i, 'Team ' || i FROM generate_series(1, 10) i;
INSERT INTO member (id, team_id, email, seat, label) SELECT i, 1 + i % 10, 'm' || i || '@x', i, 'L' || i FROM generate_series(1, 100) i;
-- already bad when the snapshot is taken
INSERT INTO member (id, team_id, email, seat, code) VALUES (901, 1, 'm1@x', 901, 0), (902, 77, 'm902@x', 902, 0), (903, 1, 'm903@x', 903, 9);
INSERT INTO plain SELECT i, i, 't' || i FROM generate_series(1, 1000) i;
SQL
target_script <<'SQL'
CREATE TABLE teams (id uuid PRIMARY KEY, name text);
CREATE TABLE members (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, team_id uuid NOT NULL REFERENCES teams, email text UNIQUE, seat int UNIQUE,
    code text NOT NULL, label varchar(10), born date, facts jsonb, age int CHECK (age BETWEEN 0 AND 150), note text);
CREATE TABLE plains (id int PRIMARY KEY, n int NOT NULL CHECK (n >= 0), t text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.label = 'raise' THEN RAISE EXCEPTION 'no %', NEW.label; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON members FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
mapping_write <<'YAML'
rows:
  - {name: team, from: team, to: teams, key: {id: {uuid: team, of: id}}, columns: {name: name}}
  - name: member
    from: member
    to: members
    when: not marked
    key: {id: {uuid: member, of: id}}
    columns:
      legacy_id: id
      team_id: {uuid: team, of: team_id, required: true}
      email: email
      seat: seat
      code: {from: code, enum: {0: zero, 1: one}, else: reject}
      label: label
      born: born
      facts: {from: facts, apply: [json]}
      age: age
      note: note
  - {name: plain, from: plain, to: plains, key: {id: id}, columns: {n: n, t: t}}
YAML
settings_write "breaker:" "  window: 400" "  percent: 50" "quarantine:" "  backoff: 1h"
check "init" pgrekey init --quiet

standing() { target_sql "SELECT key::json ->> 0, category, status FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = 'member' ORDER BY id" | paste -sd ' '; }
counted() { target_sql "SELECT mapped || ' ' || quarantined || ' ' || excluded || ' ' || failed_deletes FROM pgrekey.counter WHERE rule = '${1:-member}'"; }
bad_of() { target_sql "SELECT category FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = 'member' AND key = '[\"$1\"]'"; }
id_of() { target_sql "SELECT id FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = '${2:-member}' AND key = '[\"$1\"]'"; }
sums() {
    local rule
    for rule in team member plain; do accounts "$1: accounts of $rule" $rule $rule; done
    # What the counter says is what stands there.
    equals "$1: counted as it stands" "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE rule = 'member' AND status NOT IN ('resolved', 'discarded') AND op <> 'D'")" \
        "$(target_sql "SELECT quarantined FROM pgrekey.counter WHERE rule = 'member'")"
}
row() { target_sql "SELECT $2 FROM members WHERE legacy_id = $1"; }

engine_start
caught_up
equals "the snapshot keeps bad rows aside" "901 email_conflict 902 orphan_reference 903 ambiguous_value" \
    "$(target_sql "SELECT key::json ->> 0, category FROM pgrekey.quarantine ORDER BY key" -F ' ' | paste -sd ' ')"
equals "and counts them" "100 3 0 0" "$(counted)"
sums "snapshot"

# --- one row of each kind among good ones, in one transaction and in several

source_script <<'SQL'
BEGIN;
INSERT INTO member (id, team_id, email, seat, born) VALUES (201, 1, 'm201@x', 201, 'not a date');
INSERT INTO member (id, team_id, email, seat, label) VALUES (202, 1, 'm202@x', 202, 'much too long for ten');
INSERT INTO member (id, team_id, email, seat, facts) VALUES (203, 1, 'm203@x', 203, '{broken');
INSERT INTO member (id, team_id, email, seat, facts) VALUES (204, 1, 'm204@x', 204, '{"a": "\u0000"}');
INSERT INTO member (id, team_id, email, seat, age) VALUES (205, 1, 'm205@x', 205, 500);
INSERT INTO member (id, team_id, email, seat, label) VALUES (206, 1, 'm206@x', 206, 'raise');
INSERT INTO member (id, team_id, email, seat) VALUES (207, 1, 'm2@x', 207);
INSERT INTO member (id, team_id, email, seat) VALUES (208, 1, 'm208@x', 2);
INSERT INTO member (id, team_id, email, seat) VALUES (209, 99, 'm209@x', 209);
INSERT INTO member (id, team_id, email, seat) VALUES (210, NULL, 'm210@x', 210);
INSERT INTO member (id, team_id, email, seat, code) VALUES (211, 1, 'm211@x', 211, 7);
INSERT INTO member (id, team_id, email, seat) VALUES (212, 1, 'm212@x', 212);
COMMIT;
INSERT INTO member (id, team_id, email, seat) VALUES (213, 1, 'm213@x', 213);
SQL
caught_up
for each in 201:validation_failure 202:validation_failure 203:json_parse 204:json_parse 205:validation_failure 206:validation_failure \
    207:email_conflict 208:constraint_violation 209:orphan_reference 210:orphan_reference 211:ambiguous_value; do
    equals "row ${each%:*}: ${each#*:}" "${each#*:}" "$(bad_of "${each%:*}")"
done
equals "the good rows beside them stand" 2 "$(target_sql "SELECT count(*) FROM members WHERE legacy_id IN (212, 213)")"
equals "nothing of the bad ones does" 0 "$(target_sql "SELECT count(*) FROM members WHERE legacy_id BETWEEN 201 AND 211")"
equals "each is counted" "102 14 0 0" "$(counted)"
sums "bad inserts"
equals "status points there" 6 "$(rc=0; pgrekey status >/dev/null || rc=$?; echo $rc)"
check "list shows all of them" [ "$(pgrekey quarantine list --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" -eq 14 ]
check "list by category" [ "$(pgrekey quarantine list --category json_parse --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" -eq 2 ]
check "show prints the change" grep -q 'not a date' <(pgrekey quarantine show "$(id_of 201)")
check "the log holds no value" test -z "$(grep -E 'not a date|much too long|broken|m207|raise' "$T/engine.log")"

# --- a failed update leaves the last good version; later changes merge; a good one heals

source_sql "UPDATE member SET label = 'good', note = repeat('n', 5000) WHERE id = 10"
source_sql "UPDATE member SET code = 5, label = 'lost' WHERE id = 10"
caught_up
equals "a failed update leaves the last good version" "good zero 5000" "$(row 10 "label || ' ' || code || ' ' || length(note)")"
equals "and counts as quarantined" "101 15 0 0" "$(counted)"
source_sql "UPDATE member SET seat = 1010 WHERE id = 10"
caught_up
equals "a later change of that row waits with it" "good 10" "$(row 10 "label || ' ' || seat")"
equals "it is still one entry" "101 15 0 0" "$(counted)"
source_sql "UPDATE member SET code = 1 WHERE id = 10"
caught_up
equals "a good change brings all of them" "lost one 1010 5000" "$(row 10 "label || ' ' || code || ' ' || seat || ' ' || length(note)")"
equals "and resolves the entry" "102 14 0 0" "$(counted)"
sums "failed update healed"

# A row never stored, its long value not in later changes: all of it must be there in the end.
source_sql "INSERT INTO member (id, team_id, email, seat, code, note) VALUES (220, 1, 'm220@x', 220, 8, repeat('long', 2000))"
caught_up
source_sql "UPDATE member SET age = 33 WHERE id = 220"
caught_up
source_sql "UPDATE member SET code = 0 WHERE id = 220"
caught_up
equals "an unchanged out-of-line value comes from the image" "33 8000" "$(row 220 "age || ' ' || length(note)")"

# The ways out of quarantine at the source: delete, exclusion, changed key.
source_sql "DELETE FROM member WHERE id = 201"
source_sql "UPDATE member SET marked = true WHERE id = 202"
source_sql "UPDATE member SET id = 2203 WHERE id = 203"
caught_up
equals "a deleted row leaves the quarantine" "" "$(bad_of 201)"
equals "so does one that stops to match" "" "$(bad_of 202)"
equals "a changed key takes its entry along" ",json_parse" "$(bad_of 203),$(bad_of 2203)"
equals "counts follow" "103 12 1 0" "$(counted)"
source_sql "UPDATE member SET marked = false, label = 'short' WHERE id = 202"
source_sql "UPDATE member SET facts = '{}' WHERE id = 2203"
caught_up
equals "both come back when they are good" "short {}" "$(row 202 label) $(row 2203 facts)"
sums "ways out"

# A delete of a row whose last update failed takes the last good version away.
source_sql "UPDATE member SET code = 5 WHERE id = 11"
caught_up
source_sql "DELETE FROM member WHERE id = 11"
caught_up
equals "the delete of a quarantined row deletes its last good version" "" "$(row 11 label)"
sums "delete of a quarantined row"

# --- retry and discard, asked of the running engine

pgrekey_fails "retry of what waits says so" 6 '0 still failing, 1 waiting for a parent' quarantine retry "$(id_of 209)"
source_sql "INSERT INTO team VALUES (99, 'late')"
caught_up
equals "a row whose parent comes is no longer aside" "" "$(bad_of 209)"
equals "the row stands" zero "$(row 209 code)"
target_sql "ALTER TABLE members DROP CONSTRAINT members_age_check"
check "retry when the target was mended" pgrekey quarantine retry "$(id_of 205)"
equals "it stands, too" 500 "$(row 205 age)"
source_sql "UPDATE member SET email = 'other@x' WHERE id = 2"
caught_up
wait_for 10 "the row that waited for it" test -n "$(row 207 email)" || true
equals "a unique value that is let go of wakes who waits for it" "m2@x" "$(row 207 email)"
sums "retries"

before=$(counted)
discarded=$(id_of 211)
check "discard" pgrekey quarantine discard "$discarded"
equals "a discarded row counts as excluded by decision" \
    "$(echo "$before" | awk '{ print $1, $2 - 1, $3 + 1, $4 }')" "$(counted)"
accounts "discard: accounts" member member
source_sql "UPDATE member SET seat = 2110 WHERE id = 211"
caught_up
equals "changed again and still bad it stands in quarantine again" "$before" "$(counted)"
pgrekey quarantine discard "$(id_of 211)" >/dev/null
source_sql "UPDATE member SET code = 1 WHERE id = 211"
caught_up
equals "changed again and good it is mapped" "one 2110" "$(row 211 "code || ' ' || seat")"
pgrekey quarantine discard "$(id_of 901)" >/dev/null
source_sql "DELETE FROM member WHERE id = 901"
caught_up
sums "discards"
equals "decisions are on record" "3 discard" "$(target_sql "SELECT count(*) || ' ' || action FROM pgrekey.audit WHERE action = 'discard' GROUP BY action")"

# --- a failed delete

target_script <<'SQL'
CREATE TABLE badges (id int PRIMARY KEY, member_id uuid NOT NULL REFERENCES members);
INSERT INTO badges SELECT 1, id FROM members WHERE legacy_id = 20;
SQL
before=$(counted)
source_sql "DELETE FROM member WHERE id IN (20, 21)"
caught_up
equals "a delete that living children refuse" constraint_violation "$(bad_of 20)"
equals "is counted outside the equation" "$(echo "$before" | awk '{ print $1 - 2, $2, $3, 1 }')" "$(counted)"
equals "the others are done" "" "$(row 21 label)"
sums "failed delete"
source_sql "INSERT INTO member (id, team_id, email, seat, label) VALUES (20, 2, 'again@x', 20, 'again')"
caught_up
equals "the row that returns takes its place" "again $(echo "$before" | awk '{ print $1 - 1, $2, $3, 0 }')" "$(row 20 label) $(counted)"
source_sql "DELETE FROM member WHERE id = 20"
caught_up
target_sql "TRUNCATE badges"
check "retry of the delete" pgrekey quarantine retry "$(id_of 20)"
equals "the row is gone" "0 0" "$(target_sql "SELECT count(*) FROM members WHERE legacy_id = 20") $(counted | cut -d' ' -f4)"
sums "failed delete done"

# --- by time, and across a restart

engine_stop
target_sql "UPDATE pgrekey.quarantine SET next_try = now() WHERE status = 'pending'"
source_sql "INSERT INTO team VALUES (77, 'late, too')"
engine_start --set quarantine.backoff=1s
is_healed() { [ -z "$(bad_of "$1")" ]; }
wait_for 20 "the row that waited" is_healed 902
equals "a row whose parent comes after a restart stands, too" zero "$(row 902 code)"
escalated() { [ "$(target_sql "SELECT status FROM pgrekey.quarantine WHERE rule = 'member' AND key = '[\"206\"]'")" = escalated ]; }
wait_for 40 "the last retry" escalated
equals "after three tries a person is asked" "3 escalated" \
    "$(target_sql "SELECT retries || ' ' || status FROM pgrekey.quarantine WHERE rule = 'member' AND key = '[\"206\"]'")"
caught_up
sums "retries by time"

# --- forty bad rows do not slow forty batches: each is seen before it is sent

# Forty transactions, each with one row of this label.
stream_of() {
    local each
    for each in $(seq 1 40); do
        echo "BEGIN; UPDATE plain SET n = n + 1 WHERE id BETWEEN 1 AND 200; UPDATE member SET label = '$1' WHERE id = 20 + $each; COMMIT;"
    done | source_script
}
timed() {
    local from
    engine_stop
    stream_of "$1"
    from=$(date +%s%N)
    engine_start
    caught_up
    TOOK_MS=$((($(date +%s%N) - from) / 1000000))
}
timed fine
good_ms=$TOOK_MS
timed "much too long for the column"
bad_ms=$TOOK_MS
check "forty bad rows do not slow forty batches ($good_ms ms without, $bad_ms ms with)" [ "$bad_ms" -lt $((good_ms * 3 + 1000)) ]
sums "forty bad rows"

# --- what is resolved is not kept for ever

engine_stop
entries() { target_sql "SELECT count(*) FILTER (WHERE status = 'resolved'), count(*) FILTER (WHERE status <> 'resolved') FROM pgrekey.quarantine"; }
IFS='|' read -r resolved open < <(entries)
target_sql "UPDATE pgrekey.quarantine SET first_seen = now() - interval '40 days', resolved_at = resolved_at - interval '31 days'
    WHERE status <> 'resolved' OR id IN (SELECT id FROM pgrekey.quarantine WHERE status = 'resolved' ORDER BY id LIMIT 7)"
engine_start
expired() { [ "$(entries)" = "$((resolved - 7))|$open" ]; }
wait_for 30 "old entries" expired
ok "entries that were resolved longer ago than quarantine.keep_resolved are gone, and no others"
equals "which the audit says" 7 "$(target_sql "SELECT rows FROM pgrekey.audit WHERE action = 'expire'")"
engine_stop
test_end
