/* Derivations, held against a real server: what they write, when they run, what becomes of keys that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/contract/world.h"

static const char schemas[] =
    "DROP SCHEMA IF EXISTS pgrekey, pgrekey_mirror, legacy, app CASCADE;"
    "CREATE SCHEMA legacy; CREATE SCHEMA app; CREATE SCHEMA pgrekey_mirror;"
    "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" SCHEMA public;"
    "CREATE TABLE legacy.office (id integer PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE legacy.person (id integer PRIMARY KEY, name text NOT NULL, seen text);"
    "CREATE TABLE legacy.jaw (id integer PRIMARY KEY, label text);"
    "CREATE TABLE legacy.instruction (id integer PRIMARY KEY, upper_id integer, lower_id integer, note text);"
    "CREATE TABLE legacy.scan (id integer PRIMARY KEY, jaw_id integer, hidden boolean NOT NULL DEFAULT false);"
    "CREATE TABLE legacy.member (id integer PRIMARY KEY, person_id integer, office_id integer, rank integer);"
    "CREATE TABLE app.offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text NOT NULL);"
    "CREATE TABLE app.people (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text NOT NULL, rank text,"
    " meta jsonb DEFAULT '{\"theirs\": 1}');"
    "CREATE TABLE app.jaws (id uuid PRIMARY KEY, legacy_id integer UNIQUE, side text NOT NULL CHECK (side <> 'bad'),"
    " label varchar(8) UNIQUE, first_label text, app_note text DEFAULT 'untouched');"
    "CREATE TABLE app.scans (id uuid PRIMARY KEY, legacy_id integer, jaw_id uuid NOT NULL REFERENCES app.jaws);"
    "CREATE TABLE app.people_offices (person_id uuid REFERENCES app.people, office_id uuid REFERENCES app.offices,"
    " legacy_id integer, open boolean NOT NULL, app_note text DEFAULT 'new', t real, extra jsonb, other json, "
    "PRIMARY KEY (person_id, office_id));"
    "CREATE TABLE app.office_stats (office_id uuid PRIMARY KEY REFERENCES app.offices, people integer NOT NULL);"
    "CREATE TABLE app.names (name text PRIMARY KEY, bearers integer NOT NULL);"
    "CREATE SEQUENCE app.writes;"
    "CREATE FUNCTION app.count_write() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM nextval('app.writes'); RETURN NULL; END $$;"
    "CREATE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE ON app.jaws FOR EACH ROW EXECUTE FUNCTION "
    "app.count_write();"
    "CREATE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE ON app.office_stats FOR EACH ROW EXECUTE FUNCTION "
    "app.count_write();";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}},\n"
    "   columns: {legacy_id: id, name: name}}\n"
    "- {name: people, from: person, to: people, key: {id: {uuid: person, of: id}}, truncate: rows,\n"
    "   columns: {legacy_id: id, name: name, meta: {pack: {called: name}}}}\n"
    "- {name: scans, from: scan, to: scans, key: {id: {uuid: scan, of: id}}, when: not hidden,\n"
    "   columns: {legacy_id: id, jaw_id: {uuid: jaw, of: jaw_id}}}\n"
    "mirrors:\n"
    "  jaw: {columns: [id, label], truncate: rows}\n"
    "  instruction: {columns: [id, upper_id, lower_id, note], index: [upper_id, lower_id]}\n"
    "  member: {columns: [id, person_id, office_id, rank], index: [person_id, office_id], truncate: rows}\n"
    "derive:\n"
    "- name: jaws\n"
    "  to: jaws\n"
    "  key: {id: {uuid: jaw, of: jaw_id}}\n"
    "  columns: [legacy_id, side, label, first_label]\n"
    "  once: first_label\n"
    "  touched:\n"
    "    jaw: select id from touched\n"
    "    instruction: {columns: [upper_id, lower_id],\n"
    "                  keys: select upper_id from touched union select lower_id from touched}\n"
    "  query: |\n"
    "    select k.jaw_id, j.id legacy_id, r.side, j.label, j.label first_label, r.n from keys k join jaw j on j.id =\n"
    "      k.jaw_id cross join lateral (select count(*) n, min(s.side) side from (\n"
    "        select 'upper' side from instruction where upper_id = k.jaw_id union all\n"
    "        select case note when 'bad' then note else 'lower' end from instruction where lower_id = k.jaw_id) s) r\n"
    "  reject: {when: n <> 1, category: \"case n when 0 then 'orphan_reference' else 'ambiguous_value' end\"}\n"
    "  gone: delete\n"
    "- name: ranks\n"
    "  to: people\n"
    "  key: {id: {uuid: person, of: person_id}}\n"
    "  owns: [rank, meta]\n"
    "  merge: meta\n"
    "  touched: {member: select person_id from touched, people: {columns: [legacy_id], keys: select legacy_id from "
    "touched}}\n"
    "  query: >\n"
    "    select person_id, case max(member.rank) when 1 then 'one' else 'many' end as rank, "
    "jsonb_build_object('ranks',\n"
    "    count(*)) as meta from keys join people p on p.legacy_id = person_id join member using (person_id) group by "
    "1\n"
    "  gone: {set: {rank: none}}\n"
    "- name: pairs\n"
    "  to: people_offices\n"
    "  key: {person_id: {uuid: person, of: person_id}, office_id: {uuid: office, of: office_id}}\n"
    "  touched: {member: \"select person_id, office_id from touched\"}\n"
    "  query: select m.person_id, m.office_id, m.id as legacy_id, true as open from keys join member m using\n"
    "    (person_id, office_id)\n"
    "  gone: {set: {open: false}}\n"
    "- name: stats\n"
    "  to: office_stats\n"
    "  key: {office_id: office_id}\n"
    "  touched: {people_offices: {columns: [open, office_id], keys: select office_id from touched}}\n"
    "  query: select k.office_id, count(*)::int people from keys k join people_offices p on p.office_id = k.office_id\n"
    "    and p.open group by 1\n";

static const struct world_shape shape = {.schemas = schemas, .mapping = mapping};

#define JAWS "SELECT legacy_id, side, label, first_label, app_note FROM app.jaws ORDER BY 1"
#define ENTRIES                                                                                                        \
    "SELECT rule, key, category, sqlstate, op FROM pgrekey.quarantine WHERE status IN ('pending', 'escalated') ORDER " \
    "BY 1, 2"

static int setup(void **state)
{
    return world_setup_as(state, &shape);
}

/* A counter of a derivation is what it has written, and what of it stands in quarantine. */
static void assert_accounts(struct world *w)
{
    assert_world(w,
                 "SELECT c.rule FROM pgrekey.counter c JOIN pgrekey.derivation d USING (pipeline, rule) WHERE "
                 "c.mapped <> (SELECT count(*) FROM pgrekey.derived x WHERE x.derivation = d.id AND x.good) OR "
                 "c.quarantined <> (SELECT count(*) FROM pgrekey.quarantine q WHERE q.rule = c.rule AND op <> 'D' AND "
                 "status IN ('pending', 'escalated')) OR c.failed_deletes <> (SELECT count(*) FROM pgrekey.quarantine "
                 "q WHERE q.rule = c.rule AND op = 'D' AND status IN ('pending', 'escalated'))",
                 "");
}

static int teardown(void **state)
{
    assert_accounts(*state);
    return world_teardown(state);
}

static void jaw(struct world *w, int id, const char *label)
{
    char values[64];
    snprintf(values, sizeof(values), "%d, '%s'", id, label);
    world_insert(w, "jaw", values);
}

static void instruction(struct world *w, int id, int upper, int lower)
{
    char values[64];
    snprintf(values, sizeof(values), "%d, %d, %d, NULL", id, upper, lower);
    world_insert(w, "instruction", values);
}

/* Two jaws of one instruction. */
static void two_jaws(struct world *w)
{
    jaw(w, 1, "a");
    jaw(w, 2, "b");
    instruction(w, 1, 1, 2);
    world_apply(w);
}

/* --- what is written --- */

static void rows_are_derived_in_the_transaction_of_their_inputs(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    assert_world(w, JAWS, "1|upper|a|a|untouched\n2|lower|b|b|untouched");
    assert_world(w, "SELECT count(*) FROM app.jaws WHERE id = pgrekey.id('jaw', legacy_id)", "2");
    assert_account(w, "jaws", "2|0|0|0");
}

static void only_what_differs_is_written(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_run(w, "UPDATE app.jaws SET app_note = 'theirs'; SELECT setval('app.writes', 1)");
    world_update(w, "jaw", "id = 1", "label = 'A'", NULL);
    world_apply(w);
    assert_world(w, JAWS, "1|upper|A|a|theirs\n2|lower|b|b|theirs");
    assert_world(w, "SELECT last_value FROM app.writes", "2");
    world_update(w, "jaw", "true", "label = label", NULL);
    world_apply(w);
    assert_world(w, "SELECT last_value FROM app.writes", "2");
}

static void old_and_new_image_lead_to_keys(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    jaw(w, 3, "c");
    world_apply(w);
    assert_world(w, ENTRIES, "jaws|[\"3\"]|orphan_reference||U");
    world_update(w, "instruction", "id = 1", "lower_id = 3", NULL);
    world_apply(w);
    assert_world(w, JAWS, "1|upper|a|a|untouched\n2|lower|b|b|untouched\n3|lower|c|c|untouched");
    assert_world(w, ENTRIES, "jaws|[\"2\"]|orphan_reference||U");
    assert_account(w, "jaws", "2|1|0|0");
}

static void columns_say_which_changes_matter(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_run(w, "UPDATE app.jaws SET label = 'changed' WHERE legacy_id = 1");
    world_update(w, "instruction", "id = 1", "note = 'whatever'", NULL);
    world_apply(w);
    assert_world(w, "SELECT label FROM app.jaws WHERE legacy_id = 1", "changed");
    world_update(w, "instruction", "id = 1", "upper_id = 1, lower_id = 1", NULL);
    world_apply(w);
    assert_world(w, ENTRIES, "jaws|[\"1\"]|ambiguous_value||U\njaws|[\"2\"]|orphan_reference||U");
    world_update(w, "instruction", "id = 1", "lower_id = 2", NULL);
    world_apply(w);
    assert_world(w, "SELECT label FROM app.jaws WHERE legacy_id = 1", "a");
    assert_account(w, "jaws", "2|0|0|0");
}

static void a_gone_key_is_deleted_and_may_come_back(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_delete(w, "jaw", "id = 1");
    world_apply(w);
    assert_world(w, JAWS, "2|lower|b|b|untouched");
    assert_account(w, "jaws", "1|0|0|0");
    jaw(w, 1, "again");
    world_apply(w);
    assert_world(w, JAWS, "1|upper|again|again|untouched\n2|lower|b|b|untouched");
    assert_account(w, "jaws", "2|0|0|0");
}

static void derived_parents_come_before_their_children_and_go_after_them(void **state)
{
    struct world *w = *state;
    jaw(w, 1, "a");
    instruction(w, 1, 1, 0);
    world_insert(w, "scan", "7, 1");
    world_apply(w);
    assert_world(w, "SELECT s.legacy_id, j.legacy_id FROM app.scans s JOIN app.jaws j ON j.id = s.jaw_id", "7|1");
    world_delete(w, "scan", "id = 7");
    world_delete(w, "jaw", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT (SELECT count(*) FROM app.scans), (SELECT count(*) FROM app.jaws)", "0|0");
    assert_world(w, ENTRIES, "");
}

/* --- columns of others' rows --- */

static void named_columns_of_other_rows_are_kept_and_merged(void **state)
{
    struct world *w = *state;
    world_insert(w, "person", "1, 'Ann', NULL");
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "member", "1, 1, 1, 1");
    world_apply(w);
    assert_world(w, "SELECT name, rank, meta FROM app.people", "Ann|one|{\"ranks\": 1, \"called\": \"Ann\"}");
    assert_account(w, "ranks", "1|0|0|0");
    world_run(w, "UPDATE app.people SET meta = meta || '{\"theirs\": 1}'");
    world_update(w, "person", "id = 1", "name = 'Anna'", NULL);
    world_apply(w);
    assert_world(w, "SELECT name, rank, meta FROM app.people",
                 "Anna|one|{\"ranks\": 1, \"called\": \"Anna\", \"theirs\": 1}");
    world_update(w, "person", "id = 1", "id = 1, name = 'Eve'", NULL);
    world_update(w, "person", "id = 1", "name = 'Eva', seen = 'now'", NULL);
    world_apply(w);
    assert_world(w, "SELECT meta FROM app.people", "{\"ranks\": 1, \"called\": \"Eva\", \"theirs\": 1}");
    world_delete(w, "member", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT rank, meta FROM app.people", "none|{\"ranks\": 1, \"called\": \"Eva\", \"theirs\": 1}");
    assert_account(w, "ranks", "0|0|0|0");
}

static const char two_rules_mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: people, from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {name: name}}\n"
    "- {name: offices, from: office, to: people, key: {id: {uuid: office, of: id}}, columns: {name: name}}\n"
    "derive:\n"
    "- name: names\n"
    "  to: names\n"
    "  key: {name: name}\n"
    "  touched: {people: {columns: [name], keys: select name from touched}}\n"
    "  query: select name, count(*)::int as bearers from keys join people using (name) group by 1\n";

static int setup_two_rules(void **state)
{
    static const struct world_shape two_rules = {.schemas = schemas, .mapping = two_rules_mapping};
    return world_setup_as(state, &two_rules);
}

/* --- rejected keys whose row goes --- */

static const char rejecting_mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: scans, from: scan, to: scans, key: {id: {uuid: scan, of: id}},\n"
    "   columns: {legacy_id: id, jaw_id: {uuid: jaw, of: jaw_id}}}\n"
    "mirrors: {jaw: {columns: [label]}}\n"
    "derive:\n"
    "- name: jaws\n"
    "  to: jaws\n"
    "  key: {id: {uuid: jaw, of: jaw_id}}\n"
    "  columns: [legacy_id, side, label]\n"
    "  touched: {jaw: select id from touched}\n"
    "  query: select k.jaw_id, id as legacy_id, 'upper' as side, label from keys k join jaw on id = k.jaw_id\n"
    "  reject: {when: label = 'odd', category: ambiguous_value, row: gone}\n";

static int setup_rejecting(void **state)
{
    static const struct world_shape rejecting = {.schemas = schemas, .mapping = rejecting_mapping};
    return world_setup_as(state, &rejecting);
}

static void a_rejected_row_goes_where_it_is_to(void **state)
{
    struct world *w = *state;

    jaw(w, 1, "a");
    jaw(w, 2, "odd");
    world_insert(w, "scan", "1, 1, false");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, label FROM app.jaws", "1|a");
    assert_account(w, "jaws", "1|1|0|0");
    world_update(w, "jaw", "id = 1", "label = 'odd'", NULL);
    world_update(w, "jaw", "id = 2", "label = 'b'", NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, label FROM app.jaws", "2|b");
    assert_world(w, "SELECT legacy_id FROM app.scans", "");
    assert_world(w, ENTRIES, "jaws|[\"1\"]|ambiguous_value||U\nscans|[\"1\"]|orphan_reference||U");
    assert_account(w, "jaws", "1|1|0|0");
    world_update(w, "jaw", "id = 1", "label = 'c'", NULL);
    world_apply(w);
    assert_world(w, "SELECT legacy_id, label FROM app.jaws ORDER BY 1", "1|c\n2|b");
    assert_world(w, "SELECT legacy_id FROM app.scans", "1");
    assert_world(w, ENTRIES, "");
    assert_account(w, "jaws", "2|0|0|0");
}

/* --- deferred foreign keys between derived rows --- */

static const char deferring[] = "ALTER TABLE app.scans ALTER CONSTRAINT scans_jaw_id_fkey DEFERRABLE;";

static const char linked_mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "mirrors: {jaw: {columns: [label]}, scan: {columns: [jaw_id]}}\n"
    "derive:\n"
    "- name: jaws\n"
    "  to: jaws\n"
    "  key: {id: {uuid: jaw, of: jaw_id}}\n"
    "  columns: [legacy_id, side]\n"
    "  touched: {jaw: select id from touched}\n"
    "  query: select k.jaw_id, id as legacy_id, 'upper' as side from keys k join jaw on id = k.jaw_id\n"
    "- name: scans\n"
    "  to: scans\n"
    "  key: {id: {uuid: scan, of: scan_id}}\n"
    "  columns: [legacy_id, jaw_id]\n"
    "  references: {jaw_id: jaw}\n"
    "  touched: {scan: select id from touched}\n"
    "  query: select k.scan_id, id as legacy_id, pgrekey.id('jaw', jaw_id) as jaw_id from keys k join scan on id = "
    "k.scan_id\n";

static int setup_deferring(void **state)
{
    static char both[sizeof(schemas) + sizeof(deferring)];
    static const struct world_shape shape_of_both = {.schemas = both, .mapping = linked_mapping};

    snprintf(both, sizeof(both), "%s%s", schemas, deferring);
    return world_setup_as(state, &shape_of_both);
}

/* The server would refuse the chunk as a whole, at its end. */
static void derived_children_leave_before_a_deferred_key_is_checked(void **state)
{
    struct world *w = *state;
    struct sink_figures figures;

    jaw(w, 1, "a");
    world_insert(w, "scan", "1, 1, false");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.scans", "1");
    world_delete(w, "jaw", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.jaws", "0");
    assert_world(w, ENTRIES, "scans|[\"1\"]|orphan_reference||U");
    pgsink_figures(w->sink, &figures);
    assert_int_equal(figures.row_mode_batches, 0);
    jaw(w, 1, "a");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.scans", "1");
    assert_world(w, ENTRIES, "");
}

static void images_wait_for_all_rules_of_their_table(void **state)
{
    struct world *w = *state;

    world_insert(w, "person", "1, 'Ann', NULL");
    world_insert(w, "office", "1, 'North'");
    world_apply(w);
    assert_world(w, "SELECT * FROM app.names ORDER BY 1", "Ann|1\nNorth|1");
    world_begin(w);
    world_update(w, "person", "id = 1", "name = 'Bob'", NULL);
    world_update(w, "office", "id = 1", "name = 'South'", NULL);
    assert_true(world_commit(w));
    world_apply(w);
    assert_world(w, "SELECT * FROM app.names ORDER BY 1", "Bob|1\nSouth|1");
    assert_account(w, "names", "2|0|0|0");
}

/* Images of rows add up, from chunk to chunk, until their table is emptied; the row that goes has been read by then. */
static void a_row_that_goes_among_many_takes_its_columns_along(void **state)
{
    struct world *w = *state;
    char one[64];

    world_begin(w);
    for (int id = 1; id <= 1100; id++) {
        snprintf(one, sizeof(one), "%d, 'Ann', NULL", id);
        world_insert(w, "person", one);
        snprintf(one, sizeof(one), "%d, %d, NULL, 1", id, id);
        world_insert(w, "member", one);
    }
    assert_true(world_commit(w));
    world_apply(w);
    assert_account(w, "ranks", "1100|0|0|0");
    for (int id = 1; id <= 4; id++) {
        world_begin(w);
        world_update(w, "person", "true", "name = name || 'a'", NULL);
        snprintf(one, sizeof(one), "id = %d", id);
        world_delete(w, "person", one);
        assert_true(world_commit(w));
        world_apply(w);
        snprintf(one, sizeof(one), "%d|0|0|0", 1100 - id);
        assert_account(w, "ranks", one);
    }
}

/* --- pairs and chains --- */

#define PAIRS "SELECT legacy_id, open FROM app.people_offices ORDER BY 1"
#define STATS "SELECT o.legacy_id, people FROM app.office_stats JOIN app.offices o ON o.id = office_id ORDER BY 1"

static void two_people(struct world *w)
{
    world_insert(w, "person", "1, 'Ann', NULL");
    world_insert(w, "person", "2, 'Bob', NULL");
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "office", "2, 'South'");
    world_insert(w, "member", "1, 1, 1, 1");
    world_insert(w, "member", "2, 2, 1, 1");
    world_apply(w);
}

static void what_one_derivation_changed_is_input_of_the_next(void **state)
{
    struct world *w = *state;
    two_people(w);
    assert_world(w, PAIRS, "1|t\n2|t");
    assert_world(w, STATS, "1|2");
    world_update(w, "member", "id = 2", "office_id = 2", NULL);
    world_apply(w);
    assert_world(w, STATS, "1|1\n2|1");
    world_delete(w, "member", "id = 1");
    world_apply(w);
    assert_world(w, STATS, "2|1");
    assert_account(w, "stats", "1|0|0|0");
}

static void a_pair_that_returns_reopens_its_row(void **state)
{
    struct world *w = *state;
    two_people(w);
    world_delete(w, "member", "id = 1");
    world_apply(w);
    assert_world(w, PAIRS, "1|f\n2|t");
    assert_account(w, "pairs", "1|0|0|0");
    world_insert(w, "member", "9, 1, 1, 1");
    world_apply(w);
    assert_world(w, PAIRS, "2|t\n9|t");
    assert_world(w, STATS, "1|2");
    assert_account(w, "pairs", "2|0|0|0");
}

static void a_second_row_of_one_key_is_ambiguous(void **state)
{
    struct world *w = *state;
    two_people(w);
    world_insert(w, "member", "3, 1, 1, 1");
    world_apply(w);
    assert_world(w, PAIRS, "1|t\n2|t");
    assert_world(w, ENTRIES, "pairs|[\"1\",\"1\"]|ambiguous_value||U");
    assert_account(w, "pairs", "1|1|0|0");
    world_delete(w, "member", "id = 1");
    world_apply(w);
    assert_world(w, PAIRS, "2|t\n3|t");
    assert_world(w, ENTRIES, "");
    assert_account(w, "pairs", "2|0|0|0");
}

static void a_pair_without_its_parent_waits(void **state)
{
    struct world *w = *state;
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "member", "1, 77, 1, 1");
    world_apply(w);
    assert_world(w, PAIRS, "");
    assert_world(w, ENTRIES, "pairs|[\"77\",\"1\"]|orphan_reference||U");
    assert_account(w, "pairs", "0|1|0|0");
}

/* --- failing keys --- */

#define NOTED_PAIRS "SELECT legacy_id, open, app_note, extra, other, t FROM app.people_offices ORDER BY 1"

/* The application's columns are the row's, wherever it was meanwhile. */
static void a_row_that_waited_comes_back_with_what_others_wrote(void **state)
{
    struct world *w = *state;
    world_insert(w, "person", "1, 'Ann'");
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "member", "1, 1, 1, 1");
    world_apply(w);
    world_run(w, "UPDATE app.people_offices SET app_note = 'theirs', extra = 'null', t = '-0'");
    world_delete(w, "person", "id = 1");
    world_apply(w);
    assert_world(w, NOTED_PAIRS, "");
    assert_world(w, "SELECT rule, target_row ->> 'app_note' FROM pgrekey.quarantine WHERE status = 'pending'",
                 "pairs|theirs");
    world_insert(w, "person", "1, 'Ann again'");
    world_apply(w);
    assert_world(w, NOTED_PAIRS, "1|t|theirs|null|\\N|-0");
    assert_world(w, "SELECT count(*) FROM pgrekey.quarantine WHERE target_row IS NOT NULL", "0");
    world_begin(w); /* and within one transaction */
    world_delete(w, "person", "id = 1");
    world_insert(w, "person", "1, 'Ann once more'");
    assert_true(world_commit(w));
    world_apply(w);
    assert_world(w, NOTED_PAIRS, "1|t|theirs|null|\\N|-0");
    assert_world(w, ENTRIES, "");
}

static void a_failing_key_is_isolated(void **state)
{
    struct world *w = *state;
    for (int id = 1; id <= 40; id++) {
        char label[16];
        snprintf(label, sizeof(label), id == 17 ? "much too long" : "l%d", id);
        jaw(w, id, label);
        instruction(w, id, id, 0);
    }
    world_apply(w);
    assert_world(w, ENTRIES, "jaws|[\"17\"]|validation_failure|22001|U");
    assert_account(w, "jaws", "39|1|0|0");
    world_update(w, "jaw", "id = 17", "label = 'short'", NULL);
    world_apply(w);
    assert_world(w, ENTRIES, "");
    assert_account(w, "jaws", "40|0|0|0");
}

static void a_failed_update_leaves_the_last_good_row(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_update(w, "jaw", "id = 2", "label = 'a'", NULL); /* jaw 1 holds it */
    world_apply(w);
    assert_world(w, JAWS, "1|upper|a|a|untouched\n2|lower|b|b|untouched");
    assert_world(w, ENTRIES, "jaws|[\"2\"]|constraint_violation|23505|U");
    assert_account(w, "jaws", "1|1|0|0");
    world_delete(w, "jaw", "id = 2");
    world_apply(w);
    assert_world(w, JAWS, "1|upper|a|a|untouched");
    assert_world(w, ENTRIES, "");
    assert_account(w, "jaws", "1|0|0|0");
}

static void a_gone_row_frees_its_unique_value_for_a_new_one(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_delete(w, "jaw", "id = 1");
    jaw(w, 3, "a");
    world_update(w, "instruction", "id = 1", "upper_id = 3", NULL);
    world_apply(w);
    assert_world(w, JAWS, "2|lower|b|b|untouched\n3|upper|a|a|untouched");
    assert_world(w, ENTRIES, "");
}

static void rows_hand_a_unique_value_to_each_other(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_update(w, "jaw", "id = 1", "label = 'b'", NULL);
    world_update(w, "jaw", "id = 2", "label = 'a'", NULL);
    world_apply(w);
    assert_world(w, JAWS, "1|upper|b|a|untouched\n2|lower|a|b|untouched");
    assert_world(w, ENTRIES, "");
}

static void a_delete_that_others_hold_is_kept_aside(void **state)
{
    struct world *w = *state;
    jaw(w, 1, "a");
    instruction(w, 1, 1, 0);
    world_apply(w);
    world_run(w, "CREATE TABLE app.theirs (jaw_id uuid REFERENCES app.jaws); INSERT INTO app.theirs SELECT id FROM "
                 "app.jaws");
    world_reopen(w);
    world_delete(w, "jaw", "id = 1");
    world_apply(w);
    assert_world(w, ENTRIES, "jaws|[\"1\"]|constraint_violation|23503|D");
    assert_account(w, "jaws", "0|0|0|1");
    world_run(w, "DELETE FROM app.theirs; INSERT INTO pgrekey.request (pipeline, kind) VALUES ('contract', "
                 "'quarantine_retry')");
    world_tick(w);
    assert_world(w, JAWS, "");
    assert_account(w, "jaws", "0|0|0|0");
    assert_accounts(w);
}

static void retry_and_discard_work_on_keys(void **state)
{
    struct world *w = *state;
    world_run(w, "ALTER TABLE app.jaws ADD CONSTRAINT no_a CHECK (label <> 'a'), ADD CONSTRAINT no_b CHECK (label <> "
                 "'b')");
    two_jaws(w);
    assert_account(w, "jaws", "0|2|0|0");
    world_run(w, "INSERT INTO pgrekey.request (pipeline, kind, ids) SELECT 'contract', 'quarantine_discard', "
                 "array_agg(id) FROM pgrekey.quarantine WHERE key = '[\"1\"]'");
    world_tick(w);
    assert_account(w, "jaws", "0|1|1|0");
    world_run(w, "ALTER TABLE app.jaws DROP CONSTRAINT no_a, DROP CONSTRAINT no_b; INSERT INTO pgrekey.request "
                 "(pipeline, kind) VALUES ('contract', 'quarantine_retry')");
    world_tick(w);
    assert_account(w, "jaws", "1|0|1|0");
    assert_world(w, "SELECT result FROM pgrekey.request ORDER BY id DESC LIMIT 1", "1 resolved, 0 still failing");
    world_update(w, "jaw", "id = 1", "label = 'x'", NULL);
    world_apply(w);
    assert_account(w, "jaws", "2|0|0|0");
}

/* --- ways that rows take --- */

static void rows_in_row_mode_reach_the_derivations(void **state)
{
    struct world *w = *state;
    world_run(w, "ALTER TABLE app.offices ADD CHECK (name <> 'refused')");
    world_insert(w, "office", "9, 'refused'");
    world_insert(w, "person", "1, 'Ann', NULL");
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "member", "1, 1, 1, 1");
    world_apply(w);
    assert_world(w, PAIRS, "1|t");
    assert_world(w, STATS, "1|1");
    world_update(w, "member", "id = 1", "id = 5", NULL); /* its key */
    world_apply(w);
    assert_world(w, PAIRS, "5|t");
    assert_account(w, "pairs", "1|0|0|0");
}

static void truncates_reach_the_derivations(void **state)
{
    struct world *w = *state;
    two_people(w);
    world_truncate(w, "member");
    world_apply(w);
    assert_world(w, PAIRS, "1|f\n2|f");
    assert_world(w, STATS, "");
    assert_world(w, "SELECT rank FROM app.people", "none\nnone");
    assert_account(w, "pairs", "0|0|0|0");
}

static void a_row_goes_with_the_derived_rows_that_refer_to_it(void **state)
{
    struct world *w = *state;
    two_people(w);
    world_delete(w, "member", "id = 2");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.people_offices", "2"); /* one of them closed */
    world_delete(w, "person", "id = 2");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.people", "1");
    assert_world(w, PAIRS, "1|t");
    assert_account(w, "people", "1|0|0|0");
    assert_account(w, "pairs", "1|0|0|0");
    world_delete(w, "person", "id = 1"); /* its pair is open: it waits without a row */
    world_apply(w);
    assert_world(w, PAIRS, "");
    assert_world(w, ENTRIES, "pairs|[\"1\",\"1\"]|orphan_reference||U");
    assert_account(w, "pairs", "0|1|0|0");
    world_insert(w, "person", "1, 'Ann', NULL");
    world_apply(w);
    assert_world(w, PAIRS, "1|t");
    assert_world(w, ENTRIES, "");
    assert_account(w, "pairs", "1|0|0|0");
    assert_world(w, STATS, "1|1");
}

/* It is deleted on the target before its parent is looked for, which goes in between. */
static void a_row_that_goes_and_returns_as_its_derived_parent_goes_counts_once(void **state)
{
    struct world *w = *state;

    two_jaws(w);
    world_insert(w, "scan", "1, 1"); /* stands */
    world_insert(w, "scan", "2, 1");
    world_insert(w, "scan", "3, 1, true"); /* does not */
    world_insert(w, "scan", "4, 2");
    world_apply(w);
    assert_account(w, "scans", "3|0|1|0");
    world_begin(w);
    world_delete(w, "scan", "id IN (1, 3)");
    world_update(w, "scan", "id IN (2, 4)", "hidden = true", NULL);
    world_delete(w, "jaw", "id = 1");
    world_update(w, "scan", "id IN (2, 4)", "hidden = false", NULL);
    world_insert(w, "scan", "1, 1");
    world_insert(w, "scan", "3, 1");
    assert_true(world_commit(w));
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.scans", "4");
    assert_account(w, "scans", "1|3|0|0");
    jaw(w, 1, "a");
    world_apply(w);
    assert_world(w, "SELECT legacy_id FROM app.scans ORDER BY 1", "1\n2\n3\n4");
    assert_account(w, "scans", "4|0|0|0");
}

static void a_large_source_transaction_goes_in_pieces(void **state)
{
    struct world *w = *state;
    world_begin(w);
    for (int part = 0; part < 3; part++) {
        for (int id = 1; id <= 30; id++) {
            char label[16];
            snprintf(label, sizeof(label), "l%d", part * 30 + id);
            jaw(w, part * 30 + id, label);
            instruction(w, part * 30 + id, part * 30 + id, 0);
        }
        world_apply_part(w);
    }
    world_update(w, "jaw", "id <= 50", "label = label || 'x'", NULL);
    world_delete(w, "jaw", "id > 80");
    world_apply(w);
    assert_world(w, "SELECT count(*), count(*) FILTER (WHERE label LIKE '%x') FROM app.jaws", "80|50");
    assert_account(w, "jaws", "80|0|0|0");
}

static void nothing_runs_where_no_input_changed(void **state)
{
    struct world *w = *state;
    two_jaws(w);
    world_run(w, "ALTER TABLE app.jaws RENAME TO hidden");
    world_insert(w, "office", "1, 'North'");
    world_update(w, "instruction", "id = 1", "note = 'x'", NULL);
    world_apply(w);
    world_run(w, "ALTER TABLE app.hidden RENAME TO jaws");
    assert_world(w, ENTRIES, "");
}

/* Row mode takes a refused delete back to its savepoint, and what was released for it. */
static void a_refused_delete_counts_none_that_was_released_for_it(void **state)
{
    struct world *w = *state;
    world_insert(w, "person", "1, 'Ann'");
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "member", "1, 1, 1, 1");
    world_apply(w);
    world_run(w,
              "CREATE TABLE app.theirs (person_id uuid REFERENCES app.people); INSERT INTO app.theirs SELECT id FROM "
              "app.people");
    world_delete(w, "person", "id = 1");
    world_apply(w);
    assert_world(w, ENTRIES, "people|[\"1\"]|constraint_violation|23503|D");
    assert_world(w, NOTED_PAIRS, "1|t|new|\\N|\\N|\\N");
    assert_world(w, "SELECT rule, rows FROM pgrekey.audit WHERE action = 'delete'", "");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(rows_are_derived_in_the_transaction_of_their_inputs),
        test(only_what_differs_is_written),
        test(old_and_new_image_lead_to_keys),
        test(columns_say_which_changes_matter),
        test(a_gone_key_is_deleted_and_may_come_back),
        test(derived_parents_come_before_their_children_and_go_after_them),
        test(named_columns_of_other_rows_are_kept_and_merged),
        cmocka_unit_test_setup_teardown(a_rejected_row_goes_where_it_is_to, setup_rejecting, teardown),
        cmocka_unit_test_setup_teardown(derived_children_leave_before_a_deferred_key_is_checked, setup_deferring,
                                        teardown),
        cmocka_unit_test_setup_teardown(images_wait_for_all_rules_of_their_table, setup_two_rules, teardown),
        test(a_row_that_goes_among_many_takes_its_columns_along),
        test(what_one_derivation_changed_is_input_of_the_next),
        test(a_pair_that_returns_reopens_its_row),
        test(a_second_row_of_one_key_is_ambiguous),
        test(a_pair_without_its_parent_waits),
        test(a_row_that_waited_comes_back_with_what_others_wrote),
        test(a_failing_key_is_isolated),
        test(a_failed_update_leaves_the_last_good_row),
        test(a_gone_row_frees_its_unique_value_for_a_new_one),
        test(rows_hand_a_unique_value_to_each_other),
        test(a_delete_that_others_hold_is_kept_aside),
        test(retry_and_discard_work_on_keys),
        test(rows_in_row_mode_reach_the_derivations),
        test(truncates_reach_the_derivations),
        test(a_row_goes_with_the_derived_rows_that_refer_to_it),
        test(a_row_that_goes_and_returns_as_its_derived_parent_goes_counts_once),
        test(a_large_source_transaction_goes_in_pieces),
        test(nothing_runs_where_no_input_changed),
        test(a_refused_delete_counts_none_that_was_released_for_it),
    };
    if (!world_conninfo())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
