-- What the target holds of products, orders, jaws and plans, as lines like those of expected/orders.sql.
INSERT INTO found
SELECT 'products ' || to_jsonb(x)::text FROM (
    SELECT legacy_product_id AS key, name, course_type AS course, is_free AS free, is_substitute AS substitute, deleted, product_type AS type FROM products) x
UNION ALL
SELECT 'orders ' || to_jsonb(x)::text FROM (
    SELECT legacy_instruction_id AS key, p.legacy_patient_id AS patient, d.legacy_user_id AS doctor, f.legacy_office_id AS office, course_type AS course,
        o.status, legacy_status AS code, o.suffix, notes, complaint, amount, exports IS NOT NULL AS exports, submitted_at AS submitted,
        approved_at AS approved, shipped_at AS shipped, o.deleted, deleted_at, o.metadata -> 'objective' AS objective,
        o.metadata -> 'conditions' AS conditions, o.metadata -> 'scanner' AS scanner, o.metadata -> 'model' AS model, o.metadata -> 'cbct' AS cbct,
        o.metadata -> 'sequence' AS sequence, o.metadata -> 'upper_jaw_id' AS upper, o.metadata -> 'lower_jaw_id' AS lower
    FROM orders o LEFT JOIN patients p ON p.id = o.patient_id LEFT JOIN doctors d ON d.id = o.doctor_id LEFT JOIN offices f ON f.id = o.office_id
    WHERE NOT o.metadata ? 'source_deleted_at') x
UNION ALL
SELECT 'order_cases ' || to_jsonb(x)::text FROM (
    SELECT o.legacy_instruction_id AS "order", coalesce('patient ' || c.legacy_patient_id, 'project ' || c.legacy_project_id) AS "case",
        relationship_type AS kind
    FROM order_cases r LEFT JOIN orders o ON o.id = r.order_id LEFT JOIN cases c ON c.id = r.case_id) x
UNION ALL
SELECT 'jaws ' || to_jsonb(x)::text FROM (
    SELECT legacy_jaw_id AS key, o.legacy_instruction_id AS "order", p.legacy_product_id AS product, jaw_type AS side, labial, bond_teeth AS bond,
        extract_teeth AS extract, replacement_reason AS reason
    FROM jaws j LEFT JOIN orders o ON o.id = j.order_id LEFT JOIN products p ON p.id = j.product_id) x
UNION ALL
SELECT 'treatment_plans ' || to_jsonb(x)::text FROM (
    SELECT t.legacy_plan_id AS key, t.legacy_instruction_id AS instruction, j.legacy_project_id AS project, o.legacy_instruction_id AS "order",
        p.legacy_patient_id AS patient, d.legacy_user_id AS doctor, t.plan_number AS number, t.plan_name AS name, t.plan_notes AS notes,
        t.is_original AS original, treatment_type AS type, revision_count AS revisions
    FROM treatment_plans t LEFT JOIN projects j ON j.id = t.project_id LEFT JOIN orders o ON o.id = t.order_id
    LEFT JOIN patients p ON p.id = t.patient_id LEFT JOIN doctors d ON d.id = t.doctor_id) x;

CREATE TEMP TABLE issued (line text);
INSERT INTO issued
SELECT 'order_number ' || legacy_instruction_id || ' ' || order_number FROM orders
UNION ALL
SELECT 'case_number ' || legacy_patient_id || ' ' || case_number FROM cases WHERE origin = 'patient'
UNION ALL
SELECT 'patient_number ' || legacy_patient_id || ' ' || patient_number FROM patients
UNION ALL
SELECT 'doctor_number ' || legacy_user_id || ' ' || doctor_number FROM doctors
UNION ALL
SELECT 'payment_number ' || legacy_payment_id || ' ' || payment_number FROM payments;
