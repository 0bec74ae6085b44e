# shellcheck shell=bash
# What the target of the dispatch estate is held to, at any scale. Sourced behind a lib that has ok, not_ok, equals and check
# (tests/support/lib.sh, tests/bench/estate.sh), estate.sh and judge.sh. A place is a cluster's directory and a database.
#
#   proof_accounts SOURCE DB TARGET DB OUT      each pair: source = mapped + quarantined + excluded, by the legacy rows and by
#                                               the engine's own account; the table is printed
#   proof_shape SOURCE DB TARGET DB OUT         what must hold within the target and of its sums
#   proof_rows TARGET DB OUT                    every row of every table, hashed, without what the mapping excepts
#   proof_same TARGET DB TARGET DB OUT          streamed against fresh, row by row; where the target was half filled, PROOF_WENT
#                                               lists the rows ("table id") whose source row went since the first snapshot

PROOF_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROOF_MAPPING=$PROOF_DIR/../../../deploy/dispatch/mapping

proof_accounts() {
    local bad
    {
        echo "SET timezone = 'UTC'; SET client_min_messages = warning;"
        cat "$PROOF_DIR"/expected/{people,orders,cases,money}.sql "$PROOF_DIR/pairs.sql"
    } | cluster_psql "$1" "$2" -q -f - >"$5.pairs"
    cluster_psql "$3" "$4" -c "SELECT 'counter|' || concat_ws('|', rule, mapped, quarantined, excluded, source_table <> '') FROM pgrekey.counter WHERE target_table NOT LIKE 'pgrekey\_mirror.%'" \
        -c "SELECT 'aside|' || rule || '|' || count(*) FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND op <> 'D' GROUP BY rule" >"$5.counters"
    awk -F'|' '
        $1 == "counter" { mapped[$2] = $3; quarantined[$2] = $4; excluded[$2] = $5; of_rows[$2] = $6; next }
        $1 == "aside" { aside[$2] = $3; next }
        {
            if (!head++)
                printf "%-30s %-28s %-27s %9s = %9s + %6s + %9s\n", "legacy table", "target table", "rule", "rows", "mapped", "aside", "excluded"
            printf "%-30s %-28s %-27s %9d = %9d + %6d + %9d", $3, $4, $2, $5, $6, $7, $8
            wrong = ""
            if (!($2 in mapped)) wrong = "no account"
            else if (mapped[$2] != $6 || quarantined[$2] != $7 || (of_rows[$2] == "t" && excluded[$2] != $8))
                wrong = "the account says " mapped[$2] " + " quarantined[$2] " + " excluded[$2]
            else if (aside[$2] + 0 != $7) wrong = aside[$2] + 0 " stand aside"
            if ($5 != $6 + $7 + $8) wrong = wrong " does not add up"
            print (wrong == "" ? "" : "   WRONG: " wrong)
            seen[$2] = 1
        }
        END { for (rule in mapped) if (!(rule in seen) && mapped[rule] + quarantined[rule] > 0) print "WRONG: " rule " has an account, but is no pair" }
    ' "$5.counters" "$5.pairs" >"$5.accounts"
    sed 's/^/    /' "$5.accounts"
    bad=$(grep -c WRONG "$5.accounts" || true)
    equals "every row of every pair is accounted for ($(wc -l <"$5.pairs") pairs)" 0 "$bad"
}

# The money of both sides, to the cent, of rows that are mapped; of each table to its own source.
proof_money() {
    cluster_psql "$1" "$2" -c "SELECT 'payments', sum(total_price), sum(tax_value), sum(paid_price) FROM dispatch_payment
        UNION ALL SELECT 'operations', sum(price), count(*), sum(price) FILTER (WHERE type = 2) FROM dispatch_operation
        UNION ALL SELECT 'purchases', sum(total_price), count(*), sum(CASE WHEN subtotal_price <> 0 THEN subtotal_price ELSE total_price END) FROM dispatch_payment WHERE paid AND NOT canceled AND total_price > 0
        UNION ALL SELECT 'items', sum(total_price), count(*), sum(base_price) FROM dispatch_ware
        UNION ALL SELECT 'orders', sum(price), count(price), 0 FROM dispatch_instruction WHERE patient_id IN (SELECT id FROM dispatch_patient)" >"$5.source"
    cluster_psql "$3" "$4" -c "SELECT 'payments', sum(total_amount), sum(tax_amount), sum(paid_amount) FROM payments
        UNION ALL SELECT 'operations', sum(amount), count(*), sum(amount) FILTER (WHERE operation_type = 'refund') FROM operations
        UNION ALL SELECT 'purchases', sum(total_amount), count(*), sum(unit_price) FROM purchases WHERE source_table = 'dispatch_payment'
        UNION ALL SELECT 'items', sum(total_price), count(*), sum(base_price) FROM payment_items
        UNION ALL SELECT 'orders', sum(amount), count(amount), 0 FROM orders WHERE metadata ->> 'source_deleted_at' IS NULL" >"$5.target"
    equals "money is equal to the cent" "$(cat "$5.source")" "$(cat "$5.target")"
}

proof_shape() {
    proof_money "$1" "$2" "$3" "$4" "$5.money"
    # D23: with its text
    cluster_psql "$1" "$2" -c "$(proof_malformed_sql)" | LC_ALL=C sort >"$5.malformed.source"
    cluster_psql "$3" "$4" -c "SELECT key::jsonb ->> 0, md5(change::jsonb ->> 'template_context') FROM pgrekey.quarantine WHERE rule = 'system messages' AND category = 'json_parse' AND status NOT IN ('resolved', 'discarded')" |
        LC_ALL=C sort >"$5.malformed.target"
    check "malformed contexts stand aside with their text ($(wc -l <"$5.malformed.source"))" cmp "$5.malformed.source" "$5.malformed.target"
    equals "nothing stands aside but orphans, what is malformed and what is ambiguous" "" "$(cluster_psql "$3" "$4" -c "SELECT DISTINCT rule, category, sqlstate FROM pgrekey.quarantine
        WHERE status NOT IN ('resolved', 'discarded') AND category NOT IN ('orphan_reference', 'ambiguous_value') AND (rule, category) NOT IN (('system messages', 'json_parse'), ('comments', 'constraint_violation'))")"
    equals "no legacy id has two rows" "" "$(proof_doubles "$3" "$4")"
    equals "profiles and their rows are one to one, but for who is two" "" "$(cluster_psql "$3" "$4" -c "
        SELECT 'profile without row', p.legacy_user_id, p.profile_type FROM profiles p WHERE p.legacy_user_id IN (SELECT legacy_user_id FROM practice_profile_associations) AND
            CASE p.profile_type WHEN 'doctor' THEN NOT EXISTS (SELECT FROM doctors WHERE profile_id = p.id) WHEN 'technician' THEN NOT EXISTS (SELECT FROM technicians WHERE profile_id = p.id)
                WHEN 'patient' THEN NOT EXISTS (SELECT FROM patients WHERE profile_id = p.id) AND p.legacy_patient_id IS NOT NULL END
        UNION ALL
        SELECT 'row without profile', x.legacy_user_id, NULL FROM (SELECT legacy_user_id, profile_id FROM doctors UNION ALL SELECT legacy_user_id, profile_id FROM technicians UNION ALL SELECT legacy_user_id, profile_id FROM patients) x
            LEFT JOIN profiles p ON p.id = x.profile_id WHERE p.legacy_user_id IS DISTINCT FROM x.legacy_user_id AND x.legacy_user_id IN (SELECT legacy_user_id FROM practice_profile_associations) LIMIT 5")"
    proof_validation "$@"
}

proof_malformed_sql() {
    cat <<'SQL'
CREATE FUNCTION pg_temp.takes(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN jsonb_typeof($1::jsonb) = 'object'; EXCEPTION WHEN data_exception THEN RETURN false; END $$;
SELECT id, md5(template_context) FROM dispatch_notification WHERE sent AND send
    AND NOT (template_context ~ '^\{"name": "[^"\\]*", "order": [0-9]+[,}]' AND template_context ~ '\}$' AND template_context !~ '\\|\[Circular' OR pg_temp.takes(template_context))
SQL
}

proof_doubles() {
    cluster_psql "$1" "$2" <<'SQL'
SELECT format('SELECT %L, count(*) FROM (SELECT FROM %I WHERE %s GROUP BY %s HAVING count(*) > 1) x HAVING count(*) > 0', tab, tab, cols[1] || ' IS NOT NULL', array_to_string(cols, ', '))
FROM (VALUES ('offices', '{legacy_office_id}'::text[]), ('profiles', '{legacy_user_id}'), ('doctors', '{legacy_user_id}'), ('patients', '{legacy_patient_id}'), ('technicians', '{legacy_user_id}'),
    ('roles', '{legacy_id}'), ('technician_roles', '{legacy_role_id}'), ('role_permissions', '{legacy_junction_id}'), ('doctor_offices', '{legacy_office_doctor_id}'), ('cases', '{legacy_patient_id}'),
    ('cases', '{legacy_project_id}'), ('orders', '{legacy_instruction_id}'), ('jaws', '{legacy_jaw_id}'), ('projects', '{legacy_project_id}'), ('treatment_plans', '{legacy_plan_id}'),
    ('order_states', '{legacy_state_id}'), ('case_states', '{legacy_state_id}'), ('files', '{legacy_file_id}'), ('messages', '{legacy_record_id}'), ('case_messages', '{legacy_table,legacy_id}'),
    ('comments', '{legacy_table,legacy_id}'), ('treatment_discussions', '{legacy_comment_id}'), ('system_messages', '{legacy_notification_id}'), ('payments', '{legacy_payment_id}'),
    ('operations', '{legacy_operation_id}'), ('purchases', '{source_table,legacy_purchase_id}'), ('tasks', '{legacy_task_id}')) v (tab, cols) \gexec
SQL
}

# The queries of the user's own validation (levels one to three), as they stand, and what they must return: by the legacy side.
proof_validation() {
    cluster_psql "$3" "$4" >"$5.validation.target" <<'SQL'
SELECT COUNT(*) as total_profiles FROM profiles;
SELECT COUNT(DISTINCT email) as unique_emails FROM profiles;
SELECT COUNT(*) as profiles_with_practices FROM profiles WHERE practice_id IS NOT NULL;
SELECT COUNT(*) as total_patients FROM patients;
SELECT COUNT(*) as patients_with_practices FROM patients WHERE practice_id IS NOT NULL;
SELECT COUNT(*) as patients_with_providers FROM patients WHERE assigned_profile_id IS NOT NULL;
SELECT COUNT(*) as valid_patient_practice_links
FROM patients p
JOIN practices pr ON p.practice_id = pr.id;
SELECT COUNT(*) as valid_patient_provider_links
FROM patients p
JOIN profiles pf ON p.assigned_profile_id = pf.id;
SQL
    {
        echo "SET timezone = 'UTC'; SET client_min_messages = warning;"
        cat "$PROOF_DIR/expected/people.sql"
        cat <<'SQL'
SELECT count(*) FROM who;
SELECT count(DISTINCT address) FROM who;
SELECT count(*) FROM who;
SELECT count(*) FROM good_patient;
SELECT count(*) FROM good_patient;
SELECT count(*) FROM good_patient JOIN auth_user u ON u.id = doctor_id;
SELECT count(*) FROM good_patient;
SELECT count(*) FROM good_patient JOIN auth_user u ON u.id = doctor_id;
SQL
    } | cluster_psql "$1" "$2" -q -f - >"$5.validation.source"
    # Rows of earlier runs that the source no longer has are counted by these queries too; PROOF_LEFT_OVER lists how many, one a query.
    paste -d' ' "$5.validation.source" <(printf '%s\n' "${PROOF_LEFT_OVER:-0 0 0 0 0 0 0 0}" | tr ' ' '\n') | awk '{ print $1 + $2 }' >"$5.validation.wanted"
    equals "the validation queries run as they stand and return what they must" "$(paste -sd' ' "$5.validation.wanted")" "$(paste -sd' ' "$5.validation.target")"
}

# --- streamed against fresh

# Columns that the mapping excepts, by table: written once, or times that no rule of the table writes: "TABLE COLUMN WHY".
proof_excepted() {
    {
        awk -f "$PROOF_DIR/mapping-columns.awk" "$PROOF_MAPPING"/*.yaml
        cluster_psql "$1" "$2" -F ' ' -c "SELECT 'time', table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND column_default ~ '^(now\(\)|CURRENT_TIMESTAMP)'"
    } | awk '
        $1 == "once" { once[$2 " " $3] = once[$2 " " $3] " " $4 }
        $1 == "rule" { maker[$2 " " $4] = 1 }
        $1 == "owner" { delete maker[$2 " " $4] }
        $1 == "skipped" { skipped[$4] = 1 }
        $1 == "written" || $1 == "once" { has[$2 " " $3 " " $4] = 1 }
        $1 == "time" {
            free = 0
            for (each in maker) {
                split(each, of, " ")
                if (of[1] == $2 && !(of[2] in skipped) && !(($2 " " $3 " " of[2]) in has)) free = 1
            }
            if (free) print $2, $3, "time"
        }
        END {
            for (each in once) {
                n = split(once[each], of, " ")
                for (i = 1; i <= n; i++)
                    if (!(of[i] in skipped)) print each, "once"
            }
        }' | sort -u
}

# proof_rows DIR DB OUT: "table id hash" of every row, "stamped table id" of those that the stream has closed.
proof_rows() {
    proof_excepted "$1" "$2" >"$3.excepted"
    {
        echo "SET timezone = 'UTC';"
        echo "CREATE TEMP TABLE excepted (tab text, col text, why text);"
        awk '{ printf "INSERT INTO excepted VALUES (\047%s\047, \047%s\047, \047%s\047);\n", $1, $2, $3 }' "$3.excepted"
        cat <<'SQL'
SELECT format('SELECT %L, id, md5((to_jsonb(t) - %L::text[])::text), coalesce(to_jsonb(t) #>> ''{metadata,source_deleted_at}'', '''') FROM %I t', c.relname,
    coalesce((SELECT array_agg(col) FROM excepted WHERE tab = c.relname), '{}'), c.relname)
FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1 \gexec
SQL
    } | cluster_psql "$1" "$2" -F ' ' -f - | LC_ALL=C sort >"$3.rows"
}

# Which keys stand aside for what: a row of theirs is the last good version, which a fresh snapshot cannot know.
# A row that left its place on the target with its parent is known by its id there.
proof_aside() {
    cluster_psql "$1" "$2" -c "SELECT rule, CASE WHEN rule = 'files of orders' THEN coalesce(key::jsonb #>> '{target,0}', pgrekey.id('order_file', key::jsonb ->> 0)::text) ELSE key END, category
        FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND op <> 'D'" | LC_ALL=C sort
}

proof_same() {
    local stamped aside went=${PROOF_WENT:-/dev/null}
    proof_rows "$1" "$2" "$5.streamed"
    proof_rows "$3" "$4" "$5.fresh"
    proof_aside "$1" "$2" >"$5.streamed.aside"
    proof_aside "$3" "$4" >"$5.fresh.aside"
    # A row that the stream has closed is not there in a fresh snapshot, and its own place is not compared.
    LC_ALL=C comm -23 "$5.streamed.rows" "$5.fresh.rows" >"$5.only.streamed"
    LC_ALL=C comm -13 "$5.streamed.rows" "$5.fresh.rows" >"$5.only.fresh"
    awk 'NF >= 4' "$5.only.streamed" >"$5.stamped"
    stamped=$(wc -l <"$5.stamped")
    awk '{ print $1, $2 }' "$5.fresh.rows" >"$5.fresh.ids"
    equals "what the stream has closed is not there afresh ($stamped rows)" "" \
        "$(awk 'FILENAME == ARGV[1] { went[$1 " " $2] = 1; next } FILENAME == ARGV[2] { there[$1 " " $2] = 1; next } ($1 " " $2) in there && !(($1 " " $2) in went) { print $1, $2 }' \
            "$went" "$5.fresh.ids" "$5.stamped" | head -n 5)"
    proof_went "$went" "$5"
    # The last good version of what stands aside: system messages alone keep one.
    cluster_psql "$1" "$2" -F ' ' -c "SELECT 'system_messages', m.id FROM pgrekey.quarantine q JOIN system_messages m ON m.legacy_notification_id = (q.key::jsonb ->> 0)::int
        WHERE q.rule = 'system messages' AND q.status NOT IN ('resolved', 'discarded')" >"$5.kept"
    aside=$(wc -l <"$5.kept")
    awk 'FILENAME == ARGV[1] || FILENAME == ARGV[2] || FILENAME == ARGV[3] { leave[$1 " " $2] = 1; next } !(($1 " " $2) in leave)' "$5.stamped" "$5.kept" "$went" "$5.only.streamed" >"$5.differ.streamed"
    awk 'FILENAME == ARGV[1] || FILENAME == ARGV[2] { leave[$1 " " $2] = 1; next } !(($1 " " $2) in leave)' "$went" "$5.kept" "$5.only.fresh" >"$5.differ.fresh"
    proof_leaning "$1" "$2" "$3" "$4" "$went" "$5"
    # Who stands aside for want of such a parent leans on it afresh: those are as many as rows that are there afresh alone.
    LC_ALL=C comm -23 "$5.streamed.aside" "$5.fresh.aside" >"$5.aside.streamed"
    equals "the same keys stand aside for the same reasons ($(wc -l <"$5.fresh.aside"))" "$(grep -c '^absent' "$5.leaning" || true) 0" \
        "$(grep -c 'orphan_reference$' "$5.aside.streamed" || true) $(($(grep -vc 'orphan_reference$' "$5.aside.streamed" || true) + $(LC_ALL=C comm -13 "$5.streamed.aside" "$5.fresh.aside" | wc -l)))"
    diff "$5.streamed.aside" "$5.fresh.aside" | head -n 10 | sed 's/^/    /' || true
    equals "all others are the same to the column ($(wc -l <"$5.fresh.rows") rows; of $aside the last good version stands)" "" \
        "$(awk '{ print FILENAME ~ /streamed$/ ? "streamed" : "fresh", $1 }' "$5.differ.streamed" "$5.differ.fresh" | sort | uniq -c | sort -rn | head -n 20)"
    proof_show_different "$@"
}

# proof_went WENT OUT: rows that stood on a half-filled target, whose source row went since the first snapshot: gone or closed
# where the stream brought that, and left over where a fresh snapshot never saw it, as they stood before (OUT.before.rows).
proof_went() {
    [ -s "$1" ] || return 0
    awk '{ print $1, $2, (NF >= 4 ? "closed" : "open") }' "$2.streamed.rows" >"$2.streamed.ids"
    equals "what the source has deleted since is gone or closed by the stream ($(wc -l <"$1") rows, $(awk 'NR == FNR { went[$1 " " $2] = 1; next } $3 == "closed" && ($1 " " $2) in went' "$1" "$2.streamed.ids" | wc -l) closed)" "" \
        "$(awk 'NR == FNR { went[$1 " " $2] = 1; next } $3 == "open" && ($1 " " $2) in went { print $1, $2 }' "$1" "$2.streamed.ids" | head -n 5)"
    equals "and left over afresh as it stood before ($(awk 'NR == FNR { went[$1 " " $2] = 1; next } ($1 " " $2) in went' "$1" "$2.fresh.ids" | wc -l) rows)" "" \
        "$(awk 'FILENAME == ARGV[1] { went[$1 " " $2] = 1; next } FILENAME == ARGV[2] { was[$1 " " $2] = $3; next } ($1 " " $2) in went && was[$1 " " $2] != $3 { print $1 }' "$1" "$2.before.rows" "$2.fresh.rows" | sort | uniq -c)"
}

# Rows that lean on such a left-over row, of a row rule: afresh it counts as a parent still, for the stream it has gone. They
# leave OUT.differ.*, and OUT.leaning says of each "without" the reference or "absent" while streaming.
proof_leaning() {
    local differ
    : >"$6.leaning"
    differ=$(awk '{ print $1, $2 }' "$6.differ.streamed" "$6.differ.fresh" | sort -u)
    [ -s "$5" ] && [ -n "$differ" ] && [ "$(wc -l <<<"$differ")" -le 500 ] || return 0
    {
        echo 'CREATE TEMP TABLE went (id text); COPY went FROM STDIN;'
        awk '{ print $2 }' "$5"
        echo '\.'
        echo 'CREATE TEMP TABLE streamed (tab text, id text, j jsonb); COPY streamed FROM STDIN;'
        awk '{ printf "SELECT \047%s\047, id, to_jsonb(t) FROM %s t WHERE id = \047%s\047;\n", $1, $1, $2 }' <<<"$differ" | proof_copy "$1" "$2"
        echo '\.'
        echo 'CREATE TEMP TABLE fresh (tab text, id text, j jsonb); COPY fresh FROM STDIN;'
        awk '{ printf "SELECT \047%s\047, id, to_jsonb(t) FROM %s t WHERE id = \047%s\047;\n", $1, $1, $2 }' <<<"$differ" | proof_copy "$3" "$4"
        echo '\.'
        cat <<'SQL'
SELECT CASE WHEN s.id IS NULL THEN 'absent' ELSE 'without' END, f.tab, f.id
FROM fresh f LEFT JOIN streamed s USING (tab, id)
CROSS JOIN LATERAL (SELECT count(*) AS n, jsonb_object_agg(key, NULL) AS blank FROM jsonb_each_text(f.j) WHERE value IN (SELECT id FROM went)) r
WHERE r.n > 0 AND (s.id IS NULL OR (f.j || r.blank) - '{created_at,updated_at}'::text[] = s.j - '{created_at,updated_at}'::text[]);
SQL
    } | cluster_psql "$3" "$4" -F ' ' -f - >"$6.leaning"
    for differ in streamed fresh; do
        awk 'FILENAME == ARGV[1] { leave[$2 " " $3] = 1; next } !(($1 " " $2) in leave)' "$6.leaning" "$6.differ.$differ" >"$6.differ.rest"
        mv "$6.differ.rest" "$6.differ.$differ"
    done
    echo "    $(wc -l <"$6.leaning") rows lean on a left-over row: $(awk '{ print $1, $2 }' "$6.leaning" | sort | uniq -c | tr '\n' ',')"
}
# Rows as COPY reads them.
proof_copy() { cluster_psql "$1" "$2" -F "$(printf '\t')" -f - | sed 's/\\/\\\\/g'; }

# Some of the rows that differ, as they stand on both sides.
proof_show_different() {
    local tab id n=0
    while read -r tab id _; do
        n=$((n + 1))
        [ "$n" -le "${PROOF_SHOW:-6}" ] || break
        echo "    streamed $tab $(cluster_psql "$1" "$2" -c "SELECT to_jsonb(t) FROM $tab t WHERE id = '$id'")"
        echo "    fresh    $tab $(cluster_psql "$3" "$4" -c "SELECT to_jsonb(t) FROM $tab t WHERE id = '$id'")"
    done < <(cat "$5.differ.streamed" "$5.differ.fresh" | awk '!seen[$1]++')
}

# What was written once is as it was when the row was born. proof_born TARGET DB OUT keeps it; proof_still TARGET DB OUT SOURCE DB
# holds it up. A patient of a working day who was deleted and came back was born anew, and so was the case, and both are left
# out; the orders of such a patient waited, and came back as they were.
proof_once() {
    proof_excepted "$1" "$2" | awk '$3 == "once" { cols[$1] = cols[$1] (cols[$1] == "" ? "" : ", ") "t." $2 }
        END { for (t in cols) printf "SELECT \047%s\047, id, concat_ws(\047|\047, %s) FROM %s t;\n", t, cols[t], t }' |
        cluster_psql "$1" "$2" -F ' ' -f - | LC_ALL=C sort
}
proof_born() { proof_once "$1" "$2" >"$3.born"; }
proof_still() {
    local anew
    anew=$(cluster_psql "$4" "$5" -c "SELECT coalesce(string_agg(estate.leaving(i)::text, ','), '0') FROM generate_series(1, (SELECT max(n + in_vain) FROM estate.done WHERE name = 'referenced patient is deleted')) i")
    cluster_psql "$1" "$2" -F ' ' -c "SELECT 'patients', id FROM patients WHERE legacy_patient_id IN ($anew)
        UNION ALL SELECT 'cases', id FROM cases WHERE legacy_patient_id IN ($anew)" >"$3.anew"
    proof_once "$1" "$2" >"$3.still"
    awk '
        { id = $1 " " $2 }
        FILENAME == ARGV[1] { anew[id] = 1; next }
        { sub(/^[^ ]* [^ ]* /, "") }
        FILENAME == ARGV[2] { was[id] = $0; next }
        id in was && was[id] != $0 && !(id in anew) { print id, was[id], "=>", $0 }' "$3.anew" "$3.born" "$3.still" >"$3.changed"
    equals "what is written once stands as it was written ($(wc -l <"$3.born") rows)" "" "$(awk '{ print $1, $3, $4, $5 }' "$3.changed" | head -n 5)"
}
