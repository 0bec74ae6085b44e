#!/usr/bin/env bash
# `sink: kafka`: what readers of the topics get. A real broker, kcat as the plain reader.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

topics_start

source_script <<'SQL'
CREATE TABLE office (id integer PRIMARY KEY, name text, fee numeric(12,2), any_number numeric, ratio double precision,
                     opened date, seen timestamptz, notes text, meta jsonb, active boolean);
ALTER TABLE office ALTER COLUMN notes SET STORAGE EXTERNAL;
CREATE TABLE visit (id bigint PRIMARY KEY, office_id integer, kind text, done boolean DEFAULT false, amount text);
CREATE TABLE kind (id integer PRIMARY KEY, code text, secret text);
CREATE TABLE pair (id integer PRIMARY KEY, a integer, b integer);
INSERT INTO office SELECT i, 'Office "' || i || '" ä', i + 0.5, i / 4.0, i / 8.0, date '2024-01-01' + i,
       timestamptz '2024-02-29 12:00:00.25+00' + i * interval '1 hour', repeat('n', 3000), '{"k": [1, 2.50]}', i % 2 = 0
FROM generate_series(1, 50) i;
INSERT INTO office (id, name, any_number, ratio) VALUES (51, 'odd', 'NaN', 'Infinity');
INSERT INTO visit SELECT i, i % 50 + 1, 'k' || i % 3, i % 2 = 0, i::text FROM generate_series(1, 1000) i;
INSERT INTO kind VALUES (1, 'one', 'x'), (2, 'two', 'y');
INSERT INTO pair VALUES (1, 1, 1);
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer, name text, fee numeric(12,2), any_number numeric,
                      ratio double precision, opened date, seen timestamptz, notes text, meta jsonb, active boolean);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id bigint, office_id uuid, kind text, amount integer);
CREATE TABLE pairs (a uuid, b uuid, legacy_id integer UNIQUE, PRIMARY KEY (a, b));
SQL
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns:
      legacy_id: id
      name: name
      fee: fee
      any_number: any_number
      ratio: ratio
      opened: opened
      seen: seen
      notes: notes
      meta: meta
      active: active
  - from: visit
    to: visits
    when: done
    key: {id: {uuid: visit, of: id}}
    columns:
      legacy_id: id
      office_id: {uuid: office, of: office_id, required: false}
      kind: kind
      amount: {from: amount, apply: [int]}
  - from: pair
    to: pairs
    key: {a: {uuid: office, of: a}, b: {uuid: office, of: b}}
    identity: [legacy_id]
    columns:
      legacy_id: id
mirrors:
  kind: {columns: [id, code]}
YAML
topics_settings
port=$(cluster_free_port)
PGREKEY_HTTP_LISTEN=127.0.0.1:$port engine_start
published

# --- the snapshot

equals "topics are there" "shop.dead-letter shop.pgrekey_mirror.kind shop.public.offices shop.public.pairs shop.public.visits shop.request shop.state shop.transaction" \
    "$(kafka_topics "$T/kafka" | grep '^shop' | paste -sd ' ')"
equals "every mapped row is there as r" "51 500 1 2" \
    "$(topic_ops public.offices r) $(topic_ops public.visits r) $(topic_ops public.pairs r) $(topic_ops pgrekey_mirror.kind r)"
equals "a snapshot has no transactions" 0 "$(topic_count transaction)"
topic_rows public.offices >"$T/offices.json"
check "the last state per key is the source's" same_offices
equals "NaN and infinity are kept" '"NaN" "Infinity"' "$(jq_row public.offices 51 any_number) $(jq_row public.offices 51 ratio)"
equals "a mirror holds the columns that it names" '["code", "id"]' \
    "$(kafka_read "$T/kafka" shop.pgrekey_mirror.kind -c 1 -f '%s\n' | topic_py 'print(json.dumps(sorted(d["after"])))')"
equals "a key is an object of the key's columns" "$(source_sql "SELECT '{\"id\":\"' || $(uuid_sql office 7) || '\"}'")" \
    "$(kafka_read "$T/kafka" shop.public.offices -f '%k %s\n' | grep '"legacy_id":7,' | cut -d' ' -f1)"

# --- the stream

source_sql "INSERT INTO office (id, name) VALUES (60, 'new'); UPDATE office SET name = 'renamed' WHERE id = 1;
            DELETE FROM visit WHERE id = 2; UPDATE visit SET done = true WHERE id = 1"
source_sql "UPDATE office SET id = 61 WHERE id = 60"
source_sql "UPDATE visit SET done = false WHERE id = 4"
published
check "the last state per key is the source's after changes" same_offices
equals "an insert is c" c "$(jq_event public.offices 60 op)"
equals "an unchanged value is whole and named" '3000 ["notes"]' \
    "$(kafka_read "$T/kafka" shop.public.offices -f '%s\n' | grep '"name":"renamed"' | topic_py 'print(len(d["after"]["notes"]), json.dumps(d["pgrekey"]["unchanged"]))')"
equals "a delete has the key as before, and a tombstone behind it" "d None gone" \
    "$(kafka_read "$T/kafka" shop.public.visits -f '%s\n' | topic_py 'd["op"] == "d" and d["pgrekey"]["key"] == {"id": "2"} and print(d["op"], d["after"], d["pgrekey"]["why"])')"
equals "a row that stops matching is a delete" "excluded" \
    "$(kafka_read "$T/kafka" shop.public.visits -f '%s\n' | topic_py 'd["op"] == "d" and d["pgrekey"]["key"] == {"id": "4"} and print(d["pgrekey"]["why"])')"
equals "deletes have tombstones" "$(topic_ops public.visits d)" "$(topic_tombstones public.visits)"
equals "a changed key is a delete and a create, each naming the other" \
    "d __debezium.newkey={\"id\":\"$(source_sql "SELECT $(uuid_sql office 61)")\"} c __debezium.oldkey={\"id\":\"$(source_sql "SELECT $(uuid_sql office 60)")\"}" \
    "$(kafka_read "$T/kafka" shop.public.offices -f '%h %s\n' | grep '^__debezium' | sed 's/^\(\S*\) .*"op":"\(.\)".*/\2 \1/' | paste -sd ' ')"

equals "each source transaction has BEGIN and END" "BEGIN END BEGIN END BEGIN END" \
    "$(kafka_read "$T/kafka" shop.transaction -f '%s\n' | topic_py 'print(d["status"])' | paste -sd ' ')"
equals "END counts the events" '4 [["public.offices", 2], ["public.visits", 2]]' \
    "$(kafka_read "$T/kafka" shop.transaction -f '%s\n' | topic_py 'd["status"] == "END" and print(d["event_count"], json.dumps([[c["data_collection"], c["event_count"]] for c in d["data_collections"]]))' | head -1)"
check "events of a transaction are numbered, and none is missing" transactions_are_whole

# --- dead letters

source_sql "INSERT INTO visit VALUES (2001, 1, 'k', true, 'no number')"
published
equals "a row that cannot be mapped is a dead letter" 'pending ["2001"] validation_failure no number' \
    "$(kafka_read "$T/kafka" shop.dead-letter -f '%s\n' | topic_py 'print(d["status"], d["key"], d["category"], d["change"]["columns"]["amount"])')"
source_sql "UPDATE visit SET amount = '5' WHERE id = 2001"
published
equals "and is resolved by a good one" 'resolved ["2001"]' \
    "$(kafka_read "$T/kafka" shop.dead-letter -f '%s\n' | topic_py 'd["status"] == "resolved" and print(d["status"], d["key"])')"
equals "which is published" 5 "$(jq_row public.visits 2001 amount)"

# --- a transaction larger than the setting

source_sql "INSERT INTO visit SELECT i, 1, 'bulk', true, i::text FROM generate_series(10001, 13000) i"
published
equals "a large transaction is spread over Kafka transactions, and END says it is whole" 3000 \
    "$(kafka_read "$T/kafka" shop.transaction -f '%s\n' | topic_py 'd["status"] == "END" and d["event_count"] > 1000 and print(d["event_count"])')"
check "its halves have positions of their own" [ "$(kafka_read "$T/kafka" shop.state -f '%s\n' | grep -c '"collections"')" -ge 2 ]
check "all of its events are numbered" transactions_are_whole

# --- metrics

metric() { curl -s --max-time 5 "http://127.0.0.1:$port/metrics" | sed -n "s/^$1 //p"; }
metrics_are_there() {
    [ "$(metric 'pgrekey_published_records_total{topic="shop.public.visits"}')" -ge 3500 ] &&
        [ "$(metric pgrekey_publish_transactions_total)" -ge 5 ] && [ -n "$(metric pgrekey_publish_lag_seconds)" ] &&
        [ "$(metric pgrekey_publish_failed_deliveries_total)" = 0 ] && [ "$(metric pgrekey_publish_queue_records)" = 0 ]
}
check "metrics tell what is published" wait_for 15 "the metrics" metrics_are_there

equals "status tells how far it is" '["kafka", "streaming", 0]' \
    "$(pgrekey status --json | topic_py 'print(json.dumps([d["sink"], d["state"], d["dead_letters"]]))')"
check "and says it to people" bash -c "'$PGREKEY' --config '$T/pgrekey.yaml' status | grep -q 'topics under shop, streaming'"

# --- stops and starts

engine_stop
equals "a stopped engine ends well" 0 "$ENGINE_CODE"
source_sql "INSERT INTO office (id, name) VALUES (70, 'while it was away')"
engine_start
published
equals "what came meanwhile is published once" 1 \
    "$(kafka_read "$T/kafka" shop.public.offices -f '%s\n' | grep -c 'while it was away')"
check "the last state per key is the source's in the end" same_offices
check "no event came twice" transactions_are_whole
check "the log holds no value" bash -c "! grep -qE 'renamed|no number|while it was' '$T/engine.log'"
engine_stop

# --- settings that do not fit

pgrekey_fails "an unknown property is named" 2 'knows no property nonsense' --set 'kafka.properties=nonsense=1' run
pgrekey_fails "what pgrekey sets itself is not to be undone" 2 'transactional.id is set by pgrekey' \
    --set 'kafka.properties=transactional.id=x' run
# Ids of adopted rows are the target's own knowledge, of a derivation's rows as well.
target_sql "CREATE TABLE tallies (id uuid PRIMARY KEY, legacy_id integer UNIQUE, visits bigint)"
cat >>"$T/mapping.yaml" <<'YAML'
derive:
  - name: tallies
    to: tallies
    key: {id: {uuid: tally, of: kind_id}, adopt: legacy_id}
    columns: [legacy_id, visits]
    touched: {kind: select id from touched}
    query: select k.kind_id, k.kind_id as legacy_id, 1::bigint as visits from keys k join kind on kind.id = k.kind_id
YAML
pgrekey_fails "a derivation that adopts is refused" 2 'tallies adopts rows of the target' run
test_end
