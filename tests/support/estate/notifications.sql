-- Notifications. Those that are not (to be) sent are spread evenly; malformed contexts are written over afterwards.
INSERT INTO dispatch_notification (id, created_at, sender, template_name, template_context, read, item_id, item_type_id, recipient_id, sent, send)
SELECT estate.id(i), estate.at(i, c.notifications, 2700, estate.rnd(i, 701, 100000)), CASE WHEN i % 3 > 0 THEN 'noreply@example.org' END,
    (ARRAY['order_submitted', 'order_approved', 'shipment_notice', 'payment_received', 'invoice_ready', 'case_update', 'plan_uploaded', 'reminder', 'welcome', 'status_changed', 'daily_digest', 'new_message'])[1 + w.kind],
    '{"name": "' || estate.first_name(w.name % 60) || ' ' || estate.last_name(w.name / 60) || '", "order": ' || w.item || ', "step": ' || i % 40 || ', "text": "' || estate.phrase(estate.rnd(i, 703, 30)) || '", "url": "/o/'
        || w.item || '", "token": "' || md5(i::text) || '"' || CASE WHEN i % 2000 = 1 THEN ', "table": "' || (SELECT string_agg(md5(i * 1000 + s || 'x'), '') FROM generate_series(1, 300) s) || '"' ELSE '' END || '}',
    estate.rnd(i, 704, 3) > 0, CASE WHEN w.type IS NOT NULL THEN w.item END, w.type, estate.id(c.others + 1 + estate.rnd(i, 705, c.technicians + c.doctors + c.patients / 8)),
    NOT w.unsent OR i % 3 = 0, NOT w.unsent OR i % 3 = 1
FROM estate.c, generate_series(1, c.notifications) i,
    LATERAL (SELECT i * c.notifications_unsent / c.notifications > (i - 1) * c.notifications_unsent / c.notifications AS unsent, estate.rnd(i, 702, 12) AS kind, estate.rnd(i, 706, 4800) AS name,
        (ARRAY[13, 13, 13, 13, 13, 11, 11, 12, 14, NULL])[1 + estate.rnd(i, 707, 10)] AS type, estate.rnd(i, 708, 1000000) AS part) v,
    LATERAL (SELECT v.*, estate.id(1 + v.part * CASE v.type WHEN 11 THEN c.patients WHEN 12 THEN c.plans WHEN 14 THEN c.projects ELSE c.instructions END / 1000000) AS item) w;
UPDATE dispatch_notification n SET template_context = m.text
FROM estate.c, LATERAL generate_series(1, c.bad_quotes + c.bad_null + c.bad_unicode + c.bad_cut) b,
    LATERAL (SELECT b * c.notifications / (c.bad_quotes + c.bad_null + c.bad_unicode + c.bad_cut + 2) AS i) x,
    LATERAL (SELECT CASE WHEN x.i * c.notifications_unsent / c.notifications > (x.i - 1) * c.notifications_unsent / c.notifications THEN x.i + 1 ELSE x.i END AS i) y,
    LATERAL (SELECT CASE WHEN b <= c.bad_quotes THEN CASE b % 2 WHEN 0 THEN '{''name'': ''Bruno'', ''order'': ' || b || '}' ELSE '{"name": "the "new" one", "order": ' || b || '}' END
        WHEN b <= c.bad_quotes + c.bad_null THEN 'null'
        WHEN b <= c.bad_quotes + c.bad_null + c.bad_unicode THEN CASE b % 2 WHEN 0 THEN '{"name": "Zo\u0000", "order": ' || b || '}' ELSE '{"name": "\ud83d", "order": ' || b || '}' END
        ELSE CASE b % 2 WHEN 0 THEN '{"self": [Circular], "order": ' || b || '}' ELSE '{"name": "Bela", "order": ' || b || ', "text": "and so' END END AS text) m
WHERE n.id = estate.id(y.i);
