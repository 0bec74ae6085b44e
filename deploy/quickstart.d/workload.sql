-- One turn of the live business: what one pgbench client does, again and again.
\set patient random(1, 8000)
\set doctor random(1, 400)
\set office random(1, 240)
\set old random(1, 9000)
\set message random(1, 30000)
\set cents random(5000, 500000)
\set dice random(1, 100)

-- an order comes in with its payment, whole or not at all
BEGIN;
INSERT INTO dispatch_instruction (patient_id, course_id, model, notes, exports, price, status, submitted_at, updated_at)
    VALUES (:patient, 1, 1, 'from the workload', '{"format": "stl"}', :cents / 100.0, 1, now(), now());
INSERT INTO dispatch_payment (instruction_id, doctor_id, office_id, subtotal_price, total_price)
    VALUES (currval('dispatch_instruction_id_seq'), :doctor, :office, :cents / 100.0, :cents / 100.0);
COMMIT;
-- an old one is paid
UPDATE dispatch_payment SET paid = true, paid_price = total_price, made_at = now() WHERE id = :old;
-- a message is read; a long context is not written again
UPDATE dispatch_notification SET read = true WHERE id = :message;
-- a notification is queued, and sent a moment later: now it matches the rule
INSERT INTO dispatch_notification (template_name, template_context, recipient_id)
    VALUES ('order_submitted', '{"order": ' || :old || ', "body": "' || repeat(md5(random()::text), 8) || '"}', :patient);
UPDATE dispatch_notification SET sent = true WHERE id = currval('dispatch_notification_id_seq');
-- an old one with a long context is sent at last: its change does not carry the context
UPDATE dispatch_notification SET sent = true, send = true WHERE id = 95 * (:message % 315) AND :dice <= 10;
\if :dice <= 30
-- a patient changes office and doctor
UPDATE dispatch_patient SET doctor_id = :doctor, office_id = :office, updated_at = now() WHERE id = :patient;
\elif :dice <= 50
-- an order moves on
UPDATE dispatch_instruction SET status = CASE status WHEN 1 THEN 2 ELSE 4 END, updated_at = now()
    WHERE id = :old AND status < 4;
\elif :dice <= 70
-- somebody new
BEGIN;
INSERT INTO auth_user (id, username, first_name, last_name)
    SELECT i, 'new-' || i, given_name(:cents), family_name(:old) FROM nextval('auth_user_id_seq') i;
INSERT INTO dispatch_patient (user_id, doctor_id, office_id, status, updated_at)
    VALUES (currval('auth_user_id_seq'), :doctor, :office, 1, now());
COMMIT;
\elif :dice <= 85
-- an old message goes
DELETE FROM dispatch_notification WHERE id = :message;
\elif :dice <= 97
UPDATE dispatch_office SET tax_rate = :cents % 45 / 4.0, valid = not valid WHERE id = :office;
\else
-- a context that is no JSON
INSERT INTO dispatch_notification (template_name, template_context, recipient_id, sent)
    VALUES ('plan_ready', '{"plan": ', :patient, true);
\endif
