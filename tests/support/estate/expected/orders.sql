-- What the target must hold of products, orders, jaws and plans, over the legacy tables and in their keys; after
-- expected/people.sql, whose tables it reads.
CREATE TEMP TABLE course AS
SELECT id, (ARRAY['main', 'refinement', 'any', 'replacement', 'invoice', 'merchandise'])[type] AS name FROM dispatch_course;
CREATE TEMP TABLE "order" AS
SELECT i.*, p.doctor_id, p.office_id, p.suffix AS patient_suffix, d.id AS doctor, o.id AS office
FROM dispatch_instruction i JOIN good_patient p ON p.id = i.patient_id LEFT JOIN doctor d ON d.id = p.doctor_id LEFT JOIN place o ON o.id = p.office_id;

INSERT INTO expected
SELECT 'products ' || to_jsonb(x)::text FROM (
    SELECT p.id AS key, coalesce(nullif(btrim(p.name), ''), 'Product ' || p.id) AS name, c.name AS course, p.free, p.substitute, p.deleted,
        p.type::text AS type
    FROM dispatch_product p LEFT JOIN course c ON c.id = p.course_id) x
UNION ALL
SELECT 'orders ' || to_jsonb(x)::text FROM (
    SELECT o.id AS key, o.patient_id AS patient, o.doctor, o.office, c.name AS course,
        coalesce((ARRAY['no_product', 'submitted', 'approved', 'in_production', 'shipped', 'add_plan'])[o.status + 1], 'unknown') AS status,
        o.status AS code, o.suffix, coalesce(o.notes, '') AS notes, coalesce(o.complaint, '') AS complaint, o.price AS amount,
        o.exports IS NOT NULL AND btrim(o.exports) <> '' AS exports, o.submitted_at AS submitted,
        CASE WHEN o.status IN (2, 3, 4, 5) THEN o.updated_at END AS approved, CASE o.status WHEN 4 THEN o.updated_at END AS shipped,
        o.deleted, CASE WHEN o.deleted THEN o.updated_at END AS deleted_at, o.objective, o.conditions, o.scanner, o.model, o.cbct,
        o."order" AS sequence, o.upper_jaw_id AS upper, o.lower_jaw_id AS lower
    FROM "order" o LEFT JOIN course c ON c.id = o.course_id) x
UNION ALL
SELECT 'order_cases ' || to_jsonb(x)::text FROM (
    SELECT id AS "order", 'patient ' || patient_id AS "case", 'primary' AS kind FROM "order"
    UNION ALL
    SELECT DISTINCT l.instruction_id, 'project ' || j.id, 'secondary'
    FROM dispatch_plan l JOIN "order" o ON o.id = l.instruction_id JOIN dispatch_project j ON j.id = l.project_id) x
UNION ALL
SELECT 'jaws ' || to_jsonb(x)::text FROM (
    SELECT j.id AS key, min(s.id) AS "order", p.id AS product, min(s.side) AS side, j.labial, j.bond_teeth AS bond, j.extract_teeth AS extract,
        (ARRAY['breakage', 'other', 'complete'])[j.reason] AS reason
    FROM dispatch_jaw j
    JOIN (SELECT id, upper_jaw_id AS jaw, 'upper' AS side FROM dispatch_instruction
        UNION ALL SELECT id, lower_jaw_id, 'lower' FROM dispatch_instruction) s ON s.jaw = j.id
    LEFT JOIN dispatch_product p ON p.id = j.product_id
    GROUP BY j.id, p.id HAVING count(*) = 1 AND min(s.id) IN (SELECT id FROM "order")
        AND translate(j.bond_teeth || j.extract_teeth, '01', '') = '' AND length(j.bond_teeth || '|' || j.extract_teeth) = 33) x
UNION ALL
SELECT 'treatment_plans ' || to_jsonb(x)::text FROM (
    SELECT l.id AS key, l.instruction_id AS instruction, j.id AS project, o.id AS "order", o.patient_id AS patient, o.doctor, l.number, l.name, l.notes,
        l.original, CASE WHEN l.original THEN 'initial_treatment' ELSE 'revision' END AS type, CASE WHEN l.number > 1 THEN l.number - 1 ELSE 0 END AS revisions
    FROM dispatch_plan l LEFT JOIN dispatch_project j ON j.id = l.project_id LEFT JOIN "order" o ON o.id = l.instruction_id) x;

-- Numbers are issued once, as things stood then: said apart, for they are compared before anything has changed.
CREATE TEMP TABLE issued (line text);
INSERT INTO issued
SELECT 'order_number ' || id || ' ' || CASE WHEN btrim(patient_suffix) <> '' THEN btrim(patient_suffix) || '-' || id ELSE 'ORD-' || id END FROM "order"
UNION ALL
SELECT 'case_number ' || id || ' ' || CASE WHEN btrim(suffix) <> '' THEN 'CASE-' || btrim(suffix) || '-' || id ELSE 'CASE-P' || id END FROM good_patient
UNION ALL
SELECT 'patient_number ' || id || ' PAT-' || id FROM good_patient
UNION ALL
SELECT 'doctor_number ' || id || ' DOC-' || CASE WHEN id < 1000000 THEN to_char(id, 'FM000000') ELSE id::text END FROM doctor
UNION ALL
SELECT 'payment_number ' || id || ' PAY-' || id FROM dispatch_payment;
