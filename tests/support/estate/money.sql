-- Payments: those that qualify as purchases (their sum is 4,190,000.00 at scale 1), cancelled, pending, the rest free.
-- The money of those that qualify is spread in cents, so that it is the same to the cent in whatever order it is added.
INSERT INTO dispatch_order SELECT i, estate.id(c.others + c.technicians + 1 + estate.rnd(i, 501, c.doctors)), 1, 1, 10.00 * i FROM estate.c, generate_series(1, c.orders_unused) i;
INSERT INTO dispatch_payment (id, made_at, instruction_id, order_id, doctor_id, office_id, free, canceled, paid, netsuite, tax_rate, tax_value, subtotal_price, total_price, paid_price,
    used_credit, additional_price, custom_price, installments)
SELECT estate.id(i), CASE WHEN w.kind <> 'pending' AND i % 60 > 0 THEN estate.at(i, c.payments, 2600, estate.rnd(i, 502, 9000000)) END,
    CASE WHEN i % 25 > 0 THEN estate.id(1 + estate.rnd(i, 503, c.instructions)) END, CASE WHEN i % 2500 = 0 THEN 1 + i / 2500 % c.orders_unused END,
    CASE WHEN i % 12 > 0 THEN estate.id(c.others + c.technicians + 1 + estate.rnd(i, 504, c.doctors)) END, CASE WHEN i % 6 > 0 THEN 1 + estate.rnd(i, 505, c.offices) END,
    w.kind = 'free', w.kind = 'cancelled', w.kind = 'qualifying' OR w.kind = 'cancelled' AND i % 3 = 0, w.method = 'netsuite', CASE WHEN w.cents > 0 THEN 8.25 ELSE 0 END,
    w.tax / 100.0, (w.cents - w.tax) / 100.0, w.cents / 100.0, CASE WHEN w.kind = 'qualifying' AND w.method <> 'credit' THEN w.cents / 100.0 ELSE 0 END,
    CASE WHEN w.method = 'credit' THEN w.cents / 100.0 WHEN i % 50 = 7 AND w.cents > 1000 THEN 5.00 ELSE 0 END, CASE WHEN i % 45 = 0 THEN 12.50 ELSE 0 END, CASE WHEN i % 33 = 0 THEN 99.99 END,
    CASE WHEN w.method = 'installments' THEN '[{"due": "2025-01-01", "value": ' || w.cents / 200 || '}]' WHEN i % 4 = 0 THEN '[]' WHEN i % 4 = 1 THEN '' END
FROM estate.c, generate_series(1, c.payments) i,
    LATERAL (SELECT CASE WHEN i <= c.payments_qualifying THEN 'qualifying' WHEN i <= c.payments_qualifying + c.payments_cancelled THEN 'cancelled'
            WHEN i <= c.payments_qualifying + c.payments_cancelled + c.payments_pending THEN 'pending' ELSE 'free' END AS kind,
        419000000::bigint * c.payments_qualifying / 3701 AS money) v,
    LATERAL (SELECT v.kind,
        -- operations come to the first of those that qualify; some of the rest pay otherwise
        CASE WHEN i <= c.payments_unknown_method THEN 'none' WHEN v.kind = 'free' THEN 'free' WHEN v.kind <> 'qualifying' THEN 'netsuite' WHEN i % 40 = 0 THEN 'credit' WHEN i % 40 = 1 THEN 'installments' WHEN i % 40 = 2 THEN 'netsuite' ELSE 'card' END AS method,
        CASE v.kind WHEN 'qualifying' THEN v.money / c.payments_qualifying + CASE WHEN i <= v.money % c.payments_qualifying THEN 1 ELSE 0 END
                + CASE WHEN i = c.payments_qualifying AND i % 2 = 1 THEN 0 WHEN i % 2 = 1 THEN estate.rnd(i, 506, 100000) ELSE -estate.rnd(i - 1, 506, 100000) END
            WHEN 'free' THEN 0 ELSE 46784 END AS cents) u,
    LATERAL (SELECT u.kind, u.method, u.cents, u.cents * 76 / 1000 AS tax) w;
-- Operations: one for each payment by card, refunds behind, the rest failed attempts without a payment of the provider.
CREATE TABLE estate.carded AS
SELECT row_number() OVER (ORDER BY p.id) AS n, p.id, p.total_price FROM estate.c, dispatch_payment p
WHERE p.paid AND NOT p.canceled AND p.total_price > 0 AND p.used_credit < p.total_price AND NOT p.netsuite AND coalesce(p.installments, '') IN ('', '[]') AND p.id > estate.id(c.payments_unknown_method);
INSERT INTO dispatch_operation (id, type, made_at, price, sq_order_id, sq_payment_id, sq_refund_id, card_brand, card_bin, card_last, office_card, payment_id, attempts)
SELECT estate.id(i), CASE WHEN i > c.operations - c.refunds THEN 2 WHEN i % 9 = 0 THEN NULL ELSE 1 END, estate.at(i, c.operations, 2500, estate.rnd(i, 510, 9000000)),
    coalesce(CASE WHEN i > c.operations - c.refunds THEN round(p.total_price / 2, 2) ELSE p.total_price END, 25.00), CASE WHEN i % 10 > 0 THEN 'ord' || md5('o' || i) END,
    CASE WHEN i <= m.n THEN 'pay' || md5('p' || i) END, CASE WHEN i > c.operations - c.refunds THEN 'ref' || md5('r' || i) END,
    CASE WHEN i <= m.n OR i > c.operations - c.refunds THEN (ARRAY['VISA', 'MASTERCARD', 'AMEX'])[1 + i % 3] END, CASE WHEN i <= m.n THEN lpad((i % 899999 + 100000)::text, 6, '0') END,
    CASE WHEN i <= m.n THEN lpad(estate.rnd(i, 511, 10000)::text, 4, '0') END, i % 5 = 0, coalesce(p.id, CASE WHEN i % 2 = 0 THEN estate.id(c.payments - i % 100) END), CASE WHEN i % 50 = 0 THEN 3 ELSE 1 END
FROM estate.c CROSS JOIN (SELECT count(*) AS n FROM estate.carded) m CROSS JOIN LATERAL generate_series(1, c.operations) i
LEFT JOIN estate.carded p ON p.n = CASE WHEN i <= m.n THEN i WHEN i > c.operations - c.refunds THEN 1 + (i * 7) % m.n END;
INSERT INTO dispatch_ware (id, payment_id, product_id, name, count, description, free, global_price, doctor_price, base_price, discount_percent, discount_value, discount_price, discount_reason, total_price)
SELECT i, estate.id(1 + estate.rnd(i, 520, c.payments)), CASE WHEN i % 20 > 0 THEN 1 + i % c.products END, 'Item ' || i % 30, 1 + i % 3, CASE WHEN i % 7 = 0 THEN 'As agreed' END, i % 4 = 0,
    100 + i % 50, 90 + i % 50, 80 + i % 50, CASE WHEN i % 5 = 0 THEN 10 END, CASE WHEN i % 5 = 0 THEN 9.50 END, CASE WHEN i % 5 = 0 THEN 85.50 END, CASE WHEN i % 5 = 0 THEN 'volume' END, 90 + i % 50
FROM estate.c, generate_series(1, c.wares) i;
INSERT INTO dispatch_offer (id, price_both, price_upper, price_lower, doctor_id, product_id)
SELECT i, 100 + i, CASE WHEN i % 3 > 0 THEN 60 + i END, CASE WHEN i % 4 > 0 THEN 60 + i END, CASE WHEN i % 2 = 0 THEN estate.id(c.others + c.technicians + 1 + estate.rnd(i, 530, c.doctors)) END, 1 + i % c.products
FROM estate.c, generate_series(1, c.offers) i;
INSERT INTO dispatch_discount (id, percent, reason, count, start, finish, total, used, offer_id)
SELECT i, 5 * (1 + i % 6), CASE WHEN i % 3 = 0 THEN 'new' END, i % 10, date '2025-01-01' + i::int, CASE WHEN i % 2 = 0 THEN date '2026-01-01' + i::int END, i % 2 = 0, i % 5, 1 + (i * 5) % c.offers
FROM estate.c, generate_series(1, c.discounts) i;
