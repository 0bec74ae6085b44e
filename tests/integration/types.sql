-- A table for every built-in type and every way to make new ones, with odd names, odd values, NULLs; rows that are
-- changed, among them ones with values out of line, a changed key, each kind of replica identity. Used by
-- types_roundtrip; a copying rule can be tried on the same tables.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE mood AS ENUM ('sad', 'so-so', 'very "happy"', 'größer', 'a,b');
CREATE TYPE pair AS (a integer, b text, c numeric);
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN posint AS integer CHECK (VALUE > 0);
CREATE DOMAIN posposint AS posint;
CREATE DOMAIN yesno AS boolean;
CREATE DOMAIN amount AS numeric(12, 2);
CREATE DOMAIN blob AS bytea;
CREATE DOMAIN word AS text;

CREATE TABLE numbers (id serial PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, n numeric, n2 numeric(38, 10),
    f4 real, f8 double precision, o oid, m money, b boolean);
INSERT INTO numbers (i2, i4, i8, n, n2, f4, f8, o, m, b) VALUES
    (-32768, -2147483648, -9223372036854775808, -0.00000000000000000001, 1234567890123456789012345678.0123456789,
     1.1754944e-38, 2.2250738585072014e-308, 0, '-92233720368547758.08', true),
    (32767, 2147483647, 9223372036854775807, 1e400, -0.5, 3.4028235e+38, 1.7976931348623157e+308, 4294967295, '12.30', false),
    (0, 0, 0, 0, 0, '-0', '-0', 1, '0', NULL),
    (1, 1, 1, 'NaN', 'NaN', 'NaN', 'NaN', 1, '1', true),
    (1, 1, 1, 'Infinity', 1, 'Infinity', '-Infinity', 1, '1', true),
    (1, 1, 1, '-Infinity', 1, 0.1, 0.1, 1, '1', true),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE texts (id serial PRIMARY KEY, t text, v varchar(40), c char(8), c1 "char", n name, ci citext, x xml);
INSERT INTO texts (t, v, c, c1, n, ci, x) VALUES
    ('', '', '', '', '', '', ''),
    (E'tab\tline\nreturn\rback\\slash "quote" ''single''', E'\\N', E'\\.', 'x', 'name', 'CiText', '<a b="c">d&amp;e</a>'),
    (E'\x01\x02\x08\x0c\x1b\x1f\x7f', E'\\x41', 'ab  ', '\', 'n"', E'\\', '<a/>'),
    ('äöü€𝄞 שלום 漢字', 'ß', 'ä', 'z', 'ñ', 'É', '<ä/>'),
    ('null', 'NULL', 'true', 'n', 'NaN', '1e5', 'x'),
    ('{"json": [1, 2]}', '[1]', '1', '"', '{', '}', 'y'),
    (repeat('long ', 100000), NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE bytes (id serial PRIMARY KEY, b bytea, bi bit(5), bv bit varying(20), bd blob);
INSERT INTO bytes (b, bi, bv, bd) VALUES
    ('', B'00000', B'', ''), ('\x00ff5c22', B'10101', B'1', '\x00ff5c22'), (NULL, NULL, NULL, NULL),
    (decode(repeat('c3a4', 50000), 'hex'), B'11111', B'0101', decode(repeat('00', 3000), 'hex'));

CREATE TABLE times (id serial PRIMARY KEY, d date, t time, t3 time(3), tz timetz, ts timestamp, tsz timestamptz, iv interval);
INSERT INTO times (d, t, t3, tz, ts, tsz, iv) VALUES
    ('2024-02-29', '23:59:59.999999', '01:02:03.004', '12:00+05:30', '2024-02-29 12:00', '2024-02-29 12:00+02', '1 year 2 mons -3 days 04:05:06.789'),
    ('4713-01-01 BC', '24:00', '00:00', '00:00-15:59', '4713-01-01 00:00 BC', '0044-03-15 12:00:00 BC', '-178000000 years'),
    ('infinity', '00:00', '00:00', '00:00', 'infinity', '-infinity', '0'),
    ('5874897-12-31', '00:00', '00:00', '00:00', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999', 'P1Y2M3DT4H5M6S'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE others (id serial PRIMARY KEY, u uuid, j json, jb jsonb, jp jsonpath, ine inet, ci cidr, ma macaddr, ma8 macaddr8,
    po point, li line, ls lseg, bo box, pa path, pg polygon, cr circle, tv tsvector, tq tsquery, hs hstore,
    ls2 pg_lsn, tx xid, tx8 xid8, snap pg_snapshot, ti tid, rc regclass, rt regtype, rp regprocedure, rn regnamespace);
INSERT INTO others VALUES
    (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', E'{"a" : 1.50, "a":"\\u00e4\\n", "b": [null,true]}', E'{"b": [null, true], "a": 1.50, "u": "\\u00e4\\n\\"", "n": 1e400}'::text::jsonb,
     '$.a[*] ? (@.x > 1)', '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
     '(1.5,-2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),1.5>',
     'a:1A ''b c'':2', 'a & !''b c'' | d:*', '"k, 1"=>"v \"1\"", n=>NULL', '16/B374D848', '7', '8', '10:20:10,14,15', '(1,2)',
     'numbers', 'mood', 'lower(text)', 'public'),
    (2, NULL, NULL, NULL, NULL, '::1', '2001:db8::/32', NULL, NULL, NULL, NULL, NULL, NULL, '((0,0),(1,1))', NULL, NULL, '', NULL, '', NULL, NULL,
     NULL, NULL, NULL, NULL, 'integer[]', NULL, NULL);

CREATE TABLE made (id serial PRIMARY KEY, e mood, p pair, pp posint, ppp posposint, y yesno, am amount, w word,
    ai integer[], at text[], ae mood[], ap pair[], ab bytea[], abo boolean[], an numeric[], ad posint[], a2 integer[][], al integer[],
    r4 int4range, r8 int8range, rn numrange, rd daterange, rts tsrange, rtz tstzrange, rf floatrange, mr int4multirange, mt tstzmultirange,
    g integer GENERATED ALWAYS AS (coalesce(pp, 0) * 2) STORED, gi integer GENERATED ALWAYS AS IDENTITY);
INSERT INTO made (e, p, pp, ppp, y, am, w, ai, at, ae, ap, ab, abo, an, ad, a2, al, r4, r8, rn, rd, rts, rtz, rf, mr, mt) VALUES
    ('very "happy"', '(1,"a ""b"" \\ ,",1.50)', 1, 2, true, 1.5, E'w\n', '{1,NULL,-3}', E'{"","NULL",NULL,"a,b","\\"q\\"","back\\\\slash",ä}',
     '{sad,"very \"happy\"",größer}', '{"(1,x,)","(,,)"}', '{"\\\\x00ff"}', '{t,f,NULL}', '{1.10,NaN}', '{1,2}', '{{1,2},{3,4}}', '[5:6]={1,2}',
     '[1,5)', 'empty', '(,1.5]', '[2024-01-01,2024-02-01)', '["2024-01-01 00:00","2024-01-02 00:00")', '["2024-01-01 00:00+00",)', '(0.1,0.2)',
     '{[1,2),[5,8)}', '{["2024-01-01 00:00+00","2024-01-02 00:00+00")}'),
    ('größer', '(,,)', 7, 7, false, -1, '', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', 'empty', '(,)', '(,)', '(,)', '(,)', '(,)', '(,)', '{}', '{}'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE "Größe, ""odd"" name.*'\" ("Der Schlüssel" text, "a ""b""" text, "c.d,e*" text, "tab	in" text, " " text, "select" text,
    "back\slash" text, PRIMARY KEY ("Der Schlüssel", "a ""b"""));
INSERT INTO "Größe, ""odd"" name.*'\" VALUES ('k1', 'x', '1', '2', '3', '4', '5'), ('k,2', 'y"', NULL, NULL, NULL, NULL, E'\t');
UPDATE "Größe, ""odd"" name.*'\" SET "Der Schlüssel" = 'new "key"', "select" = 'set' WHERE "Der Schlüssel" = 'k1';

CREATE TABLE big_default (id integer PRIMARY KEY, small text, big text, big2 bytea);
CREATE TABLE big_full (LIKE big_default INCLUDING ALL);
CREATE TABLE big_index (LIKE big_default INCLUDING ALL, code text UNIQUE NOT NULL);
ALTER TABLE big_default ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL;
ALTER TABLE big_full ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL;
ALTER TABLE big_index ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL, ALTER code SET STORAGE EXTERNAL,
    REPLICA IDENTITY USING INDEX big_index_code_key;
INSERT INTO big_default SELECT i, 'small', repeat('x' || i, 10000), decode(repeat('ab', 10000), 'hex') FROM generate_series(1, 5) i;
INSERT INTO big_index SELECT id, small, big, big2, repeat('c' || id, 1200) FROM big_default;
UPDATE big_default SET small = 'changed' WHERE id < 3;
UPDATE big_default SET id = id + 100 WHERE id = 3;
UPDATE big_default SET big = NULL, big2 = '' WHERE id = 4;
DELETE FROM big_default WHERE id = 5;
UPDATE big_index SET small = 'changed' WHERE id < 3;
UPDATE big_index SET code = repeat('new', 900) WHERE id = 3;
UPDATE big_index SET code = 'short', id = 200 WHERE id = 4;
DELETE FROM big_index WHERE id = 5;

CREATE TABLE parts (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
INSERT INTO parts VALUES (1, 'a'), (150, 'b');
UPDATE parts SET id = 160 WHERE id = 1;
CREATE TABLE heir () INHERITS (big_default);
ALTER TABLE heir ADD PRIMARY KEY (id);
INSERT INTO heir VALUES (1, 'of the heir', NULL, NULL);

CREATE TABLE altered (id integer PRIMARY KEY, gone text, stays text);
INSERT INTO altered VALUES (1, 'gone', 'stays');
