#!/usr/bin/env bash
# Every built-in type, and every way to make new ones, has the same text in the stream, in COPY and in a read by key.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
# the source's own settings must not show through
source_sql "ALTER DATABASE legacy SET DateStyle = 'German'; ALTER DATABASE legacy SET TimeZone = 'Asia/Kathmandu';
            ALTER DATABASE legacy SET IntervalStyle = 'iso_8601'; ALTER DATABASE legacy SET bytea_output = 'escape';
            ALTER DATABASE legacy SET extra_float_digits = -5"

check "stream, COPY and reads by key agree" "$PGREKEY_BUILD/tests/types_roundtrip" \
    "$(cluster_conninfo "$T/source" legacy)" types_roundtrip "$TOP/tests/integration/types.sql"
equals "the slot is dropped again" 0 "$(source_sql 'SELECT count(*) FROM pg_replication_slots')"
test_end
