-- What the target holds of roles, templates and who sees them, like expected/workflow.sql; without what the stream has closed.
INSERT INTO found
SELECT 'roles ' || jsonb_build_array(legacy_id, r.name, abbreviation, role_kind, sort_order, p.legacy_user_id, legacy_group_id)::text FROM roles r LEFT JOIN profiles p ON p.id = r.profile_id
UNION ALL
SELECT 'technician_roles ' || jsonb_build_array(legacy_role_id, t.legacy_user_id, role_name, abbreviation, role_type)::text FROM technician_roles r LEFT JOIN technicians t ON t.id = r.technician_id
UNION ALL
SELECT 'role_permissions ' || jsonb_build_array(legacy_junction_id, r.legacy_id, legacy_permission_id, permission, resource)::text FROM role_permissions j LEFT JOIN roles r ON r.id = j.role_id
UNION ALL
SELECT 'templates ' || to_jsonb(x)::text FROM (
    SELECT legacy_template_id AS key, task_name AS called, action_name AS action, text_name AS text, course_type AS course, case_type AS "case", function_code AS code, function_type AS function, status_trigger AS trigger,
        duration_minutes AS duration, c.legacy_category_id AS category, is_separate AS separate, is_predefined AS predefined, is_readonly AS read_only, file_extensions AS extensions,
        nullif(steps #> '{0,predecessors}', '[]') AS before
    FROM templates m LEFT JOIN categories c ON c.id = m.category_id WHERE legacy_template_id IS NOT NULL AND m.metadata ->> 'source_deleted_at' IS NULL) x
UNION ALL
SELECT 'template_view_groups ' || jsonb_build_array(legacy_junction_id, m.legacy_template_id, template_name, legacy_group_id, group_name)::text FROM template_view_groups j LEFT JOIN templates m ON m.id = j.template_id
UNION ALL
SELECT 'template_view_roles ' || jsonb_build_array(legacy_junction_id, m.legacy_template_id, template_name, r.legacy_id, role_name)::text FROM template_view_roles j LEFT JOIN templates m ON m.id = j.template_id LEFT JOIN roles r ON r.id = j.role_id;
