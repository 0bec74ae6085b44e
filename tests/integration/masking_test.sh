#!/usr/bin/env bash
# Masking on the way to staging: markers stand in every column of the source that is not declared clear, and none of
# them is anywhere in the staging cluster's files, quarantine and WAL included; keys, joins and uniqueness survive.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

topics_start
cluster_create "$T/staging" "wal_level=logical"
cluster_start "$T/staging"
cluster_psql "$T/staging" postgres -c 'CREATE DATABASE app'

# Eight bytes that spell a marker when they lie in a file: REKRAM77 as a bigint, and as a double.
BIGINT=$(python3 -c 'import struct; print(struct.unpack("<q", b"MARKER77")[0])')
DOUBLE=$(python3 -c 'import struct; print(repr(struct.unpack("<d", b"MARKERDB")[0]))')

source_script <<SQL
CREATE TABLE office (id integer PRIMARY KEY, name text, secret text);
CREATE TABLE person (id integer PRIMARY KEY, office_id integer, first_name text, email text, phone text, notes text,
    born date, seen timestamptz, code bigint, ratio double precision, fee numeric, flag boolean, meta jsonb, undeclared text,
    tags text[], raw bytea, doc text);
CREATE TABLE account (id integer PRIMARY KEY, email text, last_ip text, hint text);
INSERT INTO office SELECT i, 'MARKERoffice' || i, 'MARKERnever' FROM generate_series(1, 5) i;
INSERT INTO person SELECT i, i % 5 + 1, 'MARKERname' || i, 'MARKERmail' || i || '@MARKERdomain.example',
    '+49 30 7773331' || i, 'MARKERnotes ' || repeat('long text of a patient ', i % 5), date '1987-06-05' + i,
    timestamptz '1987-06-05 07:08:09+00' + i * interval '1 s', $BIGINT, $DOUBLE, 7773331.25 + i, true,
    jsonb_build_object('theme', 'dark', 'mobile', 'MARKERmobile' || i, 'MARKERkey' || i, 'MARKERvalue', 'address',
        jsonb_build_object('city', 'MARKERcity', 'zip', 'MARKERzip'), 'list', jsonb_build_array('MARKERitem', 7773331,
        jsonb_build_object('x', 'MARKERdeep'))),
    'MARKERundeclared' || i, ARRAY['MARKERtag'], 'MARKERraw', '{"a": "MARKERdoc", "b": "MARKERdocument"}'
    FROM generate_series(1, 200) i;
INSERT INTO account SELECT i, 'MARKERmail' || i || '@MARKERdomain.example', 'MARKERip', 'MARKERhint' FROM
    generate_series(1, 200) i;
SQL
for each in target staging; do
    cluster_psql "$T/$each" app <<'SQL'
CREATE EXTENSION "uuid-ossp";
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer, name text NOT NULL);
CREATE TABLE persons (id uuid PRIMARY KEY, office_id uuid NOT NULL REFERENCES offices, first_name text, email text UNIQUE,
    phone text, notes text, born date, seen timestamptz, code bigint, ratio double precision, fee numeric, flag boolean,
    meta jsonb, undeclared text, tags text[], raw bytea, doc text);
CREATE TABLE logins (id uuid PRIMARY KEY, email text, has_account boolean);
SQL
done
# What is refused there goes to quarantine with its change.
cluster_psql "$T/staging" app -c 'ALTER TABLE persons ADD CONSTRAINT short CHECK (length(phone) <> 17)'
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns: {legacy_id: id, name: name}
  - from: person
    to: persons
    key: {id: {uuid: person, of: id}}
    columns:
      office_id: {uuid: office, of: office_id}
      first_name: first_name
      email: email
      phone: phone
      notes: notes
      born: born
      seen: seen
      code: code
      ratio: ratio
      fee: fee
      flag: flag
      meta: meta
      undeclared: undeclared
      tags: tags
      raw: raw
      doc: doc
    nonfinite: [ratio, fee]
mirrors:
  account: {columns: [id, email, last_ip, hint]}
derive:
  - to: logins
    key: {id: {uuid: login, of: account_id}}
    touched: {account: select id from touched}
    query: |
      select k.account_id, a.email, exists (select from persons p where p.email = a.email) as has_account
      from keys k join pgrekey_mirror.account a on a.id = k.account_id
    gone: delete
mask:
  rows:
    offices: {clear: [id, legacy_id], name: [name]}
    persons:
      clear: [id, office_id, flag]
      name: [first_name]
      email: [email]
      phone: [phone]
      text: [notes]
      date: [born, seen]
      number: [code, fee]
      empty: [ratio, raw]
      json:
        meta: {clear: [theme], phone: [mobile], name: [list], json: {address: {name: [city]}}}
        doc: {name: [a]}
  mirrors:
    account: {clear: [id], email: [email], text: [last_ip], empty: [hint]}
YAML
topics_settings
pgrekey init >/dev/null
staging() { PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/staging" app) pgrekey "$@"; }
staging_sql() { cluster_psql "$T/staging" app -c "$1"; }
staging init >/dev/null
check "what is not declared is told" sh -c "'$PGREKEY' --config '$T/pgrekey.yaml' map check | grep -q '\"undeclared\" of persons is not declared'"

engine_start
published
PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/staging" app) \
    pgrekey_fails "without a secret nothing is replayed" 2 'masking.key_file' replay --until-caught-up
head -c 32 /dev/urandom >"$T/key"
echo "masking: {key_file: key}" >>"$T/pgrekey.yaml"
check "a masked copy is filled" staging replay --until-caught-up --quiet

source_sql "UPDATE person SET first_name = 'MARKERlater' || id, notes = 'MARKERagain', code = $BIGINT - id WHERE id % 2 = 0;
    INSERT INTO person (id, office_id, first_name, email, phone, undeclared) SELECT i, 1, 'MARKERborn', 'MARKERmail' || i ||
    '@MARKERdomain.example', '7773331777333', 'MARKERborn' FROM generate_series(301, 320) i;
    UPDATE account SET last_ip = 'MARKERip2', email = 'MARKERmail' || id + 1000 || '@x.MARKER' WHERE id < 20"
published
check "and follows" staging replay --until-caught-up --quiet
engine_stop

# --- nothing of it is there

staging_sql CHECKPOINT
cluster_stop "$T/staging"
equals "no marker is in the cluster's files" "" "$(grep -rlaE 'MARKER|REKRAM' "$T/staging/data" "$T/staging/log" || true)"
check "the search would find one" sh -c "grep -rlaE MARKER '$T/source/data' >/dev/null"
cluster_start "$T/staging"
cluster_as "$CLUSTER_BIN/pg_dumpall" -h "$(cat "$T/staging/socket")" -p "$(cat "$T/staging/port")" -U postgres >"$T/dump.sql"
equals "nor a number or a date in a dump" 0 "$(grep -cE "7773331|1987-06-(0[5-9]|[12][0-9])[^0-9].*1987-06-(0[5-9])|$BIGINT|$DOUBLE" "$T/dump.sql" || true)"
check "rows did go to quarantine" test "$(staging_sql "SELECT count(*) FROM pgrekey.quarantine WHERE rule LIKE 'person%'")" -gt 0

# --- and yet it is of use

equals "every row is there, or in quarantine" 220 "$(staging_sql "SELECT (SELECT count(*) FROM persons) +
    (SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved')")"
equals "what is not declared is NULL" "0 0 0" "$(staging_sql "SELECT count(undeclared) || ' ' || count(tags) || ' ' || count(raw) FROM persons")"
equals "what is clear is clear" "dark" "$(staging_sql "SELECT DISTINCT meta->>'theme' FROM persons WHERE meta IS NOT NULL")"
equals "undeclared keys of JSON are gone" "address list mobile theme" "$(staging_sql "SELECT string_agg(DISTINCT k, ' ' ORDER BY k)
    FROM persons, jsonb_object_keys(meta) k")"
equals "years stay" 1987 "$(staging_sql "SELECT DISTINCT extract(year FROM born) FROM persons WHERE born IS NOT NULL")"
# Of 200 accounts 19 have another address by now, and the persons of 101 stand in quarantine.
equals "joins by masked values survive, derivations see them" "120 80" "$(staging_sql "SELECT count(*) FILTER (WHERE NOT has_account)
    || ' ' || count(*) FILTER (WHERE has_account) FROM logins")"
equals "mail goes nowhere" 0 "$(staging_sql "SELECT count(*) FROM persons WHERE email NOT LIKE '%@%.invalid'")"

kafka_stop "$T/kafka"
test_end
