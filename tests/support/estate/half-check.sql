-- Counts what earlier runs left on the target, in the form as deployed; the counts are held against the file counts.
CREATE TEMP TABLE dangling (n bigint);
SELECT format('INSERT INTO dangling SELECT count(*) FROM %s c WHERE c.%I IS NOT NULL AND NOT EXISTS (SELECT FROM %s p WHERE p.id = c.%I)', c.conrelid::regclass, a.attname, c.confrelid::regclass, a.attname)
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace \gexec
SELECT 'half_offices', count(*) - (SELECT count(*) FROM offices WHERE name LIKE 'closed office%') FROM offices
UNION ALL SELECT 'half_offices_gone', count(*) FROM offices WHERE name LIKE 'closed office%'
UNION ALL SELECT 'other_countries 0', count(*) FROM offices WHERE country <> 'US'
UNION ALL SELECT 'half_doctors_lone', count(*) FROM doctors WHERE profile_id IS NULL
UNION ALL SELECT 'half_patients_lone', count(*) FROM patients WHERE profile_id IS NULL
UNION ALL SELECT 'half_patient_profiles', count(*) FROM profiles p WHERE legacy_patient_id IS NOT NULL AND NOT EXISTS (SELECT FROM patients WHERE profile_id = p.id)
UNION ALL SELECT 'technicians', count(*) FROM technicians WHERE profile_id IS NULL
UNION ALL SELECT 'practices 0', count(*) FROM profiles WHERE practice_id IS NOT NULL
UNION ALL SELECT 'suffixes_left 0', count(suffix) FROM patients
UNION ALL SELECT 'templates_left 0', (SELECT count(*) FROM templates) + (SELECT count(*) FROM template_view_groups) + (SELECT count(*) FROM template_view_roles)
    + (SELECT count(*) FROM treatment_discussions) + (SELECT count(*) FROM order_cases)
UNION ALL SELECT 'operations', count(*) FROM operations
UNION ALL SELECT 'operation_cases 1', count(DISTINCT case_id) FROM operations
UNION ALL SELECT 'roles_technician', count(*) FROM technician_roles
UNION ALL SELECT 'role_technicians 1', count(DISTINCT technician_id) FROM technician_roles
UNION ALL SELECT 'comments_doubled 0', count(*) FILTER (WHERE legacy_record_id IS NULL) - count(legacy_record_id) FROM case_messages
UNION ALL SELECT 'records', count(*) - 1 FROM messages
UNION ALL SELECT 'payments_qualifying', count(*) FROM purchases
UNION ALL SELECT 'half_messages_nobodys', count(*) FROM system_messages WHERE legacy_record_id IS NULL
UNION ALL SELECT 'role_permissions', count(*) FROM role_permissions
UNION ALL SELECT 'dangling 0', sum(n) FROM dangling;
