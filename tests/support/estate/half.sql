-- The target as earlier runs left it, from the legacy rows: one view for each deployed table, in the schema deployed of the
-- legacy database. Ids are random ones of that table's own stream, in which a reference finds them again. Everything came
-- in one week of October 2025, the second load of comments in November.
CREATE SCHEMA deployed;

-- Who got a profile. Doctors by rank: the first have a profile and no row, the next have both, the rest a row alone; a
-- doctor who is a patient too has one profile. Other patients by number likewise.
CREATE TABLE estate.had AS
WITH d AS (
    SELECT d.user_id, d.rank > c.half_doctor_profiles AS doctor_row,
        d.rank <= c.doctors - (c.half_doctors_lone - c.half_doctors_gone) AS profile
    FROM estate.c, estate.doctor d
), p AS (
    SELECT p.id AS patient_id, p.user_id, d.profile, row_number() OVER (PARTITION BY d.user_id IS NULL ORDER BY estate.rnd(p.id, 901, 1000000), p.id) AS n,
        count(*) FILTER (WHERE d.profile) OVER () AS with_doctor
    FROM dispatch_patient p LEFT JOIN d USING (user_id)
)
SELECT u.id AS user_id, p.patient_id, d.user_id IS NOT NULL AS doctor, coalesce(d.doctor_row, false) AS doctor_row,
    p.patient_id IS NOT NULL AND NOT (d.user_id IS NULL AND p.n <= c.half_patient_profiles) AS patient_row,
    coalesce(d.profile, p.n <= c.half_patient_profiles + (c.patients - c.half_patient_profiles - (c.half_patients_lone - c.half_patients_gone)) - p.with_doctor,
        u.id <= c.half_other_profiles) AS profile
FROM estate.c CROSS JOIN auth_user u LEFT JOIN d ON d.user_id = u.id LEFT JOIN p ON p.user_id = u.id;
ALTER TABLE estate.had ADD PRIMARY KEY (user_id);
CREATE UNIQUE INDEX ON estate.had (patient_id) WHERE patient_id IS NOT NULL;
ANALYZE estate.had;
CREATE TABLE estate.had_office AS
SELECT o.id AS office_id FROM estate.c, dispatch_office o ORDER BY estate.rnd(o.id, 902, 1000000), o.id LIMIT (SELECT half_offices FROM estate.c);
ALTER TABLE estate.had_office ADD PRIMARY KEY (office_id);

CREATE FUNCTION estate.loaded(i bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql RETURN timestamptz '2025-10-20 08:00+00' + (i % 500000) * interval '1 second';
-- estate.old(table's stream, legacy id)
CREATE FUNCTION estate.old(stream int, legacy bigint) RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN estate.uid(legacy, 9000 + stream);

CREATE VIEW deployed.offices AS
SELECT estate.old(1, id) AS id, id AS legacy_office_id, lower(btrim(coalesce(nullif(name, ''), 'office'))) AS name, lower(address) AS address, apt AS apartment, lower(city) AS city, state,
    regexp_replace(zip, '[^0-9]', '', 'g') AS zip_code, 'US' AS country, phone, least(tax_rate / 100, 0.9999) AS tax_rate, valid AS is_active, estate.loaded(id) AS created_at
FROM dispatch_office JOIN estate.had_office ON office_id = id
UNION ALL
SELECT estate.old(1, 51000 + g), 51000 + g::int, 'closed office ' || g, NULL, NULL, NULL, NULL, NULL, 'US', NULL, 0, false, estate.loaded(g) FROM estate.c, generate_series(1, c.half_offices_gone) g;

CREATE VIEW deployed.profiles AS -- an early variant of who is what: the patient's row first
SELECT estate.old(2, u.id) AS id, u.id AS legacy_user_id, h.patient_id AS legacy_patient_id,
    CASE WHEN h.patient_id IS NOT NULL THEN 'patient' WHEN h.doctor THEN CASE WHEN u.id % 40 = 0 THEN 'client' ELSE 'doctor' END ELSE 'admin' END AS profile_type,
    CASE WHEN u.email ~ '^[^@]+@[^@]+$' THEN u.email END AS email, u.first_name, u.last_name, '' AS phone, u.username, u.is_active, u.last_login AS last_login_at, u.date_joined AS created_at, '{"origin": "first run"}' AS metadata
FROM estate.had h JOIN auth_user u ON u.id = h.user_id WHERE h.profile;

CREATE VIEW deployed.doctors AS
SELECT estate.old(3, u.id) AS id, CASE WHEN h.profile THEN estate.old(2, u.id) END AS profile_id, u.id AS legacy_user_id, 'DOC-' || lpad(u.id::text, 6, '0') AS doctor_number,
    'active' AS status, 11 AS years_experience, 'Writes in the morning' AS bio, u.date_joined AS joined_practice_at, estate.loaded(u.id) AS created_at
FROM estate.had h JOIN auth_user u ON u.id = h.user_id WHERE h.doctor_row
UNION ALL
SELECT estate.old(3, estate.gone(g)), NULL, estate.gone(g), 'DOC-' || lpad(estate.gone(g)::text, 6, '0'), 'inactive', 30, NULL, NULL, estate.loaded(g) FROM estate.c, generate_series(1, c.half_doctors_gone) g;

CREATE VIEW deployed.patients AS -- D18: no suffix; D16: those without an office of their own have none
SELECT estate.old(4, p.id) AS id, CASE WHEN h.profile THEN estate.old(2, p.user_id) END AS profile_id, p.id AS legacy_patient_id, p.user_id AS legacy_user_id, p.doctor_id AS legacy_doctor_id,
    'P' || lpad(p.id::text, 6, '0') AS patient_number, u.first_name, u.last_name, CASE p.sex WHEN 1 THEN 'male' WHEN 2 THEN 'female' ELSE 'other' END AS sex, p.birthdate AS date_of_birth,
    CASE WHEN d.doctor_row THEN estate.old(3, p.doctor_id) END AS primary_doctor_id, CASE WHEN o.office_id IS NOT NULL THEN estate.old(1, p.office_id) END AS assigned_office_id,
    'active' AS status, p.archived, p.suspended, p.submitted_at AS enrolled_at, estate.loaded(p.id) AS created_at
FROM estate.had h JOIN dispatch_patient p ON p.id = h.patient_id JOIN auth_user u ON u.id = p.user_id LEFT JOIN estate.had d ON d.user_id = p.doctor_id LEFT JOIN estate.had_office o USING (office_id)
WHERE h.patient_row
UNION ALL
SELECT estate.old(4, estate.gone(g)), NULL, estate.gone(g), estate.gone(g), NULL, 'P' || lpad(estate.gone(g)::text, 6, '0'), 'Once', 'There', 'other', NULL, NULL, NULL, 'archived', true, false, NULL, estate.loaded(g)
FROM estate.c, generate_series(1, c.half_patients_gone) g;

CREATE VIEW deployed.technicians AS -- D3: none has a profile
SELECT estate.old(5, u.id) AS id, u.id AS user_id, u.id AS legacy_user_id, u.id AS legacy_technician_id, u.username AS employee_id, u.first_name, u.last_name, estate.loaded(u.id) AS created_at
FROM auth_user_groups g JOIN auth_user u ON u.id = g.user_id WHERE g.group_id = 11;
CREATE VIEW deployed.roles AS SELECT estate.old(6, id) AS id, id AS legacy_id, name, estate.loaded(id) AS created_at FROM dispatch_role;
CREATE VIEW deployed.technician_roles AS -- D39: all on one technician
SELECT estate.old(7, id) AS id, id AS legacy_role_id, estate.old(5, (SELECT min(user_id) FROM auth_user_groups WHERE group_id = 11)) AS technician_id, 'manufacturing' AS role_type, name AS role_name, abbrev AS abbreviation
FROM dispatch_role WHERE group_id = 11;
CREATE VIEW deployed.role_permissions AS
SELECT estate.old(8, r.id) AS id, estate.old(6, r.role_id) AS role_id, p.name AS permission, p.codename AS resource, r.id AS legacy_junction_id, r.role_id AS legacy_role_id, r.permission_id AS legacy_permission_id
FROM dispatch_role_permissions r JOIN auth_permission p ON p.id = r.permission_id;
CREATE VIEW deployed.doctor_offices AS
SELECT estate.old(9, m.id) AS id, estate.old(3, m.user_id) AS doctor_id, estate.old(1, m.office_id) AS office_id, 'doctor' AS role, false AS is_primary, date '2025-10-20' AS start_date
FROM dispatch_office_doctors m JOIN estate.had h USING (user_id) JOIN estate.had_office USING (office_id) WHERE h.doctor_row AND m.id <= (SELECT half_doctor_offices FROM estate.c);
CREATE VIEW deployed.categories AS SELECT estate.old(10, id) AS id, id AS legacy_category_id, name, CASE WHEN parent_id IS NOT NULL THEN estate.old(10, parent_id) END AS parent_id FROM dispatch_category;
CREATE VIEW deployed.products AS SELECT estate.old(11, id) AS id, id AS legacy_product_id, coalesce(nullif(name, ''), 'Product') AS name, free AS is_free FROM dispatch_product;

CREATE VIEW deployed.cases AS -- one for each patient, but for the last
SELECT estate.old(12, p.id) AS id, p.id AS legacy_patient_id, estate.old(4, p.id) AS patient_id, 'C-' || p.id AS case_number, 'consultation' AS status, estate.loaded(p.id) AS created_at
FROM estate.c, dispatch_patient p JOIN estate.had h ON h.patient_id = p.id WHERE h.patient_row AND p.id <= estate.id(c.patients - c.half_cases_missing)
UNION ALL
SELECT estate.old(12, estate.gone(g)), estate.gone(g), estate.old(4, estate.gone(g)), 'C-' || estate.gone(g), 'cancelled', estate.loaded(g) FROM estate.c, generate_series(1, c.half_patients_gone) g;
CREATE VIEW deployed.orders AS -- a doctor was asked for: D21
SELECT estate.old(13, i.id) AS id, i.id AS legacy_instruction_id, 'ORD-' || i.id AS order_number, estate.old(4, i.patient_id) AS patient_id, estate.old(3, p.doctor_id) AS doctor_id,
    CASE WHEN i.status = 4 THEN 'approved' ELSE 'on_hold' END AS status, i.price AS amount, i.submitted_at, i.deleted, estate.loaded(i.id) AS created_at, '{"run": 1}' AS metadata
FROM dispatch_instruction i JOIN dispatch_patient p ON p.id = i.patient_id JOIN estate.had h ON h.patient_id = p.id AND h.patient_row JOIN estate.had d ON d.user_id = p.doctor_id AND d.doctor_row
UNION ALL
SELECT estate.old(13, estate.gone(g)), estate.gone(g), 'ORD-' || estate.gone(g), estate.old(4, estate.gone(1 + g % c.half_patients_gone)), estate.old(3, estate.gone(1 + g % c.half_doctors_gone)), 'cancelled', NULL, NULL, true, estate.loaded(g), '{}'
FROM estate.c, generate_series(1, c.half_orders_gone) g;
CREATE VIEW deployed.jaws AS -- what has one side of one order
SELECT estate.old(14, j.id) AS id, j.id AS legacy_jaw_id, estate.old(13, s.instruction_id) AS order_id, CASE WHEN j.product_id IS NOT NULL THEN estate.old(11, j.product_id) END AS product_id,
    s.side AS jaw_type, j.labial, j.bond_teeth, j.extract_teeth, estate.loaded(j.id) AS created_at
FROM dispatch_jaw j JOIN (SELECT jaw_id, min(instruction_id) AS instruction_id, min(side) AS side
    FROM (SELECT upper_jaw_id AS jaw_id, id AS instruction_id, 'upper' AS side FROM dispatch_instruction UNION ALL SELECT lower_jaw_id, id, 'lower' FROM dispatch_instruction) x GROUP BY 1 HAVING count(*) = 1) s ON s.jaw_id = j.id
WHERE estate.old(13, s.instruction_id) IN (SELECT id FROM deployed.orders);
CREATE VIEW deployed.projects AS -- whoever made it had to have a profile, so one made them all
SELECT estate.old(15, id) AS id, id AS legacy_project_id, (SELECT estate.old(2, min(user_id)) FROM estate.had WHERE profile) AS creator_id, coalesce(nullif(name, ''), 'Project') AS name,
    CASE type WHEN 3 THEN 'treatment_plan' WHEN 10 THEN 'simulation' WHEN 11 THEN 'aligner_design' ELSE 'other' END AS project_type, uid AS file_uid, size AS file_size, created_at
FROM estate.c, dispatch_project p WHERE p.id <= estate.id(c.half_projects);
CREATE VIEW deployed.treatment_plans AS
SELECT estate.old(16, id) AS id, id AS legacy_plan_id, CASE WHEN project_id <= estate.id(c.half_projects) THEN estate.old(15, project_id) END AS project_id, number AS plan_number, name AS plan_name, estate.loaded(id) AS created_at
FROM estate.c, dispatch_plan p WHERE p.id <= estate.id(c.half_plans);
CREATE VIEW deployed.order_states AS
SELECT estate.old(17, s.id) AS id, s.id AS legacy_state_id, estate.old(13, s.instruction_id) AS order_id, s.status AS status_code, CASE s.status WHEN 11 THEN 'review' ELSE 'processing' END AS status_name, s."on" AS is_active, s.changed_at
FROM dispatch_state s WHERE estate.old(13, s.instruction_id) IN (SELECT id FROM deployed.orders);
CREATE VIEW deployed.case_states AS
SELECT estate.old(18, s.id) AS id, s.id AS legacy_state_id, estate.old(12, i.patient_id) AS case_id, 'submitted' AS previous_state, CASE s.status WHEN 11 THEN 'treatment_active' ELSE 'case_closed' END AS current_state, s.changed_at
FROM estate.c, dispatch_state s JOIN dispatch_instruction i ON i.id = s.instruction_id WHERE estate.old(12, i.patient_id) IN (SELECT id FROM deployed.cases) AND s.id <= estate.id(c.states - c.states / 66);

CREATE VIEW deployed.files AS
SELECT estate.old(19, f.id) AS id, f.id AS legacy_file_id, f.uid AS file_uid, coalesce(nullif(f.name, ''), 'file') AS filename, f.ext AS extension, f.size,
    CASE WHEN o.id IS NOT NULL THEN o.id END AS order_id, 'legacy/' || f.uid AS storage_path, 's3' AS storage_provider, f.created_at AS uploaded_at
FROM estate.c, dispatch_file f LEFT JOIN deployed.orders o ON o.legacy_instruction_id = f.instruction_id AND f.instruction_id % 51 <> 0 WHERE f.id <= estate.id(c.files - c.half_files_missing)
UNION ALL
SELECT estate.old(19, estate.gone(g)), estate.gone(g), estate.uid(g, 903), 'gone.stl', '.stl', 1, NULL, 'legacy/gone/' || g, 's3', estate.loaded(g) FROM estate.c, generate_series(1, c.half_files_gone) g;
CREATE VIEW deployed.case_files AS
SELECT estate.uid(f.id, 9020) AS id, estate.old(12, i.patient_id) AS case_id, estate.old(19, f.id) AS file_id, 'first run' AS notes
FROM estate.c, dispatch_file f JOIN dispatch_instruction i ON i.id = f.instruction_id JOIN deployed.cases k ON k.legacy_patient_id = i.patient_id WHERE f.id <= estate.id(c.files - c.half_files_missing);
CREATE VIEW deployed.messages AS -- D38: one more than the source has, a double of the first
SELECT estate.old(21, id) AS id, id AS legacy_record_id, 'note' AS message_type, left(text, 50) AS title, text AS content, 'system' AS recipient_type, target_type_id AS legacy_target_type_id, target_id AS legacy_target_id,
    author_id AS legacy_author_id, created_at FROM dispatch_record
UNION ALL
SELECT estate.uid(1, 904), 1, 'note', 'again', text, 'system', NULL, NULL, NULL, created_at + interval '1 day' FROM dispatch_record WHERE id = 1;
-- D29: the comments, and again under another column. Both have been written by the same text, time and case.
CREATE VIEW deployed.case_messages AS
SELECT estate.old(22, m.id) AS id, estate.old(12, i.patient_id) AS case_id, m.id AS legacy_record_id, NULL::int AS legacy_message_id, 'clinical_note' AS message_type, m.text AS content, m.created_at AS sent_at, estate.loaded(m.id) AS created_at
FROM dispatch_comment m JOIN dispatch_plan p ON p.id = m.plan_id JOIN dispatch_instruction i ON i.id = p.instruction_id JOIN deployed.cases k ON k.legacy_patient_id = i.patient_id
UNION ALL
SELECT estate.uid(m.id, 905), estate.old(12, i.patient_id), NULL, m.id, 'clinical_note', m.text, m.created_at, timestamptz '2025-11-03 09:00+00'
FROM dispatch_comment m JOIN dispatch_plan p ON p.id = m.plan_id JOIN dispatch_instruction i ON i.id = p.instruction_id JOIN deployed.cases k ON k.legacy_patient_id = i.patient_id;
CREATE VIEW deployed.comments AS
SELECT estate.old(23, id) AS id, 'dispatch_comment' AS legacy_table, id AS legacy_id, 'treatment_discussion' AS comment_type, text AS content, created_at FROM estate.c, dispatch_comment WHERE id <= estate.id(c.comments * 14 / 15);
CREATE VIEW deployed.message_attachments AS
SELECT estate.uid(f.id, 9024) AS id, estate.old(21, f.record_id) AS message_id, estate.old(19, f.id) AS file_id, f.record_id AS legacy_record_id, f.id AS legacy_file_id
FROM (SELECT f.* FROM dispatch_file f WHERE record_id IS NOT NULL ORDER BY id LIMIT (SELECT half_attachments FROM estate.c)) f;
CREATE VIEW deployed.system_messages AS -- D37: with those that the source has deleted since, and some that are nobody's
SELECT estate.old(25, id) AS id, id AS legacy_record_id, 'notification' AS message_type, template_name AS message_code, template_context AS message_data, sent AS processed, created_at
FROM dispatch_notification WHERE sent AND send AND template_context ~ '^\{"name": "[^"\\]*", ".*\}$' AND template_context NOT LIKE '%[Circular%'
UNION ALL
SELECT estate.old(25, estate.gone(g)), estate.gone(g), 'notification', 'reminder', '{}', true, estate.loaded(g) FROM estate.c, generate_series(1, c.half_messages_gone) g
UNION ALL
SELECT estate.uid(g, 906), NULL, 'notice', 'from_elsewhere', '{"theirs": true}', true, estate.loaded(g) FROM estate.c, generate_series(1, c.half_messages_nobodys) g;

CREATE VIEW deployed.payments AS -- with an order, and a method that somebody could infer: D25
SELECT estate.old(26, p.id) AS id, p.id AS legacy_payment_id, o.id AS order_id, p.paid_price AS amount, p.total_price AS total_amount, CASE WHEN p.canceled THEN 'cancelled' ELSE 'completed' END AS status, p.made_at AS payment_date
FROM estate.c, dispatch_payment p JOIN deployed.orders o ON o.legacy_instruction_id = p.instruction_id WHERE p.id > estate.id(c.payments_unknown_method);
CREATE VIEW deployed.operations AS -- D39: all on one case
SELECT estate.old(27, id) AS id, id AS legacy_operation_id, (SELECT k.id FROM deployed.cases k WHERE k.legacy_patient_id = 1) AS case_id, CASE type WHEN 2 THEN 'refund' ELSE 'payment' END AS operation_type, price AS amount FROM dispatch_operation;
CREATE VIEW deployed.purchases AS
SELECT estate.old(28, id) AS id, id AS legacy_purchase_id, 1 AS quantity, total_price AS unit_price, total_price AS total_amount, 'from elsewhere' AS description, made_at AS purchased_at FROM dispatch_payment WHERE paid AND NOT canceled AND total_price > 0;

-- The application's own: they refer to rows that may turn out to be doubles, and must stay.
CREATE VIEW deployed.patient_events AS
SELECT estate.uid(legacy_patient_id, 907) AS id, id AS patient_id, 'called' AS event, estate.loaded(legacy_patient_id) AS happened_at FROM deployed.patients WHERE legacy_patient_id % 10 = 1;
CREATE VIEW deployed.global_settings AS SELECT estate.uid(1, 908) AS id, 'theme' AS name, '"light"' AS value;
