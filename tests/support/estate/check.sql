-- Counts the generated estate as somebody would who knows its tables but not how they were filled, and holds the counts
-- against those of the file counts. One line for each: what, how many, how many there ought to be.
CREATE TEMP VIEW working AS -- groups of addresses that two users claim
SELECT lower(btrim(email)) AS address, count(*) AS n FROM auth_user WHERE btrim(email) ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$' GROUP BY 1 HAVING count(*) > 1;
CREATE TEMP VIEW strong AS
SELECT user_id FROM auth_user_groups WHERE group_id = 2 UNION SELECT user_id FROM dispatch_office_doctors UNION SELECT user_id FROM dispatch_doctorsetting
UNION SELECT doctor_id FROM dispatch_patient WHERE doctor_id IS NOT NULL;
CREATE TEMP VIEW doctors AS
SELECT user_id FROM strong UNION SELECT user_id FROM dispatch_usersetting WHERE user_id NOT IN (SELECT user_id FROM dispatch_patient)
    AND user_id NOT IN (SELECT user_id FROM auth_user_groups WHERE group_id = 11);
CREATE TEMP VIEW doctor_names AS SELECT first_name, last_name, count(*) AS n FROM auth_user JOIN doctors ON user_id = id GROUP BY 1, 2 HAVING count(*) > 1;
CREATE TEMP VIEW jaw_sides AS
SELECT j.id, count(i.id) AS orders, count(*) FILTER (WHERE i.upper_jaw_id = j.id) AS upper, count(*) FILTER (WHERE i.lower_jaw_id = j.id) AS lower
FROM dispatch_jaw j LEFT JOIN (SELECT id, upper_jaw_id AS jaw_id, upper_jaw_id, lower_jaw_id FROM dispatch_instruction WHERE upper_jaw_id IS NOT NULL
    UNION SELECT id, lower_jaw_id, upper_jaw_id, lower_jaw_id FROM dispatch_instruction WHERE lower_jaw_id IS NOT NULL) i ON i.jaw_id = j.id GROUP BY 1;
CREATE TEMP VIEW placed_states AS SELECT s.*, i.id IS NOT NULL AS placed FROM dispatch_state s LEFT JOIN dispatch_instruction i ON i.id = s.instruction_id;
CREATE TEMP VIEW purchases AS SELECT * FROM dispatch_payment WHERE paid AND NOT canceled AND total_price > 0;
CREATE FUNCTION pg_temp.takes(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN jsonb_typeof($1::jsonb) = 'object'; EXCEPTION WHEN data_exception THEN RETURN false; END $$;
CREATE FUNCTION pg_temp.reads(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN $1::json IS NOT NULL; EXCEPTION WHEN data_exception THEN RETURN false; END $$;

CREATE TEMP TABLE found AS
SELECT * FROM (
    SELECT 'users' AS what, count(*) AS n FROM auth_user
    UNION ALL SELECT 'patients', count(*) FROM dispatch_patient
    UNION ALL SELECT 'doctors', count(*) FROM doctors
    UNION ALL SELECT 'technicians', count(*) FROM auth_user_groups WHERE group_id = 11
    UNION ALL SELECT 'dual_roles', count(*) FROM doctors JOIN dispatch_patient USING (user_id)
    UNION ALL SELECT 'weak_doctors', count(*) FROM doctors WHERE user_id NOT IN (SELECT user_id FROM strong)
    UNION ALL SELECT 'office_doctors', count(DISTINCT user_id) FROM dispatch_office_doctors
    UNION ALL SELECT 'multi_office_doctors', count(*) FROM (SELECT FROM dispatch_office_doctors GROUP BY user_id HAVING count(*) > 1) x
    UNION ALL SELECT 'settings', count(*) FROM (SELECT user_id FROM dispatch_usersetting UNION SELECT user_id FROM dispatch_doctorsetting WHERE user_id IN (SELECT user_id FROM dispatch_usersetting)) x
    UNION ALL SELECT 'empty_emails', count(*) FROM auth_user WHERE email = ''
    UNION ALL SELECT 'invalid_emails', count(*) FROM auth_user WHERE email <> '' AND btrim(email) !~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$'
    UNION ALL SELECT 'email_groups', count(*) FROM working
    UNION ALL SELECT 'email_excess', sum(n) - count(*) FROM working
    UNION ALL SELECT 'email_largest', max(n) FROM working
    UNION ALL SELECT 'name_groups', count(*) FROM doctor_names
    UNION ALL SELECT 'name_excess', sum(n) - count(*) FROM doctor_names
    UNION ALL SELECT 'inactive_doctors', count(*) FROM doctors JOIN auth_user ON id = user_id WHERE NOT is_active
    UNION ALL SELECT 'idle_doctors', count(*) FROM doctors JOIN auth_user ON id = user_id WHERE last_login IS NULL
    UNION ALL SELECT 'test_doctors', count(*) FROM doctors JOIN auth_user ON id = user_id WHERE username LIKE 'test\_%'
    UNION ALL SELECT 'suffixes', count(*) FROM dispatch_patient WHERE suffix <> ''
    UNION ALL SELECT 'odd_suffixes', count(*) FROM dispatch_patient WHERE suffix <> '' AND length(suffix) <> 4
    UNION ALL SELECT 'no_doctor', count(*) FROM dispatch_patient WHERE doctor_id IS NULL
    UNION ALL SELECT 'no_doctor_orders', count(*) FROM dispatch_instruction i JOIN dispatch_patient p ON p.id = i.patient_id WHERE p.doctor_id IS NULL
    UNION ALL SELECT 'no_office', count(*) FROM dispatch_patient WHERE office_id IS NULL
    UNION ALL SELECT 'offices', count(*) FROM dispatch_office
    UNION ALL SELECT 'lone_offices', count(*) FROM dispatch_office o WHERE valid AND NOT EXISTS
        (SELECT FROM dispatch_office x WHERE x.id <> o.id AND x.valid AND (x.country, x.state) = (o.country, o.state)) AND state LIKE 'Prefecture%'
    UNION ALL SELECT 'groups', count(*) FROM auth_group
    UNION ALL SELECT 'content_types', count(*) FROM django_content_type
    UNION ALL SELECT 'courses', count(*) FROM dispatch_course
    UNION ALL SELECT 'categories', count(*) FROM dispatch_category
    UNION ALL SELECT 'products', count(*) FROM dispatch_product
    UNION ALL SELECT 'instructions', count(*) FROM dispatch_instruction JOIN dispatch_patient p ON p.id = patient_id
    UNION ALL SELECT 'jaws', count(*) FROM dispatch_jaw
    UNION ALL SELECT 'jaws_unreferenced', count(*) FROM jaw_sides WHERE orders = 0
    UNION ALL SELECT 'jaws_both_sides', count(*) FROM jaw_sides WHERE orders = 1 AND upper > 0 AND lower > 0
    UNION ALL SELECT 'jaws_two_orders', count(*) FROM jaw_sides WHERE orders > 1
    UNION ALL SELECT 'projects', count(*) FROM dispatch_project
    UNION ALL SELECT 'plans', count(*) FROM dispatch_plan
    UNION ALL SELECT 'plans_abandoned', count(*) FROM dispatch_plan WHERE instruction_id IS NULL OR instruction_id NOT IN (SELECT id FROM dispatch_instruction)
    UNION ALL SELECT 'states', count(*) FROM dispatch_state
    UNION ALL SELECT 'states_gone', count(*) FROM placed_states WHERE NOT placed AND instruction_id < (SELECT max(id) FROM dispatch_instruction)
    UNION ALL SELECT 'states_ahead', count(*) FROM placed_states WHERE NOT placed AND instruction_id > (SELECT max(id) FROM dispatch_instruction)
    UNION ALL SELECT 'states_without', count(*) FROM placed_states WHERE instruction_id IS NULL
    UNION ALL SELECT 'states_no_actor', count(*) FROM dispatch_state WHERE actor_id IS NOT NULL AND actor_id NOT IN (SELECT id FROM auth_user)
    UNION ALL SELECT 'records', count(*) FROM dispatch_record
    UNION ALL SELECT 'records_untyped', count(*) FROM dispatch_record WHERE type IS NULL
    UNION ALL SELECT 'records_missing', count(*) FROM dispatch_record r JOIN django_content_type t ON t.id = r.target_type_id WHERE CASE t.model
        WHEN 'patient' THEN NOT EXISTS (SELECT FROM dispatch_patient WHERE id = r.target_id) WHEN 'plan' THEN NOT EXISTS (SELECT FROM dispatch_plan WHERE id = r.target_id)
        WHEN 'instruction' THEN NOT EXISTS (SELECT FROM dispatch_instruction WHERE id = r.target_id) END
    UNION ALL SELECT 'comments', count(*) FROM dispatch_comment
    UNION ALL SELECT 'comments_abandoned', count(*) FROM dispatch_comment c JOIN dispatch_plan p ON p.id = c.plan_id WHERE NOT EXISTS (SELECT FROM dispatch_instruction WHERE id = p.instruction_id)
    UNION ALL SELECT 'notes', count(*) FROM dispatch_note
    UNION ALL SELECT 'files', count(*) FROM dispatch_file
    UNION ALL SELECT 'files_with_order', count(instruction_id) FROM dispatch_file
    UNION ALL SELECT 'files_gone_order', count(*) FROM dispatch_file f WHERE instruction_id IS NOT NULL AND NOT EXISTS (SELECT FROM dispatch_instruction WHERE id = f.instruction_id)
    UNION ALL SELECT 'files_with_record', count(record_id) FROM dispatch_file
    UNION ALL SELECT 'notifications', count(*) FROM dispatch_notification
    UNION ALL SELECT 'notifications_unsent', count(*) FROM dispatch_notification WHERE NOT (sent AND send)
    UNION ALL SELECT 'payments', count(*) FROM dispatch_payment
    UNION ALL SELECT 'payments_qualifying', count(*) FROM purchases
    UNION ALL SELECT 'payments_cancelled', count(*) FROM dispatch_payment WHERE canceled
    UNION ALL SELECT 'payments_pending', count(*) FROM dispatch_payment WHERE NOT canceled AND NOT free AND NOT paid
    UNION ALL SELECT 'payments_unknown_method', count(*) FROM dispatch_payment p WHERE NOT free AND NOT netsuite AND NOT (used_credit >= total_price AND total_price > 0)
        AND coalesce(installments, '') IN ('', '[]') AND NOT EXISTS (SELECT FROM dispatch_operation WHERE payment_id = p.id AND (sq_payment_id IS NOT NULL OR card_last IS NOT NULL OR card_brand IS NOT NULL))
    UNION ALL SELECT 'operations', count(*) FROM dispatch_operation
    UNION ALL SELECT 'refunds', count(*) FROM dispatch_operation WHERE type = 2
    UNION ALL SELECT 'orders_unused', count(*) FROM dispatch_order
    UNION ALL SELECT 'wares', count(*) FROM dispatch_ware
    UNION ALL SELECT 'offers', count(*) FROM dispatch_offer
    UNION ALL SELECT 'discounts', count(*) FROM dispatch_discount
    UNION ALL SELECT 'tasks', count(*) FROM dispatch_task
    UNION ALL SELECT 'templates', count(*) FROM dispatch_template
    UNION ALL SELECT 'template_groups', count(*) FROM dispatch_template_view_groups
    UNION ALL SELECT 'template_roles', count(*) FROM dispatch_template_view_roles
    UNION ALL SELECT 'template_edit_roles', count(*) FROM dispatch_template_edit_roles
    UNION ALL SELECT 'template_products', count(*) FROM dispatch_template_products
    UNION ALL SELECT 'template_predecessors', count(*) FROM dispatch_template_predecessors
    UNION ALL SELECT 'roles', count(*) FROM dispatch_role
    UNION ALL SELECT 'roles_technician', count(*) FROM dispatch_role WHERE group_id = 11
    UNION ALL SELECT 'role_permissions', count(*) FROM dispatch_role_permissions
    UNION ALL SELECT 'agents', count(*) FROM dispatch_agent
    UNION ALL SELECT 'instances', count(*) FROM dispatch_instance
    UNION ALL SELECT 'brackets', count(*) FROM dispatch_bracket
    UNION ALL SELECT 'cents', (SELECT round(100 * sum(total_price)) FROM purchases)
) x;
-- Contexts that are no JSON object: told apart by what they are. A full parse of each at scale 1 is not needed to count
-- them: all that is well formed begins alike.
INSERT INTO found
SELECT what, count(*) FROM (
    SELECT CASE WHEN template_context = 'null' THEN 'bad_null' WHEN template_context ~ '\\u0000|\\ud83d' THEN 'bad_unicode' WHEN template_context ~ 'Circular|so$' THEN 'bad_cut' ELSE 'bad_quotes' END AS what
    FROM dispatch_notification WHERE sent AND send AND (template_context !~ '^\{"name": "[^"\\]*", ".*\}$' OR template_context LIKE '%[Circular%') AND NOT pg_temp.takes(template_context)
) x GROUP BY 1;
SELECT f.what, f.n, coalesce(w.value::numeric, CASE f.what WHEN 'odd_suffixes' THEN 1 WHEN 'cents' THEN 419000000 * c.payments_qualifying / 3701 END) AS wanted
FROM estate.c CROSS JOIN found f LEFT JOIN LATERAL jsonb_each_text(to_jsonb(c)) w ON w.key = f.what ORDER BY 1;
