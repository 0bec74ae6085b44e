-- What the target must hold of files, records, comments and notifications, over the legacy tables and in their keys; after
-- expected/orders.sql. Of the large ones a line stands for a hundred rows and more: how many, and a hash of them all.
CREATE TEMP TABLE big AS SELECT * FROM (VALUES ('files', 0::bigint, '')) x (what, key, row) WHERE false;
CREATE FUNCTION pg_temp.object(text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN RETURN CASE WHEN jsonb_typeof($1::jsonb) = 'object' THEN $1::jsonb END; EXCEPTION WHEN data_exception THEN RETURN NULL; END $$;
CREATE TEMP TABLE filed AS
SELECT f.*, o.id AS "order", o.patient_id AS patient, lower(btrim(ext)) AS e,
    CASE WHEN type IN (1, 3, 4, 5) THEN 'photo' WHEN type = 2 THEN 'model' WHEN type IN (6, 7) THEN 'scan' WHEN type = 8 THEN 'image' WHEN type BETWEEN 9 AND 16 THEN 'document'
        WHEN type = 17 THEN 'final_photo' ELSE 'other' END AS kind
FROM dispatch_file f LEFT JOIN "order" o ON o.id = f.instruction_id;
INSERT INTO big
SELECT 'files', key, to_jsonb(x)::text FROM (
    SELECT id AS key, uid, coalesce(nullif(regexp_replace(btrim(name), '(\.[^.]+)\1+$', '\1', 'i'), ''), 'file_' || id || coalesce(ext, '')) AS name, name AS original, e AS extension, kind, type,
        size, "order", coalesce('{".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".stl": "model/stl", ".zip": "application/zip", ".dxf": "image/vnd.dxf",
            ".dcm": "application/dicom", ".pdf": "application/pdf", ".txt": "text/plain", ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document"}'::jsonb ->> e, 'application/octet-stream') AS mime,
        parameters <> '' IS TRUE AS parameters, created_at AS at
    FROM filed) x
UNION ALL
SELECT 'order_files', id, jsonb_build_array(id, "order", CASE WHEN e IN ('.stl', '.ply') THEN 'scan' WHEN e IN ('.jpg', '.jpeg', '.png', '.gif') THEN CASE type WHEN 17 THEN 'final_package' ELSE 'image' END
    WHEN e = '.pdf' THEN 'document' WHEN e IN ('.zip', '.rar') THEN 'package' WHEN type IN (6, 7) THEN 'scan' WHEN type = 8 THEN 'image' ELSE 'other' END)::text
FROM filed WHERE "order" IS NOT NULL
UNION ALL
SELECT 'case_files', id, jsonb_build_array(id, patient, kind)::text FROM filed WHERE patient IS NOT NULL
UNION ALL
SELECT 'message_attachments', f.id, jsonb_build_array(f.id, r.id)::text FROM filed f JOIN dispatch_record r ON r.id = f.record_id
UNION ALL
SELECT 'system_messages', n.id, jsonb_build_array(n.id, CASE WHEN template_name ~* 'order' THEN 'order_update' WHEN template_name ~* 'ship' THEN 'shipment_update' WHEN template_name ~* 'pay|invoice' THEN 'payment_update'
        WHEN template_name ~* 'case|plan' THEN 'case_update' WHEN template_name ~* 'remind' THEN 'reminder' WHEN template_name ~* 'welcome' THEN 'welcome' WHEN template_name ~* 'status' THEN 'status_update' ELSE 'notification' END,
    template_name, md5(d.object::text), u.id, o.id, sender, read, sent, t.model, item_id, created_at)::text
FROM dispatch_notification n LEFT JOIN auth_user u ON u.id = n.recipient_id LEFT JOIN django_content_type t ON t.id = n.item_type_id
LEFT JOIN "order" o ON o.id = n.item_id AND (t.app_label, t.model) = ('dispatch', 'instruction'), LATERAL (SELECT pg_temp.object(template_context) AS object) d
WHERE sent AND send AND d.object IS NOT NULL
UNION ALL
SELECT 'tasks', k.id, jsonb_build_array(k.id, CASE WHEN checked THEN 'completed' ELSE 'pending' END, done_at, text, (ARRAY['both', 'upper', 'lower'])[jaw], m.id, o.id, l.id, f.id, u.id)::text
FROM dispatch_task k LEFT JOIN dispatch_template m ON m.id = k.template_id LEFT JOIN "order" o ON o.id = k.instruction_id LEFT JOIN dispatch_plan l ON l.id = k.plan_id
LEFT JOIN dispatch_file f ON f.id = k.file_id LEFT JOIN auth_user u ON u.id = k.actor_id;
INSERT INTO expected
SELECT what || ' ' || key / 100 || ': ' || count(*) || ' rows, ' || bit_xor(hashtextextended(row, 0)) FROM big GROUP BY what, key / 100;

-- Whom a record is about, and which case it is of.
CREATE TEMP TABLE recorded AS
SELECT r.*, p.id AS patient, n.id AS "user", coalesce(p.id, o.patient_id, y.patient_id) AS "case", t.model IN ('patient', 'plan', 'instruction') AND t.app_label = 'dispatch' AS clinical
FROM dispatch_record r LEFT JOIN django_content_type t ON t.id = r.target_type_id
LEFT JOIN good_patient p ON (t.app_label, t.model) = ('dispatch', 'patient') AND p.id = r.target_id
LEFT JOIN auth_user n ON ((t.app_label, t.model) = ('auth', 'user') OR t.id = 58) AND n.id = r.target_id
LEFT JOIN "order" o ON (t.app_label, t.model) = ('dispatch', 'instruction') AND o.id = r.target_id
LEFT JOIN dispatch_plan l ON (t.app_label, t.model) = ('dispatch', 'plan') AND l.id = r.target_id LEFT JOIN "order" y ON y.id = l.instruction_id;
CREATE FUNCTION pg_temp.class_of(text) RETURNS text LANGUAGE sql AS
    $$ SELECT CASE WHEN $1 ~* '(approve|looks good)' THEN 'doctor_response' WHEN $1 ~* '(\?|question|please)' THEN 'patient_question' WHEN $1 ~* '(treatment|plan)' THEN 'treatment_update' ELSE 'clinical_note' END $$;
INSERT INTO expected
SELECT 'messages ' || to_jsonb(x)::text FROM (
    SELECT r.id AS key, CASE WHEN r.type IS NULL THEN 'system' ELSE coalesce('{"3": "support", "5": "clinical_note", "6": "patient_communication", "8": "status_update"}'::jsonb ->> r.type::text, 'other') END AS type,
        r.type AS code, left(r.text, 50) AS title, r.text AS content, s.id AS sender, CASE WHEN r.patient IS NOT NULL THEN 'patient' WHEN r."user" IS NOT NULL THEN 'user' ELSE 'system' END AS recipient_type,
        coalesce(r.patient, r."user") AS recipient, r.patient, r."case", r.target_type_id, r.target_id, r.group_id, r.public, r.created_at AS at
    FROM recorded r LEFT JOIN auth_user s ON s.id = r.author_id) x
UNION ALL
SELECT 'case_messages ' || to_jsonb(x)::text FROM (
    SELECT 'dispatch_record' AS "table", r.id AS key, r."case", r.id AS message, s.id AS sender, pg_temp.class_of(r.text) AS class, pg_temp.class_of(r.text) = 'patient_question' AS asks, r.text AS content, r.created_at AS at
    FROM recorded r LEFT JOIN auth_user s ON s.id = r.author_id WHERE r.clinical AND r."case" IS NOT NULL
    UNION ALL
    SELECT 'dispatch_comment', c.id, o.patient_id, NULL, u.id, pg_temp.class_of(c.text), pg_temp.class_of(c.text) = 'patient_question', c.text, c.created_at
    FROM dispatch_comment c JOIN dispatch_plan l ON l.id = c.plan_id JOIN "order" o ON o.id = l.instruction_id LEFT JOIN auth_user u ON u.id = c.author_id WHERE c.text IS NOT NULL) x
UNION ALL
SELECT 'comments ' || to_jsonb(x)::text FROM (
    SELECT c.id AS key, u.id AS author, c.text AS content, c.created_at AS at, l.id AS plan FROM dispatch_comment c LEFT JOIN auth_user u ON u.id = c.author_id LEFT JOIN dispatch_plan l ON l.id = c.plan_id WHERE c.text IS NOT NULL) x;
