-- Roles, templates and who sees them.
INSERT INTO dispatch_role (id, name, abbrev, type, "order", user_id, group_id)
SELECT i, w.name, CASE WHEN i % 9 > 0 THEN w.abbrev END, i % 4, i, CASE WHEN i % 3 = 0 THEN estate.id(c.others + 1 + i % c.technicians) END, CASE WHEN i <= c.roles_technician THEN 11 ELSE (ARRAY[2, 4, 5, 7])[1 + i % 4] END
FROM estate.c, generate_series(1, c.roles) i,
    LATERAL (SELECT (ARRAY['Designer ', 'Manufacturing ', 'Section ', 'Remote design ', 'Supervisor ', 'Quality inspector ', 'Packing ', 'Master technician '])[1 + i % 8] || i AS name,
        (ARRAY['DT', 'MT', 'ST', 'DTR', 'SV', 'QI', 'PK', 'IDB'])[1 + i % 8] AS abbrev) w;
INSERT INTO dispatch_role_permissions (role_id, permission_id)
SELECT 1 + i % c.roles, p.id FROM estate.c, generate_series(1, c.role_permissions) i, LATERAL (SELECT id FROM auth_permission OFFSET i / c.roles LIMIT 1) p;
INSERT INTO dispatch_template (id, task_name, action_name, text_name, function, status, duration, category_id, course_id, predefined, read_only, separate, extensions, alerts)
SELECT i, CASE i % 12 WHEN 5 THEN '' WHEN 7 THEN NULL ELSE 'Task ' || i END, CASE WHEN i % 4 > 0 THEN 'Do ' || i END, CASE WHEN i % 24 <> 7 THEN 'Text ' || i END, (ARRAY[1, 2, 4, 3, NULL])[1 + i % 5], CASE WHEN i % 3 = 0 THEN i % 6 END,
    15 * (i % 8), CASE WHEN i % 6 > 0 THEN 1 + i % c.categories END, CASE WHEN i % 5 > 0 THEN (ARRAY[1, 2, 3, 4, 7, 8])[1 + i % 6] END, i % 2 = 0, i % 7 = 0, i % 3 = 0, CASE WHEN i % 4 = 0 THEN '.stl,.zip' END, CASE WHEN i % 10 = 0 THEN 'late' END
FROM estate.c, generate_series(1, c.templates) i;
INSERT INTO dispatch_template_view_groups (template_id, group_id)
SELECT 1 + (i - 1) % c.templates, (ARRAY[2, 4, 5, 11, 7])[1 + (i - 1) / c.templates] FROM estate.c, generate_series(1, c.template_groups) i;
INSERT INTO dispatch_template_view_roles (template_id, role_id)
SELECT 1 + (i - 1) % c.templates, 1 + ((i - 1) % c.templates + 5 * ((i - 1) / c.templates)) % c.roles FROM estate.c, generate_series(1, c.template_roles) i;
INSERT INTO dispatch_template_predecessors (from_template_id, to_template_id)
SELECT 1 + (i - 1) % c.templates, 1 + ((i - 1) % c.templates + 1 + 3 * ((i - 1) / c.templates)) % c.templates FROM estate.c, generate_series(1, c.template_predecessors) i;
INSERT INTO dispatch_template_edit_roles (template_id, role_id)
SELECT 1 + (i - 1) % c.templates, 1 + ((i - 1) % c.templates + 7 * ((i - 1) / c.templates)) % c.roles FROM estate.c, generate_series(1, c.template_edit_roles) i;
INSERT INTO dispatch_template_products (template_id, product_id)
SELECT 1 + (i - 1) % c.templates, 1 + ((i - 1) % c.templates + (i - 1) / c.templates) % c.products FROM estate.c, generate_series(1, c.template_products) i;
INSERT INTO auth_group_permissions (group_id, permission_id) SELECT g, 4 * g + n FROM unnest(ARRAY[2, 4, 5, 11]) g, generate_series(1, 9) n;
INSERT INTO dispatch_doctorsetting_masters (doctorsetting_id, user_id) SELECT id, 1 + id % 20 FROM dispatch_doctorsetting WHERE id % 6 = 0;
INSERT INTO dispatch_doctorsetting_sales (doctorsetting_id, user_id) SELECT id, 1 + id % 20 FROM dispatch_doctorsetting WHERE id % 7 = 0;
INSERT INTO dispatch_record_roles (record_id, role_id) SELECT id, 1 + id % c.roles FROM estate.c, dispatch_record WHERE id % 300 = 0;
-- What must reach nothing at all. Each begins alike, so that a test can look for it everywhere.
INSERT INTO dispatch_globalsetting (setting, value) SELECT 'provider_' || i, 'topsecret-' || md5('g' || i) FROM generate_series(1, 5) i;
INSERT INTO account_emailaddress (user_id, email, verified, "primary") SELECT id, 'topsecret.' || id || '@example.org', true, true FROM auth_user WHERE id % 20 = 0;
INSERT INTO account_emailconfirmation (email_address_id, created, key) SELECT id, '2025-01-01', 'topsecret-' || md5('c' || id) FROM account_emailaddress WHERE id % 3 = 0;
INSERT INTO otp_totp_totpdevice (user_id, key) SELECT id, 'topsecret-' || md5('t' || id) FROM auth_user WHERE id % 25 = 0;
INSERT INTO django_session (session_key, session_data, expire_date) SELECT md5('s' || i), 'topsecret-' || md5('d' || i), '2026-01-01' FROM generate_series(1, 50) i;
