#!/usr/bin/env bash
# Derived tables as topics: a second pgrekey on the target's own slot, with one rule that copies whole schemas.
#   source ─ pgrekey ─▶ target (derivations) ─ pgrekey ─▶ topics ─▶ kcat
# And a publisher beside the first one, whose rows go by the ids that the target had before: identity.target.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

topics_start
source_script <<'SQL'
CREATE TABLE office (id integer PRIMARY KEY, name text);
CREATE TABLE visit (id integer PRIMARY KEY, office_id integer, price integer);
INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 20) i;
INSERT INTO visit SELECT i, i % 20 + 1, i FROM generate_series(1, 200) i;
SQL
target_script <<'SQL'
CREATE EXTENSION "uuid-ossp";
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text);
INSERT INTO offices SELECT gen_random_uuid(), i, 'as it was' FROM generate_series(1, 8) i;
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id integer, office_id uuid REFERENCES offices);
CREATE TABLE turnovers (id uuid PRIMARY KEY, office_id integer, visits bigint, total bigint);
SQL
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}, adopt: legacy_id}
    columns: {legacy_id: id, name: name}
  - from: visit
    to: visits
    key: {id: {uuid: visit, of: id}}
    columns:
      legacy_id: id
      office_id: {uuid: office, of: office_id}
mirrors:
  visit: {columns: [id, office_id, price], index: [office_id]}
derive:
  - to: turnovers
    key: {id: {uuid: turnover, of: office_id}}
    touched:
      visit: select office_id from touched
    query: >
      select k.office_id, r.visits, r.total from keys k cross join lateral
      (select count(*) visits, sum(price) total from visit where visit.office_id = k.office_id) r where r.visits > 0
    gone: delete
YAML
settings_write
pgrekey init >"$T/init.log" 2>&1

# beside [option…]: the other publisher, until it has caught up
beside() {
    pgrekey --set pipeline=beside --set source.slot=beside --set sink=kafka --set kafka.prefix=beside \
        --set "kafka.bootstrap=$(kafka_bootstrap "$T/kafka")" "$@" run --until-caught-up
}
rc=0
beside >"$T/beside.log" 2>&1 || rc=$?
equals "a mapping that adopts is not published without identity.target" 2 "$rc"
check "which is said" grep -q 'set identity.target' "$T/beside.log"
rc=0
beside --set "identity.target=$(cluster_conninfo "$T/target" app)" >"$T/beside.log" 2>&1 || rc=$?
equals "nor before that target has adopted" 4 "$rc"
check "which is said as well" grep -q 'pipeline pgrekey has not adopted rows of' "$T/beside.log"

engine_start
caught_up
first=$ENGINE_PID

# same_names WHAT: the topics' rows have the ids that they have on the target, references too.
topic_names() {
    kafka_read "$T/kafka" "beside.public.$1" -f '%k\t%S\t%s\n' | python3 -c '
import json, sys
rows = {}
for line in sys.stdin:
    key, size, value = line.rstrip("\n").split("\t", 2)
    after = json.loads(value)["after"] if size != "-1" else None
    rows[key] = after
for key, row in rows.items():
    if row:
        assert json.loads(key)["id"] == row["id"]
        print(row["legacy_id"], row["id"], row.get("office_id", row.get("name")))' | LC_ALL=C sort
}
same_names() {
    equals "$1: offices" "$(target_sql "SELECT legacy_id, id, name FROM offices" -F ' ' | LC_ALL=C sort | md5sum)" \
        "$(topic_names offices | md5sum)"
    equals "$1: rows that refer to them" "$(target_sql "SELECT legacy_id, id, office_id FROM visits" -F ' ' | LC_ALL=C sort | md5sum)" \
        "$(topic_names visits | md5sum)"
}
beside --set "identity.target=$(cluster_conninfo "$T/target" app)" >"$T/beside.log" 2>&1
same_names "published under adopted ids"

mkdir "$T/second"
cat >"$T/second/mapping.yaml" <<YAML
namespace: $NAMESPACE
copy: {from: public, to: public}
YAML
cat >"$T/second/pgrekey.yaml" <<YAML
pipeline: topics
mapping: mapping.yaml
source:
  dsn: "$(cluster_conninfo "$T/target" app)"
  slot: topics
  status_interval: 100ms
target:
  dsn: "$(cluster_conninfo "$T/target" app)"
  position_interval: 200ms
http:
  listen: off
sink: kafka
kafka:
  bootstrap: $(kafka_bootstrap "$T/kafka")
  prefix: shop
YAML
"$PGREKEY" --config "$T/second/pgrekey.yaml" run >>"$T/second.log" 2>&1 </dev/null &
LOAD_PID=$!

# What the topic says of derived rows is what the target has.
derived_are_out() {
    target_sql "SELECT json_build_object('id', id, 'office_id', office_id, 'visits', visits, 'total', total) FROM turnovers" |
        python3 -c '
import json, sys
for line in sorted(json.dumps(json.loads(l), sort_keys=True) for l in sys.stdin):
    print(line)' >"$T/derived.target"
    topic_rows public.turnovers 2>/dev/null | LC_ALL=C sort >"$T/derived.topic"
    LC_ALL=C sort -o "$T/derived.target" "$T/derived.target"
    [ -s "$T/derived.target" ] && cmp -s "$T/derived.target" "$T/derived.topic"
}
check "derived rows come into their topic" wait_for 60 "the derived rows" derived_are_out
equals "keyed by their UUID" "$(source_sql "SELECT '{\"id\":\"' || $(uuid_sql turnover 7) || '\"}'")" \
    "$(kafka_read "$T/kafka" shop.public.turnovers -f '%k %s\n' | grep '"office_id":7,' | head -1 | cut -d' ' -f1)"
source_sql "UPDATE visit SET price = price + 1000 WHERE id = 6; DELETE FROM visit WHERE office_id = 3;
            DELETE FROM office WHERE id = 3; UPDATE office SET name = 'renamed' WHERE id = 4; INSERT INTO office VALUES (21, 'late'); INSERT INTO visit VALUES (500, 21, 5)"
caught_up
check "and follow what becomes of them" wait_for 60 "the changes" derived_are_out
equals "a derived row that goes is a delete" 1 "$(topic_ops public.turnovers d)"
beside --set "identity.target=$(cluster_conninfo "$T/target" app)" >>"$T/beside.log" 2>&1
same_names "changes and deletes find them"
target_sql "UPDATE pgrekey.adopted SET id = gen_random_uuid() WHERE legacy = '7'"
rc=0
beside --set "identity.target=$(cluster_conninfo "$T/target" app)" >"$T/beside.log" 2>&1 || rc=$?
equals "a target that has adopted others is refused" 4 "$rc"
check "both engines run" kill -0 "$first" "$LOAD_PID"
kill -TERM "$LOAD_PID"
wait "$LOAD_PID" || true
LOAD_PID=
engine_stop
test_end
