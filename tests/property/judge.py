"""Compares a followed target (a) with a fresh one (b), and both with what the source says by itself.

    every source row that matches `when`   stands on the target as SQL computes it, or in quarantine for a reason that
                                           can be seen: its own value, a missing parent, a unique value of another row
    every target row                       is such a row; or the last good version of one in quarantine; or kept or
                                           marked by `delete`
    each rule's counters                   mapped + quarantined + excluded = source, each of the three by itself
    derivations                            likewise, by SQL of ours over their inputs as they stand
    a and b                                the same, cell by cell, but for what is said above, `once`, and non-finite
                                           values of columns that are not marked

An exception is computed from pgrekey.quarantine and the target itself; none is taken for granted.
"""

import json

from names import quoted

FAILED_DELETE = "D"


class Side:
    """All of one target: rows, entries in quarantine, counters."""

    def __init__(self, name):
        self.name = name
        self.rows = {}  # target table -> {key tuple: {column: text}}
        self.entries = {}  # rule -> {source key tuple: entry}
        self.counters = {}
        self.tables = {}  # the same rows by their table
        self.derived = {}  # derivation -> {key tuple on the target: {column: text}}
        self.yielded = {}  # derivation -> what its inputs yield on this side, by SQL of ours

    def has(self, table, key):
        return key in self.rows.get(table, ()) or key in self.tables.get(table, ())


def as_json(tag, columns, source):
    pairs = ", ".join("'%s', %s::text" % (name, sql) for name, sql in columns)
    return "SELECT '%s', json_build_object(%s)::text FROM %s" % (tag, pairs, source)


def parse(line):
    return line[0], json.loads(line[1])


def side_query(estate):
    """One script that reads all of a target."""
    out = []
    seen = set()
    for rule in estate.rules:
        if rule.to not in seen:
            seen.add(rule.to)
            out.append(as_json("=" + rule.to, [(v.name, v.name) for v in rule.columns()], rule.to))
    entry = [(n, n) for n in ("rule", "key", "op", "category", "sqlstate", "status", "constraint_name")]
    out.append(as_json("entry", entry, "pgrekey.quarantine") + " WHERE status <> 'resolved'")
    counter = [(n, n) for n in ("rule", "mapped", "quarantined", "excluded", "failed_deletes", "source_table", "target_table")]
    out.append(as_json("counter", counter, "pgrekey.counter"))
    for d in estate.derivations:
        out += [d.rows_sql(), d.expected_sql()]
    return "SET search_path = pgrekey_mirror, public;\n" + ";\n".join(out) + ";\n"


def read_side(name, estate, rows):
    side = Side(name)
    keys = {rule.to: [v.name for v in rule.key] for rule in estate.rules}
    for rule in estate.rules:
        side.rows.setdefault(rule.to, {})
        side.entries[rule.name] = {}
    derived = {d.name: [k[0] for k in d.key] for d in estate.derivations}
    for d in estate.derivations:
        side.entries[d.name], side.derived[d.name], side.yielded[d.name] = {}, {}, []
        side.tables[d.to] = side.derived[d.name]
    for line in rows:
        tag, row = parse(line)
        if tag == "entry":
            key = json.loads(row["key"])
            place = isinstance(key, dict)  # a row whose source key the target does not tell, by its place there
            side.entries.setdefault(row["rule"], {})[("target", *key["target"]) if place else tuple(key)] = row
        elif tag == "counter":
            side.counters[row["rule"]] = row
        elif tag[0] == "!":
            side.derived[tag[1:]][tuple(row[k] for k in derived[tag[1:]])] = row
        elif tag[0] == "~":
            side.yielded[tag[1:]].append(row)
        else:
            side.rows[tag[1:]][tuple(row[k] for k in keys[tag[1:]])] = row
    return side


class Expected:
    """What the source says about one rule: rows that match by source key, and how many there are in all."""

    def __init__(self, rule):
        self.rule, self.rows, self.total = rule, {}, 0
        self.by_target = {}

    def add(self, row):
        self.total += 1
        if row["when"] == "true":
            key = tuple(row["key %d" % i] for i in range(len(self.rule.table.key)))
            self.rows[key] = row
            self.by_target[self.target_key(row)] = row

    def target_key(self, row):
        return tuple(row[v.name] for v in self.rule.key)


def source_query(estate):
    out = []
    for rule in estate.rules:
        columns = [("key %d" % i, quoted(c.name)) for i, c in enumerate(rule.table.key)]
        columns.append(("when", "coalesce((%s), false)" % (rule.when or "true")))
        bads = []
        for v in rule.columns():
            bad = "coalesce(%s, false)" % v.bad if v.bad else "false"
            if v.bad:
                bads.append(bad)
            columns.append((v.name, "CASE WHEN %s THEN NULL ELSE (%s)::%s END" % (bad, v.sql, v.type)))
        columns.append(("bad", " OR ".join(bads) or "false"))
        columns = [(n, "(%s)" % s) for n, s in columns]
        out.append(as_json(rule.name, columns, rule.table.sql()))
    return "SET timezone = 'UTC';\n" + ";\n".join(out) + ";\n"


def read_source(estate, rows):
    expected = {rule.name: Expected(rule) for rule in estate.rules}
    for line in rows:
        tag, row = parse(line)
        expected[tag].add(row)
    return expected


class Judge:
    def __init__(self, estate, source_rows, a_rows, b_rows):
        self.estate = estate
        self.expected = read_source(estate, source_rows)
        self.a = read_side("a", estate, a_rows)
        self.b = read_side("b", estate, b_rows)
        self.findings = []
        self.compared = 0
        for side in (self.a, self.b):
            for rule in estate.rules:
                self.name_entries(side, rule)

    def name_entries(self, side, rule):
        """Entries that are known by their place on the target get their source row's key, where the source has it."""
        names = [rule.identity] if rule.identity else [v.name for v in rule.key]
        rows = {("target", *(row[n] for n in names)): key for key, row in self.expected[rule.name].rows.items()}
        for key in [k for k in side.entries[rule.name] if k[0] == "target"]:
            if key not in rows:
                continue
            entry = side.entries[rule.name].pop(key)
            if rows[key] in side.entries[rule.name]:
                self.finding(side.name, rule, rows[key], "stands in quarantine twice")
            side.entries[rule.name][rows[key]] = entry

    def finding(self, side, rule, key, text):
        self.findings.append("%s: %s -> %s: key %s: %s" % (side, rule.name, rule.to, json.dumps(key, ensure_ascii=False), text))

    def judge(self):
        for side in (self.a, self.b):
            for rule in self.estate.rules:
                self.judge_source(side, rule)
                self.judge_target(side, rule)
                self.judge_counters(side, rule)
            for d in self.estate.derivations:
                self.judge_derivation(side, d)
        for rule in self.estate.rules:
            self.judge_both(rule)
        return self.findings

    # --- one side against the source

    def judge_source(self, side, rule):
        for key, row in self.expected[rule.name].rows.items():
            entry = side.entries[rule.name].get(key)
            if entry and entry["op"] != FAILED_DELETE:
                reason = self.reason(side, rule, row)
                if not reason:
                    self.finding(side.name, rule, key, "stands in quarantine without a visible reason (%s %s)" % (
                        entry["category"], entry["sqlstate"]))
            else:
                self.judge_row(side, rule, key, row)
        for key, entry in side.entries[rule.name].items():
            if key not in self.expected[rule.name].rows and entry["op"] != FAILED_DELETE and not self.is_held(side, rule, key, entry):
                self.finding(side.name, rule, key, "stands in quarantine, but the source has no such row (%s)" % entry["category"])

    def is_held(self, side, rule, key, entry):
        """A row that the rule does not want any more, and that cannot go: kept or marked children refer to it."""
        if entry["sqlstate"] != "23503" or side is self.b:
            return False
        names = [v.name for v in rule.values if v.name.startswith("legacy")] or ([rule.identity] if rule.identity else [])
        standing = [t for t, row in side.rows[rule.to].items() if tuple(row[n] for n in names or [v.name for v in rule.key]) == key]
        children = [(r, v.name) for r in self.estate.rules if r.delete != "row" for v in r.columns() if v.ref and v.ref.to == rule.to]
        return any((row[name],) in standing for r, name in children for row in side.rows[r.to].values())

    def reason(self, side, rule, row):
        """Why a row cannot stand on this side; None where nothing is in its way."""
        if row["bad"] == "true":
            return "its own value"
        for v in rule.columns():
            if v.ref and v.required and (row[v.name] is None or not side.has(v.ref.to, (row[v.name],))):
                return "no parent"
            if v.notnull and row[v.name] is None and not v.ref:
                return "null"
        target = self.expected[rule.name].target_key(row)
        for other, there in side.rows[rule.to].items():
            for v in rule.columns():
                if v.unique and row[v.name] is not None and other != target and there[v.name] == row[v.name]:
                    return "unique value"
            if rule.identity and other == target and there[rule.identity] != row[rule.identity]:
                return "pair"
        return None

    def judge_row(self, side, rule, key, row):
        target = self.expected[rule.name].target_key(row)
        there = side.rows[rule.to].get(target)
        if row["bad"] == "true":
            self.finding(side.name, rule, key, "cannot be mapped, but is not in quarantine")
        elif there is None:
            self.finding(side.name, rule, key, "is missing")
        else:
            for v in rule.columns():
                self.compared += 1
                if not self.cell_is(side, v, there[v.name], row[v.name]):
                    self.finding(side.name, rule, key, "%s is %s, by the source %s" % (v.name, short(there[v.name]), short(row[v.name])))

    def cell_is(self, side, v, found, expected):
        if v.merged:
            return found is not None and holds(found, expected)
        if v.once or found == expected:
            return not (v.ref and found is not None and not v.once) or side.has(v.ref.to, (found,))
        if v.unmarked and found is None and expected in ("NaN", "Infinity", "-Infinity"):
            return True
        return bool(v.ref and not v.required and found is None and not side.has(v.ref.to, (expected,)))

    def judge_target(self, side, rule):
        """Rows that the source does not have. A table that several rules write is looked at once."""
        writers = [r for r in self.estate.rules if r.to == rule.to]
        if writers[0] is not rule:
            return
        aside = set()
        for each in writers:
            for key, entry in side.entries[each.name].items():
                row = self.expected[each.name].rows.get(key)
                aside.add(self.expected[each.name].target_key(row) if row else key)
        for key, row in side.rows[rule.to].items():
            if any(key in self.expected[r.name].by_target for r in writers) or key in aside:
                continue
            if self.is_last_good(side, rule, row) or self.is_as_before(rule, row):
                continue
            if side is self.a and rule.delete == "keep":
                continue
            if side is self.a and rule.delete == "set" and all(row[c] == str(v) for c, v in rule.set.items()):
                continue
            self.finding(side.name, rule, key, "stands on the target, but the source has no such row")

    @staticmethod
    def is_as_before(rule, row):
        """It was there before the engine, and no source row has come for it yet."""
        before = rule.before.get(row["id"]) if rule.adopts else None
        return before is not None and all(v.name == "id" or v.merged or row[v.name] == before.get(v.name) for v in rule.columns())

    def is_last_good(self, side, rule, row):
        """Of a row in quarantine, under the key that it had then (its identity's copy tells); or a delete that failed."""
        names = [v.name for v in rule.values if v.name.startswith("legacy")] or ([rule.identity] if rule.identity else [])
        names = names or [v.name for v in rule.key]
        return tuple(row[n] for n in names) in side.entries[rule.name]

    def judge_counters(self, side, rule):
        expected = self.expected[rule.name]
        open_entries = [e for e in side.entries[rule.name].values() if e["op"] != FAILED_DELETE]
        held = len([k for k, e in side.entries[rule.name].items() if k not in expected.rows and self.is_held(side, rule, k, e)
                    and e["op"] != FAILED_DELETE])
        self.judge_counter(side, rule, {
            "excluded": expected.total - len(expected.rows) - held, "quarantined": len(open_entries),
            "mapped": len(expected.rows) - len(open_entries) + held,
            "failed_deletes": len(side.entries[rule.name]) - len(open_entries)}, expected.total)

    def judge_counter(self, side, rule, want, total):
        counter = side.counters.get(rule.name)
        if not counter:
            if total:
                self.finding(side.name, rule, [], "has no counter")
            return
        for name, number in want.items():
            if int(counter[name]) != number:
                self.finding(side.name, rule, [], "counter %s is %s, should be %d (of %d)" % (name, counter[name], number, total))

    # --- derivations

    def judge_derivation(self, side, d):
        """Against what SQL of ours makes of its inputs as they stand there; they have been judged themselves."""
        keys, targets = set(), set()
        entries = {k: e for k, e in side.entries[d.name].items() if e["op"] != FAILED_DELETE}
        for row in side.yielded[d.name]:
            key = tuple(row["key %d" % i] for i in range(len(d.key_names())))
            target = tuple(row[k[0]] for k in d.key)
            keys.add(key)
            targets.add(target)
            required = d.parents + [(column, parent) for column, parent, needed in d.refs if needed]
            orphan = any(not side.has(parent.to, (row[column],)) for column, parent in required)
            for column, parent, _ in d.refs:  # an optional one that is not there is NULL
                row[column] = row[column] if side.has(parent.to, (row[column],)) else None
            self.judge_derived(side, d, key, row, side.derived[d.name].get(target), entries.get(key), orphan)
        for key in entries:
            if key not in keys:
                self.finding(side.name, d, key, "stands in quarantine, but its inputs yield no such row")
        stray = [t for t, row in side.derived[d.name].items() if t not in targets and not self.may_stay(side, d, row)]
        if len(stray) > len(side.entries[d.name]) - len(entries):  # deletes that failed: their rows stand
            for target in stray:
                self.finding(side.name, d, target, "stands on the target, but its inputs yield no such row")
        self.judge_counter(side, d, {"mapped": len(keys) - len(entries), "quarantined": len(entries), "excluded": 0,
                                     "failed_deletes": len(side.entries[d.name]) - len(entries)}, len(keys))

    def judge_derived(self, side, d, key, row, there, entry, orphan):
        rejected = row["rejected"] == "true"
        if entry:
            category = "ambiguous_value" if rejected else "orphan_reference" if orphan else None
            if category != entry["category"]:
                self.finding(side.name, d, key, "stands in quarantine without a visible reason (%s %s)" % (
                    entry["category"], entry["sqlstate"]))
        elif rejected or orphan:
            self.finding(side.name, d, key, "cannot stand, but is not in quarantine")
        elif there is None:
            if not d.owner or side.has(d.to, (row[d.key[0][0]],)):
                self.finding(side.name, d, key, "is missing")
        else:
            for name, _ in d.columns:
                self.compared += 1
                if name in d.merge and there[name] is not None and holds(there[name], row[name]):
                    continue
                if name not in d.once and there[name] != row[name]:
                    self.finding(side.name, d, key, "%s is %s, by its inputs %s" % (name, short(there[name]), short(row[name])))

    def may_stay(self, side, d, row):
        """Of a key that yields no row."""
        if d.owner:  # the owner's row stands; it was set, or never written
            return all(row[n] in (None, str(v)) for n, v in d.set.items())
        if side is self.b:
            return False
        return d.gone == "keep" or (d.gone == "set" and all(row[n] == str(v) for n, v in d.set.items()))

    # --- the two sides

    def judge_both(self, rule):
        expected = self.expected[rule.name]
        for key, row in expected.rows.items():
            if key in self.a.entries[rule.name] or key in self.b.entries[rule.name]:
                continue
            target = expected.target_key(row)
            a, b = self.a.rows[rule.to].get(target), self.b.rows[rule.to].get(target)
            if a is None or b is None:
                continue  # said already
            for v in rule.columns():
                if a[v.name] == b[v.name] or v.once or v.merged or (v.unmarked and a[v.name] is None):
                    continue
                if v.ref and not v.required and self.differs_rightly(v, row[v.name]):
                    continue
                self.finding("a, b", rule, key, "%s is %s, after a fresh snapshot %s" % (v.name, short(a[v.name]), short(b[v.name])))

    def differs_rightly(self, v, parent):
        """An optional parent that stands on one side alone (kept, marked, or in quarantine on the other)."""
        table = v.ref.to
        return self.a.has(table, (parent,)) != self.b.has(table, (parent,))


def holds(found, part):
    return part is None or json.loads(part).items() <= json.loads(found).items()


def short(value):
    return "NULL" if value is None else repr(value if len(value) < 60 else value[:50] + "… (%d)" % len(value))
