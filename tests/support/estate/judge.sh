# shellcheck shell=bash
# Two statements of the same: what the target must hold, said over the legacy tables (expected/), and what it holds, said in
# the same words (found/). Sourced behind lib.sh.
#
#   estate_judge SOURCE_DIR DATABASE TARGET_DIR DATABASE OUT     OUT.expected, OUT.found: sorted lines "table {row}"; fails
#                                                                where they differ, and prints how many of which table

JUDGE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
JUDGE_PARTS="people orders cases money texts workflow"

# estate_lines SIDE DIR DATABASE [TABLE]: the lines of a side, or of another of its tables.
estate_lines() {
    local part
    {
        echo "SET timezone = 'UTC'; SET client_min_messages = warning;"
        for part in $JUDGE_PARTS; do cat "$JUDGE_DIR/$1/$part.sql"; done
        echo "SELECT line FROM ${4:-$1};"
    } | cluster_psql "$2" "$3" -q -f - | LC_ALL=C sort
}

estate_judge() {
    estate_lines expected "$1" "$2" >"$5.expected"
    estate_lines found "$3" "$4" >"$5.found"
    cmp -s "$5.expected" "$5.found" && return
    diff "$5.expected" "$5.found" | awk '/^[<>]/ { n[($1 == "<" ? "missing " : "too many ") $2]++ } END { for (k in n) print n[k], k }' | sort -rn
    diff "$5.expected" "$5.found" | head -n 10
    return 1
}
