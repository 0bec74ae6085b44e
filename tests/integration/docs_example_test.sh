#!/usr/bin/env bash
# The worked example of docs/mapping.md, taken from the document as it stands and run.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

# block LANGUAGE N: the N-th block of that language in the section.
block() {
    awk -v wanted="\`\`\`$1" -v n="$2" '/^## / { here = /^## From legacy rows to derived rows/ }
        here && inside && /^```/ { inside = 0 } here && inside && count == n { print } here && $0 == wanted { inside = 1; count++ }' "$TOP/docs/mapping.md"
}

source_start
target_start
target_sql 'CREATE EXTENSION "uuid-ossp"'
block sql 1 | source_script -q
block sql 2 | target_script -q
block yaml 1 >"$T/mapping.yaml"
settings_write
pgrekey init >"$T/init.log" 2>&1
check "the mapping is fine" pgrekey map check -q
engine_start
caught_up
jaws() { target_sql "SELECT j.legacy_id, j.side, p.name, j.scan_count FROM jaws j JOIN patients p ON p.id = j.patient_id ORDER BY 1" | xargs; }
equals "jaws are derived" "100|upper|Ada|2 101|lower|Ada|0 102|upper|Ben|1" "$(jaws)"
equals "scans refer to them" 3 "$(target_sql "SELECT count(*) FROM scans JOIN jaws ON jaws.id = jaw_id")"
equals "jaw 103 stands aside" '["103"]|orphan_reference' "$(target_sql "SELECT key, category FROM pgrekey.quarantine WHERE status = 'pending'")"
source_sql "UPDATE jaw SET instruction_id = 11 WHERE id = 103"
source_sql "INSERT INTO scan VALUES (1003, 101, 'd.stl')"
source_sql "UPDATE instruction SET number = 'A-2' WHERE id = 10"
caught_up
equals "and comes, and scans are counted" "100|upper|Ada|2 101|lower|Ada|1 102|upper|Ben|1 103|upper|Ben|0" "$(jaws)"
equals "nobody stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status = 'pending'")"
engine_stop
test_end
