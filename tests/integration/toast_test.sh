#!/usr/bin/env bash
# Values that the stream leaves out (unchanged, out of line) under every kind of rule: plain copies, expressions, rows
# that begin and cease to match `when`, changed keys; what a delete does; `once`; and the accounts after each step.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE article (id int PRIMARY KEY, title text NOT NULL, body text, note text, kind int NOT NULL DEFAULT 1,
    sent boolean NOT NULL DEFAULT false);
ALTER TABLE article ALTER body SET STORAGE EXTERNAL, ALTER note SET STORAGE EXTERNAL;
CREATE FUNCTION big(seed text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT string_agg(md5(seed || i), '') FROM generate_series(1, 150) i $$;
INSERT INTO article SELECT i, 'Title ' || i, big('body' || i), CASE WHEN i % 3 = 0 THEN NULL ELSE big('note' || i) END, 1 + i % 2, i % 4 = 0
    FROM generate_series(1, 100) i;
SQL
target_script <<'SQL'
CREATE TABLE articles (id uuid PRIMARY KEY, legacy_id int NOT NULL, title text NOT NULL, first_title text NOT NULL, body text NOT NULL, note text);
CREATE TABLE letters (id uuid PRIMARY KEY, legacy_id int NOT NULL, title text NOT NULL, body text NOT NULL, note text);
CREATE TABLE digests (id uuid PRIMARY KEY, title text, opening text, size int, packed jsonb);
CREATE TABLE archive (legacy_id int PRIMARY KEY, title text, body text, gone boolean NOT NULL, mine text DEFAULT 'the application''s');
CREATE TABLE long_ones (id uuid PRIMARY KEY, title text, note text);
SQL
mapping_write <<'YAML'
rows:
  - {name: plain, from: article, to: articles, key: {id: {uuid: article, of: id}}, once: first_title,
     columns: {legacy_id: id, title: title, first_title: title, body: body, note: note}}
  - {name: sent, from: article, to: letters, when: sent, key: {id: {uuid: letter, of: id}},
     columns: {legacy_id: id, title: title, body: body, note: note}}
  - {name: digest, from: article, to: digests, key: {id: {uuid: digest, of: id}}, delete: keep,
     columns: {title: title, opening: {left: {of: body, chars: 10}}, size: {expr: "length(body)"}, packed: {pack: [title, note, kind]}}}
  - {name: archive, from: article, to: archive, when: kind = 1, key: {legacy_id: id}, delete: {set: {gone: true}},
     columns: {title: title, body: body, gone: {const: false}}}
  - {name: long, from: article, to: long_ones, when: "body ~ '^[0-4]'", key: {id: {uuid: long, of: id}},
     columns: {title: title, note: note}}
YAML
settings_write
check "init" pgrekey init
check "check" pgrekey check --quiet

compare() {
    local rule
    same_rows "$1: plain copies" "SELECT $(uuid_sql article id), id, title, md5(body), md5(note) FROM article" \
        "SELECT id, legacy_id, title, md5(body), md5(note) FROM articles"
    same_rows "$1: rows that match" "SELECT $(uuid_sql letter id), id, title, md5(body), md5(note) FROM article WHERE sent" \
        "SELECT id, legacy_id, title, md5(body), md5(note) FROM letters"
    # What was deleted is kept: only living rows are compared.
    source_sql "SELECT $(uuid_sql digest id) FROM article" | LC_ALL=C sort >"$T/living"
    same_rows "$1: expressions" "SELECT $(uuid_sql digest id), title, left(body, 10), length(body), md5(jsonb_build_object('title', title, 'note', note, 'kind', kind)::text) FROM article" \
        "SELECT id, title, opening, size, md5(packed::text) FROM digests WHERE id::text = ANY ('{$(paste -sd, "$T/living")}')"
    same_rows "$1: rows that are marked" "SELECT id, title, md5(body) FROM article WHERE kind = 1" \
        "SELECT legacy_id, title, md5(body) FROM archive WHERE NOT gone"
    same_rows "$1: a condition on a value left out" "SELECT $(uuid_sql long id), title, md5(note) FROM article WHERE body ~ '^[0-4]'" \
        "SELECT id, title, md5(note) FROM long_ones"
    for rule in plain sent digest archive long; do accounts "$1: accounts of $rule" "$rule" article; done
    equals "$1: mapped and excluded" \
        "$(source_sql "SELECT count(*), 0 FROM article UNION ALL SELECT count(*) FILTER (WHERE sent), count(*) FILTER (WHERE NOT sent) FROM article
            UNION ALL SELECT count(*), 0 FROM article UNION ALL SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind <> 1) FROM article
            UNION ALL SELECT count(*) FILTER (WHERE body ~ '^[0-4]'), count(*) FILTER (WHERE body !~ '^[0-4]') FROM article" | paste -sd ' ')" \
        "$(target_sql "SELECT mapped, excluded FROM pgrekey.counter ORDER BY array_position('{plain,sent,digest,archive,long}', rule)" | paste -sd ' ')"
    equals "$1: nothing in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}
first_titles() { # NAME EXPECTED IDS
    equals "$1" "$2" "$(target_sql "SELECT string_agg(first_title, ' ' ORDER BY legacy_id) FROM articles WHERE legacy_id IN ($3)")"
}
step() { # NAME, SQL from standard input
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"

step "nothing but the title changes" <<<"UPDATE article SET title = title || '!' WHERE id <= 40"
first_titles "a column written once keeps its first value" "Title 1 Title 40" "1, 40"
step "one of two changes" <<<"UPDATE article SET note = big('other' || id) WHERE id BETWEEN 30 AND 60"
step "small, and large again" <<'SQL'
UPDATE article SET body = 'small ' || id, note = '' WHERE id BETWEEN 10 AND 20;
UPDATE article SET title = 'between', note = NULL WHERE id BETWEEN 10 AND 14;
UPDATE article SET body = big('again' || id), note = big('n') WHERE id BETWEEN 12 AND 20;
UPDATE article SET title = title || '?' WHERE id BETWEEN 8 AND 22;
SQL
step "rows begin to match, their text left out" <<<"UPDATE article SET sent = true WHERE id IN (1, 2, 3, 5, 50, 51)"
step "rows cease to match" <<<"UPDATE article SET sent = false WHERE id IN (2, 4, 8, 51)"
step "begin, cease and begin in one transaction" <<'SQL'
BEGIN;
UPDATE article SET sent = true WHERE id BETWEEN 61 AND 70;
UPDATE article SET sent = false, title = 'ceased' WHERE id BETWEEN 63 AND 68;
UPDATE article SET sent = true WHERE id BETWEEN 65 AND 66;
COMMIT;
SQL
step "and in single transactions" <<'SQL'
UPDATE article SET sent = NOT sent WHERE id BETWEEN 60 AND 80;
UPDATE article SET sent = NOT sent, kind = 3 - kind WHERE id BETWEEN 65 AND 75;
UPDATE article SET sent = NOT sent WHERE id BETWEEN 70 AND 80;
UPDATE article SET kind = 3 - kind WHERE id BETWEEN 55 AND 70;
SQL
step "a changed key, the text left out" <<<"UPDATE article SET id = id + 1000 WHERE id BETWEEN 21 AND 30"
first_titles "what was written once moves along" "Title 21 Title 30" "1021, 1030"
step "a changed key of a row that begins or ceases to match" <<'SQL'
UPDATE article SET id = id + 1000, sent = NOT sent WHERE id BETWEEN 31 AND 36;
UPDATE article SET id = id + 1000, kind = 3 - kind WHERE id BETWEEN 37 AND 40;
UPDATE article SET id = id + 1000, sent = NOT sent, title = 'back' WHERE id BETWEEN 1031 AND 1033;
SQL
step "keys that change places" <<'SQL'
BEGIN;
UPDATE article SET id = -41 WHERE id = 41;
UPDATE article SET id = 41 WHERE id = 42;
UPDATE article SET id = 42 WHERE id = -41;
COMMIT;
BEGIN;
UPDATE article SET id = id + 10000, title = 'shifted' WHERE id BETWEEN 43 AND 46;
UPDATE article SET id = CASE id WHEN 10046 THEN 43 ELSE id - 9999 END WHERE id > 10000;
COMMIT;
SQL
step "deletes" <<<"DELETE FROM article WHERE id % 10 = 7"
equals "delete: keep leaves the row" 1 "$(target_sql "SELECT count(*) FROM digests WHERE id = '$(source_sql "SELECT $(uuid_sql digest 7)")'")"
equals "delete: set marks the row, and nothing else" "57|t|the application's" \
    "$(target_sql "SELECT legacy_id, gone, mine FROM archive WHERE legacy_id = 57")"
step "a key becomes that of a row which is kept" <<'SQL'
INSERT INTO article SELECT i, 'Kept ' || i, big('k' || i), NULL, 1, true FROM generate_series(501, 506) i;
DELETE FROM article WHERE id IN (501, 503, 505);
UPDATE article SET id = 501 WHERE id = 502;
UPDATE article SET id = 503, body = 'new' WHERE id = 504;
UPDATE article SET id = 505, kind = 2 WHERE id = 506;
SQL
step "the same keys come again" <<'SQL'
INSERT INTO article SELECT i, 'Born again ' || i, big('b' || i), NULL, 1, true FROM unnest('{7,17,47}'::int[]) i;
INSERT INTO article VALUES (97, 'Born again 97', big('x'), big('y'), 2, false);
SQL
first_titles "a row that is born again is written anew" "Born again 7 Born again 97" "7, 97"
step "deleted and born again in one transaction" <<'SQL'
BEGIN;
DELETE FROM article WHERE id IN (7, 17, 97, 98);
INSERT INTO article SELECT i, 'Third ' || i, big('c' || i), big('d'), 1, i > 50 FROM unnest('{7,17,98}'::int[]) i;
UPDATE article SET title = title || '.' WHERE id IN (7, 98);
COMMIT;
SQL
first_titles "and is written anew too" "Third 7 Third 17" "7, 17"

# What is left out is looked for when the row is gone, changed or under another key on the source.
engine_stop
step_late() {
    source_script
    engine_start
    caught_up
    compare "$1"
    engine_stop
}
step_late "applied late: begins to match, then changes" <<'SQL'
UPDATE article SET sent = true WHERE id IN (81, 82, 83, 85, 86, 89);
UPDATE article SET body = big('later') WHERE id = 81;
UPDATE article SET body = 'short' WHERE id = 82;
UPDATE article SET title = 'both' WHERE id = 83;
UPDATE article SET title = 'digest of a gone one' WHERE id = 91;
DELETE FROM article WHERE id = 91;
UPDATE article SET sent = false WHERE id = 85;
DELETE FROM article WHERE id = 86;
UPDATE article SET id = 1089 WHERE id = 89;
SQL
step_late "applied late: a key that changed twice" <<'SQL'
UPDATE article SET sent = true, title = 'first' WHERE id IN (90, 93, 94, 95);
UPDATE article SET id = id + 2000 WHERE id IN (90, 93, 94, 95);
UPDATE article SET id = id + 2000, title = 'last' WHERE id IN (2090, 2093);
UPDATE article SET sent = false WHERE id = 4093;
DELETE FROM article WHERE id = 2094;
INSERT INTO article VALUES (90, 'takes the old key', 'b', 'n', 1, true), (94, 'too', big('t'), NULL, 2, false);
SQL
first_titles "once, over changed keys" "Title 95 Title 90" "2095, 4090"
step_late "applied late: born again, then changed without its text" <<'SQL'
DELETE FROM article WHERE id IN (98, 99);
INSERT INTO article VALUES (98, 'Fourth 98', big('4'), big('n4'), 2, false), (99, 'Second 99', big('2'), NULL, 1, true);
UPDATE article SET title = 'changed' WHERE id IN (98, 99);
UPDATE article SET sent = true WHERE id = 98;
SQL
first_titles "once, born again in one batch" "Fourth 98 Second 99" "98, 99"
test_end
