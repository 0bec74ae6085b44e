-- What the target must hold of payments, operations and purchases; after expected/orders.sql.
CREATE TEMP TABLE payment AS
SELECT p.*, o.id AS "order", o.patient_id AS patient, d.id AS doctor, f.id AS office,
    coalesce(q.refunded, false) AS refunded,
    CASE WHEN q.card THEN 'operation' WHEN p.free THEN 'free' WHEN p.used_credit > 0 AND p.used_credit >= p.total_price THEN 'credit'
        WHEN btrim(p.installments) NOT IN ('', '[]', '{}', 'null', '""', 'false', '0') THEN 'installments' WHEN p.netsuite THEN 'netsuite' END AS by
FROM dispatch_payment p LEFT JOIN "order" o ON o.id = p.instruction_id LEFT JOIN doctor d ON d.id = p.doctor_id LEFT JOIN place f ON f.id = p.office_id
LEFT JOIN (SELECT payment_id, bool_or(type = 2) AS refunded,
        bool_or(coalesce(card_brand, '') <> '' OR coalesce(card_last, '') <> '' OR coalesce(sq_payment_id, '') <> '') AS card
    FROM dispatch_operation GROUP BY 1) q ON q.payment_id = p.id;

INSERT INTO expected
SELECT 'payments ' || to_jsonb(x)::text FROM (
    SELECT id AS key, "order", patient, doctor, office, total_price AS amount, tax_value AS tax, total_price AS total, paid_price AS paid_amount,
        CASE WHEN canceled THEN 'cancelled' WHEN free OR paid THEN 'completed' ELSE 'pending' END AS status,
        CASE WHEN by IN ('operation', 'installments') THEN 'card' WHEN by IS NOT NULL THEN 'other' END AS method, by, paid, canceled, refunded,
        made_at AS at, used_credit AS credit, subtotal_price AS subtotal
    FROM payment) x
UNION ALL
SELECT 'operations ' || to_jsonb(x)::text FROM (
    SELECT q.id AS key, p.id AS payment, p.patient AS "case", CASE q.type WHEN 2 THEN 'refund' ELSE 'payment' END AS type, q.price AS amount,
        CASE WHEN length(q.sq_payment_id) > 0 OR length(q.sq_refund_id) > 0 THEN 'completed' ELSE 'failed' END AS status, q.attempts, q.made_at AS at,
        q.sq_order_id AS "order", q.sq_payment_id AS provider_payment, q.sq_refund_id AS provider_refund, q.card_brand AS brand, q.card_last AS last
    FROM dispatch_operation q LEFT JOIN payment p ON p.id = q.payment_id WHERE coalesce(q.type, 1) IN (1, 2)) x
UNION ALL
SELECT 'purchases ' || to_jsonb(x)::text FROM (
    SELECT p.id AS key, 'dispatch_payment' AS source, p."order", p.id AS payment, d.id AS product, 1 AS quantity,
        CASE WHEN p.subtotal_price = 0 THEN p.total_price ELSE p.subtotal_price END AS price, p.total_price AS total, p.made_at AS at
    FROM payment p LEFT JOIN dispatch_instruction i ON i.id = p.instruction_id
    LEFT JOIN dispatch_jaw u ON u.id = i.upper_jaw_id LEFT JOIN dispatch_jaw l ON l.id = i.lower_jaw_id
    LEFT JOIN dispatch_product d ON d.id = coalesce(u.product_id, l.product_id)
    WHERE p.paid AND NOT p.canceled AND p.total_price > 0
    UNION ALL
    SELECT b.id, 'dispatch_purchase', NULL, NULL, d.id, coalesce(b.count, 1), coalesce(b.custom_price, 0), coalesce(b.custom_price, 0) * coalesce(b.count, 1), NULL
    FROM dispatch_purchase b LEFT JOIN dispatch_product d ON d.id = b.product_id) x;
