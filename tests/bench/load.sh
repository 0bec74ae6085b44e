# shellcheck shell=bash
# A first snapshot of 2,000,000 messages of 100,000 people into tables with keys, four indexes and two foreign keys:
# as it is, and with snapshot.fast_load, in turn.

MESSAGES=${PGREKEY_BENCH_MESSAGES:-2000000}
PEOPLE=$((MESSAGES / 20))

load_tables() {
    source_script <<SQL
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE message (id int PRIMARY KEY, sender_id int NOT NULL, recipient_id int, subject text, body text, sent timestamptz);
INSERT INTO person SELECT i, 'Person number ' || i FROM generate_series(1, $PEOPLE) i;
INSERT INTO message SELECT i, 1 + (i::bigint * 7919) % $PEOPLE, 1 + (i::bigint * 104729) % $PEOPLE, 'About ' || i % 5000,
        'A message of some length, number ' || i || ', that somebody has written', timestamptz '2020-01-01' + i * interval '1 minute'
    FROM generate_series(1, $MESSAGES) i;
ANALYZE;
SQL
    ours_sql "CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
        CREATE TABLE messages (id uuid PRIMARY KEY, legacy_id int UNIQUE, sender_id uuid NOT NULL REFERENCES people,
            recipient_id uuid REFERENCES people, subject text, body text, sent timestamptz);
        CREATE INDEX ON messages (sender_id);
        CREATE INDEX ON messages (recipient_id, sent);
        CREATE INDEX ON messages (lower(subject));
        CREATE INDEX ON messages (sent) WHERE recipient_id IS NOT NULL"
    cat >"$B/mapping.yaml" <<YAML
namespace: $NAMESPACE
rows:
  - {from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {legacy_id: id, name: name}}
  - from: message
    to: messages
    key: {id: {uuid: message, of: id}}
    columns:
      {legacy_id: id, sender_id: {uuid: person, of: sender_id}, recipient_id: {uuid: person, of: recipient_id, required: false},
       subject: subject, body: body, sent: sent}
YAML
}

# load_run FAST: seconds from start to the end of the snapshot, the indexes included, into LOAD_S.
load_run() {
    local begun ended
    ours_sql "TRUNCATE people, messages"
    settle
    begun=$(date +%s.%N)
    pgrekey run --until-caught-up --set "snapshot.fast_load=$1" >/dev/null
    ended=$(date +%s.%N)
    LOAD_S=$(difference "$ended" "$begun")
    [ "$(ours_sql "SELECT count(*) FROM messages")" -eq "$MESSAGES" ] || return 1
    [ "$(ours_sql "SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'")" -eq 6 ] || return 1
    [ "$(ours_sql "SELECT count(*) FROM pg_constraint WHERE conrelid = 'messages'::regclass AND contype = 'f' AND convalidated")" -eq 2 ] || return 1
    engine_drop
}

bench_load() {
    local pair plain=() fast=()
    settings_write
    load_tables
    pgrekey init >/dev/null
    for pair in $(seq 1 "$PAIRS"); do
        load_run false
        plain+=("$LOAD_S")
        load_run true
        fast+=("$LOAD_S")
        echo "pair $pair: as it is ${plain[-1]} s, fast load ${fast[-1]} s"
    done
    plain=("$(printf '%s\n' "${plain[@]}" | median)")
    fast=("$(printf '%s\n' "${fast[@]}" | median)")
    echo "median of $PAIRS: as it is ${plain[0]} s, fast load ${fast[0]} s, $MESSAGES messages"
    echo "fast_load_ratio: $(ratio "${plain[0]}" "${fast[0]}")"
}
