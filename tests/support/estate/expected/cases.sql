-- What the target must hold of cases, projects' orders and states; after expected/orders.sql.
CREATE TEMP TABLE event AS
SELECT s.*, o.patient_id, (ARRAY['treatment_active', 'case_closed', 'in_production', 'shipped', 'delivered', 'completed', 'cancelled',
    'on_hold'])[s.status - 10] AS state
FROM dispatch_state s JOIN "order" o ON o.id = s.instruction_id;
CREATE TEMP TABLE project AS
SELECT j.id, o.id AS "order", o.patient_id AS patient
FROM dispatch_project j
LEFT JOIN (SELECT project_id, min(id) AS first FROM dispatch_plan GROUP BY 1) f ON f.project_id = j.id
LEFT JOIN dispatch_plan l ON l.id = f.first LEFT JOIN "order" o ON o.id = l.instruction_id;

INSERT INTO expected
SELECT 'cases ' || to_jsonb(x)::text FROM (
    SELECT p.id AS key, p.id AS patient, coalesce(p.office, 1) AS office, d.id AS doctor,
        coalesce((ARRAY['consultation', 'diagnosis', 'treatment_plan', 'active', 'refinement', 'retention', 'completed', 'cancelled', 'on_hold',
            'transferred', 'revision'])[p.status], 'consultation') AS status,
        coalesce(e.state, 'submitted') AS state, p.archived OR p.suspended AS deleted
    FROM good_patient p LEFT JOIN doctor d ON d.id = p.doctor_id
    LEFT JOIN (SELECT DISTINCT ON (patient_id) patient_id, state FROM event WHERE state IS NOT NULL ORDER BY patient_id, changed_at DESC, id DESC) e
        ON e.patient_id = p.id) x
UNION ALL
SELECT 'project_cases ' || to_jsonb(x)::text FROM (
    SELECT j.id AS key, p.id AS patient, p.id AS parent, CASE WHEN p.id IS NOT NULL THEN coalesce(p.office, 1) END AS office, p.id IS NULL AS review,
        j."order" AS "order", CASE WHEN p.id IS NOT NULL THEN coalesce(p.office, 1) END AS project_office
    FROM project j LEFT JOIN good_patient p ON p.id = j.patient) x
UNION ALL
SELECT 'case_states ' || to_jsonb(x)::text FROM (
    SELECT e.id AS key, e.patient_id AS patient, lag(e.state) OVER (PARTITION BY e.patient_id ORDER BY e.changed_at, e.id) AS "from", e.state AS "to",
        u.id AS by, e.changed_at AS at, e.status AS code, e."on", e.instruction_id AS instruction
    FROM event e LEFT JOIN auth_user u ON u.id = e.actor_id WHERE e.state IS NOT NULL) x;
