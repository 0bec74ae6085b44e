-- Tasks: by far more than the rest of the workflow.
INSERT INTO dispatch_task (id, checked, done_at, text, file_id, template_id, plan_id, instruction_id, actor_id, jaw, order_id)
SELECT estate.id(i), w.done, CASE WHEN w.done THEN estate.at(i, c.tasks, 2700, estate.rnd(i, 601, 900000)) END, CASE WHEN i % 20 = 0 THEN estate.phrase(estate.rnd(i, 602, 30)) END,
    CASE WHEN i % 16 = 0 THEN estate.id(1 + estate.rnd(i, 603, c.files)) END, 1 + estate.rnd(i, 604, c.templates)::int, CASE WHEN i % 3 > 0 THEN estate.id(c.plans_abandoned + 1 + estate.rnd(i / 9, 605, c.plans - c.plans_abandoned)) END,
    estate.id(1 + estate.rnd(i / 30, 606, c.instructions)), CASE WHEN w.done THEN estate.id(1 + estate.rnd(i, 607, c.others + c.technicians)) END, CASE WHEN i % 50 > 0 THEN 1 + i % 3 END, CASE WHEN i % 90000 = 0 THEN 1 + i / 90000 % c.orders_unused END
FROM estate.c, generate_series(1, c.tasks) i, LATERAL (SELECT estate.rnd(i, 600, 10) > 1 AS done) w;
