-- What the target holds of people and practices, as lines like those of expected/people.sql, ids as legacy keys; without
-- the rows that the stream has closed.
CREATE TEMP TABLE found (line text);
INSERT INTO found
SELECT 'profiles ' || to_jsonb(x)::text FROM (
    SELECT legacy_user_id AS key, email, (metadata -> 'duplicate_email')::boolean AS duplicate, profile_type AS kind, legacy_patient_id AS patient,
        archived, suspended, patient_suffix AS suffix, date_of_birth AS born, gender, metadata -> 'groups' AS groups,
        metadata #> '{settings,emails}' AS emails
    FROM profiles WHERE role = profile_type::text) x
UNION ALL
SELECT 'doctors ' || to_jsonb(x)::text FROM (
    SELECT d.legacy_user_id AS key, p.legacy_user_id AS profile, o.legacy_office_id AS office, status,
        joined_practice_at AS joined, licensed_since AS licensed, d.created_at AS created, d.metadata <> '{}' AS setting,
        (d.metadata ->> 'credit')::numeric AS credit, (d.metadata ->> 'promised_payment')::numeric AS promised, (d.metadata ->> 'tier_type')::int AS tier,
        nullif(d.metadata -> 'masters', '[]') AS masters
    FROM doctors d LEFT JOIN profiles p ON p.id = d.profile_id LEFT JOIN offices o ON o.id = d.primary_office_id) x
UNION ALL
SELECT 'technicians ' || to_jsonb(x)::text FROM (
    SELECT t.legacy_user_id AS key, p.legacy_user_id AS profile, legacy_technician_id AS technician, employee_id AS employee,
        t.first_name AS first, t.last_name AS last, t.email, status, t.is_active AS active, hire_date AS hired, t.created_at AS created
    FROM technicians t LEFT JOIN profiles p ON p.id = t.profile_id WHERE NOT t.metadata ? 'source_deleted_at') x
UNION ALL
SELECT 'patients ' || to_jsonb(x)::text FROM (
    SELECT p.legacy_patient_id AS key, p.legacy_user_id AS "user", p.legacy_doctor_id AS legacy_doctor, f.legacy_user_id AS profile,
        p.first_name AS first, p.last_name AS last, p.email, p.suffix, sex, p.date_of_birth AS born,
        d.legacy_user_id AS doctor, a.legacy_user_id AS assigned, o.legacy_office_id AS office, requires_manual_review AS review,
        p.metadata #>> '{association,method}' AS method, p.metadata #>> '{association,confidence}' AS confidence, p.status,
        (p.metadata -> 'status_code')::int AS code, p.archived, p.suspended, enrolled_at AS enrolled, p.created_at AS created, p.updated_at AS updated
    FROM patients p LEFT JOIN profiles f ON f.id = p.profile_id LEFT JOIN doctors d ON d.id = p.primary_doctor_id
    LEFT JOIN profiles a ON a.id = p.assigned_profile_id LEFT JOIN offices o ON o.id = p.assigned_office_id) x
UNION ALL
SELECT 'doctor_offices ' || to_jsonb(x)::text FROM (
    SELECT m.legacy_office_doctor_id AS key, d.legacy_user_id AS doctor, o.legacy_office_id AS office, role, is_primary AS first,
        m.is_active AS active, start_date AS since
    FROM doctor_offices m LEFT JOIN doctors d ON d.id = m.doctor_id LEFT JOIN offices o ON o.id = m.office_id
    WHERE NOT m.metadata ? 'source_deleted_at') x
UNION ALL
SELECT 'associations ' || to_jsonb(x)::text FROM (
    SELECT a.legacy_user_id AS key, o.legacy_office_id AS office, association_method AS method, confidence_level AS confidence,
        requires_manual_review AS review, f.legacy_office_id AS in_profile
    FROM practice_profile_associations a LEFT JOIN offices o ON o.id = a.practice_id
    LEFT JOIN profiles p ON p.id = a.profile_id LEFT JOIN offices f ON f.id = p.practice_id) x
UNION ALL
SELECT 'network ' || to_jsonb(x)::text FROM (
    SELECT p.legacy_patient_id AS key, d.legacy_user_id AS doctor, o.legacy_office_id AS office, n.country
    FROM patients_doctors_offices n JOIN patients p ON p.id = n.patient_id LEFT JOIN doctors d ON d.id = n.doctor_id
    LEFT JOIN offices o ON o.id = n.office_id) x;
