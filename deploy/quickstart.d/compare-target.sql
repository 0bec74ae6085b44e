-- What the target holds, in the columns and order of compare-source.sql.
\set ON_ERROR_STOP on
CREATE TEMP VIEW q AS
SELECT rule, (key::jsonb ->> 0)::int AS id FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded');
\copy (SELECT rule, id FROM q) TO PROGRAM 'cat >"$COMPARE_DIR/quarantined"' (FORMAT csv)
\copy (SELECT id, legacy_office_id, name, address, state, zip_code, country, tax_rate, is_active, metadata FROM offices WHERE legacy_office_id NOT IN (SELECT id FROM q WHERE rule = 'dispatch_office->offices') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.offices"' (FORMAT csv)
\copy (SELECT id, legacy_user_id, username, full_name, email, is_active, created_at FROM profiles WHERE legacy_user_id NOT IN (SELECT id FROM q WHERE rule = 'auth_user->profiles') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.profiles"' (FORMAT csv)
\copy (SELECT id, legacy_patient_id, profile_id, doctor_id, office_id, birthdate, sex, archived, suffix, schemes, updated_at FROM patients WHERE legacy_patient_id NOT IN (SELECT id FROM q WHERE rule = 'dispatch_patient->patients') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.patients"' (FORMAT csv)
\copy (SELECT id, legacy_instruction_id, patient_id, status, price, notes, exports, submitted_at FROM orders WHERE legacy_instruction_id NOT IN (SELECT id FROM q WHERE rule = 'dispatch_instruction->orders') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.orders"' (FORMAT csv)
\copy (SELECT id, legacy_payment_id, order_id, doctor_id, office_id, status, tax, subtotal, total, paid, installments, made_at FROM payments WHERE legacy_payment_id NOT IN (SELECT id FROM q WHERE rule = 'dispatch_payment->payments') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.payments"' (FORMAT csv)
\copy (SELECT id, legacy_notification_id, recipient_id, template, md5(message_data::text), is_read, created_at FROM system_messages WHERE legacy_notification_id NOT IN (SELECT id FROM q WHERE rule = 'dispatch_notification->system_messages') ORDER BY 2) TO PROGRAM 'cat >"$COMPARE_DIR/target.system_messages"' (FORMAT csv)
\copy (SELECT target_table, mapped, quarantined, excluded FROM pgrekey.counter) TO PROGRAM 'cat >"$COMPARE_DIR/accounts"' (FORMAT text, DELIMITER ' ')
\copy (SELECT sum(subtotal), sum(tax), sum(total), sum(paid) FROM payments) TO PROGRAM 'cat >"$COMPARE_DIR/target.money"' (FORMAT text, DELIMITER ' ')
