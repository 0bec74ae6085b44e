# shellcheck shell=bash
# The half-filled target before and after: which rows it had, which of them the source knows. Sourced behind estate.sh.
#
#   half_had DIR DB OUT                      "table key id", the oldest of each legacy key, after upgrade-1
#   half_source DIR DB OUT                   "table key" of all that the source has
#   half_kept OUT DIR DB [STANDING]          prints each row that the source has and that is not there by its id; of a key
#                                               that has no row now only where STANDING is empty
#   half_without_extra OUT DIR DB COPY       a copy of the database without the rows that the source does not have
#   half_rows SOURCE DB TARGET DB OUT        "table key", "table key id": what the source has, what stands there of it
#   half_since THEN NOW OUT                  "table id": rows that stood there, whose source row went since

# table, its legacy key on the target, whose rows it is, the key there
HALF_KEYS='offices legacy_office_id dispatch_office id
profiles legacy_user_id auth_user id
doctors legacy_user_id auth_user id
patients legacy_patient_id dispatch_patient id
technicians legacy_user_id auth_user id
roles legacy_id dispatch_role id
technician_roles legacy_role_id dispatch_role id
role_permissions legacy_junction_id dispatch_role_permissions id
categories legacy_category_id dispatch_category id
products legacy_product_id dispatch_product id
cases legacy_patient_id dispatch_patient id
orders legacy_instruction_id dispatch_instruction id
jaws legacy_jaw_id dispatch_jaw id
projects legacy_project_id dispatch_project id
treatment_plans legacy_plan_id dispatch_plan id
order_states legacy_state_id dispatch_state id
case_states legacy_state_id dispatch_state id
files legacy_file_id dispatch_file id
messages legacy_record_id dispatch_record id
comments legacy_id dispatch_comment id
message_attachments legacy_file_id dispatch_file id
system_messages legacy_notification_id dispatch_notification id
payments legacy_payment_id dispatch_payment id
operations legacy_operation_id dispatch_operation id
purchases legacy_purchase_id dispatch_payment id'

half_had() {
    local tab key oldest own
    while read -r tab key _; do
        oldest=$(cluster_psql "$1" "$2" -c "SELECT 'created_at, ' FROM pg_attribute WHERE attrelid = '$tab'::regclass AND attname = 'created_at' AND NOT attisdropped")
        case $tab in purchases) own=" AND source_table IS DISTINCT FROM 'dispatch_purchase'" ;; *) own= ;; esac
        echo "SELECT DISTINCT ON ($key) '$tab', $key, id FROM $tab WHERE $key IS NOT NULL$own ORDER BY $key, ${oldest}id;"
    done <<<"$HALF_KEYS" | cluster_psql "$1" "$2" -F ' ' -f - | LC_ALL=C sort >"$3.had"
}
half_source() {
    local tab source id
    while read -r tab _ source id; do
        # A state whose order the source does not have is an orphan, whatever stands on the target.
        case $tab in *_states) source="dispatch_state s WHERE EXISTS (SELECT FROM dispatch_instruction i WHERE i.id = s.instruction_id)" ;; esac
        echo "SELECT '$tab', $id FROM $source;"
    done <<<"$HALF_KEYS" | cluster_psql "$1" "$2" -F ' ' -f - | LC_ALL=C sort >"$3.source"
}
half_kept() {
    LC_ALL=C join -j 1 -o 1.2,1.3,1.4 <(awk '{ print $1 "/" $2, $0 }' "$1.had" | LC_ALL=C sort -k1,1) <(awk '{ print $1 "/" $2 }' "$1.source" | LC_ALL=C sort) >"$1.known"
    half_had "$2" "$3" "$1.now"
    if [ -n "${4:-}" ]; then
        awk 'NR == FNR { now[$1 " " $2] = $3; next } ($1 " " $2) in now && now[$1 " " $2] != $3' "$1.now.had" "$1.known"
    else
        LC_ALL=C sort "$1.known" | LC_ALL=C comm -23 - "$1.now.had"
    fi
}
# half_without_extra OUT DIR DB COPY
half_without_extra() {
    local tab key
    cluster_psql "$2" postgres -c "CREATE DATABASE $4 TEMPLATE $3"
    {
        echo 'SET session_replication_role = replica; CREATE TEMP TABLE known (tab text, key bigint);'
        echo 'COPY known FROM STDIN;'
        tr ' ' '\t' <"$1.source"
        echo '\.'
        echo 'CREATE INDEX ON known (tab, key); ANALYZE known;'
        while read -r tab key _; do
            case $tab in
            cases) echo "DELETE FROM cases WHERE legacy_project_id IS NULL AND (legacy_patient_id IS NULL OR NOT EXISTS (SELECT FROM known WHERE tab = 'cases' AND key = legacy_patient_id));" ;;
            message_attachments) echo "DELETE FROM $tab WHERE legacy_attachment_id IS NULL AND NOT EXISTS (SELECT FROM known WHERE tab = '$tab' AND key = $key);" ;;
            purchases) echo "DELETE FROM $tab WHERE source_table IS DISTINCT FROM 'dispatch_purchase' AND NOT EXISTS (SELECT FROM known WHERE tab = '$tab' AND key = $key);" ;;
            *) echo "DELETE FROM $tab WHERE $key IS NULL OR NOT EXISTS (SELECT FROM known WHERE tab = '$tab' AND key = $key);" ;;
            esac
        done <<<"$HALF_KEYS"
        echo "DELETE FROM doctor_offices WHERE doctor_id NOT IN (SELECT id FROM doctors) OR office_id NOT IN (SELECT id FROM offices);"
        echo "DELETE FROM case_files WHERE file_id NOT IN (SELECT id FROM files);"
    } | cluster_psql "$2" "$4" -f -
}

# Whose row it is no more, though that row is there: excluded by the pair's rule.
half_of() {
    case $1 in
    technician_roles) echo "$2 WHERE group_id = 11" ;;
    purchases) echo "$2 WHERE paid AND NOT canceled AND total_price > 0" ;;
    message_attachments) echo "$2 WHERE record_id IS NOT NULL" ;;
    system_messages) echo "$2 WHERE sent AND send" ;;
    *) echo "$2" ;;
    esac
}
# By what a row that stood there is known to the source: a pair, where it has no key of its own.
HALF_PAIRS="case_files|legacy_file_id::text|SELECT id::text FROM dispatch_file WHERE instruction_id IS NOT NULL
case_messages|concat(legacy_table, legacy_id)|SELECT concat('dispatch_comment', id) FROM dispatch_comment UNION ALL SELECT concat('dispatch_record', id) FROM dispatch_record
doctor_offices|concat((SELECT legacy_office_id FROM offices o WHERE o.id = office_id), '/', (SELECT legacy_user_id FROM doctors d WHERE d.id = doctor_id))|SELECT concat(office_id, '/', user_id) FROM dispatch_office_doctors"
# half_rows SOURCE DB TARGET DB OUT
half_rows() {
    local tab key source id
    {
        while read -r tab key source id; do echo "SELECT '$tab', $id FROM $(half_of "$tab" "$source");"; done <<<"$HALF_KEYS"
        while IFS='|' read -r tab key source; do echo "SELECT '$tab', x FROM ($source) s (x);"; done <<<"$HALF_PAIRS"
    } | cluster_psql "$1" "$2" -F ' ' -f - | LC_ALL=C sort >"$5.has"
    {
        while read -r tab key source id; do echo "SELECT '$tab', $key, id FROM $tab WHERE $key IS NOT NULL;"; done <<<"$HALF_KEYS"
        while IFS='|' read -r tab key source; do echo "SELECT '$tab', $key, id FROM $tab WHERE $key IS NOT NULL;"; done <<<"$HALF_PAIRS"
    } | cluster_psql "$3" "$4" -F ' ' -f - | LC_ALL=C sort >"$5.stands"
}
half_since() {
    LC_ALL=C comm -23 "$1.has" "$2.has" >"$3.went"
    awk 'NR == FNR { went[$1 " " $2] = 1; next } ($1 " " $2) in went { print $1, $3 }' "$3.went" "$1.stands" | LC_ALL=C sort >"$3.gone"
}
