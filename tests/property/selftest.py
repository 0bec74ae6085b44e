"""Can the judge fail? A good target is spoiled, one thing at a time, and put right again: each must be noticed."""



def one_row(rule):
    """Some row of a rule that does not stand in quarantine, under its key or by its place."""
    place = rule.identity or rule.key[0].name
    key = rule.identity or ("legacy0" if any(v.name == "legacy0" for v in rule.values) else rule.key[0].name)
    before = "".join(" AND id <> '%s'" % each for each in rule.before)  # nobody misses those that have no source row
    return ("ctid = (SELECT ctid FROM %s WHERE NOT EXISTS (SELECT FROM pgrekey.quarantine q WHERE q.status <> 'resolved' "
            "AND q.rule = '%s' AND (q.key::jsonb->>0 = %s.%s::text OR q.key::jsonb->'target'->>0 = %s.%s::text)) ORDER BY ctid LIMIT 1)" % (
                rule.to, rule.name, rule.to, key, rule.to, place)).replace(" ORDER", before + " ORDER")


def spoils(estate):
    for rule in estate.rules:
        # Without triggers, or the foreign keys would undo or refuse it.
        quiet = "SET session_replication_role = replica;\n"
        if rule.delete == "row":
            yield rule, "a row is lost", quiet + "DELETE FROM %s WHERE %s;\n" % (rule.to, one_row(rule))
        for v in rule.values:
            if rule.delete != "row":  # the row may be one that was kept
                break
            if not (v.once or v.ref or v.unique or v.check or v.bad) and v.type == "text" and v.name.startswith("c"):
                yield rule, "%s differs" % v.name, quiet + "UPDATE %s SET %s = coalesce(%s, '') || '.' WHERE %s;\n" % (
                    rule.to, v.name, v.name, one_row(rule))
                break
        for v in rule.values:
            if v.ref and not v.notnull and rule.delete == "row":
                yield rule, "%s is lost" % v.name, quiet + (
                    "UPDATE %s SET %s = NULL WHERE %s;\n" % (rule.to, v.name, one_row(rule) + " AND %s IS NOT NULL" % v.name))
                break
        for name in ("mapped", "quarantined", "excluded", "failed_deletes"):
            yield rule, "counter %s is off by one" % name, (
                "UPDATE pgrekey.counter SET %s = %s + 1 WHERE rule = '%s';\n" % (name, name, rule.name))
        yield rule, "an entry is lost", "DELETE FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = '%s';\n" % rule.name
    for d in estate.derivations:
        rows = "ctid = (SELECT ctid FROM %s ORDER BY ctid LIMIT 1)" % d.to
        name = d.columns[-1][0]
        if d.gone == "delete":
            yield d, "a row is lost", "SET session_replication_role = replica;\nDELETE FROM %s WHERE %s;\n" % (d.to, rows)
            if name not in d.once and not d.reject:
                yield d, "%s is lost" % name, "UPDATE %s SET %s = NULL WHERE %s;\n" % (
                    d.to, name, rows[:-1].replace(" ORDER", " WHERE %s IS NOT NULL ORDER" % name) + ")")
        for counter in ("mapped", "quarantined"):
            yield d, "counter %s is off by one" % counter, (
                "UPDATE pgrekey.counter SET %s = %s + 1 WHERE rule = '%s';\n" % (counter, counter, d.name))


def self_test(run, judge):
    """What went unnoticed; a statement that found nothing to spoil says nothing."""
    findings, noticed = [], 0
    for rule, name, sql in spoils(run.estate):
        changed = run.servers.sql("target", run.a, "BEGIN;\n%sROLLBACK;\n" % sql.replace(";\n", " RETURNING 1;\n").replace(
            "= replica RETURNING 1", "= replica"))
        if not changed:
            continue
        if judge(run, sql)[1]:
            noticed += 1
        else:
            findings.append("self-test: %s: %s: nobody noticed" % (rule.name, name))
    run.noticed = noticed
    if noticed < 5:
        findings.append("self-test: only %d things could be spoiled; choose another seed" % noticed)
    return findings
