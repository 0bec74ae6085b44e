-- What the target must hold of people and practices, said over the legacy tables and in their keys. Written from the
-- estate's rules, not from the mapping: whole tables joined, grouped and ranked, where the mapping starts from a key.
CREATE TEMP TABLE who AS
SELECT u.*, p.id AS patient_id, p.archived, p.suspended, btrim(p.suffix) AS suffix, p.birthdate, p.sex,
    coalesce(g.groups, '{}') AS groups,
    11 = ANY (g.groups) IS TRUE AS t,
    2 = ANY (g.groups) IS TRUE OR u.id IN (SELECT user_id FROM dispatch_office_doctors)
        OR u.id IN (SELECT user_id FROM dispatch_doctorsetting)
        OR u.id IN (SELECT doctor_id FROM dispatch_patient WHERE doctor_id IS NOT NULL) AS d,
    u.id IN (SELECT user_id FROM dispatch_usersetting) AS weak,
    p.id IS NOT NULL AS p,
    CASE WHEN lower(btrim(u.email)) ~ '^[^@\s]+@[^@\s]+$' THEN lower(btrim(u.email)) END AS address
FROM auth_user u
LEFT JOIN (SELECT DISTINCT ON (user_id) * FROM dispatch_patient ORDER BY user_id, id) p ON p.user_id = u.id
LEFT JOIN (SELECT user_id, array_agg(group_id ORDER BY group_id) AS groups FROM auth_user_groups GROUP BY 1) g ON g.user_id = u.id;

CREATE TEMP TABLE doctor AS SELECT * FROM who WHERE d OR (weak AND NOT p AND NOT t);
CREATE TEMP TABLE place AS
SELECT id, valid, nullif(upper(btrim(state)), '') AS state,
    CASE WHEN btrim(country) IN ('US', 'USA', 'United States') THEN 'USA' ELSE nullif(btrim(country), '') END AS country
FROM dispatch_office;
CREATE TEMP TABLE seat AS SELECT m.* FROM dispatch_office_doctors m JOIN place o ON o.id = m.office_id;

-- Which practice a patient belongs to: each way by itself, then the first that leads anywhere.
CREATE TEMP TABLE patient AS
WITH own AS (
    SELECT p.id, p.office_id AS office FROM dispatch_patient p JOIN place o ON o.id = p.office_id
), doctors_office AS (
    SELECT user_id, min(office_id) AS office, count(*) AS n FROM seat GROUP BY 1
), used AS ( -- by one patient's doctor's other patients
    SELECT p.id, o.id AS office, count(*) AS n
    FROM dispatch_patient p JOIN dispatch_patient q ON q.doctor_id = p.doctor_id AND q.id <> p.id JOIN place o ON o.id = q.office_id GROUP BY 1, 2
), most AS (
    SELECT DISTINCT ON (id) id, office FROM used ORDER BY id, n DESC, office
), region AS (
    SELECT p.id, min(o.country) AS country, min(o.state) AS state
    FROM dispatch_patient p JOIN dispatch_patient q ON q.doctor_id = p.doctor_id AND q.id <> p.id LEFT JOIN place o ON o.id = q.office_id
    GROUP BY 1 HAVING bool_and(o.country IS NOT NULL AND o.state IS NOT NULL) AND min(o.country || '/' || o.state) = max(o.country || '/' || o.state)
), only_one AS (
    SELECT country, state, min(id) AS office FROM place WHERE valid GROUP BY 1, 2 HAVING count(*) = 1
)
SELECT p.*, w.office, w.method, w.confidence
FROM dispatch_patient p
LEFT JOIN own ON own.id = p.id
LEFT JOIN doctors_office d ON d.user_id = p.doctor_id
LEFT JOIN most ON most.id = p.id
LEFT JOIN region ON region.id = p.id
LEFT JOIN only_one ON (only_one.country, only_one.state) = (region.country, region.state)
CROSS JOIN LATERAL (
    SELECT * FROM (VALUES
        (1, own.office, 'direct_membership', 'high'),
        (2, CASE WHEN d.n = 1 THEN d.office END, 'direct_membership', 'high'),
        (3, CASE WHEN d.n > 1 THEN most.office END, 'organizational', 'medium'),
        (4, only_one.office, 'geographic', 'medium'),
        (5, NULL, 'default', 'low')) AS v (step, office, method, confidence)
    WHERE office IS NOT NULL OR step = 5 ORDER BY step LIMIT 1) w
WHERE p.user_id IN (SELECT id FROM auth_user);
-- A profile has one patient row: others of the same user stand aside.
CREATE TEMP TABLE good_patient AS
SELECT * FROM patient p WHERE NOT EXISTS (SELECT FROM dispatch_patient q WHERE q.user_id = p.user_id AND q.id < p.id);

CREATE TEMP TABLE expected (line text);
INSERT INTO expected
SELECT 'profiles ' || to_jsonb(x)::text FROM (
    SELECT id AS key,
        CASE WHEN row_number() OVER (PARTITION BY address ORDER BY is_active DESC, id) = 1 THEN address END AS email,
        address IS NOT NULL AND row_number() OVER (PARTITION BY address ORDER BY is_active DESC, id) > 1 AS duplicate,
        CASE WHEN t THEN 'technician' WHEN d THEN 'doctor' WHEN p THEN 'patient' WHEN 5 = ANY (groups) THEN 'master'
            WHEN 4 = ANY (groups) THEN 'admin' WHEN weak THEN 'doctor' WHEN is_superuser THEN 'master' WHEN is_staff THEN 'admin'
            WHEN 1 = ANY (groups) THEN 'patient' ELSE 'client' END AS kind,
        patient_id AS patient, coalesce(archived, false) AS archived, coalesce(suspended, false) AS suspended,
        nullif(suffix, '') AS suffix, birthdate AS born,
        coalesce((ARRAY['other', 'male', 'female'])[sex + 1], 'unknown') AS gender, to_jsonb(groups) AS groups,
        (SELECT s.emails FROM dispatch_usersetting s WHERE s.user_id = who.id ORDER BY s.id LIMIT 1) AS emails
    FROM who) x
UNION ALL
SELECT 'doctors ' || to_jsonb(x)::text FROM (
    SELECT d.id AS key, d.id AS profile, (SELECT s.office_id FROM seat s WHERE s.user_id = d.id ORDER BY s.id LIMIT 1) AS office,
        CASE WHEN d.is_active THEN 'active' ELSE 'inactive' END AS status, d.date_joined AS joined,
        (d.date_joined AT TIME ZONE 'UTC')::date AS licensed, d.date_joined AS created, s.id IS NOT NULL AS setting,
        s.credit, s.promised_payment AS promised, s.tier_type AS tier,
        (SELECT jsonb_agg(m.user_id ORDER BY m.user_id) FROM dispatch_doctorsetting_masters m WHERE m.doctorsetting_id = s.id) AS masters
    FROM doctor d LEFT JOIN (SELECT DISTINCT ON (user_id) * FROM dispatch_doctorsetting ORDER BY user_id, id) s ON s.user_id = d.id) x
UNION ALL
SELECT 'technicians ' || to_jsonb(x)::text FROM (
    SELECT id AS key, id AS profile, id AS technician, username AS employee, btrim(first_name) AS first, btrim(last_name) AS last, address AS email,
        CASE WHEN is_active THEN 'active' ELSE 'inactive' END AS status, is_active AS active,
        (date_joined AT TIME ZONE 'UTC')::date AS hired, date_joined AS created
    FROM who WHERE t) x
UNION ALL
SELECT 'patients ' || to_jsonb(x)::text FROM (
    SELECT p.id AS key, p.user_id AS "user", p.doctor_id AS legacy_doctor, p.user_id AS profile,
        btrim(w.first_name) AS first, btrim(w.last_name) AS last, w.address AS email, nullif(btrim(p.suffix), '') AS suffix,
        coalesce((ARRAY['other', 'male', 'female'])[p.sex + 1], 'unknown') AS sex, p.birthdate AS born, d.id AS doctor, a.id AS assigned,
        coalesce(p.office, 1) AS office, p.office IS NULL AS review, p.method, p.confidence,
        CASE WHEN p.archived THEN 'archived' ELSE coalesce((ARRAY['consultation', 'treatment_plan', 'treatment_plan', 'in_treatment',
            'in_treatment', 'retention', 'completed', 'cancelled', 'on_hold', 'transferred', 'in_treatment'])[p.status], 'prospect') END AS status,
        p.status AS code, p.archived, p.suspended, p.submitted_at AS enrolled,
        coalesce(p.submitted_at, w.date_joined) AS created, coalesce(p.updated_at, p.submitted_at, w.date_joined) AS updated
    FROM good_patient p JOIN who w ON w.id = p.user_id LEFT JOIN doctor d ON d.id = p.doctor_id LEFT JOIN auth_user a ON a.id = p.doctor_id) x
UNION ALL
SELECT 'doctor_offices ' || to_jsonb(x)::text FROM (
    SELECT s.id AS key, s.user_id AS doctor, s.office_id AS office, 'doctor' AS role,
        rank() OVER (PARTITION BY s.user_id ORDER BY s.id) = 1 AS first, o.valid AND u.is_active AS active,
        (u.date_joined AT TIME ZONE 'UTC')::date AS since
    FROM seat s JOIN place o ON o.id = s.office_id JOIN auth_user u ON u.id = s.user_id) x
UNION ALL
SELECT 'associations ' || to_jsonb(x)::text FROM (
    SELECT w.id AS key, coalesce(s.office_id, p.office, 1) AS office,
        CASE WHEN s.office_id IS NOT NULL THEN 'direct_membership' ELSE coalesce(p.method, 'default') END AS method,
        CASE WHEN s.office_id IS NOT NULL THEN 'high' ELSE coalesce(p.confidence, 'low') END AS confidence,
        s.office_id IS NULL AND coalesce(p.method, 'default') = 'default' AS review,
        coalesce(s.office_id, p.office, 1) AS in_profile
    FROM who w LEFT JOIN (SELECT DISTINCT ON (user_id) * FROM seat ORDER BY user_id, id) s ON s.user_id = w.id
    LEFT JOIN good_patient p ON p.user_id = w.id) x
UNION ALL
SELECT 'network ' || to_jsonb(x)::text FROM (
    SELECT p.id AS key, d.id AS doctor, p.office, o.country
    FROM good_patient p LEFT JOIN doctor d ON d.id = p.doctor_id LEFT JOIN place o ON o.id = p.office
    WHERE d.id IS NOT NULL OR p.office IS NOT NULL) x;
