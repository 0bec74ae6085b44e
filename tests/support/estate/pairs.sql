-- The account of each pair source table -> target table, by the legacy rows alone: how many there are, how many must be
-- mapped, stand aside, and are excluded by rule. After expected/*.sql, whose tables it reads. A line: rule|source|target|
-- rows|mapped|quarantined|excluded.
CREATE FUNCTION pg_temp.takes(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN jsonb_typeof($1::jsonb) = 'object'; EXCEPTION WHEN data_exception THEN RETURN false; END $$;
CREATE TEMP TABLE told AS -- what is sent and no JSON object; most begin like all that is well formed
SELECT sent AND send AS asked, NOT (template_context ~ '^\{"name": "[^"\\]*", "order": [0-9]+[,}]' AND template_context ~ '\}$' AND template_context !~ '\\|\[Circular' OR pg_temp.takes(template_context)) AS bad, count(*) AS n
FROM dispatch_notification GROUP BY 1, 2;
CREATE TEMP TABLE linked AS SELECT DISTINCT instruction_id, project_id FROM dispatch_plan WHERE instruction_id IS NOT NULL AND project_id IS NOT NULL;
CREATE TEMP TABLE pair (rule text, source text, target text, mapped bigint, quarantined bigint, excluded bigint, rows bigint);
-- all of it
INSERT INTO pair
SELECT rule, source, target, 0, 0, 0, NULL FROM (VALUES
    ('offices', 'dispatch_office', 'offices'), ('profiles', 'auth_user', 'profiles'), ('kinds of profiles', 'auth_user', 'profiles'), ('practice in profiles', 'auth_user', 'profiles'), ('patients of project cases', 'dispatch_project', 'cases'), ('orders of projects', 'dispatch_project', 'projects'), ('practices of profiles', 'auth_user', 'practice_profile_associations'),
    ('doctors of offices', 'dispatch_office_doctors', 'doctor_offices'), ('categories', 'dispatch_category', 'categories'), ('products', 'dispatch_product', 'products'), ('roles', 'dispatch_role', 'roles'),
    ('permissions of roles', 'dispatch_role_permissions', 'role_permissions'), ('projects', 'dispatch_project', 'projects'), ('cases of projects', 'dispatch_project', 'cases'), ('treatment plans', 'dispatch_plan', 'treatment_plans'),
    ('files', 'dispatch_file', 'files'), ('messages', 'dispatch_record', 'messages'), ('recipients of messages', 'dispatch_record', 'messages'), ('payments', 'dispatch_payment', 'payments'),
    ('operations', 'dispatch_operation', 'operations'), ('rows of purchases', 'dispatch_purchase', 'purchases'), ('templates', 'dispatch_template', 'templates'),
    ('groups that see templates', 'dispatch_template_view_groups', 'template_view_groups'), ('roles that see templates', 'dispatch_template_view_roles', 'template_view_roles'),
    ('agents', 'dispatch_agent', 'computational_agents'), ('instances', 'dispatch_instance', 'computational_instances'), ('tasks', 'dispatch_task', 'tasks'), ('brackets', 'dispatch_bracket', 'brackets'),
    ('offers', 'dispatch_offer', 'offers'), ('discounts', 'dispatch_discount', 'discounts'), ('items of payments', 'dispatch_ware', 'payment_items'), ('notes about doctors', 'dispatch_note', 'doctor_notes')) v (rule, source, target);
-- part of it: the rest is excluded
INSERT INTO pair
SELECT 'doctors', 'auth_user', 'doctors', (SELECT count(*) FROM doctor), 0, NULL::bigint, NULL::bigint
UNION ALL SELECT 'technicians', 'auth_user', 'technicians', count(*) FILTER (WHERE t), 0, NULL, NULL FROM who
UNION ALL SELECT 'cases of patients', 'dispatch_patient', 'cases', count(*), 0, NULL, NULL FROM good_patient
UNION ALL SELECT 'network of patients', 'dispatch_patient', 'patients_doctors_offices', count(*), 0, NULL, NULL FROM good_patient p WHERE p.office IS NOT NULL OR EXISTS (SELECT FROM doctor WHERE id = p.doctor_id)
UNION ALL SELECT 'technician roles', 'dispatch_role', 'technician_roles', count(*) FILTER (WHERE group_id = 11), 0, NULL, NULL FROM dispatch_role
UNION ALL SELECT 'cases of orders', 'dispatch_instruction', 'order_cases', count(*), 0, NULL, NULL FROM "order"
UNION ALL SELECT 'project cases of orders', 'dispatch_plan', 'order_cases', count(*), 0, (SELECT count(*) FROM linked) - count(*), (SELECT count(*) FROM linked)
    FROM linked l WHERE EXISTS (SELECT FROM "order" WHERE id = l.instruction_id) AND EXISTS (SELECT FROM dispatch_project WHERE id = l.project_id)
UNION ALL SELECT 'purchases', 'dispatch_payment', 'purchases', count(*) FILTER (WHERE paid AND NOT canceled AND total_price > 0), 0, NULL, NULL FROM dispatch_payment;
-- part of it: the rest stands aside
INSERT INTO pair
SELECT 'patients', 'dispatch_patient', 'patients', count(*), NULL::bigint, 0, NULL::bigint FROM good_patient
UNION ALL SELECT 'orders', 'dispatch_instruction', 'orders', count(*), NULL, 0, NULL FROM "order"
UNION ALL SELECT 'jaws', 'dispatch_jaw', 'jaws', count(*), NULL, 0, NULL FROM expected WHERE line LIKE 'jaws %'
UNION ALL SELECT 'states of orders', 'dispatch_state', 'order_states', count(o.id), NULL, 0, NULL FROM dispatch_state s LEFT JOIN "order" o ON o.id = s.instruction_id
UNION ALL SELECT 'case states', 'dispatch_state', 'case_states', count(o.id) FILTER (WHERE s.status BETWEEN 11 AND 18), NULL, 0, NULL FROM dispatch_state s LEFT JOIN "order" o ON o.id = s.instruction_id
UNION ALL SELECT 'comments', 'dispatch_comment', 'comments', count(text), NULL, 0, NULL FROM dispatch_comment
UNION ALL SELECT 'treatment discussions', 'dispatch_comment', 'treatment_discussions', count(l.id) FILTER (WHERE c.text IS NOT NULL), NULL, 0, NULL FROM dispatch_comment c LEFT JOIN dispatch_plan l ON l.id = c.plan_id;
-- and of some both
INSERT INTO pair
SELECT 'comments of cases', 'dispatch_comment', 'case_messages', count(o.id) FILTER (WHERE c.text IS NOT NULL), count(*) FILTER (WHERE c.text IS NOT NULL AND o.id IS NULL), count(*) FILTER (WHERE c.text IS NULL), NULL::bigint
    FROM dispatch_comment c LEFT JOIN dispatch_plan l ON l.id = c.plan_id LEFT JOIN "order" o ON o.id = l.instruction_id
UNION ALL SELECT r.rule, 'dispatch_file', r.target, count(o.id), count(f.instruction_id) - count(o.id), count(*) - count(f.instruction_id), NULL
    FROM (VALUES ('files of orders', 'order_files'), ('files of cases', 'case_files')) r (rule, target), dispatch_file f LEFT JOIN "order" o ON o.id = f.instruction_id GROUP BY 1, 3
UNION ALL SELECT 'attachments', 'dispatch_file', 'message_attachments', count(r.id), count(f.record_id) - count(r.id), count(*) - count(f.record_id), NULL FROM dispatch_file f LEFT JOIN dispatch_record r ON r.id = f.record_id
UNION ALL SELECT 'attachments by junction', 'dispatch_record_attachments', 'message_attachments', count(*) FILTER (WHERE w.good), count(*) FILTER (WHERE NOT w.good), 0, NULL FROM dispatch_record_attachments a,
    LATERAL (SELECT EXISTS (SELECT FROM dispatch_record WHERE id = a.record_id) AND EXISTS (SELECT FROM dispatch_file f WHERE f.id = a.file_id AND f.record_id IS DISTINCT FROM a.record_id) AS good) w
UNION ALL SELECT 'records of cases', 'dispatch_record', 'case_messages', count(*) FILTER (WHERE w.found), count(*) FILTER (WHERE NOT w.found), count(*) FILTER (WHERE w.found IS NULL), NULL
    FROM dispatch_record r LEFT JOIN django_content_type t ON t.id = r.target_type_id AND t.app_label = 'dispatch',
    LATERAL (SELECT CASE t.model WHEN 'patient' THEN EXISTS (SELECT FROM good_patient WHERE id = r.target_id) WHEN 'instruction' THEN EXISTS (SELECT FROM "order" WHERE id = r.target_id)
        WHEN 'plan' THEN EXISTS (SELECT FROM dispatch_plan l JOIN "order" o ON o.id = l.instruction_id WHERE l.id = r.target_id) END AS found) w
UNION ALL SELECT 'system messages', 'dispatch_notification', 'system_messages', coalesce(sum(n) FILTER (WHERE asked AND NOT bad), 0), coalesce(sum(n) FILTER (WHERE asked AND bad), 0), coalesce(sum(n) FILTER (WHERE NOT asked), 0), NULL FROM told;

CREATE FUNCTION pg_temp.count_of(source text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN EXECUTE format('SELECT count(*) FROM %I', source) INTO n; RETURN n; END $$;
UPDATE pair SET rows = pg_temp.count_of(source) WHERE rows IS NULL;
UPDATE pair SET mapped = rows WHERE rule NOT IN ('doctors', 'technicians') AND mapped = 0 AND quarantined = 0 AND excluded = 0;
UPDATE pair SET quarantined = rows - mapped WHERE quarantined IS NULL;
UPDATE pair SET excluded = rows - mapped - quarantined WHERE excluded IS NULL;
SELECT 'pair|' || concat_ws('|', rule, source, target, rows, mapped, quarantined, excluded) FROM pair ORDER BY target, source, rule;
