-- What the target holds of payments, operations and purchases, as lines like those of expected/money.sql.
INSERT INTO found
SELECT 'payments ' || to_jsonb(x)::text FROM (
    SELECT legacy_payment_id AS key, r.legacy_instruction_id AS "order", p.legacy_patient_id AS patient, d.legacy_user_id AS doctor,
        o.legacy_office_id AS office, y.amount, tax_amount AS tax, total_amount AS total, paid_amount, y.status, payment_method AS method,
        method_inferred_by AS by, is_paid AS paid, is_cancelled AS canceled, is_refunded AS refunded, payment_date AS at,
        y.metadata -> 'used_credit' AS credit, y.metadata -> 'subtotal_price' AS subtotal
    FROM payments y LEFT JOIN orders r ON r.id = y.order_id LEFT JOIN patients p ON p.id = y.patient_id LEFT JOIN doctors d ON d.id = y.doctor_id
    LEFT JOIN offices o ON o.id = y.office_id) x
UNION ALL
SELECT 'operations ' || to_jsonb(x)::text FROM (
    SELECT legacy_operation_id AS key, y.legacy_payment_id AS payment, c.legacy_patient_id AS "case", operation_type AS type, q.amount, q.status, attempts,
        performed_at AS at, operation_data ->> 'sq_order_id' AS "order", operation_data ->> 'sq_payment_id' AS provider_payment,
        operation_data ->> 'sq_refund_id' AS provider_refund, operation_data ->> 'card_brand' AS brand, operation_data ->> 'card_last' AS last
    FROM operations q LEFT JOIN payments y ON y.id = q.payment_id LEFT JOIN cases c ON c.id = q.case_id) x
UNION ALL
SELECT 'purchases ' || to_jsonb(x)::text FROM (
    SELECT legacy_purchase_id AS key, source_table AS source, o.legacy_instruction_id AS "order", y.legacy_payment_id AS payment,
        p.legacy_product_id AS product, quantity, unit_price AS price, b.total_amount AS total, purchased_at AS at
    FROM purchases b LEFT JOIN orders o ON o.id = b.order_id LEFT JOIN payments y ON y.id = b.payment_id LEFT JOIN products p ON p.id = b.product_id) x;
