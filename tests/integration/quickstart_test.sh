#!/usr/bin/env bash
# The newcomer's first command works, and works a second time over what the first left; then everything goes.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

export PGREKEY_QUICKSTART_DIR=$T/quickstart PGREKEY_QUICKSTART_SECONDS=5

# With tests/run soak the second one goes through Kafka too.
for round in first second; do
    rc=0 arguments=() found=3
    if [ "$round" = second ] && [ "$PGREKEY_KILLS" -ge 100 ]; then
        arguments=(--kafka) found=4
    fi
    "$TOP/deploy/quickstart" "${arguments[@]}" >"$T/quickstart.log" 2>&1 </dev/null || rc=$?
    equals "the $round tour ends with code 0" 0 "$rc"
    [ "$rc" -eq 0 ] || tail -n 20 "$T/quickstart.log"
    equals "the $round tour finds accounts, money and rows as they must be" "$found" "$(grep -c '^ok - ' "$T/quickstart.log")"
    check "the engine of the $round tour goes on" kill -0 "$(cat "$PGREKEY_QUICKSTART_DIR/engine.pid")"
done
pid=$(cat "$PGREKEY_QUICKSTART_DIR/engine.pid")
check "stop ends with code 0" "$TOP/deploy/quickstart" stop
check "the engine is gone" test ! -e "/proc/$pid"
check "the directory is gone" test ! -e "$PGREKEY_QUICKSTART_DIR"
check "stop may be said twice" "$TOP/deploy/quickstart" stop
test_end
