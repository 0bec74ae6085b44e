#!/usr/bin/env bash
# Derivations in a small estate: joins over three hops, a role that decides a table, a window, a junction with pair keys,
# generic references, chains, derived parents of row-ruled children, `once`, `reject`, rows gone each way; and all of it
# under load with kills. What stands on the target is compared with what the same queries give afresh.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
target_sql 'CREATE EXTENSION "uuid-ossp"'
source_script <<'SQL'
CREATE TABLE practice (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, boss boolean NOT NULL DEFAULT false, last_login int);
CREATE TABLE account_group (id int PRIMARY KEY, account_id int, group_id int);
CREATE TABLE practice_doctor (id int PRIMARY KEY, practice_id int, account_id int);
CREATE TABLE patient (id int PRIMARY KEY, account_id int, doctor_id int, practice_id int);
CREATE TABLE jaw (id int PRIMARY KEY, label text);
CREATE TABLE instruction (id int PRIMARY KEY, patient_id int, upper_id int, lower_id int, note text);
CREATE TABLE plan (id int PRIMARY KEY, instruction_id int, title text);
CREATE TABLE remark (id int PRIMARY KEY, plan_id int, body text);
CREATE TABLE state (id int PRIMARY KEY, instruction_id int, code text);
CREATE TABLE scan (id int PRIMARY KEY, jaw_id int);
CREATE TABLE record (id int PRIMARY KEY, kind text, item_id int, body text);
INSERT INTO practice SELECT i, 'Practice ' || i FROM generate_series(1, 6) i;
INSERT INTO account SELECT i, 'Account ' || i, i % 50 = 0, 0 FROM generate_series(1, 200) i;
INSERT INTO account_group SELECT i, i, CASE WHEN i <= 40 THEN 2 WHEN i <= 60 THEN 11 ELSE 1 END FROM generate_series(1, 120) i;
INSERT INTO practice_doctor SELECT i, 1 + i % 6, 1 + i % 40 FROM generate_series(1, 60) i;
INSERT INTO patient SELECT i, 60 + i, 1 + i % 45, NULLIF(i % 7, 0) FROM generate_series(1, 120) i;
INSERT INTO jaw SELECT i, 'Jaw ' || i FROM generate_series(1, 300) i;
INSERT INTO instruction SELECT i, 1 + i % 130, 2 * i - 1, 2 * i FROM generate_series(1, 150) i;
INSERT INTO plan SELECT i, 1 + i % 160, 'Plan ' || i FROM generate_series(1, 200) i;
INSERT INTO remark SELECT i, 1 + i % 210, 'Remark ' || i FROM generate_series(1, 300) i;
INSERT INTO state SELECT i, 1 + i % 150, 'code' || i % 5 FROM generate_series(1, 400) i;
INSERT INTO scan SELECT i, 1 + i % 300 FROM generate_series(1, 200) i;
INSERT INTO record SELECT i, CASE i % 3 WHEN 0 THEN 'patient' WHEN 1 THEN 'plan' ELSE 'else' END, 1 + i % 140, 'Record ' || i FROM generate_series(1, 200) i;
SQL
target_script <<'SQL'
CREATE TABLE practices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL);
CREATE TABLE profiles (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL, practice_id uuid REFERENCES practices,
    metadata jsonb NOT NULL DEFAULT '{"theirs": true}');
CREATE TABLE doctors (id uuid PRIMARY KEY, legacy_id int UNIQUE, profile_id uuid NOT NULL REFERENCES profiles, kind text NOT NULL,
    number text NOT NULL, note text DEFAULT 'theirs');
CREATE TABLE doctor_practices (doctor_id uuid NOT NULL, practice_id uuid NOT NULL REFERENCES practices, legacy_id int, is_active boolean NOT NULL,
    is_primary boolean NOT NULL, PRIMARY KEY (doctor_id, practice_id));
CREATE TABLE patients (id uuid PRIMARY KEY, legacy_id int UNIQUE, doctor_id uuid, practice_id uuid REFERENCES practices, first_practice uuid);
CREATE TABLE jaws (id uuid PRIMARY KEY, legacy_id int UNIQUE, side text NOT NULL, label text);
CREATE TABLE scans (id uuid PRIMARY KEY, legacy_id int UNIQUE, jaw_id uuid NOT NULL REFERENCES jaws);
CREATE TABLE case_states (id uuid PRIMARY KEY, legacy_id int UNIQUE, from_state text, to_state text NOT NULL);
CREATE TABLE case_messages (id uuid PRIMARY KEY, source text NOT NULL, legacy_id int NOT NULL, patient_id uuid NOT NULL REFERENCES patients, body text);
CREATE TABLE practice_stats (practice_id uuid PRIMARY KEY, doctors int NOT NULL, patients int NOT NULL);
SQL
mapping_write <<'YAML'
rows:
  - {name: practices, from: practice, to: practices, key: {id: {uuid: practice, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: profiles, from: account, to: profiles, key: {id: {uuid: profile, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: scans, from: scan, to: scans, key: {id: {uuid: scan, of: id}}, columns: {legacy_id: id, jaw_id: {uuid: jaw, of: jaw_id}}}
mirrors:
  account: {columns: [id, name, boss, last_login]}
  account_group: {columns: [id, account_id, group_id], index: account_id}
  practice_doctor: {columns: [id, practice_id, account_id], index: [account_id, practice_id]}
  patient: {columns: [id, account_id, doctor_id, practice_id], index: [account_id, doctor_id]}
  jaw: {columns: [id, label]}
  instruction: {columns: [id, patient_id, upper_id, lower_id], index: [patient_id, upper_id, lower_id]}
  plan: {columns: [id, instruction_id], index: instruction_id}
  remark: {columns: [id, plan_id, body], index: plan_id}
  state: {columns: [id, instruction_id, code], index: instruction_id}
  record: {columns: [id, kind, item_id, body], index: item_id}
derive:
  - name: doctors
    to: doctors
    key: {id: {uuid: doctor, of: account_id}}
    columns: [legacy_id, profile_id, kind, number]
    references: {profile_id: profile}
    once: number
    touched:
      account: {columns: [id, name, boss], keys: select id from touched}
      account_group: select account_id from touched
      practice_doctor: select account_id from touched
    query: |
      select a.id as account_id, a.id as legacy_id, pgrekey.id('profile', a.id) as profile_id,
        case when a.boss then 'boss' when exists (select from account_group g where g.account_id = a.id and g.group_id = 2) then 'group' else 'office' end as kind,
        'DOC-' || a.name as number
      from keys k join account a on a.id = k.account_id
      where exists (select from account_group g where g.account_id = a.id and g.group_id = 2)
        or exists (select from practice_doctor d where d.account_id = a.id)
    gone: delete
  - name: doctor_practices
    to: doctor_practices
    key: {doctor_id: {uuid: doctor, of: account_id}, practice_id: {uuid: practice, of: practice_id}}
    touched: {practice_doctor: "select o.account_id, o.practice_id from practice_doctor o join touched using (account_id) union select account_id, practice_id from touched"}
    query: |
      select k.account_id, k.practice_id, d.id as legacy_id, true as is_active,
        d.id = (select min(id) from practice_doctor f where f.account_id = d.account_id) as is_primary
      from keys k join practice_doctor d on d.account_id = k.account_id and d.practice_id = k.practice_id
    gone: {set: {is_active: false}}
  - name: patients
    to: patients
    key: {id: {uuid: patient, of: patient_id}}
    columns: [legacy_id, doctor_id, practice_id, first_practice]
    references: {doctor_id: {uuid: doctor, required: false}}
    once: first_practice
    touched:
      patient: select id from touched
      account: {columns: [id], keys: select p.id from touched t join patient p on p.account_id = t.id}
      practice_doctor: select p.id from touched t join patient p on p.doctor_id = t.account_id
      doctors: select p.id from touched t join patient p on p.doctor_id = t.legacy_id
    query: |
      select p.id as patient_id, p.id as legacy_id, pgrekey.id('doctor', p.doctor_id) as doctor_id,
        pgrekey.id('practice', o.id) as practice_id, pgrekey.id('practice', o.id) as first_practice
      from keys k join patient p on p.id = k.patient_id
      left join lateral (select coalesce(p.practice_id, (select d.practice_id from practice_doctor d where d.account_id = p.doctor_id order by d.id limit 1)) as id) o on true
      where exists (select from account a where a.id = p.account_id)
    gone: delete
  - name: profile_practice
    to: profiles
    key: {id: {uuid: profile, of: account_id}}
    owns: [practice_id, metadata]
    merge: metadata
    touched:
      profiles: {columns: [legacy_id], keys: select legacy_id from touched}
      patients: select p.account_id from touched t join patient p on p.id = t.legacy_id
      patient: select account_id from touched
    query: |
      select p.account_id, min(t.practice_id::text)::uuid as practice_id, jsonb_build_object('patients', count(*)) as metadata
      from keys k join patient p on p.account_id = k.account_id join patients t on t.legacy_id = p.id group by 1
    gone: {set: {practice_id: null}}
  - name: jaws
    to: jaws
    key: {id: {uuid: jaw, of: jaw_id}}
    columns: [legacy_id, side, label]
    touched:
      jaw: select id from touched
      instruction: {columns: [upper_id, lower_id], keys: select upper_id from touched union select lower_id from touched}
    query: |
      select j.id as jaw_id, j.id as legacy_id, r.side, j.label, r.n
      from keys k join jaw j on j.id = k.jaw_id
      cross join lateral (select count(*) n, min(s.side) side from (select 'upper' as side from instruction where upper_id = k.jaw_id
        union all select 'lower' from instruction where lower_id = k.jaw_id) s) r
    reject: {when: n <> 1, category: "case n when 0 then 'orphan_reference' else 'ambiguous_value' end"}
    gone: delete
  - name: case_states
    to: case_states
    key: {id: {uuid: case_state, of: state_id}}
    touched:
      state: "select o.id from touched t join state o using (instruction_id) union select id from touched"
    query: |
      select s.id as state_id, s.id as legacy_id, s.code as to_state,
        (select b.code from state b where b.instruction_id = s.instruction_id and b.id < s.id order by b.id desc limit 1) as from_state
      from keys k join state s on s.id = k.state_id
    gone: delete
  - name: remarks
    to: case_messages
    key: {id: {uuid: case_remark, of: remark_id}}
    columns: [source, legacy_id, patient_id, body]
    references: {patient_id: patient}
    touched:
      remark: select id from touched
      plan: select r.id from touched t join remark r on r.plan_id = t.id
      instruction: select r.id from touched t join plan p on p.instruction_id = t.id join remark r on r.plan_id = p.id
      patients: select r.id from touched t join instruction i on i.patient_id = t.legacy_id join plan p on p.instruction_id = i.id join remark r on r.plan_id = p.id
    query: |
      select r.id as remark_id, 'remark' as source, r.id as legacy_id, r.body, i.patient_id as patient,
        pgrekey.id('patient', i.patient_id) as patient_id
      from keys k join remark r on r.id = k.remark_id
      left join plan p on p.id = r.plan_id left join instruction i on i.id = p.instruction_id
    reject: {when: patient is null, category: orphan_reference}
    gone: delete
  - name: records
    to: case_messages
    key: {id: {uuid: case_record, of: record_id}}
    columns: [source, legacy_id, patient_id, body]
    references: {patient_id: patient}
    touched:
      record: select id from touched
      plan: select r.id from touched t join record r on r.kind = 'plan' and r.item_id = t.id
      instruction: select r.id from touched t join plan p on p.instruction_id = t.id join record r on r.kind = 'plan' and r.item_id = p.id
      patients: "select r.id from touched t join record r on r.kind = 'patient' and r.item_id = t.legacy_id
        union select r.id from touched t join instruction i on i.patient_id = t.legacy_id join plan p on p.instruction_id = i.id join record r on r.kind = 'plan' and r.item_id = p.id"
    query: |
      select r.id as record_id, 'record' as source, r.id as legacy_id, r.body, q.patient, pgrekey.id('patient', q.patient) as patient_id
      from keys k join record r on r.id = k.record_id
      cross join lateral (select case r.kind when 'patient' then r.item_id
        else (select i.patient_id from plan p join instruction i on i.id = p.instruction_id where p.id = r.item_id) end as patient) q
      where r.kind in ('patient', 'plan')
    reject: {when: patient is null, category: orphan_reference}
    gone: delete
  - name: practice_stats
    to: practice_stats
    key: {practice_id: practice_id}
    touched:
      doctor_practices: {columns: [practice_id, is_active], keys: select practice_id from touched}
      patients: {columns: [practice_id], keys: select practice_id from touched}
      practices: {columns: [id], keys: select id from touched}
    query: |
      select k.practice_id, (select count(*) from doctor_practices d where d.practice_id = k.practice_id and d.is_active)::int as doctors,
        (select count(*) from patients p where p.practice_id = k.practice_id)::int as patients
      from keys k join practices o on o.id = k.practice_id
    gone: delete
YAML
settings_write
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up

# open_keys RULE: the first value of keys that stand in quarantine, as a list for IN.
open_keys() {
    target_sql "SELECT coalesce(string_agg(key::json ->> 0, ','), '-1') FROM pgrekey.quarantine WHERE rule = '$1' AND op <> 'D'
        AND status NOT IN ('resolved', 'discarded')"
}

# state_of FILE: every derived table, accounts, open entries. Left out is what a fresh snapshot cannot know: what is
# written once, pairs that are closed, the last good row of a key in quarantine, and the children of such a row.
state_of() {
    local jaws remarks records
    jaws=$(open_keys jaws)
    remarks=$(open_keys remarks)
    records=$(open_keys records)
    {
        target_sql "SELECT 'doctors', legacy_id, profile_id, kind FROM doctors WHERE legacy_id NOT IN ($(open_keys doctors))"
        target_sql "SELECT 'pairs', doctor_id, practice_id, legacy_id, is_primary FROM doctor_practices WHERE is_active"
        target_sql "SELECT 'patients', legacy_id, doctor_id, practice_id FROM patients WHERE legacy_id NOT IN ($(open_keys patients))"
        target_sql "SELECT 'profiles', legacy_id, name, practice_id FROM profiles"
        target_sql "SELECT 'jaws', legacy_id, side, label FROM jaws WHERE legacy_id NOT IN ($jaws)"
        target_sql "SELECT 'scans', s.legacy_id, jaw_id FROM scans s JOIN jaws j ON j.id = jaw_id WHERE j.legacy_id NOT IN ($jaws)"
        target_sql "SELECT 'states', legacy_id, from_state, to_state FROM case_states"
        target_sql "SELECT 'messages', source, legacy_id, patient_id, body FROM case_messages
            WHERE NOT (source = 'remark' AND legacy_id IN ($remarks) OR source = 'record' AND legacy_id IN ($records))"
        target_sql "SELECT 'stats', practice_id, doctors, patients FROM practice_stats"
        target_sql "SELECT 'entry', rule, key, category FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND rule <> 'scans'"
        target_sql "SELECT 'counter', rule, mapped, quarantined, excluded, failed_deletes FROM pgrekey.counter WHERE rule <> 'scans'"
        target_sql "SELECT 'counter', rule, mapped + quarantined, excluded, failed_deletes FROM pgrekey.counter WHERE rule = 'scans'"
    } | LC_ALL=C sort >"$1"
}

equals "every derivation has rows" 9 "$(target_sql "SELECT count(*) FROM pgrekey.counter JOIN pgrekey.derivation USING (rule) WHERE mapped > 0")"
equals "true orphans stand in quarantine" "records|orphan_reference remarks|orphan_reference" \
    "$(target_sql "SELECT DISTINCT rule, category FROM pgrekey.quarantine WHERE status = 'pending' ORDER BY 1" | xargs)"

# --- one change at a time

source_sql "UPDATE account SET last_login = 1"
caught_up
equals "a login recomputes no doctor" 40 "$(target_sql "SELECT count(*) FROM doctors WHERE number LIKE 'DOC-Account%'")"
source_sql "UPDATE account SET name = 'Renamed' WHERE id = 1"
caught_up
equals "what is written once stays" "DOC-Account 1" "$(target_sql "SELECT number FROM doctors WHERE legacy_id = 1")"
source_sql "DELETE FROM practice_doctor WHERE id = 5"
caught_up
equals "a pair that goes is closed" f "$(target_sql "SELECT is_active FROM doctor_practices WHERE legacy_id = 5")"
source_sql "INSERT INTO practice_doctor VALUES (1005, 6, 6)"
caught_up
equals "a pair that returns is opened again" "1005|t" "$(target_sql "SELECT legacy_id, is_active FROM doctor_practices WHERE legacy_id IN (5, 1005)")"
source_sql "DELETE FROM instruction WHERE id = 7"
caught_up
equals "a jaw without instruction is rejected" "orphan_reference orphan_reference" \
    "$(target_sql "SELECT category FROM pgrekey.quarantine WHERE rule = 'jaws' AND status = 'pending'" | xargs)"
source_sql "INSERT INTO instruction VALUES (7, 3, 13, 14)"
caught_up
equals "and comes back" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE rule = 'jaws' AND status = 'pending'")"
source_sql "DELETE FROM account_group WHERE account_id = 40; DELETE FROM practice_doctor WHERE account_id = 40; DELETE FROM patient WHERE account_id = 40; DELETE FROM account WHERE id = 40"
caught_up
equals "a derived row goes with the row that it refers to" "0|0" \
    "$(target_sql "SELECT (SELECT count(*) FROM doctors WHERE legacy_id = 40), (SELECT count(*) FROM profiles WHERE legacy_id = 40)")"
target_sql "ALTER TABLE doctors ADD CONSTRAINT no_boss CHECK (kind <> 'boss')"
source_sql "UPDATE account SET boss = id IN (3, 9) WHERE id < 20"
caught_up
equals "failing keys stand aside alone" '["3"]|validation_failure|23514 ["9"]|validation_failure|23514' \
    "$(target_sql "SELECT key, category, sqlstate FROM pgrekey.quarantine WHERE rule = 'doctors' AND status = 'pending' ORDER BY 1" | xargs -d '\n')"
target_sql "ALTER TABLE doctors DROP CONSTRAINT no_boss"
pgrekey quarantine retry --rule doctors >"$T/retry.log" 2>&1 || true
wait_for 20 "the retry" grep -q '2 resolved' "$T/retry.log"
equals "retry heals them" 2 "$(target_sql "SELECT count(*) FROM doctors WHERE kind = 'boss'")"

# --- load and kills

cat >"$T/load.sql" <<'SQL'
\set a random(1, 220)
\set b random(1, 320)
\set c random(1, 6)
\set what random(1, 16)
\sleep 4 ms
\if :what = 1
UPDATE account SET boss = NOT boss, last_login = :b WHERE id = :a;
\elif :what = 2
INSERT INTO account_group SELECT :b + 2000, :a, 2 ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id;
\elif :what = 3
DELETE FROM account_group WHERE id IN (:a, :b + 2000);
\elif :what = 4
INSERT INTO practice_doctor SELECT :a * 10 + :c + 3000, :c, :a WHERE NOT EXISTS (SELECT FROM practice_doctor WHERE practice_id = :c AND account_id = :a) ON CONFLICT DO NOTHING;
\elif :what = 5
DELETE FROM practice_doctor WHERE account_id = :a;
\elif :what = 6
UPDATE patient SET doctor_id = :a, practice_id = nullif(:c, 3) WHERE id = :b;
\elif :what = 7
BEGIN;
DELETE FROM patient WHERE id = :a;
UPDATE instruction SET patient_id = :b WHERE id = :a;
COMMIT;
\elif :what = 8
INSERT INTO patient VALUES (:a, :b, :c * 7, :c) ON CONFLICT DO NOTHING;
\elif :what = 9
BEGIN;
UPDATE instruction SET upper_id = :b, lower_id = :b + 1 WHERE id = :a;
UPDATE jaw SET label = 'Label ' || :c WHERE id = :b;
COMMIT;
\elif :what = 10
DELETE FROM instruction WHERE id = :a;
\elif :what = 11
INSERT INTO instruction VALUES (:a, :b, 2 * :a - 1, 2 * :a) ON CONFLICT DO NOTHING;
\elif :what = 12
UPDATE plan SET instruction_id = :b WHERE id = :a;
\elif :what = 13
INSERT INTO state VALUES (:b + 5000, :a, 'code' || :c) ON CONFLICT (id) DO UPDATE SET instruction_id = excluded.instruction_id;
\elif :what = 14
DELETE FROM state WHERE id IN (:b, :b + 5000);
\elif :what = 15
BEGIN;
DELETE FROM record WHERE id = :a;
INSERT INTO record VALUES (:a, CASE WHEN :c > 3 THEN 'patient' ELSE 'plan' END, :b, 'Again ' || :c) ON CONFLICT DO NOTHING;
UPDATE remark SET plan_id = :b WHERE id = :a;
COMMIT;
\else
BEGIN;
INSERT INTO scan VALUES (:b + 7000, :b) ON CONFLICT DO NOTHING;
DELETE FROM scan WHERE jaw_id = :a;
COMMIT;
\endif
SQL
load_start "${PGREKEY_LOAD_SECONDS:-15}" 2 "$T/load.sql"
kill_loop "$PGREKEY_KILLS" 300 1500
load_wait
caught_up 120
pgrekey quarantine retry >"$T/retry.log" 2>&1 || true
engine_stop
state_of "$T/followed"

# --- the same estate from its beginning

pgrekey drop --yes >>"$T/init.log" 2>&1
target_sql "TRUNCATE practices, profiles, doctors, doctor_practices, patients, jaws, scans, case_states, case_messages, practice_stats"
pgrekey init >>"$T/init.log" 2>&1
engine_start
caught_up
pgrekey quarantine retry >"$T/retry.log" 2>&1 || true
engine_stop
state_of "$T/fresh"
if cmp -s "$T/followed" "$T/fresh"; then
    ok "followed under load and kills, all is as a fresh snapshot has it ($(wc -l <"$T/fresh") lines)"
else
    not_ok "followed under load and kills, all is as a fresh snapshot has it"
    diff "$T/followed" "$T/fresh" | head -n 20 | sed 's/^/    /' || true
fi
test_end
