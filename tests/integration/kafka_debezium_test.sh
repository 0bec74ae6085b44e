#!/usr/bin/env bash
# Somebody else's sink, for real: Debezium's JDBC sink connector lands our topics in PostgreSQL, without a transform.
# Its jars are many, so this runs with tests/run soak, or where PGREKEY_DEBEZIUM is set.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

if [ -z "${PGREKEY_DEBEZIUM:-}" ] && [ "$PGREKEY_KILLS" -lt 100 ]; then
    echo "Debezium's jars are fetched by tests/run soak, or with PGREKEY_DEBEZIUM=1"
    exit 77
fi

topics_start
source_script <<'SQL'
CREATE TABLE office (id integer PRIMARY KEY, name text, small smallint, big bigint, fee numeric(12,2), anynum numeric,
                     ratio double precision, single real, opened date, seen timestamptz, plain timestamp, at time,
                     notes text, meta jsonb, active boolean, raw bytea, code varchar(10), day_code char(3));
INSERT INTO office SELECT i, 'Office ' || i, i, i * 10000000000, i - 25.25, i / 8.0 - 2, i / 4.0, i / 2.0,
       date '1969-12-01' + i, timestamptz '1969-12-31 12:00:00.25+00' + i * interval '1 hour',
       timestamp '1969-12-31 23:59:59.123456' + i * interval '1 minute', time '00:00:01.5' + i * interval '1 minute',
       repeat('n', 3000), '{"k": [1, 2.50]}', i % 2 = 0, decode(lpad(to_hex(i), 4, '0'), 'hex'), 'c' || i, 'abc'
FROM generate_series(1, 50) i;
INSERT INTO office (id) VALUES (51);
INSERT INTO office (id, fee, anynum) VALUES (52, -0.01, -12345678901234567890.123456789), (53, 9999999999.99, 0), (54, -128, 128),
       (55, 1.27, 1.28), (56, -1.28, -1.29);
SQL
columns="name text, small smallint, big bigint, fee numeric(12,2), anynum numeric, ratio double precision, single real,
         opened date, seen timestamptz, plain timestamp, at time, notes text, meta jsonb, active boolean, raw bytea,
         code varchar(10), day_code char(3)"
target_sql "CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer, $columns)"
target_sql "CREATE DATABASE sink"
cluster_psql "$T/target" sink -c "CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer, $columns)"
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns: {legacy_id: id, name: name, small: small, big: big, fee: fee, anynum: anynum, ratio: ratio, single: single,
              opened: opened, seen: seen, plain: plain, at: at, notes: notes, meta: meta, active: active, raw: raw,
              code: code, day_code: day_code}
YAML
topics_settings
sed -i 's/  prefix: shop/  prefix: shop\n  schemas: true/' "$T/pgrekey.yaml"
engine_start
published

# --- their sink

cat >"$T/worker.properties" <<CONF
bootstrap.servers=$(kafka_bootstrap "$T/kafka")
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename=$T/connect.offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:$(kafka_free_port)
plugin.discovery=service_load
consumer.isolation.level=read_committed
CONF
cat >"$T/sink.properties" <<CONF
name=land
connector.class=io.debezium.connector.jdbc.JdbcSinkConnector
tasks.max=1
topics=shop.public.offices
connection.url=jdbc:postgresql://127.0.0.1:$(cat "$T/target/port")/sink
connection.username=postgres
connection.password=$(cat "$T/target/password")
insert.mode=upsert
delete.enabled=true
primary.key.mode=record_key
schema.evolution=none
collection.name.format=\${source.table}
CONF
kafka_jars debezium >/dev/null
(kafka_java debezium org.apache.kafka.connect.cli.ConnectStandalone "$T/worker.properties" "$T/sink.properties") \
    >"$T/connect.out" 2>&1 </dev/null &
LOAD_PID=$!

sink_sql() { cluster_psql "$T/target" sink -c "$1"; }
columns_of="legacy_id, name, small, big, fee, anynum, ratio, single, opened, seen, plain, at, md5(notes), meta, active, raw, code, day_code"
source_rows() { source_sql "SELECT $(uuid_sql office id), id AS legacy_id, ${columns_of#legacy_id, } FROM office ORDER BY id" >"$T/rows.source"; }
sink_has_all() {
    sink_sql "SELECT id, $columns_of FROM offices ORDER BY legacy_id" >"$T/rows.sink"
    cmp -s "$T/rows.source" "$T/rows.sink"
}
landed() {
    source_rows
    if wait_for 60 "$1" sink_has_all; then
        ok "$1"
    else
        not_ok "$1"
        diff "$T/rows.source" "$T/rows.sink" | cut -c1-300 | head -n 8
        grep -E 'ERROR|Caused by' "$T/connect.out" | cut -c1-300 | head -n 8
    fi
}
landed "Debezium's JDBC sink lands every type of the snapshot"
source_sql "UPDATE office SET name = 'renamed' WHERE id = 1; DELETE FROM office WHERE id = 2;
            INSERT INTO office (id, name) VALUES (60, 'new')"
source_sql "UPDATE office SET id = 61 WHERE id = 60"
landed "and changes, an unchanged large value, a delete and a changed key with them"
test_end
