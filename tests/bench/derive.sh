# shellcheck shell=bash
# What derivations cost. One-row transactions, commit on the source to visible on the target, into three tables in turn:
# one that a row rule alone writes; one from whose rows a row of another table is derived; and one behind which three
# derivations stand: a derived row, a count by group, and, from the count, a column of the group's own row. Each table
# holds PGREKEY_BENCH_ROWS rows before. Then a load: all rows of a table by snapshot, with and without a derivation over
# all of them.

BEFORE=${PGREKEY_BENCH_ROWS:-20000}
TURNS=${PGREKEY_BENCH_TURNS:-1000}
WARM=100
LOAD=${PGREKEY_BENCH_LOAD:-2000000}

derive_tables() {
    source_script <<SQL
CREATE TABLE team (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO team SELECT i, 'team ' || i FROM generate_series(0, 999) i;
SQL
    ours_sql "CREATE TABLE team (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, name text NOT NULL, weight text)"
    local each
    for each in plain one three; do
        source_sql "CREATE TABLE $each (id int PRIMARY KEY, group_id int NOT NULL, amount int NOT NULL, name text NOT NULL);
                    INSERT INTO $each SELECT i, i % 1000, 7, 'name ' || i FROM generate_series(1, $BEFORE) i"
        ours_sql "CREATE TABLE $each (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, group_id int NOT NULL, amount int NOT NULL, name text NOT NULL);
                  CREATE INDEX ON $each (group_id);
                  CREATE TABLE card_$each (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, label text NOT NULL, team text)"
    done
    ours_sql "CREATE TABLE team_total (group_id int PRIMARY KEY, items int NOT NULL, total bigint NOT NULL)"
    {
        echo "namespace: $NAMESPACE"
        echo "rows:"
        echo "  - {from: team, to: team, key: {id: {uuid: team, of: id}}, columns: {legacy_id: id, name: name}}"
        for each in plain one three; do
            echo "  - {from: $each, to: $each, key: {id: {uuid: $each, of: id}}, columns: {legacy_id: id, group_id: group_id, amount: amount, name: name}}"
        done
        echo "derive:"
        for each in one three; do
            cat <<YAML
  - to: card_$each
    key: {id: {uuid: card_$each, of: item_id}}
    touched: {$each: select legacy_id from touched}
    query: select i.legacy_id as item_id, i.legacy_id, i.name || ' of ' || i.amount as label, t.name as team
      from keys k join $each i on i.legacy_id = k.item_id left join team t on t.legacy_id = i.group_id
    gone: delete
YAML
        done
        cat <<YAML
  - to: team_total
    key: {group_id: group_id}
    touched: {three: select group_id from touched}
    query: select k.group_id, count(*)::int as items, sum(i.amount) as total from keys k join three i on i.group_id = k.group_id group by 1
    gone: delete
  - name: weight
    to: team
    key: {id: {uuid: team, of: group_id}}
    owns: [weight]
    touched: {team_total: select group_id from touched}
    query: select t.group_id, t.items || ' items' as weight from keys k join team_total t on t.group_id = k.group_id
YAML
    } >"$B/mapping.yaml"
    settings_write
}

# median_of TABLE: of the turns, in milliseconds.
median_of() { awk -v t="$1" '$1 == t {print $2 / 1000}' "$B/turns" | median; }

derive_turns() {
    derive_tables
    pgrekey init >/dev/null
    pgrekey run --until-caught-up >/dev/null
    settle
    engine_start
    "$PROBE" wait "$(cluster_conninfo "$B/target" ours)" "SELECT count(*) = 4 FROM (SELECT FROM pgrekey.counter WHERE mapped > 0 LIMIT 4) c" 60 >/dev/null
    "$PROBE" turns "$(source_info)" "$(cluster_conninfo "$B/target" ours)" "$((BEFORE + 1))" "$WARM" "$B/warm" plain one three
    "$PROBE" turns "$(source_info)" "$(cluster_conninfo "$B/target" ours)" "$((BEFORE + WARM + 1))" "$TURNS" "$B/turns" plain one three
    engine_stop
    local each
    for each in plain one three; do
        printf '%-6s median %.3f ms of %d transactions\n' "$each:" "$(median_of "$each")" "$(grep -c "^$each " "$B/turns")"
    done
    pgrekey drop --yes >/dev/null
}

# load_one NAME WITH: seconds of a snapshot of $LOAD rows, with a derivation over all of them or without.
load_one() {
    local begun ended
    ours_sql "DROP TABLE IF EXISTS big, card_big; CREATE TABLE big (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, group_id int NOT NULL, name text NOT NULL);
              CREATE TABLE card_big (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, label text NOT NULL)"
    {
        echo "namespace: $NAMESPACE"
        echo "rows:"
        echo "  - {from: big, to: big, key: {id: {uuid: big, of: id}}, columns: {legacy_id: id, group_id: group_id, name: name}}"
        [ "$2" = without ] || cat <<YAML
derive:
  - to: card_big
    key: {id: {uuid: card_big, of: item_id}}
    touched: {big: select legacy_id from touched}
    query: select i.legacy_id as item_id, i.legacy_id, i.name || ' of ' || i.group_id as label from keys k join big i on i.legacy_id = k.item_id
    gone: delete
YAML
    } >"$B/mapping.yaml"
    pgrekey init >/dev/null
    settle
    begun=$(date +%s.%N)
    pgrekey run --until-caught-up >/dev/null 2>"$B/load.log"
    ended=$(date +%s.%N)
    [ "$2" = without ] || [ "$(ours_sql "SELECT count(*) FROM card_big")" -eq "$LOAD" ]
    pgrekey drop --yes >/dev/null
    difference "$ended" "$begun" >"$B/load.$2"
    echo "load of $LOAD rows $2 a derivation over all: $(cat "$B/load.$2") s"
}

bench_derive() {
    ours_sql 'CREATE EXTENSION "uuid-ossp"'
    derive_turns
    source_sql "CREATE TABLE big (id int PRIMARY KEY, group_id int NOT NULL, name text NOT NULL);
                INSERT INTO big SELECT i, i % 1000, 'name ' || i FROM generate_series(1, $LOAD) i"
    source_sql "VACUUM ANALYZE big"
    load_one big without
    load_one big with
    echo "one_ratio: $(ratio "$(median_of one)" "$(median_of plain)")"
    echo "derive_ratio: $(ratio "$(median_of three)" "$(median_of plain)")"
}
