-- Records, comments, notes, files.
INSERT INTO dispatch_record (id, target_id, target_type_id, type, created_at, text, author_id, group_id, public)
SELECT estate.id(i), CASE WHEN w.missing THEN CASE w.type WHEN 11 THEN estate.gone(1 + i % (c.patients / 51)) WHEN 12 THEN estate.gone(1 + i % (c.plans / 51)) ELSE estate.gone(1 + i % (c.instructions / 51)) END
        WHEN w.type = 11 THEN estate.id(1 + estate.rnd(i, 402, c.patients)) WHEN w.type = 12 THEN estate.id(1 + estate.rnd(i, 403, c.plans)) WHEN w.type = 13 THEN estate.id(1 + estate.rnd(i, 404, c.instructions))
        WHEN w.type IN (4, 58) THEN estate.id(1 + estate.rnd(i, 405, c.users)) WHEN w.type IS NULL THEN CASE WHEN i % 2 = 0 THEN i END ELSE estate.id(1 + estate.rnd(i, 406, c.projects)) END,
    w.type, CASE WHEN i % ((c.records - 1) / c.records_untyped) = 0 AND i / ((c.records - 1) / c.records_untyped) BETWEEN 1 AND c.records_untyped THEN NULL
        ELSE (ARRAY[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 8, 3])[1 + estate.rnd(i, 407, 21)] END,
    estate.at(i, c.records, 2800, estate.rnd(i, 408, 900000)),
    CASE WHEN i % 900 = 1 THEN '' ELSE estate.phrase(estate.rnd(i, 409, 30)) || ' ' || estate.phrase(estate.rnd(i, 410, 30)) || CASE WHEN i % 3 = 0 THEN ' ' || estate.phrase(estate.rnd(i, 411, 30)) ELSE '' END END,
    CASE WHEN i % 50 = 0 THEN NULL WHEN i % 333 = 1 THEN estate.gone(1 + i % (c.users / 51)) ELSE estate.id(1 + estate.rnd(i, 412, c.others + c.technicians + c.doctors)) END,
    CASE WHEN i % 6 = 0 THEN (ARRAY[1, 2, 4, 11])[1 + i % 4] END, CASE i % 5 WHEN 0 THEN true WHEN 1 THEN NULL ELSE false END
FROM estate.c, generate_series(1, c.records) i,
    LATERAL (SELECT i <= c.records_missing AS missing, CASE WHEN i <= c.records_missing THEN 11 + i % 3
        ELSE (ARRAY[11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 12, 12, 13, 13, 58, 4, 14, NULL])[1 + estate.rnd(i, 401, 24)] END AS type) w;
INSERT INTO dispatch_comment (id, created_at, text, author_id, plan_id)
SELECT estate.id(i), estate.at(i, c.comments, 2500, estate.rnd(i, 420, 900000)), CASE WHEN i % 700 = 3 THEN '' ELSE estate.phrase(estate.rnd(i, 421, 30)) || ' ' || estate.phrase(estate.rnd(i, 422, 30)) END,
    CASE WHEN i % 40 > 0 THEN estate.id(1 + estate.rnd(i, 423, c.others + c.technicians + c.doctors)) END,
    estate.id(CASE WHEN i <= c.comments_abandoned THEN 1 + i % c.plans_abandoned ELSE c.plans_abandoned + 1 + estate.rnd(i, 424, c.plans - c.plans_abandoned) END)
FROM estate.c, generate_series(1, c.comments) i;
INSERT INTO dispatch_note (id, created_at, text, author_id, doctor_id)
SELECT i, estate.at(i, c.notes, 2000, 0), estate.phrase(estate.rnd(i, 430, 30)), CASE WHEN i % 15 > 0 THEN estate.id(1 + estate.rnd(i, 431, c.others + c.technicians)) END,
    estate.id(c.others + c.technicians + 1 + estate.rnd(i, 432, c.doctors)) FROM estate.c, generate_series(1, c.notes) i;
-- Which files have an order, or a record, is spread evenly. The first of those with an order have one that is gone.
INSERT INTO dispatch_file (id, uid, name, ext, size, type, instruction_id, record_id, product_id, parameters, status, description, created_at)
SELECT estate.id(i), estate.uid(i, 440), CASE WHEN i % 500 = 7 AND NOT w.gone THEN NULL WHEN i % 500 = 8 AND NOT w.gone THEN '' ELSE 'scan_' || i % 9999 || '_' || estate.last_name(estate.rnd(i, 441, 80)) || w.ext
        || CASE WHEN i % 300 = 11 OR w.gone THEN w.ext ELSE '' END END,
    w.ext, estate.rnd(i, 442, 80000000) * 3, w.type, CASE WHEN w.gone THEN estate.gone(1 + i % (c.instructions / 51)) WHEN w.ordered THEN estate.id(1 + estate.rnd(i / 6, 443, c.instructions)) END,
    CASE WHEN i * c.files_with_record / c.files > (i - 1) * c.files_with_record / c.files THEN estate.id(1 + estate.rnd(i, 444, c.records)) END,
    CASE WHEN i % 250 = 0 THEN 1 + i % c.products END, CASE i % 12 WHEN 0 THEN '{"scale": 1, "side": "upper"}' WHEN 1 THEN CASE WHEN i % 1200 = 1 THEN '{scale: 1}' ELSE '{}' END WHEN 2 THEN '' END,
    CASE WHEN i % 5 > 0 THEN i % 3 END, CASE WHEN i % 30 = 0 THEN estate.phrase(estate.rnd(i, 445, 30)) END, estate.at(i, c.files, 2700, estate.rnd(i, 446, 700000))
FROM estate.c, generate_series(1, c.files) i,
    LATERAL (SELECT i * c.files_with_order / c.files > (i - 1) * c.files_with_order / c.files AS ordered, i * c.files_with_order / c.files <= c.files_gone_order AS early,
        1 + estate.rnd(i, 447, 17) AS type, (ARRAY['.stl', '.stl', '.jpg', '.JPG', '.png', '.zip', '.pdf', '.dcm', '.dxf', '.txt', '.ply', '.docx', '.rar'])[1 + estate.rnd(i, 448, 13)] AS ext) v,
    LATERAL (SELECT v.ordered, v.ordered AND v.early AS gone, v.type, v.ext) w;
