# shellcheck shell=bash
# What tests of `sink: kafka` ask of topics. Sourced after lib.sh; the broker is in $T/kafka, the prefix is "shop", the
# mapping that of kafka_publish_test.

# shellcheck source=tests/support/kafka.sh
. "$TOP/tests/support/kafka.sh"

# topics_start [NAME=VALUE…]: both servers, and a broker with these settings.
topics_start() {
    source_start
    target_start
    source_uuid_ossp
    kafka_create "$T/kafka" "$@"
    kafka_start "$T/kafka"
}

# topics_settings [line…]: $T/pgrekey.yaml for a publisher.
topics_settings() {
    settings_write "sink: kafka" "kafka:" "  bootstrap: $(kafka_bootstrap "$T/kafka")" "  prefix: shop" \
        "  transaction_max_rows: 1000" "  transaction_timeout: 5s" "batch:" "  max_rows: 500" "$@"
}

# The position of the state topic, as a number.
topics_position() {
    kafka_read "$T/kafka" shop.state -f '%k\t%s\n' 2>/dev/null | python3 -c '
import json, sys
lsn = 0
for line in sys.stdin:
    key, value = line.rstrip("\n").split("\t", 1)
    if key == "{\"kind\":\"position\"}" and value:
        record = json.loads(value)
        lsn = record["lsn"] if record["state"] == "streaming" else 0
print(lsn)'
}

# published [SECONDS]: everything that was committed on the source until now is in the topics.
published() {
    local until lsn
    lsn=$(source_sql "SELECT pg_logical_emit_message(true, 'pgrekey-test', '') - '0/0'::pg_lsn")
    until=$((SECONDS + ${1:-60}))
    while [ "$(topics_position)" -lt "$lsn" ]; do
        if ! engine_is_alive; then
            engine_wait
            echo "the engine ended with code $ENGINE_CODE before it had published all"
            return 1
        fi
        if [ "$SECONDS" -ge "$until" ]; then
            echo "waited ${1:-60} s in vain for the topics to reach $lsn"
            return 1
        fi
        sleep 0.1
    done
}

# topic_py CODE: runs it for each line of JSON, as d; tombstones and empty lines are left out.
topic_py() {
    python3 -c "
import json, sys
for line in sys.stdin:
    if line.strip():
        d = json.loads(line)
        $1"
}

topic_count() { kafka_read "$T/kafka" "shop.$1" -f '%o\n' | wc -l; }
topic_ops() { kafka_read "$T/kafka" "shop.$1" -f '%s\n' | topic_py "d['op'] == '$2' and print(1)" | wc -l; }
topic_tombstones() { kafka_read "$T/kafka" "shop.$1" -f '%S\n' | grep -c '^-1$'; }

# The last state per key of a topic, as JSON lines sorted by key.
topic_rows() {
    kafka_read "$T/kafka" "shop.$1" -f '%k\t%S\t%s\n' | python3 -c '
import json, sys
rows = {}
for line in sys.stdin:
    key, size, value = line.rstrip("\n").split("\t", 2)
    after = json.loads(value)["after"] if size != "-1" else None
    if after is None:
        rows.pop(key, None)
    else:
        rows[key] = after
for key in sorted(rows):
    print(json.dumps(rows[key], sort_keys=True))'
}

# jq_row TOPIC LEGACY_ID FIELD, jq_event likewise: a column of the last state; a field of the last event with a value.
jq_row() { topic_rows "$1" | topic_py "d['legacy_id'] == $2 and print(json.dumps(d['$3']))"; }
jq_event() {
    kafka_read "$T/kafka" "shop.$1" -f '%s\n' |
        topic_py "d['after'] and d['after'].get('legacy_id') == $2 and print(d['$3'])" | tail -n 1
}

# The source's rows as the topic has them; the source prints its own JSON, so values are compared as texts.
same_offices() {
    source_sql "SELECT json_build_object('id', $(uuid_sql office id), 'legacy_id', id, 'name', name, 'fee', fee::text,
        'any_number', any_number::text, 'opened', opened::text, 'notes', notes, 'meta', meta::text, 'active', active,
        'ratio', ratio::text, 'seen', to_char(seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')) FROM office" |
        python3 -c '
import json, sys
for line in sorted(json.dumps(json.loads(l), sort_keys=True) for l in sys.stdin):
    print(line)' >"$T/offices.source"
    topic_rows public.offices | python3 -c '
import json, sys
lines = []
for line in sys.stdin:
    d = json.loads(line, parse_float=str)
    lines.append(json.dumps(d, sort_keys=True))
for line in sorted(lines):
    print(line)' | sed 's/"ratio": \([0-9][^,}]*\)/"ratio": "\1"/' >"$T/offices.topic"
    cmp -s "$T/offices.source" "$T/offices.topic" && return 0
    diff "$T/offices.source" "$T/offices.topic" | cut -c1-400 | head -n 6
    return 1
}

# Of every transaction the events are there that its END counts, each once, numbered from 1 without a gap.
transactions_are_whole() {
    local topic
    {
        for topic in $(kafka_topics "$T/kafka" | grep '^shop\.public\|^shop\.pgrekey_mirror'); do
            kafka_read "$T/kafka" "$topic" -f '%s\n'
        done
        echo
        kafka_read "$T/kafka" shop.transaction -f '%s\n'
    } | python3 -c '
import json, sys
events, ends, begins, bad = {}, {}, {}, 0
order = []
for line in sys.stdin:
    if not line.strip():
        continue
    d = json.loads(line)
    if "status" in d:
        if d["status"] == "END":
            ends[d["id"]] = d
            order.append(int(d["id"].split(":")[1]))
            if d["id"] not in begins or begins[d["id"]] > 1:
                print("no BEGIN, or several, of", d["id"]); bad = 1
        else:
            begins[d["id"]] = begins.get(d["id"], 0) + 1
    elif d["transaction"]:
        events.setdefault(d["transaction"]["id"], []).append((d["transaction"]["total_order"], d["source"]["schema"] + "." + d["source"]["table"], d["transaction"]["data_collection_order"]))
if order != sorted(order) or len(set(order)) != len(order):
    print("ENDs out of order, or one twice"); bad = 1
for id, end in ends.items():
    got = sorted(events.pop(id, []))
    if [g[0] for g in got] != list(range(1, end["event_count"] + 1)):
        print(id, "counts", end["event_count"], "but there are", len(got)); bad = 1
    for c in end["data_collections"]:
        of = sorted(g[2] for g in got if g[1] == c["data_collection"])
        if of != list(range(1, c["event_count"] + 1)):
            print(id, c["data_collection"], "counts", c["event_count"], "but there are", len(of)); bad = 1
for id in events:
    print(id, "has events but no END"); bad = 1
sys.exit(bad)'
}

# --- an estate for faults: one table with much traffic, one that rests

topics_estate() {
    source_script <<'SQL'
CREATE TABLE item (id serial PRIMARY KEY, name text, n integer, note text);
ALTER TABLE item ALTER COLUMN note SET STORAGE EXTERNAL;
CREATE TABLE thing (id integer PRIMARY KEY, name text);
INSERT INTO item (name, n, note) SELECT 'item ' || i, i, CASE WHEN i % 10 = 0 THEN repeat('x', 3000) END FROM generate_series(1, 2000) i;
INSERT INTO thing SELECT i, 'thing ' || i FROM generate_series(1, 10) i;
SQL
    target_script <<'SQL'
CREATE TABLE items (id uuid PRIMARY KEY, legacy_id integer, name text, n integer, note text);
CREATE TABLE things (id uuid PRIMARY KEY, legacy_id integer, name text);
SQL
    mapping_write <<'YAML'
rows:
  - from: item
    to: items
    key: {id: {uuid: item, of: id}}
    columns: {legacy_id: id, name: name, n: n, note: note}
  - from: thing
    to: things
    key: {id: {uuid: thing, of: id}}
    columns: {legacy_id: id, name: name}
YAML
}

same_items() {
    source_sql "SELECT json_build_object('id', $(uuid_sql item id), 'legacy_id', id, 'name', name, 'n', n, 'note', note)
                FROM item" | python3 -c '
import json, sys
for line in sorted(json.dumps(json.loads(l), sort_keys=True) for l in sys.stdin):
    print(line)' >"$T/items.source"
    topic_rows public.items | LC_ALL=C sort >"$T/items.topic"
    LC_ALL=C sort -o "$T/items.source" "$T/items.source"
    cmp -s "$T/items.source" "$T/items.topic" && return 0
    echo "    $(wc -l <"$T/items.source") rows on the source, $(wc -l <"$T/items.topic") in the topic"
    diff "$T/items.source" "$T/items.topic" | cut -c1-200 | head -n 6
    return 1
}
