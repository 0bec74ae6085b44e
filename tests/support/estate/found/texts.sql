-- What the target holds of files, records, comments and notifications, like expected/texts.sql. A row whose last change
-- stands aside is not compared: it is its last good version.
CREATE TEMP TABLE aside AS
SELECT rule, (key::jsonb ->> 0)::bigint AS key FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND rule = 'system messages';
CREATE TEMP TABLE big AS SELECT * FROM (VALUES ('files', 0::bigint, '')) x (what, key, row) WHERE false;
INSERT INTO big
SELECT 'files', key, to_jsonb(x)::text FROM (
    SELECT legacy_file_id AS key, file_uid AS uid, filename AS name, original_name AS original, extension, file_kind AS kind, legacy_type AS type, size_bytes AS size, o.legacy_instruction_id AS "order",
        mime_type AS mime, parameters IS NOT NULL AS parameters, uploaded_at AS at
    FROM files f LEFT JOIN orders o ON o.id = f.order_id) x
UNION ALL
SELECT 'order_files', f.legacy_file_id, jsonb_build_array(f.legacy_file_id, o.legacy_instruction_id, category)::text FROM order_files x JOIN files f ON f.id = x.file_id JOIN orders o ON o.id = x.order_id
UNION ALL
SELECT 'case_files', f.legacy_file_id, jsonb_build_array(f.legacy_file_id, c.legacy_patient_id, file_purpose)::text FROM case_files x JOIN files f ON f.id = x.file_id JOIN cases c ON c.id = x.case_id
    WHERE x.legacy_file_id = f.legacy_file_id
UNION ALL
SELECT 'message_attachments', f.legacy_file_id, jsonb_build_array(f.legacy_file_id, m.legacy_record_id)::text FROM message_attachments x JOIN files f ON f.id = x.file_id JOIN messages m ON m.id = x.message_id
    WHERE legacy_attachment_id IS NULL
UNION ALL
SELECT 'system_messages', legacy_notification_id, jsonb_build_array(legacy_notification_id, message_type, message_code, md5(message_data::text), p.legacy_user_id, o.legacy_instruction_id, sender, is_read, processed,
    legacy_item_type, legacy_item_id, n.created_at)::text
FROM system_messages n LEFT JOIN profiles p ON p.id = n.recipient_id LEFT JOIN orders o ON o.id = n.order_id WHERE NOT EXISTS (SELECT FROM aside WHERE rule = 'system messages' AND key = legacy_notification_id)
UNION ALL
SELECT 'tasks', legacy_task_id, jsonb_build_array(legacy_task_id, k.status, done_at, text, jaw, m.legacy_template_id, o.legacy_instruction_id, l.legacy_plan_id, f.legacy_file_id, p.legacy_user_id)::text
FROM tasks k LEFT JOIN templates m ON m.id = k.template_id LEFT JOIN orders o ON o.id = k.order_id LEFT JOIN treatment_plans l ON l.id = k.treatment_plan_id LEFT JOIN files f ON f.id = k.file_id
LEFT JOIN profiles p ON p.id = k.actor_id;
INSERT INTO found
SELECT what || ' ' || key / 100 || ': ' || count(*) || ' rows, ' || bit_xor(hashtextextended(row, 0)) FROM big GROUP BY what, key / 100;

INSERT INTO found
SELECT 'messages ' || to_jsonb(x)::text FROM (
    SELECT legacy_record_id AS key, message_type AS type, legacy_type AS code, m.title, m.content, s.legacy_user_id AS sender, recipient_type,
        CASE recipient_type WHEN 'patient' THEN (SELECT legacy_patient_id FROM patients WHERE id = recipient_id) WHEN 'user' THEN (SELECT legacy_user_id FROM profiles WHERE id = recipient_id) END AS recipient,
        p.legacy_patient_id AS patient, c.legacy_patient_id AS "case", legacy_target_type_id AS target_type_id, legacy_target_id AS target_id, group_id, is_public AS public, m.created_at AS at
    FROM messages m LEFT JOIN profiles s ON s.id = m.sender_id LEFT JOIN patients p ON p.id = m.patient_id LEFT JOIN cases c ON c.id = m.case_id) x
UNION ALL
SELECT 'case_messages ' || to_jsonb(x)::text FROM (
    SELECT m.legacy_table AS "table", m.legacy_id AS key, c.legacy_patient_id AS "case", r.legacy_record_id AS message, s.legacy_user_id AS sender, m.message_type AS class, m.requires_response AS asks, m.content, m.sent_at AS at
    FROM case_messages m LEFT JOIN cases c ON c.id = m.case_id LEFT JOIN messages r ON r.id = m.message_id LEFT JOIN profiles s ON s.id = m.sender_id) x
UNION ALL
SELECT 'comments ' || to_jsonb(x)::text FROM (
    SELECT c.legacy_id AS key, p.legacy_user_id AS author, c.content, c.created_at AS at, l.legacy_plan_id AS plan
    FROM comments c LEFT JOIN profiles p ON p.id = c.author_id LEFT JOIN treatment_discussions d ON d.comment_id = c.id LEFT JOIN treatment_plans l ON l.id = d.treatment_plan_id WHERE c.legacy_table = 'dispatch_comment') x;
