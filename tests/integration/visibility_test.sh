#!/usr/bin/env bash
# A commit comes by the stream before other sessions of the source see it (here for seconds, since it waits for a
# synchronous standby that is not there): what the stream left out must not be read from the row as it was before.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE letter (id int PRIMARY KEY, title text, body text, sent boolean NOT NULL, score double precision NOT NULL);
ALTER TABLE letter ALTER body SET STORAGE EXTERNAL;
INSERT INTO letter SELECT i, 'Title ' || i, repeat(md5(i::text), 200), false, i FROM generate_series(1, 10) i;
SQL
target_sql "CREATE TABLE letters (id int PRIMARY KEY, opening text, body text NOT NULL, score double precision NOT NULL)"
mapping_write <<'YAML'
rows:
  - {name: letter, from: letter, to: letters, when: sent, key: {id: id}, columns: {opening: {left: {of: body, chars: 8}}, body: body, score: score}}
YAML
settings_write
pgrekey init
engine_start
caught_up

standby() {
    source_sql "ALTER SYSTEM SET synchronous_standby_names = '$1'"
    source_sql "SELECT pg_reload_conf()" >/dev/null
}
waits_for_standby() { [ "$(source_sql "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")" = "$1" ]; }

standby nobody
for each in "UPDATE letter SET body = repeat('new', 2000) WHERE id = 1; UPDATE letter SET sent = true WHERE id = 1" \
    "UPDATE letter SET id = 102, sent = true WHERE id = 2" \
    "INSERT INTO letter VALUES (103, 'Infinite', 'b', true, 'Infinity')" \
    "UPDATE letter SET score = 'NaN', sent = true WHERE id = 4"; do
    source_sql "$each" &
done
wait_for 20 "four commits to wait" waits_for_standby 4
sleep 2
check "the engine waits with them" engine_is_alive
equals "nothing stands in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine")"
standby ''
caught_up
same_rows "what was left out is read as it is behind the commit" "SELECT id, left(body, 8), md5(body), score FROM letter WHERE sent" \
    "SELECT id, opening, md5(body), score FROM letters"
accounts "accounts" letter letter

# Longer than the engine waits: it begins again, and comes through as soon as the source does.
standby nobody
source_sql "UPDATE letter SET body = 'patience ' || repeat('x', 5000), score = '-Infinity', sent = true WHERE id = 5" &
wait_for 20 "the commit to wait" waits_for_standby 1
gave_up() { grep -q 'event=reconnecting.*not visible yet' "$T/engine.log"; }
wait_for 30 "the engine to begin again" gave_up
standby ''
caught_up
same_rows "after a long wait" "SELECT id, left(body, 8), md5(body), score FROM letter WHERE sent" \
    "SELECT id, opening, md5(body), score FROM letters"
accounts "accounts after a long wait" letter letter
test_end
