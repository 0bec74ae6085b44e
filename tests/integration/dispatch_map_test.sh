#!/usr/bin/env bash
# The dispatch estate as a whole, small: init, snapshot and control views; what must never leave the source is nowhere on
# the target, and the web roles see nothing; entities are left out by setting and come back; what is off as it comes (copies
# of templates, the queue of texts) is right once it is on.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/estate/estate.sh
. "$TOP/tests/support/estate/estate.sh"
DISPATCH=$TOP/deploy/dispatch
CANARY=canary-$RANDOM$RANDOM

source_start
target_start
estate_legacy "$T/source" legacy "${PGREKEY_SCALE:-0.003}" "$PGREKEY_SEED" >/dev/null
source_script -q <<SQL
UPDATE auth_user SET password = '$CANARY';
UPDATE dispatch_operation SET card_bin = 'zqxjkvbw';
INSERT INTO dispatch_globalsetting (setting, value) VALUES ('provider', '$CANARY');
INSERT INTO account_emailaddress (user_id, email) SELECT id, '$CANARY' FROM auth_user LIMIT 3;
INSERT INTO otp_totp_totpdevice (user_id, key) SELECT id, '$CANARY' FROM auth_user LIMIT 3;
INSERT INTO django_session VALUES ('$CANARY', '$CANARY', now());
SQL
target_script -q <<'SQL'
DO $$ BEGIN CREATE ROLE anon; CREATE ROLE authenticated; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
SQL
for step in target upgrade-1 upgrade-2 upgrade-3; do
    target_script -q <"$DISPATCH/$step.sql" >>"$T/upgrade.log" 2>&1
done
settings_write
sed -i "s|^mapping: .*|mapping: $DISPATCH/dispatch.yaml|" "$T/pgrekey.yaml"
pgrekey init >"$T/init.log" 2>&1
target_script -q <"$DISPATCH/control.sql" >"$T/control.log" 2>&1
engine_start --set skip=tasks,offer,discount,doctor_office
caught_up 200

# pairs: each row rule accounts for all rows of its table.
pairs() {
    local rule table wrong=
    while IFS='|' read -r rule table n; do
        [ "$(source_sql "SELECT count(*) FROM $table")" = "$n" ] || wrong="$wrong $rule"
    done < <(target_sql "SELECT c.rule, c.source_table, c.mapped + c.quarantined + c.excluded FROM pgrekey.counter c
        JOIN pgrekey.mapping_step s USING (pipeline) WHERE s.step = c.rule AND s.kind <> 'derivation'")
    equals "$1" "" "$wrong"
}
pairs "every row of every pair is accounted for"
same_count() { # NAME SOURCE-FROM TARGET-FROM
    equals "$1" "$(source_sql "SELECT count(*) FROM $2")" "$(target_sql "SELECT count(*) FROM $3")"
}
same_count "offices" dispatch_office offices
same_count "profiles" auth_user profiles
same_count "projects are two rows" dispatch_project "projects p JOIN cases c ON c.id = p.case_id AND c.legacy_project_id = p.legacy_project_id"
same_count "files" dispatch_file files
same_count "messages" dispatch_record messages
same_count "comments" dispatch_comment comments
same_count "templates" dispatch_template templates
same_count "groups that see templates" dispatch_template_view_groups template_view_groups
same_count "permissions of roles" dispatch_role_permissions role_permissions
same_count "roles of technicians" "dispatch_role WHERE group_id = 11" technician_roles
equals "sent notifications, less what is no JSON" "$(source_sql "SELECT count(*) FROM dispatch_notification WHERE sent AND send")" \
    "$(target_sql "SELECT mapped + quarantined FROM pgrekey.counter WHERE rule = 'system messages'")"
check "some of which stand aside" test "$(target_sql "SELECT count(*) FROM dispatch_control.unmigrated_records WHERE classification = 'malformed_json'")" -gt 0

equals "what is skipped is excluded" "0|$(source_sql "SELECT count(*) FROM dispatch_task")" \
    "$(target_sql "SELECT mapped, excluded FROM pgrekey.counter WHERE rule = 'tasks'")"
equals "an entity that is derived too" "0|0" "$(target_sql "SELECT (SELECT count(*) FROM doctor_offices), mapped FROM pgrekey.counter WHERE rule = 'doctors of offices'")"
engine_stop
engine_start
caught_up 200
resynced() { [ "$(target_sql "SELECT mapped FROM pgrekey.counter WHERE rule = 'tasks'")" = "$(source_sql "SELECT count(*) FROM dispatch_task")" ]; }
wait_for 200 "the tasks" resynced
ok "and comes when it is no longer skipped"
for table in task:tasks offer:offers discount:discounts; do
    same_count "all of ${table#*:}" "dispatch_${table%:*}" "${table#*:}"
done
joined 200
same_count "all members of practices" dispatch_office_doctors doctor_offices

# What is off as it comes.
engine_stop
cp -r "$DISPATCH" "$T/dispatch"
sed -i '/^    skip: true$/d' "$T"/dispatch/mapping/{workflow,embeddings}.yaml
sed -i "s|^mapping: .*|mapping: dispatch/dispatch.yaml|" "$T/pgrekey.yaml"
target_script -q <"$DISPATCH/embeddings.sql"
engine_start
joined 200
same_rows "each valid practice has its copy of each template" "SELECT t.id, o.id FROM dispatch_template t, dispatch_office o WHERE o.valid" \
    "SELECT t.legacy_template_id, o.legacy_office_id FROM templates c JOIN templates t ON t.id = c.copied_from JOIN offices o ON o.id = c.practice_id"
target_sql "UPDATE templates SET task_name = 'ours' WHERE id = (SELECT id FROM templates WHERE copied_from IS NOT NULL ORDER BY id LIMIT 1)"
source_sql "UPDATE dispatch_template SET task_name = 'theirs', action_name = 'theirs', duration = 77"
caught_up 200
equals "which may change it, and keeps its names while the rest follows" "1|0" "$(target_sql "SELECT count(*) FILTER (WHERE task_name = 'ours'), count(*) FILTER (WHERE task_name = 'theirs') FROM templates WHERE copied_from IS NOT NULL")"
equals "texts wait for an embedding, each once a practice, under the hash of their bytes" "t|0|0" "$(target_sql "SELECT count(*) > 100,
    count(*) FILTER (WHERE sha256_hash <> encode(sha256(convert_to(content_text, 'UTF8')), 'hex') OR embedding IS NOT NULL),
    count(*) - count(DISTINCT (practice_id, content_type, content_text)) FROM ai_embeddings")"
equals "and all messages of a practice's cases are among them" "$(target_sql "SELECT count(DISTINCT (c.practice_id, m.content)) FROM messages m JOIN cases c ON c.id = m.case_id WHERE m.content <> '' AND c.practice_id IS NOT NULL")" \
    "$(target_sql "SELECT count(*) FROM ai_embeddings WHERE content_type = 'message'")"
check "every skip flag of the documents has its entities" pgrekey map check -q --set \
    "skip=office,patient,case_patient,case_project,case_state,project,doctor_office,order,case_message_record"

for view in migration_mappings migration_runs migration_checkpoints migration_errors unmigrated_records audit_log data_differentials \
    synchronization_jobs migration_validation_reports migration_status; do
    check "control view $view" target_sql "SELECT FROM dispatch_control.$view LIMIT 1"
done
equals "the map has every id that is computed" "" \
    "$(target_sql "SELECT DISTINCT entity_type FROM dispatch_control.migration_mappings WHERE entity_type NOT IN ('doctor_office') AND new_id <> pgrekey.id(entity_type, legacy_id)")"
equals "practices, members and workflow templates by their other names" "t|t|t" \
    "$(target_sql "SELECT (SELECT count(*) FROM practices) = (SELECT count(*) FROM offices), (SELECT count(*) FROM practice_members) = (SELECT count(*) FROM doctor_offices), (SELECT count(*) FROM workflow_templates) = (SELECT count(*) FROM templates)")"

equals "the web roles see none of the engine's schemas" "" \
    "$(target_sql "SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n WHERE r.rolname IN ('anon', 'authenticated') AND n.nspname IN ('pgrekey', 'pgrekey_mirror', 'dispatch_control') AND has_schema_privilege(r.oid, n.oid, 'USAGE')")"
equals "nor of their tables" "" \
    "$(target_sql "SELECT r.rolname, c.oid::regclass FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rolname IN ('anon', 'authenticated') AND n.nspname IN ('pgrekey', 'pgrekey_mirror', 'dispatch_control') AND c.relkind IN ('r', 'v') AND has_table_privilege(r.oid, c.oid, 'SELECT')")"

engine_stop
"$CLUSTER_BIN/pg_dump" -d "$(cluster_conninfo "$T/target" app)" --data-only >"$T/dump" 2>"$T/dump.out"
equals "what must never leave the source is nowhere on the target" 0 "$(grep -cE "$CANARY|zqxjkvbw" "$T/dump" || true)"
equals "nor in the engine's log" 0 "$(cat "$T"/*.log | grep -cE "$CANARY|zqxjkvbw" || true)"
check "though the target has the rest" test "$(grep -c "" "$T/dump")" -gt 10000
test_end
