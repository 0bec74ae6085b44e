# shellcheck shell=bash
# A source that is applied directly and published, and a copy that is replayed from the topics. Sourced after lib.sh.
#
#   source ──▶ engine "direct" ──▶ target, database app
#      └─────▶ engine (publisher) ──▶ topics ──▶ pgrekey replay ──▶ target, database staging
#
#   topics_start; replay_world; engine_start; direct_start; replay_work 100; published; direct_caught_up
#   replay --until-caught-up; same_everywhere "what it means"

# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

# Tables, mapping and settings of both; tables of the copy.
replay_world() {
    local each
    source_script <<'SQL'
CREATE TABLE office (id integer PRIMARY KEY, name text, notes text, meta jsonb);
ALTER TABLE office ALTER COLUMN notes SET STORAGE EXTERNAL;
CREATE TABLE staff (id integer PRIMARY KEY, office_id integer, boss_id integer, email text, fee numeric(12,2), born date,
                    ratio double precision, active boolean);
CREATE TABLE visit (id bigint PRIMARY KEY, staff_id integer, office_id integer, kind integer, seen timestamptz,
                    amount numeric, done boolean);
CREATE TABLE kind (id integer PRIMARY KEY, code text);
CREATE TABLE pair (id integer PRIMARY KEY, office_id integer, staff_id integer, UNIQUE (office_id, staff_id));
INSERT INTO office SELECT i, 'Office "' || i || '" ä', repeat('n', 3000), '{"k": [1, 2.50]}' FROM generate_series(1, 20) i;
INSERT INTO staff SELECT i, i % 20 + 1, CASE WHEN i > 10 THEN i % 10 + 1 END, 's' || i || '@clinic.example', i + 0.5,
    date '1970-01-01' + i, i / 8.0, i % 3 = 0 FROM generate_series(1, 200) i;
INSERT INTO staff (id, office_id, email, ratio) VALUES (201, 1, 'nan@clinic.example', 'NaN');
INSERT INTO kind VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO visit SELECT i, i % 200 + 1, i % 20 + 1, i % 3 + 1, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 h',
    i / 3.0, i % 4 > 0 FROM generate_series(1, 1000) i;
INSERT INTO pair SELECT i, i % 20 + 1, i % 200 + 1 FROM generate_series(1, 50) i;
SQL
    cluster_psql "$T/target" postgres -c 'CREATE DATABASE staging'
    for each in app staging; do
        cluster_psql "$T/target" "$each" <<'SQL'
CREATE EXTENSION "uuid-ossp";
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text, notes text, meta jsonb);
CREATE TABLE staff (id uuid PRIMARY KEY, legacy_id integer UNIQUE, office_id uuid NOT NULL REFERENCES offices, boss_id uuid
    REFERENCES staff, email text UNIQUE, fee numeric(12,2), born date, ratio double precision, archived boolean DEFAULT false);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id bigint, staff_id uuid NOT NULL REFERENCES staff, seen timestamptz,
    amount numeric, kind integer);
CREATE TABLE pairs (office_id uuid NOT NULL REFERENCES offices, staff_id uuid NOT NULL REFERENCES staff ON DELETE CASCADE,
    legacy_id integer UNIQUE, PRIMARY KEY (office_id, staff_id));
CREATE TABLE office_stats (id uuid PRIMARY KEY, legacy_id integer, visits bigint, amount numeric, kinds text);
SQL
    done
    mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns: {legacy_id: id, name: name, notes: notes, meta: meta}
  - from: staff
    to: staff
    key: {id: {uuid: staff, of: id}}
    columns:
      legacy_id: id
      office_id: {uuid: office, of: office_id}
      boss_id: {uuid: staff, of: boss_id, required: false}
      email: email
      fee: fee
      born: born
      ratio: ratio
    nonfinite: [ratio]
  - from: visit
    to: visits
    when: done
    key: {id: {uuid: visit, of: id}}
    columns: {legacy_id: id, staff_id: {uuid: staff, of: staff_id}, seen: seen, amount: amount, kind: kind}
  - from: pair
    to: pairs
    key: {office_id: {uuid: office, of: office_id}, staff_id: {uuid: staff, of: staff_id}}
    identity: [legacy_id]
    columns: {legacy_id: id}
mirrors:
  kind: {columns: [id, code]}
  visit: {columns: [id, office_id, kind, amount], index: [office_id, kind]}
derive:
  - to: office_stats
    key: {id: {uuid: office_stat, of: office_id}}
    touched:
      visit: select office_id from touched
      kind: {columns: [code], keys: "select v.office_id from touched t join pgrekey_mirror.visit v on v.kind = t.id"}
    query: |
      select k.office_id, k.office_id as legacy_id, r.visits, r.amount, r.kinds from keys k
      cross join lateral (select count(*) visits, sum(v.amount) amount, string_agg(distinct d.code, ',' order by d.code) kinds
        from pgrekey_mirror.visit v left join pgrekey_mirror.kind d on d.id = v.kind
        where v.office_id = k.office_id) r where r.visits > 0
    gone: delete
YAML
    topics_settings "$@"
    sed -i 's/^  prefix: shop$/&\n  partitions: 3/' "$T/pgrekey.yaml"
    source_script <<'SQL'
-- One source transaction of a kind that chance chooses; what it names exists or not.
CREATE FUNCTION work_once() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kind integer := floor(random() * 14); one integer; other integer;
BEGIN
    SELECT id INTO one FROM staff ORDER BY random() LIMIT 1;
    SELECT id INTO other FROM office ORDER BY random() LIMIT 1;
    CASE kind
    WHEN 0, 1 THEN
        INSERT INTO office SELECT max(id) + 1, 'Office ' || max(id), 'new', NULL FROM office RETURNING id INTO other;
        INSERT INTO staff (id, office_id, boss_id, email, fee) SELECT max(id) + 1, other, one,
            'w' || max(id) || '@clinic.example', random() FROM staff RETURNING id INTO one;
        INSERT INTO visit SELECT max(id) + i, one, other, i, now(), random(), i > 1 FROM visit, generate_series(1, 3) i
            GROUP BY i;
        INSERT INTO pair SELECT max(id) + 1, other, one FROM pair;
    WHEN 2 THEN UPDATE visit SET done = NOT done, amount = random() WHERE id % 17 = one % 17;
    WHEN 3 THEN DELETE FROM visit WHERE id IN (SELECT id FROM visit ORDER BY random() LIMIT 5);
    WHEN 4 THEN UPDATE office SET name = name || '.' WHERE id = other;
    WHEN 5 THEN
        UPDATE staff SET email = 'tmp' WHERE id = one;
        UPDATE staff SET email = 'moved' || one || '@clinic.example' WHERE id = (SELECT min(id) FROM staff);
        UPDATE staff SET email = 'back' || random() || '@clinic.example' WHERE id = one;
    WHEN 6 THEN
        UPDATE staff SET boss_id = NULL WHERE boss_id = one;
        DELETE FROM visit WHERE staff_id = one;
        DELETE FROM pair WHERE staff_id = one;
        DELETE FROM staff WHERE id = one;
    WHEN 7 THEN UPDATE kind SET code = code || 'x' WHERE id = one % 3 + 1;
    WHEN 8 THEN UPDATE staff SET office_id = other, ratio = 'Infinity' WHERE id = one;
    WHEN 9 THEN UPDATE visit SET id = id + 1000000, office_id = other WHERE id = (SELECT max(id) FROM visit);
    WHEN 10 THEN UPDATE office SET notes = repeat('m', 4000), meta = NULL WHERE id = other;
    WHEN 11 THEN INSERT INTO visit SELECT max(id) + i, one, other, 1, now(), i, true FROM visit, generate_series(1, 40) i
        GROUP BY i;
    WHEN 12 THEN UPDATE visit SET staff_id = one WHERE office_id = other;
    ELSE UPDATE staff SET boss_id = one WHERE office_id = other AND id <> one;
    END CASE;
END $$;
CREATE PROCEDURE work(n integer, seed double precision) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1..n LOOP
        PERFORM work_once();
        COMMIT;
    END LOOP;
END $$;
SQL
    pgrekey init --dsn "$(cluster_conninfo "$T/target" app)" >/dev/null
    staging init --dsn "$(cluster_conninfo "$T/target" staging)" >/dev/null
}

# replay_work TRANSACTIONS [SEED, 0 to 1]
replay_work() { source_sql "CALL work($1, ${2:-0.5})" >/dev/null; }

# The engine that writes the same source straight into the target: its snapshot, or what has come since.
direct() {
    PGREKEY_PIPELINE=direct PGREKEY_SOURCE_SLOT=direct PGREKEY_SINK=postgres \
        pgrekey run --until-caught-up --quiet
}
staging() {
    PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) \
        PGREKEY_REPLAY_MASKING=${REPLAY_MASKING:-off} pgrekey "$@"
}
replay() { staging replay "$@" 2>>"$T/replay.log"; }
staging_sql() {
    local sql=$1
    shift
    cluster_psql "$T/target" staging "$@" -c "$sql"
}

REPLAY_TABLES="offices staff visits pairs office_stats pgrekey_mirror.kind pgrekey_mirror.visit"

# same_everywhere NAME: every table of the copy is that of the direct target, to the row.
same_everywhere() {
    local name=$1 table bad=0 rows=0
    for table in $REPLAY_TABLES; do
        target_sql "SELECT t::text FROM $table t" | LC_ALL=C sort >"$T/rows.direct"
        staging_sql "SELECT t::text FROM $table t" | LC_ALL=C sort >"$T/rows.replayed"
        rows=$((rows + $(wc -l <"$T/rows.direct")))
        cmp -s "$T/rows.direct" "$T/rows.replayed" && continue
        bad=1
        echo "    $table: $(wc -l <"$T/rows.direct") rows directly, $(wc -l <"$T/rows.replayed") replayed"
        diff "$T/rows.direct" "$T/rows.replayed" | cut -c1-200 | head -n 6 | sed 's/^/    /' || true
    done
    if [ "$bad" -eq 0 ]; then ok "$name ($rows rows)"; else not_ok "$name"; fi
}

nothing_waits() {
    equals "$1" 0 "$(staging_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}

# Each rule's account is the rows that stand: nothing else was counted, nothing twice.
counted_once() {
    equals "$1" "$(staging_sql "SELECT format('offices %s, staff %s, visits %s, pairs %s, kinds %s', (SELECT count(*) FROM
        offices), (SELECT count(*) FROM staff), (SELECT count(*) FROM visits), (SELECT count(*) FROM pairs), (SELECT count(*)
        FROM pgrekey_mirror.kind)) || ', nothing else 0'")" \
        "$(staging_sql "SELECT format('offices %s, staff %s, visits %s, pairs %s, kinds %s, nothing else %s',
            sum(mapped) FILTER (WHERE rule = 'office->offices'), sum(mapped) FILTER (WHERE rule = 'staff->staff'),
            sum(mapped) FILTER (WHERE rule = 'visit->visits'), sum(mapped) FILTER (WHERE rule = 'pair->pairs'),
            sum(mapped) FILTER (WHERE rule LIKE '%kind%'), sum(quarantined + failed_deletes)) FROM pgrekey.counter")"
}
