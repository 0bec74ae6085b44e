-- Users, groups, offices, doctors, patients. Users come in this order: others, technicians, doctors, patients; the last
-- doctors are the first patients. Doctors by number: weak ones, those with an office (first with one, then with several),
-- lone ones, the rest, and those who are patients too.
INSERT INTO auth_group VALUES (1, 'patient'), (2, 'doctor'), (3, 'billing'), (4, 'admin'), (5, 'master'), (6, 'sales'), (7, 'support'), (8, 'export'),
    (9, 'external partners'), (11, 'technician');
INSERT INTO django_content_type
SELECT i, CASE i WHEN 1 THEN 'admin' WHEN 4 THEN 'auth' WHEN 2 THEN 'auth' WHEN 3 THEN 'auth' WHEN 5 THEN 'contenttypes' WHEN 6 THEN 'sessions' WHEN 7 THEN 'account'
        WHEN 8 THEN 'account' WHEN 9 THEN 'otp_totp' ELSE 'dispatch' END,
    coalesce((ARRAY['logentry', 'permission', 'group', 'user', 'contenttype', 'session', 'emailaddress', 'emailconfirmation', 'totpdevice', 'action', 'patient', 'plan',
        'instruction', 'project', 'office', 'comment', 'record', 'file', 'payment', 'operation', 'notification', 'template', 'task', 'role', 'jaw', 'course', 'category',
        'product', 'offer', 'discount', 'bracket', 'note', 'state', 'agent', 'instance', 'ware', 'purchase', 'order', 'usersetting', 'doctorsetting', 'link', 'event',
        'language', 'globalsetting', 'reading', 'storage', 'client3d', 'master'])[i], CASE i WHEN 58 THEN 'client' ELSE 'older' || i END)
FROM (SELECT generate_series(1, 48) UNION ALL SELECT unnest(ARRAY[52, 55, 58])) x (i);
INSERT INTO auth_permission
SELECT (t.id - 1) * 4 + a.n, 'Can ' || a.name || ' ' || t.model, t.id, a.name || '_' || t.model
FROM django_content_type t, (VALUES (1, 'add'), (2, 'change'), (3, 'delete'), (4, 'view')) a (n, name);

CREATE TABLE estate.office AS
SELECT i, i > c.offices - c.lone_offices AS lone,
    CASE WHEN i > c.offices - c.lone_offices THEN 'Japan' WHEN i % 223 = 5 THEN NULL WHEN i IN (2, 3, 4) THEN 'Vietnam' WHEN i IN (6, 7, 8) THEN 'Australia'
        WHEN i = 9 THEN 'Chile' WHEN i = 10 THEN 'Kenya' WHEN i = 11 THEN 'Spain' WHEN i = 12 THEN 'New Zealand'
        WHEN i % 100 < 61 THEN (ARRAY['USA', 'USA', 'USA', 'US', 'United States', 'USA', 'USA'])[1 + i % 7] WHEN i % 100 < 79 THEN 'India' WHEN i % 100 < 92 THEN 'Japan' ELSE 'Thailand' END AS country
FROM estate.c, generate_series(1, c.offices) i;
INSERT INTO dispatch_office (id, name, address, apt, city, state, zip, country, phone, tax_rate, valid, sq_customer_id, emails)
SELECT o.i, CASE WHEN o.i % 400 = 33 THEN '' WHEN o.i % 17 = 1 THEN '  ' ELSE '' END || CASE WHEN o.i % 400 = 33 THEN '' ELSE estate.last_name(estate.rnd(o.i, 101, 80)) || CASE o.i % 3 WHEN 0 THEN ' Orthodontics' WHEN 1 THEN ' Dental' ELSE ' Smiles ' END END,
    1 + estate.rnd(o.i, 102, 999) || ' ' || estate.last_name(estate.rnd(o.i, 103, 80)) || ' St', CASE WHEN o.i % 5 = 0 THEN 'Suite ' || o.i % 40 END, estate.last_name(estate.rnd(o.i, 104, 80)) || 'ville',
    CASE WHEN o.lone THEN 'Prefecture ' || (o.i % 100) WHEN o.country LIKE 'U%' THEN (ARRAY['CA', 'tx', 'NY', 'FL', 'WA', 'il', 'OH', 'Ga'])[1 + o.i % 8]
        WHEN o.country IS NULL THEN NULL ELSE 'District ' || o.i % 3 END,
    CASE WHEN o.country LIKE 'U%' THEN lpad(estate.rnd(o.i, 105, 99999)::text, 5, '0') ELSE 'Z' || estate.rnd(o.i, 105, 9999) END, o.country, '+1 555 ' || lpad(estate.rnd(o.i, 106, 10000)::text, 4, '0'),
    CASE o.i % 6 WHEN 0 THEN 0 WHEN 1 THEN 0.0875 WHEN 2 THEN 10.25 ELSE 5 + (o.i % 50) / 10.0 END, o.lone OR o.i % 11 <> 0, CASE WHEN o.i % 3 = 0 THEN 'CUST' || md5(o.i::text) END, o.i % 4 <> 0
FROM estate.office o, LATERAL (SELECT) x;

-- Doctors by number k, and what they have.
CREATE TABLE estate.doctor AS
SELECT k::int, estate.id(c.others + c.technicians + k) AS user_id,
    CASE WHEN k <= c.weak_doctors THEN 'weak' WHEN k <= c.weak_doctors + c.office_doctors - c.multi_office_doctors THEN 'one' WHEN k <= c.weak_doctors + c.office_doctors THEN 'several'
        WHEN k <= c.weak_doctors + c.office_doctors + c.lone_doctors THEN 'lone' WHEN k <= c.doctors - c.dual_roles THEN 'rest' ELSE 'dual' END AS kind,
    (k * 7907) % c.doctors + 1 AS rank
FROM estate.c, generate_series(1, c.doctors) k;
ALTER TABLE estate.doctor ADD PRIMARY KEY (k), ADD COLUMN n int;
UPDATE estate.doctor d SET n = x.n FROM (SELECT k, row_number() OVER (PARTITION BY kind ORDER BY k) AS n FROM estate.doctor) x WHERE x.k = d.k;
CREATE UNIQUE INDEX ON estate.doctor (kind, n);
ANALYZE estate.doctor;
CREATE TABLE estate.kinds AS SELECT count(*) FILTER (WHERE kind = 'one') AS one, count(*) FILTER (WHERE kind = 'several') AS several, count(*) FILTER (WHERE kind = 'lone') AS lone,
    count(*) FILTER (WHERE kind = 'rest') AS rest FROM estate.doctor;

CREATE TABLE estate.mail AS -- who shares an address: the doctors behind the weak ones, group by group
SELECT row_number() OVER (ORDER BY g, m)::int AS n, g::int, m::int
FROM estate.c, generate_series(1, c.email_groups) g,
    LATERAL generate_series(1, CASE WHEN g = 1 THEN c.email_largest
        ELSE (c.email_groups + c.email_excess - c.email_largest) / (c.email_groups - 1)
            + CASE WHEN g - 2 < (c.email_groups + c.email_excess - c.email_largest) % (c.email_groups - 1) THEN 1 ELSE 0 END END) m;

INSERT INTO auth_user (id, password, last_login, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
SELECT estate.id(u), 'pbkdf2_sha256$260000$topsecret' || md5('salt' || u) || '$' || md5('hash' || u),
    CASE WHEN d.rank BETWEEN c.inactive_doctors / 2 + 1 AND c.inactive_doctors / 2 + c.idle_doctors THEN NULL WHEN d.k IS NULL AND estate.rnd(u, 1, 100) < 80 AND u > c.others THEN NULL
        ELSE estate.at(u, c.users, 3000, 0) + (1 + estate.rnd(u, 2, 200 * 86400)) * interval '1 second' END,
    u <= c.others AND u % 6 = 2,
    CASE WHEN d.rank > c.doctors - c.test_doctors THEN 'test_' ELSE '' END || lower(left(f.first, 1)) || lower(replace(f.last, '''', '')) || estate.id(u),
    CASE WHEN u % 401 = 7 AND d.k IS NULL THEN '' WHEN u % 37 = 3 AND d.k IS NULL THEN ' ' || f.first ELSE f.first END, f.last,
    CASE WHEN m.n IS NOT NULL THEN CASE m.m % 3 WHEN 0 THEN 'Practice.' || m.g || '@Example.net' WHEN 1 THEN 'practice.' || m.g || '@example.net' ELSE ' practice.' || m.g || '@EXAMPLE.net ' END
        WHEN p BETWEEN c.dual_roles + 1 AND c.dual_roles + c.invalid_emails THEN (ARRAY['not given', 'n/a', 'mail@', '@example.org', 'two@at@example.org', 'spaced name@example.org'])[1 + p % 6]
        WHEN u <= c.others + c.technicians OR d.k BETWEEN 1 AND e.doctors OR p BETWEEN c.dual_roles + 1 AND c.dual_roles + e.patients
        THEN CASE WHEN u % 5 = 0 THEN initcap(f.first) ELSE lower(replace(f.first, 'ë', 'e')) END || '.' || lower(replace(f.last, '''', '')) || estate.id(u) || '@' || (ARRAY['example.org', 'example.com', 'Example.NET'])[1 + u % 3]
        ELSE '' END,
    u <= c.others AND u % 6 IN (0, 2, 3), coalesce(d.rank > c.inactive_doctors, estate.rnd(u, 3, 50) > 0),
    estate.at(u, c.users, 3000, estate.rnd(u, 4, 1000000))
FROM estate.c
CROSS JOIN LATERAL (SELECT least(c.doctors, (c.users - c.empty_emails - c.others - c.technicians) * 7 / 8) AS doctors) e0
CROSS JOIN LATERAL (SELECT e0.doctors, c.users - c.empty_emails - c.others - c.technicians - e0.doctors AS patients) e
CROSS JOIN LATERAL generate_series(1, c.users) u
LEFT JOIN estate.doctor d ON d.k = u - c.others - c.technicians
LEFT JOIN estate.mail m ON d.k - c.weak_doctors = m.n
CROSS JOIN LATERAL (SELECT CASE WHEN u > c.users - c.patients THEN u - (c.users - c.patients) END AS p,
    CASE WHEN d.k <= c.name_groups + c.name_excess THEN 4000 + d.k % c.name_groups WHEN d.k IS NOT NULL THEN d.k ELSE estate.rnd(u, 5, 4800) END AS name) w
CROSS JOIN LATERAL (SELECT estate.first_name(w.name % 60) AS first, estate.last_name(w.name / 60) AS last) f;

INSERT INTO auth_user_groups (user_id, group_id)
SELECT user_id, group_id FROM (
    SELECT estate.id(o) AS user_id, CASE o % 6 WHEN 0 THEN 5 WHEN 1 THEN 4 WHEN 4 THEN 1 END AS group_id FROM estate.c, generate_series(1, c.others) o WHERE o % 6 IN (0, 1, 4)
    UNION ALL SELECT estate.id(o), CASE o % 12 WHEN 1 THEN 3 ELSE 7 END FROM estate.c, generate_series(1, c.others) o WHERE o % 6 IN (1, 5)
    UNION ALL SELECT estate.id(c.others + t), 11 FROM estate.c, generate_series(1, c.technicians) t
    UNION ALL SELECT estate.id(c.others + t), 5 FROM estate.c, generate_series(1, c.technicians) t WHERE t % 20 = 3
    UNION ALL SELECT user_id, 2 FROM estate.doctor WHERE kind <> 'weak' AND k % 37 <> 0 AND k % 41 <> 0 OR kind = 'dual'
    UNION ALL SELECT user_id, 6 FROM estate.doctor WHERE kind = 'rest' AND k % 50 = 0
    UNION ALL SELECT estate.id(c.users - c.patients + p), 1 FROM estate.c, generate_series(1, c.patients) p WHERE p % 33 <> 0
) x ORDER BY user_id, group_id;
INSERT INTO dispatch_usersetting (user_id, emails, require_2fa)
SELECT user_id, user_id % 4 <> 0, CASE user_id % 3 WHEN 0 THEN true WHEN 1 THEN false END FROM (
    SELECT user_id FROM estate.c, estate.doctor WHERE k <= c.settings - c.settings / 20
    UNION ALL SELECT estate.id(c.users - c.patients + c.dual_roles + 200 + p) FROM estate.c, generate_series(1, c.settings / 20) p WHERE c.patients >= c.dual_roles + 200 + c.settings / 20
    UNION ALL SELECT estate.id(c.users - p) FROM estate.c, generate_series(1, c.settings / 20) p WHERE c.patients < c.dual_roles + 200 + c.settings / 20
) x ORDER BY user_id;
INSERT INTO dispatch_doctorsetting (user_id, clinical_preferences, sq_customer_id, promised_payment, credit, tier_finish, tier_type, installment_payments, baa_agreed_at, eula_agreed_at, company_account)
SELECT user_id, CASE WHEN k % 100 = 9 THEN 'none' WHEN k % 4 = 0 THEN NULL ELSE jsonb_build_object('ipr', k % 2 = 0, 'attachments', 'as needed', 'note', estate.phrase(estate.rnd(k, 110, 30)))::text END,
    CASE WHEN k % 3 = 0 THEN 'CUST' || md5('d' || k) END, estate.rnd(k, 111, 90000) / 100.0, estate.rnd(k, 112, 5000) / 100.0, date '2024-01-01' + estate.rnd(k, 113, 900)::int, 1 + k % 3, k % 2 = 0,
    estate.at(k, c.doctors, 2000, 0), CASE WHEN k % 5 <> 1 THEN estate.at(k, c.doctors, 1900, 0) END, k % 30 = 0
FROM estate.c, estate.doctor WHERE kind <> 'weak' AND (k % 37 = 0 OR k % 5 <> 0 AND k % 41 <> 0) ORDER BY k;

-- Offices of doctors: never a lone one.
INSERT INTO dispatch_office_doctors (office_id, user_id)
SELECT 1 + (d.k * 13 + s * 101) % (c.offices - c.lone_offices), d.user_id
FROM estate.c, estate.doctor d, LATERAL generate_series(1, CASE WHEN d.kind = 'one' THEN 1 WHEN d.n <= c.third_offices THEN 3 ELSE 2 END) s
WHERE d.kind IN ('one', 'several') ORDER BY (d.k * 7) % 1000, d.k, s;
CREATE TABLE estate.office_doctor AS
SELECT d.k, array_agg(o.office_id ORDER BY o.id) AS offices FROM dispatch_office_doctors o JOIN estate.doctor d USING (user_id) GROUP BY 1;
ALTER TABLE estate.office_doctor ADD PRIMARY KEY (k);

-- Patients by rank: without doctor, with an office by default only, by one, by several, by a lone one, patients in that; the rest.
INSERT INTO dispatch_patient (id, user_id, doctor_id, office_id, birthdate, sex, status, archived, suspended, suffix, schemes, submitted_at, updated_at)
SELECT estate.id(p), estate.id(c.users - c.patients + p), d.user_id,
    CASE WHEN w.kind IN ('none', 'default', 'one', 'several', 'lone') THEN NULL WHEN w.kind = 'in lone' THEN c.offices - d.n + 1
        WHEN o.offices IS NOT NULL AND estate.rnd(r, 205, 5) > 0 THEN o.offices[1 + estate.rnd(r, 206, 3) % cardinality(o.offices)]
        ELSE 1 + estate.rnd(r, 207, c.offices - c.lone_offices) END,
    CASE WHEN estate.rnd(r, 208, 20) > 0 THEN date '1950-01-01' + estate.rnd(r, 209, 25000)::int END, (ARRAY[1, 2, 1, 2, 1, 2, 0, 9, NULL])[1 + estate.rnd(r, 210, 9)],
    (ARRAY[1, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11])[1 + estate.rnd(r, 211, 15)], estate.rnd(r, 212, 20) = 0, estate.rnd(r, 213, 100) = 0,
    CASE WHEN r = c.patients THEN '7KQ' WHEN r > c.patients - c.suffixes THEN lpad((r % 100)::text, 2, '0') || chr(65 + (r / 100 % 26)::int) || chr(65 + (r / 2600 % 26)::int) WHEN r % 3 = 0 THEN '' END,
    CASE r % 10 WHEN 0 THEN '{"wear": [1, 2, 3], "step": ' || r % 14 || '}' WHEN 1 THEN CASE WHEN r % 200 = 1 THEN 'wear nightly' ELSE '[]' END WHEN 2 THEN '' END,
    CASE WHEN estate.rnd(r, 214, 30) > 0 THEN estate.at(p, c.patients, 2900, estate.rnd(p, 215, 1000000)) END, CASE WHEN estate.rnd(r, 216, 40) > 0 THEN estate.at(p, c.patients, 2800, estate.rnd(p, 217, 100000000)) END
FROM estate.c, estate.kinds q
CROSS JOIN LATERAL generate_series(1, c.patients) r
CROSS JOIN LATERAL (SELECT estate.patient(r, c.patients) AS p) x
CROSS JOIN LATERAL (SELECT CASE WHEN r <= c.no_doctor THEN 'none' WHEN r <= c.no_office - c.no_office_one - c.no_office_several - c.no_office_lone THEN 'default'
    WHEN r <= c.no_office - c.no_office_several - c.no_office_lone THEN 'one' WHEN r <= c.no_office - c.no_office_lone THEN 'several' WHEN r <= c.no_office THEN 'lone'
    WHEN r <= c.no_office + 2 * c.no_office_lone THEN 'in lone' END AS kind) w
CROSS JOIN LATERAL (SELECT CASE WHEN w.kind = 'none' THEN NULL WHEN w.kind = 'default' THEN 'rest' WHEN w.kind = 'in lone' THEN 'lone' WHEN w.kind IS NOT NULL THEN w.kind
    WHEN r % (q.one + q.several + q.rest) < q.one THEN 'one' WHEN r % (q.one + q.several + q.rest) < q.one + q.several THEN 'several' ELSE 'rest' END AS kind) v
LEFT JOIN estate.doctor d ON d.kind = v.kind AND d.n = 1 + r % CASE v.kind WHEN 'one' THEN q.one WHEN 'several' THEN q.several WHEN 'lone' THEN q.lone ELSE q.rest END
LEFT JOIN estate.office_doctor o ON o.k = d.k;
