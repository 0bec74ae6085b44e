-- What the target must hold, said in plain SQL over the legacy tables and in their keys. Nothing here is taken from the
-- mapping: it is what the application wants.
WITH employed AS (
    SELECT a.id, CASE WHEN 'boss' = ANY (r.names) THEN 'boss' WHEN 'librarian' = ANY (r.names) THEN 'librarian'
        WHEN EXISTS (SELECT FROM branch_staff b WHERE b.account_id = a.id) THEN 'helper' END AS kind
    FROM account a, LATERAL (SELECT array_agg(r.name) AS names FROM account_role x JOIN role r ON r.id = x.role_id WHERE x.account_id = a.id) r
), reader AS (
    SELECT a.id FROM account a JOIN employed e USING (id) WHERE a.active AND e.kind IS NULL
), placed AS (
    SELECT c.id, t.id AS title_id, c.title_id AS legacy_title_id, b.id AS branch_id, s.code || '-' || c.id AS mark
    FROM copy c JOIN shelf s ON s.id = c.shelf_id JOIN branch b ON b.id = s.branch_id LEFT JOIN title t ON t.id = c.title_id
), lent AS (
    SELECT l.id, l.copy_id, l.account_id, l.lent_on, c.branch_id FROM loan l JOIN placed c ON c.id = l.copy_id JOIN reader r ON r.id = l.account_id WHERE NOT l.cancelled
), told AS (
    SELECT e.id, e.loan_id, e.code, lag(e.code) OVER w AS before, row_number() OVER w AS number FROM event e WINDOW w AS (PARTITION BY e.loan_id ORDER BY e.id)
)
SELECT line FROM (
    SELECT 'branch ' || concat_ws('|', id, coalesce(nullif(trim(name), ''), 'Branch no. ' || id), coalesce(city, '-')) AS line FROM branch
    UNION ALL
    SELECT 'profile ' || concat_ws('|', a.id, a.login, coalesce(a.name, '-'), coalesce(h.branch_id::text, '-'), coalesce(h.n, 0)) FROM account a
        LEFT JOIN (SELECT account_id, count(*) AS n, (array_agg(branch_id ORDER BY lent_on DESC, id DESC))[1] AS branch_id FROM lent GROUP BY 1) h ON h.account_id = a.id
    UNION ALL
    SELECT 'title ' || concat_ws('|', id, coalesce(name, '-'), coalesce(kind, '-')) FROM title
    UNION ALL
    SELECT 'staff ' || concat_ws('|', id, kind) FROM employed WHERE kind IS NOT NULL
    UNION ALL
    SELECT 'reader ' || concat_ws('|', id, 'C-' || name) FROM reader JOIN account USING (id)
    UNION ALL
    SELECT 'post ' || concat_ws('|', p.id, p.account_id, p.branch_id) FROM branch_staff p JOIN account a ON a.id = p.account_id JOIN branch b ON b.id = p.branch_id
    UNION ALL
    SELECT 'copy ' || concat_ws('|', id, coalesce(title_id::text, '-'), coalesce(legacy_title_id::text, '-'), branch_id, mark) FROM placed
    UNION ALL
    SELECT 'loan ' || concat_ws('|', id, copy_id, account_id, lent_on) FROM lent
    UNION ALL
    SELECT 'fine ' || concat_ws('|', f.id, f.loan_id, f.cents) FROM fine f JOIN lent l ON l.id = f.loan_id
    UNION ALL
    SELECT 'event ' || concat_ws('|', t.id, t.loan_id, coalesce(t.before, '-'), t.code, t.number) FROM told t JOIN lent l ON l.id = t.loan_id
        WHERE NOT (t.number = 1 AND t.code = 'returned') -- nothing comes back before it was lent
    UNION ALL
    SELECT 'note ' || concat_ws('|', n.id, coalesce(t.model, '-'), n.object_id, coalesce(l.id::text, '-'), coalesce(c.id::text, '-'), coalesce(a.id::text, '-'),
        coalesce(l.branch_id, c.branch_id)::text, n.body)
        FROM note n LEFT JOIN content_type t ON t.id = n.content_type_id LEFT JOIN account a ON a.id = n.author_id
        LEFT JOIN lent l ON t.model = 'loan' AND l.id = n.object_id LEFT JOIN placed c ON t.model = 'copy' AND c.id = n.object_id
    UNION ALL
    SELECT 'figures ' || concat_ws('|', t.id, count(DISTINCT p.id), count(DISTINCT p.branch_id), count(l.id)) FROM title t
        LEFT JOIN placed p ON p.legacy_title_id = t.id LEFT JOIN lent l ON l.copy_id = p.id GROUP BY t.id
) x;
