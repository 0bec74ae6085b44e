-- The legacy side: integer keys, JSON in text columns, references that nobody enforces. Everything is generated from
-- row numbers, so that each run makes the same people.
CREATE EXTENSION "uuid-ossp"; -- for the comparison at the end, which computes every UUID a second time

CREATE TABLE auth_user (
    id serial PRIMARY KEY,
    password varchar(128) NOT NULL DEFAULT '',
    last_login timestamptz,
    is_superuser boolean NOT NULL DEFAULT false,
    username varchar(150) UNIQUE NOT NULL,
    first_name varchar(150) NOT NULL DEFAULT '',
    last_name varchar(150) NOT NULL DEFAULT '',
    email varchar(254) NOT NULL DEFAULT '',
    is_staff boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    date_joined timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE dispatch_office (
    id serial PRIMARY KEY,
    name varchar(255),
    address varchar(255),
    apt varchar(64),
    city varchar(128),
    state varchar(64),
    zip varchar(32),
    country varchar(64),
    phone varchar(64),
    tax_rate numeric(8,4) NOT NULL DEFAULT 0,
    valid boolean NOT NULL DEFAULT true,
    sq_customer_id varchar(64),
    emails boolean NOT NULL DEFAULT true
);
CREATE TABLE dispatch_patient (
    id serial PRIMARY KEY,
    user_id int NOT NULL REFERENCES auth_user,
    doctor_id int, -- of auth_user, not enforced
    office_id int, -- not enforced
    birthdate date,
    sex int,
    status int NOT NULL DEFAULT 1,
    archived boolean NOT NULL DEFAULT false,
    suspended boolean NOT NULL DEFAULT false,
    suffix varchar(10),
    schemes text,
    submitted_at timestamptz,
    updated_at timestamptz
);
CREATE TABLE dispatch_instruction (
    id serial PRIMARY KEY,
    patient_id int NOT NULL, -- not enforced
    course_id int,
    "order" int,
    model int,
    scanner int,
    notes text,
    scanner_notes text,
    exports text,
    conditions text NOT NULL DEFAULT '',
    complaint text NOT NULL DEFAULT '',
    objective text NOT NULL DEFAULT '',
    price numeric(12,2),
    status int NOT NULL DEFAULT 0,
    cbct boolean NOT NULL DEFAULT false,
    deleted boolean NOT NULL DEFAULT false,
    suffix varchar(10),
    submitted_at timestamptz,
    updated_at timestamptz
);
CREATE TABLE dispatch_payment (
    id serial PRIMARY KEY,
    made_at timestamptz,
    instruction_id int, -- not enforced
    order_id int,
    doctor_id int,
    office_id int,
    free boolean NOT NULL DEFAULT false,
    canceled boolean NOT NULL DEFAULT false,
    paid boolean NOT NULL DEFAULT false,
    netsuite boolean NOT NULL DEFAULT false,
    tax_rate numeric(8,4) NOT NULL DEFAULT 0,
    tax_value numeric(12,2) NOT NULL DEFAULT 0,
    subtotal_price numeric(12,2) NOT NULL DEFAULT 0,
    total_price numeric(12,2) NOT NULL DEFAULT 0,
    paid_price numeric(12,2) NOT NULL DEFAULT 0,
    used_credit numeric(12,2) NOT NULL DEFAULT 0,
    additional_price numeric(12,2) NOT NULL DEFAULT 0,
    custom_price numeric(12,2),
    installments text
);
CREATE TABLE dispatch_notification (
    id serial PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    sender varchar(255),
    template_name varchar(255) NOT NULL,
    template_context text NOT NULL DEFAULT '{}',
    read boolean NOT NULL DEFAULT false,
    item_id int,
    item_type_id int,
    recipient_id int NOT NULL, -- not enforced
    sent boolean NOT NULL DEFAULT false,
    send boolean NOT NULL DEFAULT true
);

-- A made-up person for a number.
CREATE FUNCTION given_name(i int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT (ARRAY['Ada','Björn','Chiara','Dilip','Elif','Fumiko','Grace','Hugo','Ines','Jonas','Keiko','Liam','Mai',
                  'Noah','Olga','Priya','Quentin','Rosa','Søren','Tarek','Uma','Victor','Wanda','Ximena','Yusuf',
                  'Zoë'])[1 + i % 26] $$;
CREATE FUNCTION family_name(i int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT (ARRAY['Abbott','Brandt','Castillo','Dubois','Eriksen','Fischer','García','Hoang','Ito','Jansen','Kowalski',
                  'Lindqvist','Müller','Nguyen','O''Brien','Petrov','Quinn','Rossi','Sato','Tanaka','Ueda','Vogel',
                  'Weiß','Xu','Yamada','Žižek'])[1 + (i / 26) % 26] $$;

INSERT INTO dispatch_office (name, address, city, state, zip, country, phone, tax_rate, valid, sq_customer_id, emails)
SELECT CASE WHEN i % 41 = 0 THEN '' ELSE '  ' || family_name(i * 7) || ' Orthodontics ' || i END,
       (100 + i) || ' Main Street',
       (ARRAY['Springfield','Osaka','Pune','Bangkok'])[1 + i % 4],
       (ARRAY['il','13','mh','10'])[1 + i % 4],
       lpad((10000 + i * 37)::text, 5, '0'),
       (ARRAY['US','United States','Japan','India','Thailand','USA'])[1 + i % 6],
       '+1 555 01' || lpad((i % 100)::text, 2, '0'),
       (i % 45) / 4.0, i % 29 <> 0, 'sq-' || md5('office' || i), i % 3 <> 0
FROM generate_series(1, 240) i;

INSERT INTO auth_user (password, username, first_name, last_name, email, is_staff, is_active, date_joined, last_login)
SELECT 'pbkdf2$' || md5('secret' || i), 'user' || i, given_name(i), family_name(i),
       CASE WHEN i % 8 = 0 THEN 'User' || i || '@Example.com' ELSE '' END,
       i % 500 = 0, i % 37 <> 0,
       timestamptz '2019-01-01 00:00+00' + i * interval '3 hours',
       CASE WHEN i % 5 <> 0 THEN timestamptz '2025-01-01 00:00+00' + i * interval '7 minutes' END
FROM generate_series(1, 10000) i;

-- The first 400 users are doctors; some patients name a doctor who is gone.
INSERT INTO dispatch_patient (user_id, doctor_id, office_id, birthdate, sex, status, archived, suffix, schemes,
                              submitted_at, updated_at)
SELECT 400 + i,
       CASE WHEN i % 900 = 0 THEN 900000 + i WHEN i % 11 <> 0 THEN 1 + i % 400 END,
       CASE WHEN i % 13 <> 0 THEN 1 + i % 240 END,
       date '1950-01-01' + (i * 13) % 24000, i % 4, 1 + i % 11, i % 50 = 0,
       CASE WHEN i % 6 <> 0 THEN lpad((i % 100)::text, 2, '0') || 'AB' END,
       '{"upper": ' || i % 14 || ', "lower": ' || i % 12 || '}',
       timestamptz '2020-01-01 00:00+00' + i * interval '5 hours',
       timestamptz '2024-01-01 00:00+00' + i * interval '1 hour'
FROM generate_series(1, 8000) i;

-- A few orders carry a status that nobody knows; deleted ones are left out by rule.
INSERT INTO dispatch_instruction (patient_id, course_id, "order", model, notes, exports, price, status, cbct, deleted,
                                  submitted_at, updated_at)
SELECT 1 + i % 8000, 1 + i % 4, 1 + i / 8000, 1 + 2 * (i % 2),
       CASE WHEN i % 3 = 0 THEN 'Please check tooth ' || 1 + i % 32 END,
       CASE WHEN i % 4 = 0 THEN '{"format": "stl", "parts": [' || i || ', ' || i + 1 || ']}' END,
       (i % 400) * 12.5 + 99.99, CASE WHEN i % 2500 = 7 THEN 9 ELSE (ARRAY[0,1,2,4,4,4])[1 + i % 6] END,
       i % 7 = 0, i % 60 = 0,
       timestamptz '2021-01-01 00:00+00' + i * interval '2 hours', timestamptz '2025-01-01 00:00+00' + i * interval '1 minute'
FROM generate_series(1, 12000) i;

INSERT INTO dispatch_payment (made_at, instruction_id, doctor_id, office_id, free, canceled, paid, tax_rate, tax_value,
                              subtotal_price, total_price, paid_price, installments)
SELECT CASE WHEN i % 9 <> 0 THEN timestamptz '2022-01-01 00:00+00' + i * interval '3 hours' END,
       i, 1 + i % 400, 1 + i % 240, i % 70 = 0, i % 120 = 0, i % 9 <> 0,
       8.25, round((i % 400) * 12.5 * 0.0825, 2), (i % 400) * 12.5,
       (i % 400) * 12.5 + round((i % 400) * 12.5 * 0.0825, 2),
       CASE WHEN i % 9 <> 0 THEN (i % 400) * 12.5 + round((i % 400) * 12.5 * 0.0825, 2) ELSE 0 END,
       CASE WHEN i % 10 = 0 THEN '[{"due": "2025-0' || 1 + i % 9 || '-01", "value": ' || i % 300 || '.50}]' END
FROM generate_series(1, 9000) i;

-- Every 19th context is long enough to be stored out of line; some are no JSON at all; some recipients are gone.
INSERT INTO dispatch_notification (created_at, sender, template_name, template_context, read, item_id, recipient_id,
                                   sent, send)
SELECT timestamptz '2023-01-01 00:00+00' + i * interval '17 minutes', 'noreply@example.com',
       (ARRAY['order_submitted','order_shipped','payment_received','plan_ready'])[1 + i % 4],
       CASE WHEN i % 2000 = 999 THEN '{"patient": "cut o'
            WHEN i % 19 = 0 THEN '{"order": ' || i || ', "body": "'
                 || (SELECT string_agg(md5(i || '-' || n), '') FROM generate_series(1, 150) n) || '"}'
            ELSE '{"order": ' || i || ', "name": "' || given_name(i) || '"}' END,
       i % 3 = 0, 1 + i % 12000,
       CASE WHEN i % 6000 = 6 THEN 700000 + i ELSE 1 + i % 10000 END,
       i % 5 <> 0, i % 50 <> 0
FROM generate_series(1, 30000) i;

ANALYZE;
