#!/usr/bin/env bash
# Rows of a family of tables in random order, engine killed and cut off meanwhile: at the end the target holds what the
# source means, however it came about, and nothing waits but true orphans. The seed is printed; PGREKEY_SEED repeats it.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

ROUNDS=${PGREKEY_ROUNDS:-3}
echo "# seed $PGREKEY_SEED, $ROUNDS rounds"
source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text);
CREATE TABLE person (id int PRIMARY KEY, office_id int NOT NULL, mate_id int, email text, note text);
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
CREATE TABLE ticket (id int PRIMARY KEY, person_id int NOT NULL, second_id int, office_id int NOT NULL, title text);
CREATE TABLE team (id int PRIMARY KEY, lead_id int, title text);
SQL
# Half of the references have foreign keys, half of the legacy keys stand on the target.
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, name text);
CREATE TABLE people (id uuid PRIMARY KEY, office_id uuid NOT NULL REFERENCES offices, mate_id uuid REFERENCES people, email text UNIQUE, note text);
CREATE TABLE tickets (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, person_id uuid NOT NULL, second_id uuid, office_id uuid NOT NULL REFERENCES offices, title text);
CREATE TABLE teams (id uuid PRIMARY KEY, lead_id uuid REFERENCES people, title text);
SQL
mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, key: {id: {uuid: office, of: id}}, truncate: rows, columns: {legacy_id: id, name: name}}
  - name: person
    from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns:
      office_id: {uuid: office, of: office_id, required: true}
      mate_id: {uuid: person, of: mate_id, required: false}
      email: email
      note: note
  - name: ticket
    from: ticket
    to: tickets
    key: {id: {uuid: ticket, of: id}}
    columns:
      legacy_id: id
      person_id: {uuid: person, of: person_id, required: true}
      second_id: {uuid: person, of: second_id, required: false}
      office_id: {uuid: office, of: office_id, required: true}
      title: title
  - {name: team, from: team, to: teams, key: {id: {uuid: team, of: id}}, columns: {lead_id: {uuid: person, of: lead_id, required: false}, title: title}}
YAML

LIVING="WITH l AS (SELECT p.* FROM person p WHERE EXISTS (SELECT FROM office o WHERE o.id = p.office_id))"
compare() {
    local rule
    same_rows "$1: offices" "SELECT $(uuid_sql office id), id, name FROM office" "SELECT id, legacy_id, name FROM offices"
    same_rows "$1: people" \
        "$LIVING SELECT $(uuid_sql person id), $(uuid_sql office office_id), CASE WHEN mate_id IN (SELECT id FROM l) THEN $(uuid_sql person mate_id) END, email, length(note) FROM l" \
        "SELECT id, office_id, mate_id, email, length(note) FROM people"
    same_rows "$1: tickets" \
        "$LIVING SELECT $(uuid_sql ticket id), id, $(uuid_sql person person_id), CASE WHEN second_id IN (SELECT id FROM l) THEN $(uuid_sql person second_id) END, $(uuid_sql office office_id), title
         FROM ticket WHERE person_id IN (SELECT id FROM l) AND office_id IN (SELECT id FROM office)" \
        "SELECT id, legacy_id, person_id, second_id, office_id, title FROM tickets"
    same_rows "$1: teams" \
        "$LIVING SELECT $(uuid_sql team id), CASE WHEN lead_id IN (SELECT id FROM l) THEN $(uuid_sql person lead_id) END, title FROM team" \
        "SELECT id, lead_id, title FROM teams"
    same_rows "$1: only orphans wait" \
        "$LIVING SELECT 'person', count(*) FROM person WHERE id NOT IN (SELECT id FROM l) UNION ALL
         SELECT 'ticket', count(*) FROM ticket WHERE person_id NOT IN (SELECT id FROM l) OR office_id NOT IN (SELECT id FROM office)" \
        "SELECT r, count(q.id) FROM unnest('{person,ticket}'::text[]) r LEFT JOIN pgrekey.quarantine q ON q.rule = r AND q.status = 'pending' AND q.waits_id IS NOT NULL GROUP BY r"
    same_rows "$1: so do references" \
        "$LIVING SELECT n FROM (SELECT 'mate', count(*) FROM l WHERE mate_id IS NOT NULL AND mate_id NOT IN (SELECT id FROM l) UNION ALL SELECT 'lead', count(*) FROM team WHERE lead_id IS NOT NULL AND lead_id NOT IN (SELECT id FROM l) UNION ALL
         SELECT 'second', count(*) FROM ticket WHERE second_id IS NOT NULL AND second_id NOT IN (SELECT id FROM l) AND person_id IN (SELECT id FROM l) AND office_id IN (SELECT id FROM office)) n" \
        "SELECT (replace(c, '_id', ''), (SELECT count(*) FROM pgrekey.pending_reference WHERE column_name = c)) FROM unnest('{mate_id,lead_id,second_id}'::text[]) c"
    equals "$1: nothing else stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved' AND waits_id IS NULL")"
    for rule in office person ticket team; do
        accounts "$1: accounts of $rule" $rule $rule
        equals "$1: what stands aside of $rule is counted" "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE rule = '$rule' AND status <> 'resolved'")" \
            "$(target_sql "SELECT quarantined FROM pgrekey.counter WHERE rule = '$rule'")"
    done
}

# play SEED: the transactions in the background, up to the last act.
play() {
    python3 "$TOP/tests/support/disorder.py" "$1" 200 >"$T/disorder.sql"
    sed '/^\\echo/,$d' "$T/disorder.sql" >"$T/most.sql"
    sed '1,/^\\echo/d' "$T/disorder.sql" >"$T/last.sql"
    source_script -q <"$T/most.sql" >"$T/load.out" &
    LOAD_PID=$!
}

for round in $(seq 1 "$ROUNDS"); do
    seed=$((PGREKEY_SEED + round))
    # small batches now and then, so that a source transaction is applied in pieces
    settings_write "breaker:" "  window: 50" "  percent: 10" "batch:" "  max_rows: $((round % 2 ? 10 : 10000))"
    pgrekey init --quiet
    play "$seed"
    nap_ms "$(random_between 0 600)" # what the snapshot sees
    engine_start
    wait_for 60 "the snapshot" target_sql "SELECT 1 / count(*) FROM pgrekey.pipeline WHERE state = 'streaming'"
    for _ in $(seq 1 "$PGREKEY_KILLS"); do
        nap_ms "$(random_between 20 300)"
        if [ $((RANDOM % 3)) -eq 0 ]; then
            cut_connections target
            nap_ms 100
            if ! engine_is_alive; then # it was connecting for the first time
                engine_wait
                engine_start
            fi
        else
            engine_kill
            engine_start
        fi
    done
    load_wait
    caught_up
    compare "seed $seed"
    source_script -q <"$T/last.sql"
    caught_up
    compare "seed $seed, complete"
    equals "seed $seed: nobody waits" 0 "$(target_sql "SELECT (SELECT count(*) FROM pgrekey.pending_reference) + (SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved')")"
    engine_stop
    pgrekey drop --yes --quiet
    source_sql "TRUNCATE office, person, ticket, team"
    target_sql "TRUNCATE offices, people, tickets, teams"
done
test_end
