#!/usr/bin/env bash
# A marker in every column of every type, mirrored too, every class of error, and then a search: all that pgrekey
# says (but `quarantine show`) and the target server's log hold no value. The same under four roles:
#
#   made      logs in as the role that `init --login` made         the server logs all it can: nothing appears
#   member    acts by that role's rights                           the same
#   super     a superuser, without that role's settings            the same: the session asks for them itself
#   refused   `init` was run by an admin who may not grant them    what remains, against a list (docs/operations.md)
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

# The marker as text, in hexadecimal, as number, money, address, date, interval and bits.
MARK='zqmark|7a716d61726b|82[-:]?73[-:]?64[-:]?55|82,736,455|2182-07-16|22982:20:55|100111011010010111'
# Of a row's legacy key, which the quarantine may show.
KEY_MARK='zqkey'

# What this test itself asks the servers is not to be found in their logs. Not exported: pgrekey must not inherit it.
PGOPTIONS='-c log_statement=none -c log_min_messages=panic -c log_min_error_statement=panic -c log_duration=off
    -c log_min_duration_statement=-1 -c debug_print_parse=off -c debug_print_rewritten=off -c debug_print_plan=off'
PGOPTIONS=${PGOPTIONS//$'\n'/}

source_start
target_start
source_script <<'SQL'
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('fine', 'zqmark mood');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN word AS text;
CREATE TABLE owner (id int PRIMARY KEY, t text DEFAULT 'zqmark owner');
CREATE TABLE thing (
    id serial PRIMARY KEY, poison text NOT NULL DEFAULT '', owner_id int DEFAULT 1,
    t text DEFAULT 'zqmark text', v varchar(60) DEFAULT 'zqmark varchar', c char(20) DEFAULT 'zqmark char',
    i int DEFAULT 182736455, b bigint DEFAULT 827364550001, n numeric DEFAULT 82736455.125, f float8 DEFAULT 82736455.25,
    m money DEFAULT 82736455, d date DEFAULT '2182-07-16', ts timestamptz DEFAULT '2182-07-16 12:00Z',
    iv interval DEFAULT '82736455 seconds', u uuid DEFAULT '82736455-7a71-4d61-926b-000000000000',
    ip inet DEFAULT '2001:db8:82:73:64:55::1', mac macaddr DEFAULT '82:73:64:55:00:01',
    bits bit varying DEFAULT B'100111011010010111', pt point DEFAULT '(82736455,1)', j json DEFAULT '{"j": "zqmark json"}',
    jb jsonb DEFAULT '{"jb": "zqmark jsonb"}', x xml DEFAULT '<x>zqmark xml</x>', arr text[] DEFAULT '{zqmark array}',
    ba bytea DEFAULT 'zqmark bytea', en mood DEFAULT 'zqmark mood', comp pair DEFAULT '(1,"zqmark pair")',
    dom word DEFAULT 'zqmark word', r int4range DEFAULT '[182736455,182736456)', dr daterange DEFAULT '[2182-07-16,2182-07-17)',
    hs hstore DEFAULT 'h=>"zqmark hstore"', tv tsvector DEFAULT 'zqmark:1', names text DEFAULT 'zqmark toast ' || repeat('-', 3000),
    uq text, fk text, ex int4range, code int DEFAULT 1, divisor int DEFAULT 1,
    mail text, js text, num text, s_ip text, s_date text, s_short text, s_int text, s_uuid text, s_mood text, s_jsonb json
);
ALTER TABLE thing ALTER names SET STORAGE EXTERNAL;
CREATE TABLE keyed (k text PRIMARY KEY, t text DEFAULT 'zqmark keyed');
CREATE TABLE slow (id serial PRIMARY KEY, t text DEFAULT 'zqmark slow');
CREATE SEQUENCE plantings;
INSERT INTO owner VALUES (1);

-- Rows that are refused, each in its way, beside good ones: plant(how many good ones).
CREATE FUNCTION plant(good int) RETURNS void LANGUAGE sql AS $$
    SELECT nextval('plantings');
    INSERT INTO thing (poison, uq) VALUES ('', 'zqmark first ' || currval('plantings'));
    INSERT INTO thing (poison, uq) VALUES ('unique', 'zqmark first ' || currval('plantings'));
    INSERT INTO thing (poison, ex) VALUES ('', int4range(182736455 + currval('plantings')::int, 182736456 + currval('plantings')::int));
    INSERT INTO thing (poison, ex) VALUES ('exclusion', int4range(182736455 + currval('plantings')::int, 182736456 + currval('plantings')::int));
    INSERT INTO thing (poison, fk) VALUES ('fk', 'zqmark fk');
    INSERT INTO thing (poison) SELECT unnest('{check,nulled,raise,raise42,raiseown,names,cast,index,generated,deferred,notice}'::text[]);
    INSERT INTO thing (poison, owner_id) VALUES ('orphan', 182736455);
    INSERT INTO thing (poison, code) VALUES ('code', 182736455);
    INSERT INTO thing (poison, divisor) VALUES ('divisor', 0);
    INSERT INTO thing (poison, mail) VALUES ('mail', 'zqmark is no mail');
    INSERT INTO thing (poison, js) VALUES ('js', '{"zqmark": '), ('js', '{"zqmark": "\u0000"}');
    INSERT INTO thing (poison, num) VALUES ('num', 'zqmark num');
    INSERT INTO thing (poison, s_ip) VALUES ('ip', 'zqmark ip');
    INSERT INTO thing (poison, s_date) VALUES ('date', 'zqmark date');
    INSERT INTO thing (poison, s_short) VALUES ('short', 'zqmark too long');
    INSERT INTO thing (poison, s_int) VALUES ('int', '827364558273645582736455');
    INSERT INTO thing (poison, s_uuid) VALUES ('uuid', 'zqmark uuid');
    INSERT INTO thing (poison, s_mood) VALUES ('mood', 'zqmark is no mood');
    INSERT INTO thing (poison, s_jsonb) VALUES ('jsonb', '{"zqmark": "\u0000"}');
    INSERT INTO thing (poison) VALUES ('notnull');
    UPDATE thing SET t = NULL WHERE poison = 'notnull';
    INSERT INTO keyed SELECT 'zqkey ' || currval('plantings') || ' ' || i, CASE WHEN i > 2 THEN 'zqmark bad' ELSE 'zqmark keyed' END FROM generate_series(1, 4) i;
    INSERT INTO thing (poison) SELECT '' FROM generate_series(1, good);
$$;
SELECT plant(40);
SQL
BAD_ROWS=27 # of thing, a call of plant

COLUMNS_ALIKE='poison t v c i b n f m d ts iv u ip mac bits pt j jb x arr ba en comp dom r dr hs tv names uq fk ex'
mapping_write <<YAML
nonfinite: {thing: [n, f]}
rows:
  - {from: owner, to: owner, key: {id: {uuid: owner, of: id}}, columns: {t: t}}
  - from: thing
    to: thing
    key: {id: {uuid: thing, of: id}}
    columns:
$(for each in $COLUMNS_ALIKE; do echo "      $each: $each"; done)
      owner_id: {uuid: owner, of: owner_id, required: true}
      code: {from: code, enum: {1: one}, else: reject}
      part: {expr: "100 / divisor"}
      mail: {from: mail, apply: [email_norm]}
      js: {from: js, apply: [json]}
      num: {from: num, type: int}
      s_ip: s_ip
      s_date: s_date
      s_short: s_short
      s_int: s_int
      s_uuid: s_uuid
      s_mood: s_mood
      s_jsonb: s_jsonb
  - {from: keyed, to: keyed, key: {id: {uuid: keyed, of: k}}, columns: {k: k, t: t}}
  - {from: slow, to: slow, key: {id: {uuid: slow, of: id}}, columns: {t: t}}
mirrors: {thing: {where: "code <> 7"}, keyed: , owner: {index: t}}
views:
  things: select t.id, o.t from thing t join owner o on o.id = t.owner_id
derive:
  - name: notes
    to: notes
    key: {id: {uuid: note, of: thing_id}}
    touched: {thing: select id from touched}
    query: |
      select t.id as thing_id, t.poison, t.uq, t.s_short as short, case t.poison when 'num' then t.num::int::text
        when 'divisor' then (t.i / t.divisor)::text when 'nulled' then null else t.t end as body
      from keys k join thing t on t.id = k.thing_id
    reject: {when: poison = 'date', category: "'validation_failure'"}
    gone: delete
YAML

# target_tables DATABASE: the tables, and a trigger that refuses rows in every way a trigger can.
target_tables() {
    cluster_psql "$T/target" postgres -c "CREATE DATABASE $1"
    cluster_psql "$T/target" "$1" -f - <<'SQL'
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('fine', 'zqmark mood');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN word AS text;
CREATE TABLE owner (id uuid PRIMARY KEY, t text);
CREATE TABLE word_list (w text PRIMARY KEY);
CREATE TABLE thing (
    id uuid PRIMARY KEY, poison text NOT NULL, owner_id uuid NOT NULL, t text NOT NULL, v varchar(60), c char(20), i int, b bigint,
    n numeric, f float8, m money, d date, ts timestamptz, iv interval, u uuid, ip inet, mac macaddr, bits bit varying,
    pt point, j json, jb jsonb, x xml, arr text[], ba bytea, en mood, comp pair, dom word, r int4range, dr daterange,
    hs hstore, tv tsvector, names text, uq text UNIQUE, fk text REFERENCES word_list, ex int4range, code text, part numeric, mail text,
    js jsonb, num int, s_ip inet, s_date date, s_short varchar(5), s_int int, s_uuid uuid, s_mood mood, s_jsonb jsonb,
    gen inet GENERATED ALWAYS AS (CASE WHEN poison = 'generated' THEN t::inet END) STORED,
    CHECK (poison <> 'check'), EXCLUDE USING gist (ex WITH &&)
);
CREATE INDEX ON thing ((CASE WHEN poison = 'index' THEN t::int END));
CREATE TABLE keyed (id uuid PRIMARY KEY, k text UNIQUE, t text CHECK (t <> 'zqmark bad'));
CREATE TABLE slow (id uuid PRIMARY KEY, t text);
CREATE EXTENSION "uuid-ossp";
CREATE TABLE notes (id uuid PRIMARY KEY, poison text CHECK (poison <> 'mail'), uq text UNIQUE, short varchar(5), body text NOT NULL);
CREATE TABLE pace (seconds float8);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.poison = 'nulled' THEN NEW.t := NULL;
    ELSIF NEW.poison = 'raise' THEN RAISE EXCEPTION 'no %', NEW USING DETAIL = NEW.t, HINT = NEW.v;
    ELSIF NEW.poison = 'raise42' THEN RAISE EXCEPTION 'no %', NEW USING ERRCODE = '42501', DETAIL = NEW.t;
    ELSIF NEW.poison = 'raiseown' THEN RAISE EXCEPTION 'no %', NEW USING ERRCODE = 'PT409', DETAIL = NEW.t;
    ELSIF NEW.poison = 'names' THEN
        RAISE EXCEPTION 'no' USING TABLE = NEW.t, COLUMN = NEW.t, CONSTRAINT = NEW.t, SCHEMA = NEW.t, DATATYPE = NEW.t;
    ELSIF NEW.poison = 'cast' THEN EXECUTE format('SELECT %L::int', NEW.t);
    ELSIF NEW.poison = 'notice' THEN
        RAISE NOTICE 'seen %', NEW; RAISE WARNING 'seen %', NEW USING DETAIL = NEW.t; RAISE LOG 'seen %', NEW; RAISE INFO 'seen %', NEW;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.poison = 'deferred' THEN RAISE EXCEPTION 'late: %', NEW USING DETAIL = NEW.t; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse_late AFTER INSERT OR UPDATE ON thing DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse_late();
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_sleep(seconds) FROM public.pace;
    RETURN NEW;
END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION dawdle();
SQL
}

loud() {
    cluster_psql "$T/target" postgres -f - <<SQL
ALTER SYSTEM SET log_min_messages = '$1';
ALTER SYSTEM SET log_min_error_statement = '$2';
ALTER SYSTEM SET log_statement = '$3';
ALTER SYSTEM SET log_duration = '$4';
ALTER SYSTEM SET log_min_duration_statement = '$5';
ALTER SYSTEM SET log_parameter_max_length_on_error = '$5';
ALTER SYSTEM SET log_error_verbosity = 'verbose';
ALTER SYSTEM SET log_lock_waits = '$4';
ALTER SYSTEM SET deadlock_timeout = '100ms';
ALTER SYSTEM SET log_temp_files = '$5';
ALTER SYSTEM SET debug_print_plan = '$4';
ALTER SYSTEM SET debug_print_parse = '$4';
SELECT pg_reload_conf();
SQL
} >/dev/null

# says ARGUMENTS…: whatever it says, and however it ends, goes to said.log.
says() {
    echo "=== $*" >>"$T/said.log"
    pgrekey "$@" >>"$T/said.log" 2>&1 </dev/null || echo "--- code $?" >>"$T/said.log"
}
engine_output() { cat "$T/engine.log" "$T/said.log"; }

# phase NAME USER: everything that follows is about database $1 of the target, reached as USER.
phase() {
    PHASE=$1
    TARGET_DB=app_$1
    target_tables "$TARGET_DB"
    settings_write "pipeline: $1" "log: {level: debug}" "breaker: {window: 0}" "snapshot: {range_rows: 1000}"
    sed -i -e "s/dbname=app user=postgres/dbname=$TARGET_DB user=$2/" -e "s/^target:/target:\n  lock_timeout: 500ms\n  role: engine_$1/" \
        -e "s/^source:/source:\n  slot: $1/" "$T/pgrekey.yaml"
    : >"$T/engine.log"
    : >"$T/said.log"
    : >"$T/target/log"
}
# The library's caught_up and target_sql look at this database.
target_sql() {
    local sql=$1
    shift
    cluster_psql "$T/target" "$TARGET_DB" "$@" -c "$sql"
}

# backend_in STATEMENT: whether a backend of ours sleeps in one; its id is in BACKEND.
backend_in() {
    BACKEND=$(target_sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgrekey $PHASE' AND wait_event = 'PgSleep' AND query LIKE '$1%' LIMIT 1")
    [ -n "$BACKEND" ]
}
# interrupted NAME STATEMENT SQL_ON_SOURCE HOW: HOW is done to the backend while it is in STATEMENT.
interrupted() {
    target_sql "INSERT INTO pace VALUES (0.5)"
    source_sql "$3"
    wait_for 20 "$PHASE: a backend in $2" backend_in "$2"
    case $4 in
    cancel) target_sql "SELECT pg_cancel_backend($BACKEND)" >/dev/null ;;
    terminate) target_sql "SELECT pg_terminate_backend($BACKEND)" >/dev/null ;;
    kill) kill -9 "$BACKEND" ;;
    esac
    # Tried until it succeeds: a server that has not yet noticed its backend's death answers first, and recovers then.
    wait_for 20 "$PHASE: the target back" target_sql "TRUNCATE pace"
    caught_up
    ok "$PHASE: $1"
}

provoke() {
    local expected
    says check
    says run --until-caught-up
    engine_start --verbose
    caught_up
    check "no core would be written, which holds rows" grep -qE "^Max core file size +0 +0 " "/proc/$ENGINE_PID/limits"
    source_sql "SELECT plant(60)" >/dev/null          # one large transaction: sets
    caught_up
    for each in check deferred index unique; do       # small ones: one row a batch
        source_sql "INSERT INTO thing (poison, uq) VALUES ('$each', 'zqmark first 1')"
        caught_up
    done
    source_sql "UPDATE thing SET poison = 'check', i = i + 1 WHERE id % 10 = 3 AND poison = ''"
    source_sql "UPDATE thing SET n = 'NaN', names = names WHERE id % 10 = 4"
    source_sql "DELETE FROM thing WHERE id % 10 = 5"
    source_sql "UPDATE keyed SET k = k || '!', t = 'zqmark bad' WHERE k LIKE '%1'"
    caught_up
    expected=$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")
    check "$PHASE: the errors were provoked ($expected rows stand aside)" test "$expected" -ge $((BAD_ROWS * 2))
    equals "$PHASE: every poison is among them" "" "$(target_sql "
        SELECT string_agg(p, ' ') FROM unnest('{unique,exclusion,fk,check,nulled,raise,raise42,raiseown,names,cast,index,generated,deferred,orphan,code,
            divisor,mail,js,num,ip,date,short,int,uuid,mood,jsonb,notnull}'::text[]) p
        WHERE NOT EXISTS (SELECT FROM pgrekey.quarantine WHERE change LIKE '%\"' || p || '\"%')")"
    equals "$PHASE: derived keys fail in every way" "22001 22012 22P02 23502 23505 23514" "$(target_sql "
        SELECT DISTINCT sqlstate FROM pgrekey.quarantine WHERE rule = 'notes' AND sqlstate <> '' ORDER BY 1" | xargs)"
    for each in thing keyed owner; do
        accounts "$PHASE: $each is accounted for" "$each->$each" $each
    done
}

interruptions() {
    interrupted "killed in mid-statement" INSERT "INSERT INTO slow DEFAULT VALUES" kill
    interrupted "cancelled in mid-statement" INSERT "INSERT INTO slow DEFAULT VALUES" cancel
    interrupted "ended in the midst of a COPY" COPY "INSERT INTO slow (t) SELECT 'zqmark copied ' || i FROM generate_series(1, 2000) i" terminate
    cut_connections source
    cluster_psql "$T/target" "$TARGET_DB" -c "BEGIN; LOCK TABLE keyed; SELECT pg_sleep(1.5); COMMIT" >/dev/null &
    source_sql "UPDATE keyed SET t = t || '.' WHERE t <> 'zqmark bad'" # waits for the lock until target.lock_timeout
    wait $!
    caught_up
    interrupted "killed in the midst of a COPY" COPY "INSERT INTO slow (t) SELECT 'zqmark copied ' || i FROM generate_series(1, 2000) i" kill
}

commands() {
    for each in "status" "check --deep" "quarantine list" "map check"; do
        # shellcheck disable=SC2086 # words
        says $each
        # shellcheck disable=SC2086
        says $each --json
    done
    says quarantine retry --all
    says init --json
    says resume
    engine_stop
    says quarantine retry --all
    says run --until-caught-up --set log.level=debug
}

# No value in what we say. A legacy key may stand in what the quarantine's commands print, and nowhere else.
silent() {
    equals "$PHASE: pgrekey says no value" "" "$(engine_output | grep -iE "$MARK" | head -n 5 || true)"
    equals "$PHASE: and no legacy key outside the quarantine" "" \
        "$(engine_output | awk '/^===/ { skip = /quarantine/ } !skip' | grep -iE "$KEY_MARK" | head -n 5 || true)"
}
log_is_clean() {
    check "$PHASE: the target logs at all" test -s "$T/target/log"
    equals "$PHASE: the target's log holds no value" "" "$(grep -iE "$MARK|$KEY_MARK" "$T/target/log" | cut -c 1-300 | head -n 5 || true)"
}

# remains [PATTERN]: where the host refuses, only this stays in the target's log (docs/operations.md tells of it).
remains() {
    local known
    known='ERROR:  .*invalid input (syntax|value) for |DETAIL:  Failing row contains |DETAIL:  Key \(.*\)=\(.*\) '
    known+='|COPY [^ ]+, line [0-9]+(, column [^ ]+)?: "'
    known+='|(ERROR|WARNING|NOTICE|INFO|LOG):  [0-9A-Z]{5}: (no|late:|seen) |DETAIL:  zqmark text$|HINT:  zqmark varchar$' # of our triggers
    known+="|QUERY:  SELECT 'zqmark text'::int"                                                         # likewise
    check "$PHASE: something remains" grep -qiE "$MARK" "$T/target/log"
    equals "$PHASE: nothing else remains in the target's log" "" \
        "$(grep -iE "$MARK|$KEY_MARK" "$T/target/log" | grep -vE "$known${1:+|$1}" | cut -c 1-300 | head -n 5 || true)"
}

role() { cluster_psql "$T/target" postgres -c "$1"; }

# --- as the role that init made

loud debug1 debug5 all on 0
phase made engine_made
check "made: init" pgrekey init --login --dsn "$(cluster_conninfo "$T/target" app_made)"
provoke
interruptions
commands
silent
log_is_clean
check "made: quarantine show shows it, so the search means something" sh -c "'$PGREKEY' -c '$T/pgrekey.yaml' quarantine show 1 | grep -qiE '$MARK'"

# --- as a member of it, and as a superuser

phase member plain
role "CREATE ROLE plain LOGIN"
check "member: init" pgrekey init --dsn "$(cluster_conninfo "$T/target" app_member)"
provoke
commands
silent
log_is_clean

phase super postgres
check "super: init" pgrekey init
provoke
interruptions
commands
silent
log_is_clean

# --- where the host refuses

loud warning error none off -1
phase refused engine_refused
role "CREATE ROLE dba LOGIN CREATEROLE"
role "ALTER DATABASE app_refused OWNER TO dba"
target_sql "SELECT format('ALTER TABLE %s OWNER TO dba;', oid::regclass) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'" |
    cluster_psql "$T/target" app_refused -f -
pgrekey_fails "refused: init names what it may not grant" 0 'log_min_messages may not be set' \
    init --login --dsn "$(cluster_conninfo "$T/target" app_refused dba)"
provoke
commands
silent
remains
loud debug1 debug5 all on 0
: >"$T/target/log"
says run --until-caught-up
source_sql "SELECT plant(50)" >/dev/null
says run --until-caught-up
remains 'parameters: [$]1 = '
silent

# --- secrets

PHASE=secrets
: >"$T/engine.log"
: >"$T/said.log"
tcp="host=127.0.0.1 port=$(cat "$T/target/port") dbname=app_made user=engine_made"
echo zqsecret >"$T/password"
for each in "$tcp password=zqsecret" "host=/nonexistent password=zqsecret" "password=zqsecret bogus=1" "password='zqsecret" \
    "postgresql://u:zqsecret@127.0.0.1:notaport/app" "postgresql://u:zqsecret@[::1/app" "postgresql://u:zqsecret@127.0.0.1:1/app?zqsecret=1"; do
    for side in source target; do
        says check --verbose --set "$side.dsn=$each"
        says run --verbose --json --set "$side.dsn=$each"
        says init --dsn "$each"
        says init --print --source --set "$side.dsn=$each"
    done
    PGREKEY_TARGET_DSN=$each says status
done
says check --set "target.dsn=$tcp" --set "target.password_file=$T/password"
says check --set batch.max_rows=zqsecret --set batch.max_bytes=zqsecret
for each in 'target: {dsn: [zqsecret]}' 'target: {dsn: "zqsecret}' 'target: {dsn: zqsecret: x}' 'target: {password: zqsecret}' \
    'target: {dsn: {password: zqsecret}}' '"zqsecret' 'source: zqsecret' 'batch: {max_rows: zqsecret}'; do
    echo "$each" >"$T/pgrekey.yaml"
    says check
done
check "secrets: something was said" test "$(grep -c '^--- code' "$T/said.log")" -gt 50
equals "secrets: no password is said" "" "$(sed '/^===/d' "$T/said.log" | grep zqsecret | sort -u | head -n 10 || true)"
test_end
