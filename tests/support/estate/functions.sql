-- What the estate's data are made of: hashes of a row's number, so that the same seed gives the same rows, in whatever
-- order and session. The one-row table estate.c holds the counts; estate.seed the seed.
\set ON_ERROR_STOP on

-- rnd(row, stream, n): from 0 to n - 1. Each column that wants chance has a stream of its own.
SELECT format('CREATE FUNCTION estate.rnd(i bigint, stream int, n bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN (hashint8extended(i, %s * 1000::bigint + stream) & 9223372036854775807) %% n', seed) FROM estate.seed \gexec
SELECT format('CREATE FUNCTION estate.uid(i bigint, stream int) RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN overlay(overlay(md5(%s || '':'' || stream || '':'' || i) placing ''4'' from 13) placing ''a'' from 17)::uuid', seed) FROM estate.seed \gexec

-- A legacy table has gaps where rows were deleted: every 51st id is missing, and gone(k) is one of these.
CREATE FUNCTION estate.id(i bigint) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN (i + (i - 1) / 50)::int;
CREATE FUNCTION estate.gone(k bigint) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN (51 * k)::int;

-- spread(i, n, from, to): the time of the i-th of n rows between two days.
CREATE FUNCTION estate.at(i bigint, n bigint, days int, jitter bigint) RETURNS timestamptz IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN timestamptz '2025-10-18 00:00+00' - days * interval '1 day' + (days * 86400::bigint * (i - 1) / n) * interval '1 second' + jitter * interval '1 millisecond';

CREATE FUNCTION estate.first_name(h bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    (ARRAY['Ada', 'Akira', 'Alma', 'Amir', 'Anika', 'Aroon', 'Beatriz', 'Bela', 'Bruno', 'Carla', 'Chai', 'Cleo', 'Dalia', 'Darius', 'Dina', 'Edgar',
    'Elif', 'Emil', 'Erin', 'Farid', 'Fiona', 'Georg', 'Gita', 'Hana', 'Haruto', 'Hugo', 'Ida', 'Imran', 'Ines', 'Jana', 'Joel', 'Jun', 'Kai', 'Karin',
    'Kofi', 'Lars', 'Leila', 'Lina', 'Malee', 'Marek', 'Mei', 'Mila', 'Nadia', 'Nils', 'Noor', 'Olga', 'Omar', 'Paula', 'Priya', 'Rafael', 'Ravi',
    'Rosa', 'Sakura', 'Samir', 'Sofia', 'Tomas', 'Uma', 'Viktor', 'Yara', 'Zoë'])[1 + h % 60];
CREATE FUNCTION estate.last_name(h bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    (ARRAY['Abara', 'Adler', 'Almeida', 'Andersen', 'Arora', 'Bauer', 'Becker', 'Bianchi', 'Blom', 'Braun', 'Castillo', 'Chandra', 'Chen', 'Costa',
    'Dahl', 'Diaz', 'Dubois', 'Eriksen', 'Farkas', 'Ferrer', 'Fischer', 'Fuchs', 'Fujita', 'Garcia', 'Gruber', 'Haddad', 'Hansen', 'Hayashi', 'Horvat',
    'Ito', 'Ivanov', 'Jensen', 'Joshi', 'Kaya', 'Keller', 'Khan', 'Kimura', 'Klein', 'Kovacs', 'Kumar', 'Lang', 'Larsen', 'Lehmann', 'Lopez', 'Maier',
    'Marino', 'Mehta', 'Mendes', 'Mori', 'Moser', 'Nair', 'Navarro', 'Nguyen', 'Novak', 'Okafor', 'Olsen', 'Ortiz', 'Patel', 'Petrov', 'Phan', 'Pinto',
    'Ramos', 'Reyes', 'Rossi', 'Sato', 'Schmid', 'Seidel', 'Sharma', 'Silva', 'Simon', 'Sorensen', 'Suzuki', 'Szabo', 'Tanaka', 'Torres', 'Tran',
    'Vogel', 'Wagner', 'Weiss', 'O''Leary'])[1 + h % 80];
-- Clinical chatter, of every kind that the classifiers of texts tell apart.
CREATE FUNCTION estate.phrase(h bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    (ARRAY['Upper arch is seated well.', 'Looks good, go ahead.', 'Approved by the doctor.', 'Please close the gap at 21.', 'Can we start with the lower arch?',
    'The patient has a question about wear time.', 'New treatment plan is uploaded.', 'Bonding tray is ready', 'Scan is distorted at the second molar.',
    'Bracket 35 came off.', 'Impression taken anew.', 'We agreed on a plan with extraction.', 'Wire changed to the next size.', 'No complaint.',
    'I approve the set-up.', 'Midline is off by 1 mm.', 'Photos are missing.', 'Shipped with the morning courier.', 'Patient was late.', 'Retainer fits.',
    'Contact the office by phone.', 'Overjet is 4 mm — as before.', 'Space closure takes longer than planned.', 'Crowding in the lower front.',
    'Tooth 11 is rotated, 12 is not.', 'Treatment continues.', 'See the note of last week.', 'Consent is signed.', 'X-ray shows nothing new.', 'Done'])[1 + h % 30];
-- The patient of a rank, one to one: what is wrong with patients is told by rank, so that it is spread over their ids.
CREATE FUNCTION estate.patient(r bigint, n bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN (r * 7919) % n + 1;
