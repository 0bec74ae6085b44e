#!/usr/bin/env bash
# The generated estate itself: every table has its rows and every defect its count, the same seed gives the same rows,
# the count of a defect notices one more, and a working day does what it says.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/estate/estate.sh
. "$TOP/tests/support/estate/estate.sh"

# A digest of every row of the legacy tables.
digest() {
    cluster_psql "$T/source" "$1" <<'SQL'
SELECT string_agg(format('SELECT %L, md5(coalesce(string_agg(md5(t::text), '''' ORDER BY t::text), '''')) FROM %I t', relname, relname), ' UNION ALL ' ORDER BY relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \gexec
SQL
}
# counted NAME EXPECTED DATABASE
counted() { equals "$1" "$2" "$(estate_check "$T/source" "$3" | tr '\n' ' ' | sed 's/[0-9]* counts, //; s/ $//')"; }

source_start
cluster_psql "$T/source" postgres -c 'CREATE DATABASE again' -c 'CREATE DATABASE other'
estate_legacy "$T/source" legacy 0.01 1
estate_legacy "$T/source" again 0.01 1
estate_legacy "$T/source" other 0.012 2
counted "every count is as the file says" "0 wrong" legacy
counted "with another seed and scale too" "0 wrong" other
digest legacy | LC_ALL=C sort >"$T/legacy.digest"
digest again | LC_ALL=C sort >"$T/again.digest"
digest other | LC_ALL=C sort >"$T/other.digest"
check "the same seed gives the same rows ($(wc -l <"$T/legacy.digest") tables)" cmp -s "$T/legacy.digest" "$T/again.digest"
check "another one others" test "$(LC_ALL=C comm -12 "$T/legacy.digest" "$T/other.digest" | wc -l)" -lt 40
equals "no table is empty but those that were" "dispatch_purchase dispatch_record_attachments" \
    "$(grep d41d8cd98f00b204e9800998ecf8427e "$T/legacy.digest" | cut -d'|' -f1 | tr '\n' ' ' | sed 's/ $//')"

target_start
target_script <"$DISPATCH_DIR/target.sql"
estate_half "$T/source" legacy "$T/target" app
equals "what earlier runs left on the target is as the file says, and its references lead to rows" "20 counts, 0 wrong" "$(estate_half_check "$T/source" legacy "$T/target" app)"

cluster_psql "$T/source" postgres -c 'CREATE DATABASE spoiled TEMPLATE again'
cluster_psql "$T/source" spoiled -f - <<'SQL'
UPDATE dispatch_notification SET template_context = 'null' WHERE id = (SELECT max(id) FROM dispatch_notification WHERE sent AND send AND template_context LIKE '%}');
UPDATE dispatch_file SET instruction_id = 51 WHERE id = (SELECT max(id) FROM dispatch_file WHERE instruction_id IS NOT NULL AND instruction_id % 51 <> 0);
UPDATE dispatch_instruction SET upper_jaw_id = NULL WHERE id = (SELECT max(id) FROM dispatch_instruction WHERE upper_jaw_id IS NOT NULL AND lower_jaw_id <> upper_jaw_id);
UPDATE auth_user SET email = (SELECT upper(email) FROM auth_user x WHERE x.id <> auth_user.id AND x.email LIKE 'practice.1@%' LIMIT 1) WHERE id = (SELECT max(id) FROM auth_user WHERE email = '');
SQL
counted "one defect more of each kind is noticed" "bad_null is 3, not 2 email_excess is 9, not 8 email_largest is 6, not 5 empty_emails is 253, not 254 files_gone_order is 2, not 1 jaws_unreferenced is 5, not 4 6 wrong" spoiled

# Two cycles of all kinds, so that what was deleted has come back and what was early has its parent.
for each in again legacy; do
    estate_work_prepare "$T/source" "$each"
    estate_work "$T/source" "$each" 1100
done
equals "a working day does something of every kind" "" "$(estate_work_kinds "$T/source" again | awk '$1 == 0')"
equals "and half of it is notifications" "275 275" "$(estate_work_kinds "$T/source" again | awk '/ notification$/ {a = $1} / notification is sent$/ {b = $1} END {print a, b}')"
digest legacy >"$T/legacy.digest"
digest again >"$T/again.digest"
check "it is the same for the same seed" cmp -s "$T/legacy.digest" "$T/again.digest"
test_end
