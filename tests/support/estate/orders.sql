-- Catalogues, orders, jaws, projects, plans, states.
INSERT INTO dispatch_course (id, name, type) VALUES (1, 'Main', 1), (2, 'Refinement', 2), (3, 'Replacement', 4), (4, 'Any', 3), (7, 'Invoice', 5), (8, 'Merchandise', 6);
INSERT INTO dispatch_category (id, name, parent_id)
SELECT i, 'Category ' || i, CASE WHEN i > c.categories / 4 THEN 1 + i % (c.categories / 4) END FROM estate.c, generate_series(1, c.categories) i;
INSERT INTO dispatch_product (id, name, description, free, deleted, customization, type, substitute, course_id)
SELECT i, CASE WHEN i = 7 THEN '' ELSE 'Product ' || chr(64 + i::int) END, CASE WHEN i % 3 = 0 THEN 'As ordered' END, i % 5 = 0, i = 9, CASE WHEN i % 2 = 0 THEN '{"colour": "clear"}' WHEN i = 3 THEN 'none' END,
    i % 4, i = 4, (ARRAY[1, 2, 3, 4, 7, 8])[1 + i % 6] FROM estate.c, generate_series(1, c.products) i;

-- Orders by number j: of patients without a doctor, of heavy patients, twenty each, one of each patient, and more of some.
CREATE TABLE estate.ordered AS
SELECT j::int, estate.id(estate.patient(CASE WHEN j <= c.no_doctor_orders THEN 1 + j % c.no_doctor WHEN j <= c.no_doctor_orders + 20 * c.heavy_patients THEN c.no_office + 1 + (j - c.no_doctor_orders - 1) / 20
    WHEN j <= c.no_doctor_orders + 20 * c.heavy_patients + c.patients * 4 / 5 THEN c.no_doctor + 1 + (j * 3) % (c.patients - c.no_doctor)
    ELSE c.no_doctor + 1 + estate.rnd(j, 301, c.patients - c.no_doctor) * estate.rnd(j, 302, c.patients - c.no_doctor) / (c.patients - c.no_doctor) END, c.patients)) AS patient_id
FROM estate.c, generate_series(1, c.instructions) j;
-- Jaws by number: one to an order, then second ones; those of both sides, those of two orders, those of none.
CREATE TABLE estate.jaw AS
SELECT q, CASE WHEN q <= first THEN c.jaws_both_sides + 2 * c.jaws_two_orders + q ELSE c.jaws_both_sides + 2 * c.jaws_two_orders + q - first END AS j, q > first AS second
FROM estate.c, LATERAL (SELECT c.instructions - c.jaws_both_sides - 2 * c.jaws_two_orders AS first, c.jaws - c.jaws_unreferenced - c.jaws_both_sides - c.jaws_two_orders AS good) x,
    LATERAL generate_series(1, good) q;
INSERT INTO dispatch_jaw (id, bond_teeth, extract_teeth, reason, product_id, labial)
SELECT estate.id(q), lpad((estate.rnd(q, 310, 65536)::int)::bit(16)::text, 16, '0'), CASE WHEN q % 9 = 0 THEN (estate.rnd(q, 311, 65536)::int)::bit(16)::text ELSE '0000000000000000' END,
    CASE WHEN q % 12 = 0 THEN 1 + q % 3 WHEN q % 401 = 0 THEN 7 END, CASE WHEN q % 7 > 0 THEN 1 + estate.rnd(q, 312, c.products) END, q % 5 = 0
FROM estate.c, generate_series(1, c.jaws) q;
INSERT INTO dispatch_instruction (id, patient_id, course_id, "order", model, scanner, upper_jaw_id, lower_jaw_id, notes, scanner_notes, exports, conditions, complaint, objective, price, status, cbct,
    accept_extraction, comprehensive, deleted, suffix, submitted_at, updated_at)
SELECT estate.id(o.j), o.patient_id, CASE WHEN o.j % 90 > 0 THEN (ARRAY[1, 1, 1, 2, 2, 3, 4, 7, 8])[1 + estate.rnd(o.j, 320, 9)] END, row_number() OVER (PARTITION BY o.patient_id ORDER BY o.j),
    CASE o.j % 3 WHEN 0 THEN 1 WHEN 1 THEN 3 END, CASE o.j % 4 WHEN 0 THEN 2 WHEN 1 THEN 10 END,
    estate.id(CASE WHEN o.j <= c.jaws_both_sides THEN b.good + o.j WHEN o.j <= c.jaws_both_sides + 2 * c.jaws_two_orders
        THEN CASE WHEN o.j % 4 < 2 THEN b.good + c.jaws_both_sides + (o.j - c.jaws_both_sides + 1) / 2 END WHEN o.j % 9 > 0 THEN f.q ELSE s.q END),
    estate.id(CASE WHEN o.j <= c.jaws_both_sides THEN b.good + o.j WHEN o.j <= c.jaws_both_sides + 2 * c.jaws_two_orders
        THEN CASE WHEN o.j % 4 >= 2 THEN b.good + c.jaws_both_sides + (o.j - c.jaws_both_sides + 1) / 2 END WHEN o.j % 9 > 0 THEN s.q ELSE f.q END),
    CASE WHEN o.j % 3 > 0 THEN estate.phrase(estate.rnd(o.j, 321, 30)) || ' ' || estate.phrase(estate.rnd(o.j, 322, 30)) END, CASE WHEN o.j % 10 = 0 THEN 'Scan again' END,
    CASE o.j % 8 WHEN 0 THEN '{"stl": true, "steps": ' || o.j % 20 || '}' WHEN 1 THEN CASE WHEN o.j % 400 = 1 THEN 'stl, all steps' ELSE '[]' END WHEN 2 THEN '' END,
    CASE WHEN o.j % 6 = 0 THEN 'crowding' ELSE '' END, CASE WHEN o.j % 5 = 0 THEN estate.phrase(estate.rnd(o.j, 323, 30)) ELSE '' END, CASE WHEN o.j % 4 = 0 THEN 'align' ELSE '' END,
    CASE WHEN o.j % 11 > 0 THEN estate.rnd(o.j, 324, 300000) / 100.0 END, (ARRAY[4, 4, 4, 4, 4, 4, 4, 4, 1, 2])[1 + estate.rnd(o.j, 325, 10)] * CASE WHEN o.j % 200 = 0 THEN 0 ELSE 1 END,
    o.j % 13 = 0, CASE o.j % 3 WHEN 0 THEN true WHEN 1 THEN false END, CASE o.j % 4 WHEN 0 THEN true WHEN 1 THEN false END, o.j % 40 = 0, CASE WHEN o.j % 5 = 0 THEN 'R' || o.j % 10 END,
    CASE WHEN o.j % 25 > 0 THEN estate.at(o.j, c.instructions, 2800, estate.rnd(o.j, 326, 5000000)) END, CASE WHEN o.j % 30 > 0 THEN estate.at(o.j, c.instructions, 2700, estate.rnd(o.j, 327, 500000000)) END
FROM estate.c
CROSS JOIN LATERAL (SELECT c.jaws - c.jaws_unreferenced - c.jaws_both_sides - c.jaws_two_orders AS good) b
CROSS JOIN estate.ordered o LEFT JOIN estate.jaw f ON f.j = o.j AND NOT f.second LEFT JOIN estate.jaw s ON s.j = o.j AND s.second ORDER BY o.j;

INSERT INTO dispatch_project (id, uid, name, size, type, status, creator_id, created_at, public)
SELECT estate.id(i), estate.uid(i, 330), CASE WHEN i % 3 > 0 THEN '' ELSE estate.last_name(estate.rnd(i, 331, 80)) || ' ' || i % 100 END, estate.rnd(i, 332, 900000000) * 7,
    (ARRAY[3, 3, 3, 3, 3, 0, 0, 10, 11, 5])[1 + estate.rnd(i, 333, 10)], CASE WHEN i % 5000 = 9 THEN 2 WHEN i % 5000 = 11 THEN 1 ELSE 0 END,
    CASE WHEN i % 20 > 0 THEN estate.id(1 + estate.rnd(i, 334, c.others + c.technicians + c.doctors)) END, estate.at(i, c.projects, 2800, estate.rnd(i, 335, 900000)), i % 9 = 0
FROM estate.c, generate_series(1, c.projects) i;
-- The first plans are abandoned. Every fiftieth plan shares its project with the one before it; some have none.
INSERT INTO dispatch_plan (id, instruction_id, project_id, notes, number, name, original)
SELECT estate.id(q), CASE WHEN q <= c.plans_abandoned / 2 THEN NULL WHEN q <= c.plans_abandoned THEN estate.gone(1 + q % (c.instructions / 51))
        ELSE estate.id(1 + estate.rnd(q / 3, 340, c.instructions)) END,
    CASE WHEN q % 70 = 9 THEN NULL ELSE estate.id(1 + ((q - CASE WHEN q % 50 = 0 THEN 1 ELSE 0 END) * (c.projects - 1) / c.plans)) END,
    CASE WHEN q % 4 = 0 THEN estate.phrase(estate.rnd(q, 341, 30)) END, CASE WHEN q % 60 > 0 THEN 1 + q % 3 END, CASE WHEN q % 9 > 0 THEN 'Plan ' || 1 + q % 3 ELSE '' END, q % 3 = 0
FROM estate.c, generate_series(1, c.plans) q;
-- States, most of them of two orders in five; some at the same second.
INSERT INTO dispatch_state (id, status, "on", changed_at, actor_id, instruction_id)
SELECT estate.id(s), CASE WHEN estate.rnd(s, 350, 100) < 55 THEN 11 ELSE 12 END, estate.rnd(s, 351, 10) > 0,
    date_trunc(CASE WHEN s % 40 = 0 THEN 'month' ELSE 'milliseconds' END, estate.at(s, c.states, 2500, estate.rnd(s, 352, 500) * 86400000)),
    CASE WHEN s > c.states - c.states_no_actor THEN estate.gone(1 + s % (c.users / 51)) WHEN s % 30 > 0 THEN estate.id(1 + estate.rnd(s, 353, c.others + c.technicians + c.doctors)) END,
    CASE WHEN s <= c.states_gone THEN estate.gone(1 + s % (c.instructions / 51)) WHEN s <= c.states_gone + c.states_ahead THEN estate.id(c.instructions) + 1000000 + s::int
        WHEN s <= c.states_gone + c.states_ahead + c.states_without THEN NULL
        ELSE estate.id(1 + (5 * estate.rnd(s / 2, 354, c.instructions / 5) + s % 2) % c.instructions) END
FROM estate.c, generate_series(1, c.states) s;
INSERT INTO dispatch_bracket (id, name, project_id, type)
SELECT i, 'Bracket ' || i, CASE WHEN i % 8 > 0 THEN estate.id(1 + estate.rnd(i, 360, c.projects)) END, i % 4 FROM estate.c, generate_series(1, c.brackets) i;
INSERT INTO dispatch_agent SELECT i, 'Agent ' || i, '10.1.0.' || i, 7000 + i, 16, 64, 8 * i FROM estate.c, generate_series(1, c.agents) i;
INSERT INTO dispatch_instance (id, port, queue, run_at, agent_id, opener_id, project_id)
SELECT i, 8000 + i, i % 3, estate.at(i, c.instances, 30, 0), CASE WHEN i % 5 > 0 THEN 1 + i % c.agents END, estate.id(1 + i % (c.others + c.technicians)), estate.id(c.projects - i * 3)
FROM estate.c, generate_series(1, c.instances) i;
