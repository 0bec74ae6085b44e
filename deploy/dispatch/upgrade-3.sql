-- Third step: after the snapshot. What must be there, what may stand there, and an index for every foreign key. Where
-- rows that the source no longer has stand against a promise, it holds for new rows from now on (NOT VALID), and a
-- notice says so; mend the rows and run this again. May be run again at any time, also while the engine runs.
\set ON_ERROR_STOP on

-- Columns that are never empty.
DO $$
DECLARE
    need record;
    empty boolean;
    promise text;
BEGIN
    FOR need IN
        SELECT tab, col FROM (VALUES
            ('offices', 'email_notifications metadata'),
            ('profiles', 'gender is_active is_verified archived suspended created_at updated_at metadata'),
            ('doctors', 'profile_id legacy_user_id metadata'),
            ('patients', 'profile_id legacy_patient_id legacy_user_id first_name last_name sex status archived
                suspended phone address city state zip_code insurance_provider insurance_id emergency_contact_name
                emergency_contact_phone medical_history allergies medications insurance_info
                requires_manual_review created_at updated_at metadata'),
            ('technicians', 'profile_id legacy_user_id metadata'),
            ('roles', 'legacy_id is_active metadata'),
            ('technician_roles', 'legacy_role_id is_active metadata'),
            ('role_permissions', 'legacy_junction_id is_active metadata'),
            ('doctor_offices', 'role is_primary is_active metadata'),
            ('products', 'metadata'),
            ('cases', 'origin case_type priority current_state deleted requires_manual_review created_at
                updated_at metadata'),
            ('orders', 'legacy_instruction_id notes complaint deleted created_at updated_at metadata'),
            ('order_cases', 'is_active metadata'),
            ('jaws', 'legacy_jaw_id labial bond_teeth extract_teeth metadata'),
            ('projects', 'legacy_project_id legacy_uid file_size is_public created_at updated_at metadata'),
            ('treatment_plans', 'legacy_plan_id is_original treatment_type revision_count metadata'),
            ('order_states', 'metadata'),
            ('case_states', 'legacy_state_id to_state automated created_at metadata'),
            ('files', 'legacy_file_id file_uid size_bytes metadata'),
            ('case_files', 'metadata'),
            ('messages', 'legacy_record_id is_read updated_at metadata'),
            ('case_messages', 'legacy_table legacy_id priority is_urgent requires_response is_confidential
                metadata'),
            ('comments', 'legacy_table legacy_id metadata'),
            ('treatment_discussions', 'legacy_comment_id is_visible_to_patient created_at metadata'),
            ('message_attachments', 'metadata'),
            ('system_messages', 'legacy_notification_id message_code message_data source_system is_read processed
                is_active updated_at'),
            ('payments', 'legacy_payment_id tax_amount paid_amount currency is_paid is_cancelled is_refunded
                created_at updated_at metadata'),
            ('operations', 'legacy_operation_id operation_data metadata'),
            ('purchases', 'legacy_purchase_id source_table quantity metadata'),
            ('templates', 'steps is_active metadata'),
            ('template_view_groups', 'legacy_junction_id legacy_template_id legacy_group_id is_active'),
            ('template_view_roles', 'legacy_junction_id role_id legacy_template_id legacy_role_id is_active')
        ) AS v (tab, cols) CROSS JOIN regexp_split_to_table(cols, '\s+') AS col
        JOIN pg_attribute a ON a.attrelid = tab::regclass AND a.attname = col AND NOT a.attnotnull
    LOOP
        promise := need.tab || '_' || need.col || '_not_null';
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I IS NULL)', need.tab, need.col) INTO empty;
        IF NOT empty THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET NOT NULL', need.tab, need.col);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT IF EXISTS %I', need.tab, promise);
        ELSIF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = need.tab::regclass AND conname = promise) THEN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I IS NOT NULL) NOT VALID', need.tab, promise, need.col);
            RAISE NOTICE 'rows of % without % are left over; the promise holds for new rows', need.tab, need.col;
        END IF;
    END LOOP;
END $$;

-- What may stand there, and what is unique beyond the legacy keys.
DO $$
DECLARE
    need record;
BEGIN
    FOR need IN
        SELECT * FROM (VALUES
            ('offices', 'offices_tax_rate_range', 'tax_rate >= 0 AND tax_rate < 1'),
            ('doctors', 'doctors_status_known', $c$status IN ('active', 'inactive')$c$),
            ('cases', 'cases_priority_known', $c$priority IN ('low', 'medium', 'high', 'urgent')$c$),
            ('cases', 'cases_patient_needed', $c$origin = 'project' OR patient_id IS NOT NULL$c$),
            ('cases', 'cases_one_legacy_key', $c$(origin = 'patient' AND legacy_patient_id IS NOT NULL AND legacy_project_id IS NULL)
                OR (origin = 'project' AND legacy_project_id IS NOT NULL AND legacy_patient_id IS NULL)$c$),
            ('messages', 'messages_recipient_type_known', $c$recipient_type IN ('patient', 'user', 'system')$c$),
            ('case_messages', 'case_messages_legacy_table_known', $c$legacy_table IN ('dispatch_comment', 'dispatch_record')$c$),
            ('case_messages', 'case_messages_message_type_known',
                $c$message_type IN ('patient_question', 'clinical_note', 'doctor_response', 'treatment_update')$c$),
            ('operations', 'operations_operation_type_known', $c$operation_type IN ('payment', 'refund')$c$),
            ('purchases', 'purchases_source_table_known', $c$source_table IN ('dispatch_payment', 'dispatch_purchase')$c$),
            ('templates', 'templates_origin_known', $c$legacy_template_id IS NOT NULL OR copied_from IS NOT NULL$c$)
        ) AS v (tab, name, condition)
        WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = tab::regclass AND conname = name AND convalidated)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = need.tab::regclass AND conname = need.name) THEN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%s) NOT VALID', need.tab, need.name, need.condition);
        END IF;
        BEGIN
            EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', need.tab, need.name);
        EXCEPTION WHEN check_violation THEN
            RAISE NOTICE 'rows of % stand against %; it holds for new rows', need.tab, need.name;
        END;
    END LOOP;
    FOR need IN
        SELECT * FROM (VALUES
            ('profiles', 'email'), ('orders', 'order_number'), ('payments', 'payment_number'), ('projects', 'legacy_uid'),
            ('role_permissions', 'role_id, legacy_permission_id'), ('template_view_groups', 'template_id, legacy_group_id'),
            ('template_view_roles', 'template_id, role_id')
        ) AS v (tab, cols)
    LOOP
        BEGIN
            EXECUTE format('CREATE UNIQUE INDEX IF NOT EXISTS %I ON %I (%s)',
                need.tab || '_' || replace(need.cols, ', ', '_') || '_key', need.tab, need.cols);
        EXCEPTION WHEN unique_violation THEN
            RAISE NOTICE '% of % is not unique among rows that are left over; no index was made', need.cols, need.tab;
        END;
    END LOOP;
END $$;

-- An index for every foreign key: without one a single delete reads the whole table that refers to it.
DO $$
DECLARE
    fk record;
BEGIN
    FOR fk IN
        SELECT c.conrelid::regclass AS tab, a.attname AS col FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND cardinality(c.conkey) = 1
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = a.attnum AND i.indpred IS NULL)
    LOOP
        EXECUTE format('CREATE INDEX ON %s (%I)', fk.tab, fk.col);
    END LOOP;
END $$;

-- What derivations look for.
CREATE INDEX IF NOT EXISTS messages_legacy_target_id_idx ON messages (legacy_target_id, legacy_target_type_id);
CREATE INDEX IF NOT EXISTS files_legacy_instruction_id_idx ON files (((metadata ->> 'instruction_id')::int));
