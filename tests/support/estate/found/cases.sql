-- What the target holds of cases, projects' orders and states, as lines like those of expected/cases.sql.
INSERT INTO found
SELECT 'cases ' || to_jsonb(x)::text FROM (
    SELECT c.legacy_patient_id AS key, p.legacy_patient_id AS patient, o.legacy_office_id AS office, d.legacy_user_id AS doctor, c.status,
        current_state AS state, deleted
    FROM cases c LEFT JOIN patients p ON p.id = c.patient_id LEFT JOIN offices o ON o.id = c.practice_id LEFT JOIN doctors d ON d.id = c.primary_doctor_id
    WHERE origin = 'patient' AND NOT c.metadata ? 'source_deleted_at') x
UNION ALL
SELECT 'project_cases ' || to_jsonb(x)::text FROM (
    SELECT c.legacy_project_id AS key, p.legacy_patient_id AS patient, a.legacy_patient_id AS parent, o.legacy_office_id AS office,
        c.requires_manual_review AS review, r.legacy_instruction_id AS "order", f.legacy_office_id AS project_office
    FROM cases c LEFT JOIN projects j ON j.legacy_project_id = c.legacy_project_id LEFT JOIN orders r ON r.id = j.order_id
    LEFT JOIN offices f ON f.id = j.practice_id LEFT JOIN patients p ON p.id = c.patient_id LEFT JOIN cases a ON a.id = c.parent_case_id
    LEFT JOIN offices o ON o.id = c.practice_id
    WHERE c.origin = 'project' AND NOT c.metadata ? 'source_deleted_at') x
UNION ALL
SELECT 'case_states ' || to_jsonb(x)::text FROM (
    SELECT legacy_state_id AS key, c.legacy_patient_id AS patient, from_state AS "from", to_state AS "to", u.legacy_user_id AS by, s.created_at AS at,
        s.metadata -> 'code' AS code, s.metadata -> 'on' AS "on", s.metadata -> 'instruction' AS instruction
    FROM case_states s LEFT JOIN cases c ON c.id = s.case_id LEFT JOIN profiles u ON u.id = s.changed_by) x;
