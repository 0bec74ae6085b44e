-- What the target must hold of roles, templates and who sees them, over the legacy tables and in their keys.
CREATE TEMP TABLE template AS
SELECT m.*, coalesce(nullif(btrim(task_name), ''), nullif(btrim(text_name), ''), 'Template ' || m.id) AS called, c.name AS course
FROM dispatch_template m LEFT JOIN course c ON c.id = m.course_id;
INSERT INTO expected
SELECT 'roles ' || jsonb_build_array(r.id, r.name, abbrev, type, "order", u.id, group_id)::text FROM dispatch_role r LEFT JOIN auth_user u ON u.id = r.user_id
UNION ALL
SELECT 'technician_roles ' || jsonb_build_array(r.id, w.id, r.name, abbrev, CASE WHEN r.name ~* 'design' OR upper(abbrev) = 'DT' THEN 'designing' WHEN r.name ~* 'manufactur' OR upper(abbrev) = 'MT' THEN 'manufacturing'
    WHEN r.name ~* 'section' OR upper(abbrev) IN ('ST', 'IDB') THEN 'sectioning' WHEN r.name ~* 'remote' OR upper(abbrev) IN ('RT', 'DTR') THEN 'remote' WHEN r.name ~* 'supervisor|master' THEN 'master'
    WHEN r.name ~* 'inspect|quality' THEN 'quality_control' ELSE 'manufacturing' END)::text
FROM dispatch_role r LEFT JOIN who w ON w.id = r.user_id AND w.t WHERE r.group_id = 11
UNION ALL
SELECT 'role_permissions ' || jsonb_build_array(j.id, j.role_id, p.id, p.name, p.codename)::text FROM dispatch_role_permissions j JOIN auth_permission p ON p.id = j.permission_id
UNION ALL
SELECT 'templates ' || to_jsonb(x)::text FROM (
    SELECT id AS key, called, action_name AS action, text_name AS text, course, CASE course WHEN 'main' THEN 'active_treatment' WHEN 'refinement' THEN 'refinement' ELSE 'treatment_planning' END AS "case", function AS code,
        CASE function WHEN 1 THEN 'submit_process' WHEN 2 THEN 'backup_archive' WHEN 4 THEN 'add_update' ELSE 'other' END AS function,
        CASE WHEN status IS NOT NULL THEN coalesce((ARRAY['no_product', 'submitted', 'approved', 'in_production', 'shipped', 'add_plan'])[status + 1], 'unknown') END AS trigger,
        duration, category_id AS category, separate, predefined, read_only, extensions,
        (SELECT jsonb_agg(p.from_template_id ORDER BY p.from_template_id) FROM dispatch_template_predecessors p WHERE p.to_template_id = template.id) AS before
    FROM template) x
UNION ALL
SELECT 'template_view_groups ' || jsonb_build_array(j.id, m.id, m.called, g.id, g.name)::text FROM dispatch_template_view_groups j JOIN template m ON m.id = j.template_id JOIN auth_group g ON g.id = j.group_id
UNION ALL
SELECT 'template_view_roles ' || jsonb_build_array(j.id, m.id, m.called, r.id, r.name)::text FROM dispatch_template_view_roles j JOIN template m ON m.id = j.template_id JOIN dispatch_role r ON r.id = j.role_id;
