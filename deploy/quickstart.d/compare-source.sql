-- What the target must hold, computed on the source by SQL that knows nothing of pgrekey. Rows in quarantine
-- (:quarantined, a file of rule and key) are left out on both sides; they are counted apart.
\set ON_ERROR_STOP on
CREATE TEMP TABLE q (rule text, id int);
\copy q FROM PROGRAM 'cat "$COMPARE_DIR/quarantined"' (FORMAT csv)
CREATE FUNCTION pg_temp.v5(entity text, id int) RETURNS uuid LANGUAGE sql AS
    $$ SELECT uuid_generate_v5('0c1d6f3e-8a52-4b7d-9f10-5e2b7c4a9d36', entity || ':' || id) $$;
CREATE FUNCTION pg_temp.mapped(r text, i int) RETURNS boolean LANGUAGE sql AS
    $$ SELECT NOT EXISTS (SELECT FROM q WHERE q.rule = r AND q.id = i) $$;

CREATE TEMP VIEW offices AS
SELECT pg_temp.v5('office', id) AS id, id AS legacy_id, coalesce(nullif(trim(name), ''), 'Office ' || id) AS name, address,
       upper(trim(state)) AS state, zip,
       CASE country WHEN 'US' THEN 'USA' WHEN 'United States' THEN 'USA' ELSE country END AS country, tax_rate, valid,
       jsonb_build_object('phone', phone, 'apt', apt, 'emails', emails) AS metadata
FROM dispatch_office WHERE pg_temp.mapped('dispatch_office->offices', id);

CREATE TEMP VIEW profiles AS
SELECT pg_temp.v5('profile', id) AS id, id AS legacy_id, username, first_name || ' ' || last_name AS full_name,
       nullif(lower(trim(email)), '') AS email, is_active, date_joined
FROM auth_user WHERE pg_temp.mapped('auth_user->profiles', id);

CREATE TEMP VIEW patients AS
SELECT pg_temp.v5('patient', p.id) AS id, p.id AS legacy_id, u.id AS profile_id, d.id AS doctor_id, o.id AS office_id,
       birthdate, CASE sex WHEN 1 THEN 'male' WHEN 2 THEN 'female' WHEN 0 THEN 'other' ELSE 'unknown' END AS sex,
       archived, suffix, schemes::jsonb AS schemes, updated_at
FROM dispatch_patient p
JOIN profiles u ON u.legacy_id = p.user_id
LEFT JOIN profiles d ON d.legacy_id = p.doctor_id
LEFT JOIN offices o ON o.legacy_id = p.office_id
WHERE pg_temp.mapped('dispatch_patient->patients', p.id);

CREATE TEMP VIEW orders AS
SELECT pg_temp.v5('order', i.id) AS id, i.id AS legacy_id, p.id AS patient_id,
       (ARRAY['draft','submitted','approved','in_production','shipped','planning'])[1 + i.status] AS status,
       price, notes, exports::jsonb AS exports, i.submitted_at
FROM dispatch_instruction i
JOIN patients p ON p.legacy_id = i.patient_id
WHERE NOT i.deleted AND pg_temp.mapped('dispatch_instruction->orders', i.id);

CREATE TEMP VIEW payments AS
SELECT pg_temp.v5('payment', y.id) AS id, y.id AS legacy_id, i.id AS order_id, d.id AS doctor_id, o.id AS office_id,
       CASE WHEN canceled THEN 'canceled' WHEN paid OR free THEN 'completed' ELSE 'pending' END AS status,
       tax_value, subtotal_price, total_price, paid_price, installments::jsonb AS installments, made_at
FROM dispatch_payment y
LEFT JOIN orders i ON i.legacy_id = y.instruction_id
LEFT JOIN profiles d ON d.legacy_id = y.doctor_id
LEFT JOIN offices o ON o.legacy_id = y.office_id
WHERE pg_temp.mapped('dispatch_payment->payments', y.id);

CREATE TEMP VIEW system_messages AS
SELECT pg_temp.v5('message', n.id) AS id, n.id AS legacy_id, p.id AS recipient_id, template_name,
       md5(template_context::jsonb::text) AS data, read, created_at
FROM dispatch_notification n
JOIN profiles p ON p.legacy_id = n.recipient_id
WHERE sent AND send AND pg_temp.mapped('dispatch_notification->system_messages', n.id);

\copy (SELECT * FROM offices ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.offices"' (FORMAT csv)
\copy (SELECT * FROM profiles ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.profiles"' (FORMAT csv)
\copy (SELECT * FROM patients ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.patients"' (FORMAT csv)
\copy (SELECT * FROM orders ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.orders"' (FORMAT csv)
\copy (SELECT * FROM payments ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.payments"' (FORMAT csv)
\copy (SELECT * FROM system_messages ORDER BY legacy_id) TO PROGRAM 'cat >"$COMPARE_DIR/source.system_messages"' (FORMAT csv)
\copy (SELECT 'offices', 'dispatch_office', count(*) FROM dispatch_office UNION ALL SELECT 'profiles', 'auth_user', count(*) FROM auth_user UNION ALL SELECT 'patients', 'dispatch_patient', count(*) FROM dispatch_patient UNION ALL SELECT 'orders', 'dispatch_instruction', count(*) FROM dispatch_instruction UNION ALL SELECT 'payments', 'dispatch_payment', count(*) FROM dispatch_payment UNION ALL SELECT 'system_messages', 'dispatch_notification', count(*) FROM dispatch_notification) TO PROGRAM 'cat >"$COMPARE_DIR/counts"' (FORMAT text, DELIMITER ' ')
\copy (SELECT sum(subtotal_price), sum(tax_value), sum(total_price), sum(paid_price) FROM dispatch_payment) TO PROGRAM 'cat >"$COMPARE_DIR/source.money"' (FORMAT text, DELIMITER ' ')
