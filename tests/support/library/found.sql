-- The same, as the target has it: each reference as the legacy key of the row that it leads to.
WITH rejected AS (SELECT key FROM pgrekey.quarantine WHERE rule = 'loan events' AND category = 'ambiguous_value' AND status = 'pending')
SELECT line FROM (
    SELECT 'branch ' || concat_ws('|', legacy_id, name, coalesce(city, '-')) AS line FROM branches WHERE legacy_id IS NOT NULL
    UNION ALL
    SELECT 'profile ' || concat_ws('|', p.legacy_id, p.login, coalesce(p.name, '-'), coalesce(b.legacy_id::text, '-'), coalesce(p.metadata ->> 'loans', 'none')) FROM profiles p
        LEFT JOIN branches b ON b.id = p.home_branch_id WHERE p.metadata @> '{"theirs": true}'
    UNION ALL
    SELECT 'title ' || concat_ws('|', legacy_id, coalesce(name, '-'), coalesce(kind, '-')) FROM titles
    UNION ALL
    SELECT 'staff ' || concat_ws('|', p.legacy_id, s.kind) FROM staff s JOIN profiles p ON p.id = s.profile_id AND p.legacy_id = s.legacy_id
    UNION ALL
    SELECT 'reader ' || concat_ws('|', p.legacy_id, r.card) FROM readers r JOIN profiles p ON p.id = r.profile_id AND p.legacy_id = r.legacy_id WHERE r.pin = 'theirs'
    UNION ALL
    SELECT 'post ' || concat_ws('|', p.legacy_id, s.legacy_id, b.legacy_id) FROM posts p JOIN staff s ON s.id = p.staff_id JOIN branches b ON b.id = p.branch_id
    UNION ALL
    SELECT 'copy ' || concat_ws('|', c.legacy_id, coalesce(t.legacy_id::text, '-'), coalesce(c.legacy_title_id::text, '-'), b.legacy_id, c.mark) FROM copies c
        JOIN branches b ON b.id = c.branch_id LEFT JOIN titles t ON t.id = c.title_id
    UNION ALL
    SELECT 'loan ' || concat_ws('|', l.legacy_id, c.legacy_id, r.legacy_id, l.lent_on) FROM loans l JOIN copies c ON c.id = l.copy_id AND c.legacy_id = l.legacy_copy_id
        JOIN readers r ON r.id = l.reader_id AND r.legacy_id = l.legacy_account_id
    UNION ALL
    SELECT 'fine ' || concat_ws('|', f.legacy_id, l.legacy_id, f.cents) FROM fines f JOIN loans l ON l.id = f.loan_id
    UNION ALL
    SELECT 'event ' || concat_ws('|', e.legacy_id, l.legacy_id, coalesce(e.from_code, '-'), e.to_code, e.number) FROM loan_events e JOIN loans l ON l.id = e.loan_id
        WHERE NOT EXISTS (SELECT FROM rejected WHERE key = '["' || e.legacy_id || '"]') -- its last good version
    UNION ALL
    SELECT 'note ' || concat_ws('|', n.legacy_id, coalesce(n.kind, '-'), n.object, coalesce(l.legacy_id::text, '-'), coalesce(c.legacy_id::text, '-'), coalesce(p.legacy_id::text, '-'),
        b.legacy_id::text, n.body)
        FROM notes n LEFT JOIN loans l ON l.id = n.loan_id LEFT JOIN copies c ON c.id = n.copy_id LEFT JOIN profiles p ON p.id = n.author_id LEFT JOIN branches b ON b.id = n.branch_id
    UNION ALL
    SELECT 'figures ' || concat_ws('|', legacy_title_id, copies, branches, loans) FROM title_figures
) x;
