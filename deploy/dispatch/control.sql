-- The control tables that the estate's documents ask for by name, as views over what the engine keeps anyway: nothing is
-- booked twice. Run it behind `pgrekey init`, as whoever owns the schema pgrekey. It may be run again at any time.
-- Of generated ids nothing is stored: migration_mappings reads them where they stand, and says which are adopted.
\set ON_ERROR_STOP on

CREATE SCHEMA IF NOT EXISTS dispatch_control;
COMMENT ON SCHEMA dispatch_control IS 'views over the schema pgrekey; they show data of the source';

-- Every row that has a legacy key, and its id.
CREATE OR REPLACE VIEW dispatch_control.migration_mappings AS
    SELECT m.entity_type, m.legacy_id, m.new_id, CASE WHEN a.id IS NULL THEN 'generated' ELSE 'adopted' END AS origin,
        m.source_deleted_at::timestamptz AS source_deleted_at
    FROM (
        SELECT 'office', legacy_office_id, id, NULL::text FROM offices WHERE legacy_office_id IS NOT NULL
        UNION ALL SELECT 'profile', legacy_user_id, id, NULL FROM profiles WHERE legacy_user_id IS NOT NULL
        UNION ALL SELECT 'doctor', legacy_user_id, id, NULL FROM doctors WHERE legacy_user_id IS NOT NULL
        UNION ALL SELECT 'patient', legacy_patient_id, id, NULL FROM patients WHERE legacy_patient_id IS NOT NULL
        UNION ALL SELECT 'technician', legacy_user_id, id, metadata ->> 'source_deleted_at' FROM technicians WHERE legacy_user_id IS NOT NULL
        UNION ALL SELECT 'role', legacy_id, id, NULL FROM roles WHERE legacy_id IS NOT NULL
        UNION ALL SELECT 'technician_role', legacy_role_id, id, NULL FROM technician_roles WHERE legacy_role_id IS NOT NULL
        UNION ALL SELECT 'role_permission', legacy_junction_id, id, NULL FROM role_permissions WHERE legacy_junction_id IS NOT NULL
        UNION ALL SELECT 'category', legacy_category_id, id, NULL FROM categories WHERE legacy_category_id IS NOT NULL
        UNION ALL SELECT 'product', legacy_product_id, id, NULL FROM products WHERE legacy_product_id IS NOT NULL
        UNION ALL SELECT 'case_patient', legacy_patient_id, id, metadata ->> 'source_deleted_at' FROM cases WHERE legacy_patient_id IS NOT NULL
        UNION ALL SELECT 'case_project', legacy_project_id, id, metadata ->> 'source_deleted_at' FROM cases WHERE legacy_project_id IS NOT NULL
        UNION ALL SELECT 'order', legacy_instruction_id, id, metadata ->> 'source_deleted_at' FROM orders WHERE legacy_instruction_id IS NOT NULL
        UNION ALL SELECT 'jaw', legacy_jaw_id, id, NULL FROM jaws WHERE legacy_jaw_id IS NOT NULL
        UNION ALL SELECT 'project', legacy_project_id, id, NULL FROM projects WHERE legacy_project_id IS NOT NULL
        UNION ALL SELECT 'treatment_plan', legacy_plan_id, id, NULL FROM treatment_plans WHERE legacy_plan_id IS NOT NULL
        UNION ALL SELECT 'order_state', legacy_state_id, id, NULL FROM order_states WHERE legacy_state_id IS NOT NULL
        UNION ALL SELECT 'case_state', legacy_state_id, id, NULL FROM case_states WHERE legacy_state_id IS NOT NULL
        UNION ALL SELECT 'file', legacy_file_id, id, NULL FROM files WHERE legacy_file_id IS NOT NULL
        UNION ALL SELECT 'message', legacy_record_id, id, NULL FROM messages WHERE legacy_record_id IS NOT NULL
        UNION ALL SELECT 'discussion', legacy_comment_id, id, NULL FROM treatment_discussions WHERE legacy_comment_id IS NOT NULL
        UNION ALL SELECT 'system_message', legacy_notification_id, id, NULL FROM system_messages WHERE legacy_notification_id IS NOT NULL
        UNION ALL SELECT 'payment', legacy_payment_id, id, NULL FROM payments WHERE legacy_payment_id IS NOT NULL
        UNION ALL SELECT 'operation', legacy_operation_id, id, NULL FROM operations WHERE legacy_operation_id IS NOT NULL
        UNION ALL SELECT 'template', legacy_template_id, id, metadata ->> 'source_deleted_at' FROM templates WHERE legacy_template_id IS NOT NULL
        UNION ALL SELECT 'template_group', legacy_junction_id, id, NULL FROM template_view_groups WHERE legacy_junction_id IS NOT NULL
        UNION ALL SELECT 'template_role', legacy_junction_id, id, NULL FROM template_view_roles WHERE legacy_junction_id IS NOT NULL
        UNION ALL SELECT 'doctor_office', legacy_office_doctor_id, id, metadata ->> 'source_deleted_at' FROM doctor_offices WHERE legacy_office_doctor_id IS NOT NULL
        UNION ALL SELECT 'agent', legacy_agent_id, id, NULL FROM computational_agents WHERE legacy_agent_id IS NOT NULL
        UNION ALL SELECT 'instance', legacy_instance_id, id, NULL FROM computational_instances WHERE legacy_instance_id IS NOT NULL
        UNION ALL SELECT 'task', legacy_task_id, id, NULL FROM tasks WHERE legacy_task_id IS NOT NULL
        UNION ALL SELECT 'bracket', legacy_bracket_id, id, NULL FROM brackets WHERE legacy_bracket_id IS NOT NULL
        UNION ALL SELECT 'offer', legacy_offer_id, id, NULL FROM offers WHERE legacy_offer_id IS NOT NULL
        UNION ALL SELECT 'discount', legacy_discount_id, id, NULL FROM discounts WHERE legacy_discount_id IS NOT NULL
        UNION ALL SELECT 'payment_item', legacy_ware_id, id, NULL FROM payment_items WHERE legacy_ware_id IS NOT NULL
        UNION ALL SELECT 'doctor_note', legacy_note_id, id, NULL FROM doctor_notes WHERE legacy_note_id IS NOT NULL
        UNION ALL SELECT 'comment', legacy_id, id, NULL FROM comments WHERE legacy_table = 'dispatch_comment'
        UNION ALL SELECT 'case_message_comment', legacy_id, id, NULL FROM case_messages WHERE legacy_table = 'dispatch_comment'
        UNION ALL SELECT 'case_message_record', legacy_id, id, NULL FROM case_messages WHERE legacy_table = 'dispatch_record'
        UNION ALL SELECT 'purchase', legacy_purchase_id, id, NULL FROM purchases WHERE source_table = 'dispatch_payment'
        UNION ALL SELECT 'purchase_row', legacy_purchase_id, id, NULL FROM purchases WHERE source_table = 'dispatch_purchase'
    ) AS m (entity_type, legacy_id, new_id, source_deleted_at)
    LEFT JOIN pgrekey.adopted a ON a.entity = m.entity_type AND a.id = m.new_id;

-- The snapshot, and what was read again since.
CREATE OR REPLACE VIEW dispatch_control.migration_runs AS
    SELECT md5(name || ' snapshot ' || snapshot_begun)::uuid AS id, 'full' AS run_type, 'manual' AS trigger, 'normal' AS priority,
        CASE WHEN paused THEN 'paused' WHEN snapshot_ended IS NULL THEN 'running' ELSE 'completed' END AS status,
        NULL::text[] AS entities, snapshot_begun AS start_time, snapshot_ended AS end_time,
        coalesce(pause_reason, state) AS current_operation
    FROM pgrekey.pipeline WHERE snapshot_begun IS NOT NULL
    UNION ALL
    SELECT md5(pipeline || ' resync ' || id)::uuid, 'on_demand', 'manual', 'normal',
        CASE status WHEN 'done' THEN 'completed' WHEN 'failed' THEN 'failed' WHEN 'pending' THEN 'pending' ELSE 'running' END,
        ARRAY[source_table], begun_at, done_at, coalesce(result, reason)
    FROM pgrekey.resync;

-- Pieces of the snapshot: what is done stays done after a crash.
CREATE OR REPLACE VIEW dispatch_control.migration_checkpoints AS
    SELECT p.pipeline, p.part AS id, md5(p.pipeline || ' snapshot ' || r.snapshot_begun)::uuid AS run_id,
        p.source_table AS entity_type, p.rules, p.lo AS first_key, p.hi AS before_key, p.rows AS records_processed, p.done,
        coalesce(p.point, r.snapshot_lsn) AS source_lsn
    FROM pgrekey.snapshot_part p JOIN pgrekey.pipeline r ON r.name = p.pipeline;

-- Whatever went wrong with a row, and what became of it.
CREATE OR REPLACE VIEW dispatch_control.migration_errors AS
    SELECT md5(pipeline || ' ' || id)::uuid AS error_id, severity, category AS error_category, rule AS entity_type, key AS entity_id,
        source_table AS legacy_table, substring(key FROM '^\["?(\d+)"?\]$')::bigint AS legacy_id,
        concat_ws(', ', reason, nullif(column_name, ''), nullif(constraint_name, ''), nullif(sqlstate, '')) AS error_message,
        change AS original_data, suggestion AS suggested_resolution,
        CASE status WHEN 'discarded' THEN 'resolved' ELSE status END AS resolution_status,
        CASE status WHEN 'discarded' THEN 'skip' ELSE 'source_wins' END AS resolution_strategy, retries AS retry_count,
        next_try AS next_retry_at, waits_table, first_seen AS created_at, resolved_at
    FROM pgrekey.quarantine;

-- Rows of the source that have no row on the target, with their data. (Those excluded by rule are counted, not kept.)
CREATE OR REPLACE VIEW dispatch_control.unmigrated_records AS
    SELECT id, source_table AS legacy_table, substring(key FROM '^\["?(\d+)"?\]$')::bigint AS legacy_id, rule, key, reason,
        CASE category WHEN 'orphan_reference' THEN 'orphan' WHEN 'json_parse' THEN 'malformed_json' WHEN 'ambiguous_value' THEN 'ambiguous'
            ELSE 'constraint' END AS classification,
        change AS original_row, first_seen AS first_seen_at, last_tried AS last_seen_at, resolved_at
    FROM pgrekey.quarantine WHERE status <> 'resolved';

CREATE OR REPLACE VIEW dispatch_control.audit_log AS
    SELECT id, pipeline, rule AS entity_type, action, rows, actor, detail AS changed_data, at AS created_at FROM pgrekey.audit;

-- What the target had and the source has not, and doubles that became one.
CREATE OR REPLACE VIEW dispatch_control.data_differentials AS
    SELECT entity AS entity_type, legacy AS legacy_id, id AS new_id, 'extra_in_target' AS comparison_type, 'target_wins' AS resolution_strategy,
        'its source row has not been seen' AS details
    FROM pgrekey.adopted a
    WHERE met = '{}' AND EXISTS (SELECT FROM pgrekey.mapping_step s WHERE s.pipeline = a.pipeline AND s.entity = a.entity AND s.kind = 'rule')
    UNION ALL
    SELECT rule, NULL, NULL, 'conflicted', 'source_wins', detail FROM pgrekey.audit WHERE action = 'adopt_merge';

CREATE OR REPLACE VIEW dispatch_control.synchronization_jobs AS
    SELECT name AS job_name, 'continuous' AS mode, 'source_wins' AS conflict_resolution, NOT paused AS enabled, updated_at AS last_run_at
    FROM pgrekey.pipeline
    UNION ALL
    SELECT source_table, 'on_demand', 'source_wins', status NOT IN ('done', 'failed'), coalesce(done_at, begun_at, requested_at)
    FROM pgrekey.resync;

-- Every row of every pair is accounted for: source = mapped + quarantined + excluded by rule.
CREATE OR REPLACE VIEW dispatch_control.migration_validation_reports AS
    SELECT c.pipeline, 'entity' AS level, c.rule AS check_name, c.source_table, c.target_table,
        c.mapped + c.quarantined + c.excluded AS expected, c.mapped AS actual, c.quarantined, c.excluded,
        c.quarantined <= coalesce(s.accept_rows, s.accept_ppm * (c.mapped + c.quarantined + c.excluded) / 1000000, 0) AS passed
    FROM pgrekey.counter c LEFT JOIN pgrekey.mapping_step s ON s.pipeline = c.pipeline AND s.step = c.rule;

CREATE OR REPLACE VIEW dispatch_control.migration_status AS
    SELECT p.name AS pipeline, h.phase AS current_step, coalesce(p.pause_reason, p.state) AS current_operation,
        CASE WHEN p.snapshot_ended IS NOT NULL THEN 100.00 ELSE
            round(100.0 * (SELECT coalesce(sum(rows), 0) FROM pgrekey.snapshot_part x WHERE x.pipeline = p.name) / nullif(h.snapshot_expected, 0), 2)
        END AS progress_percentage,
        now() + make_interval(secs => coalesce(h.snapshot_left_s, h.time_left_s)) AS estimated_completion, h.lag_s, h.rows_per_s,
        h.at AS updated_at
    FROM pgrekey.pipeline p LEFT JOIN pgrekey.heartbeat h ON h.pipeline = p.name;

-- Health records: for nobody but who is told so.
DO $$
DECLARE
    web text;
BEGIN
    REVOKE ALL ON SCHEMA dispatch_control FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA dispatch_control FROM PUBLIC;
    FOR web IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA dispatch_control FROM %I', web);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA dispatch_control FROM %I', web);
    END LOOP;
END $$;
