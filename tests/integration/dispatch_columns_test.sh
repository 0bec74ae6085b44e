#!/usr/bin/env bash
# deploy/dispatch/columns.tsv: every column of the legacy tables has a destination that exists, or a reason why it has
# none; the mapping reads the tables that the list says, and both databases take it.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
DISPATCH=$TOP/deploy/dispatch

source_start
target_start
source_script -q <"$DISPATCH/legacy.sql"
for step in target upgrade-1 upgrade-2 upgrade-3 upgrade-1 upgrade-2 upgrade-3; do # each may be run again
    target_script -q <"$DISPATCH/$step.sql" >>"$T/upgrade.log" 2>&1
done
settings_write
sed -i "s|^mapping: .*|mapping: $DISPATCH/dispatch.yaml|" "$T/pgrekey.yaml"

catalogue() { # of a database: table, column
    cluster_psql "$1" "$2" -F $'\t' -c "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped" | LC_ALL=C sort
}
catalogue "$T/source" legacy >"$T/legacy"
catalogue "$T/target" app | tr '\t' . >"$T/target.columns"
grep -v '^#' "$DISPATCH/columns.tsv" >"$T/list"

equals "every column of the source is on the list once, and nothing else is" "" "$(cut -f 1,2 "$T/list" | LC_ALL=C sort | diff "$T/legacy" -)"
equals "who has no destination has a reason, and the other way round" "" "$(awk -F '\t' '($3 == "-") != (NF == 4 && $4 != "")' "$T/list")"
equals "the destinations exist" "" "$(awk -F '\t' '$3 != "-" { print $3 }' "$T/list" | tr -d ' ' | tr ',' '\n' | LC_ALL=C sort -u | grep -vxF -f "$T/target.columns" || true)"

pgrekey init >"$T/init.log" 2>&1
check "both databases take the mapping" pgrekey map check -q
pgrekey map check >"$T/check.out" 2>&1 || true
equals "with one warning: comments without a text are quarantined" 1 "$(grep -c warning: "$T/check.out")"
pgrekey run --until-caught-up >"$T/run.log" 2>&1
target_sql "SELECT DISTINCT replace(source_table, 'public.', '') FROM pgrekey.counter WHERE source_table <> ''" | LC_ALL=C sort >"$T/read"
equals "tables with a destination are read, the others are not" "" "$(awk -F '\t' '$3 != "-" { print $1 }' "$T/list" | LC_ALL=C sort -u | diff - "$T/read")"
equals "and every table of the target that the mapping writes is somebody's destination" "" \
    "$(target_sql "SELECT DISTINCT replace(target_table, 'public.', '') FROM pgrekey.counter WHERE target_table LIKE 'public.%'" | LC_ALL=C sort |
        comm -23 - <(awk -F '\t' '$3 != "-" { print $3 }' "$T/list" | tr -d ' ' | tr ',' '\n' | cut -d . -f 1 | LC_ALL=C sort -u) | grep -vxE 'ai_embeddings' || true)"
test_end
