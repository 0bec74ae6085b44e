"""Random derivations over an estate's mirrors: counts by parent, hops to a parent, places in a window, pairs, columns of
rows that a rule owns, and chains over any of these.

A derivation's text is all that the judge needs: over a target as it stands, the keys that its inputs yield (`touched`
being each input as a whole) and what the query makes of them say which rows must be there.
"""

import json

from names import quoted, uuid_sql
from words import CAPABILITIES


def names(columns, alias=""):
    return [(alias + "." if alias else "") + quoted(c.name) for c in columns]


def listed(columns, alias="", as_key="k"):
    return ", ".join("%s as %s%d" % (n, as_key, i) for i, n in enumerate(names(columns, alias)))


def equal(left, right, op="="):
    return " and ".join("%s %s %s" % (a, op, b) for a, b in zip(left, right))


def present(columns, alias=""):
    return " and ".join(n + " is not null" for n in names(columns, alias))


def keys_of(count, alias="k"):
    return ["%s.k%d" % (alias, i) for i in range(count)]


class Derivation:
    def __init__(self, name, to, adopted):
        self.name, self.to, self.adopted = name, to, adopted
        self.key = []  # (target column, type, entity or None, [columns of keys], reference)
        self.columns = []  # (name, type)
        self.touched, self.query = [], ""  # touched: (table, [columns] or None, SQL)
        self.gone, self.set, self.reject, self.once, self.merge = "delete", {}, None, [], []
        self.owner = None  # the rule whose rows it adds columns to
        self.source = None  # the table whose keys the rows stand for; then rules may refer to them by `entity`
        self.parents = []  # (target column, parent rule) of a pair
        self.refs = []  # (target column, parent rule, required)
        self.modes = []  # the foreign keys of both
        self.numbered = 0  # how many columns keys has

    def leans_on(self, estate):
        """Rules and derivations that it cannot do without."""
        tables = [t for t, _, _ in self.touched]
        read = [r for r in estate.rules if getattr(r, "mirror", None) in tables or r.to in tables]
        entities = [k[2] for k in self.key if k[4] or self.owner] + [parent.entity for _, parent, _ in self.refs]
        read += [r for r in estate.rules if r.entity and r.entity in entities]
        read += [d for d in estate.derivations if d is not self and d.to in tables and not d.owner]
        return read + ([self.owner] if self.owner else [])

    @property
    def entity(self):
        return self.key[0][2]

    def key_names(self):
        return [part for _, _, _, parts, _ in self.key for part in parts]

    def yaml(self):
        say = lambda value: json.dumps(value, ensure_ascii=False)
        out = ["  - name: %s" % self.name, "    to: %s" % self.to]
        key = []
        for column, _, entity, parts, reference in self.key:
            of = parts[0] if len(parts) == 1 else "[%s]" % ", ".join(parts)
            key.append("%s: %s" % (column, "{uuid: %s, of: %s}" % (entity, of) if entity else of))
        out.append("    key: {%s}" % ", ".join(key))
        out.append("    %s: [%s]" % ("owns" if self.owner else "columns", ", ".join(n for n, _ in self.columns)))
        out.append("    touched:")
        for table, columns, sql in self.touched:
            text = say(sql) if columns is None else "{columns: %s, keys: %s}" % (say(columns), say(sql))
            out.append("      %s: %s" % (say(table), text))
        out.append("    query: %s" % say(self.query))
        if self.reject:
            out.append("    reject: {when: %s, category: ambiguous_value}" % say(self.reject))
        if self.once:
            out.append("    once: [%s]" % ", ".join(self.once))
        if self.merge:
            out.append("    merge: [%s]" % ", ".join(self.merge))
        if self.refs:
            out.append("    references: {%s}" % ", ".join("%s: {uuid: %s, required: %s}" % (c, parent.entity, say(required))
                                                         for c, parent, required in self.refs))
        out.append("    gone: %s" % ("{set: {%s}}" % ", ".join("%s: %s" % (k, say(v)) for k, v in self.set.items())
                                     if self.gone == "set" else self.gone))
        return "\n".join(out)

    def ddl(self):
        if self.owner:
            return "".join("ALTER TABLE %s ADD IF NOT EXISTS %s %s;\n" % (self.to, n, t) for n, t in self.columns)
        lines = ["    %s %s NOT NULL" % (n, t) for n, t, _, _, _ in self.key] + ["    %s %s" % c for c in self.columns]
        return "CREATE TABLE %s (\n%s,\n    PRIMARY KEY (%s)\n);\n" % (
            self.to, ",\n".join(lines), ", ".join(k[0] for k in self.key))

    def foreign_keys(self):
        """Made last, when all tables are there."""
        return "".join("ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s %s;\n" % (self.to, column, parent.to, mode)
                       for (column, parent), mode in zip(self.parents + [r[:2] for r in self.refs], self.modes) if mode is not None)

    def rows_sql(self):
        columns = [k[0] for k in self.key] + [n for n, _ in self.columns]
        return "SELECT '!%s', json_build_object(%s)::text FROM %s" % (
            self.name, ", ".join("'%s', %s::text" % (c, c) for c in columns), self.to)

    # --- what must be there, as SQL on a target

    def expected_sql(self):
        every = " union ".join("(with touched as (select * from %s) select * from (%s) q)" % (quoted(t), sql)
                               for t, _, sql in self.touched)
        parts = self.key_names()
        made = []
        for column, _, entity, of, _ in self.key:
            made.append((column, uuid_sql(entity, ["r." + p for p in of], self.adopted.get(entity)) if entity else "r." + of[0]))
        made += [(n, "r.%s::%s" % (n, t)) for n, t in self.columns]
        made += [("key %d" % i, "r." + p) for i, p in enumerate(parts)]
        made.append(("rejected", "coalesce((%s), false)" % self.reject if self.reject else "false"))
        pairs = ", ".join("'%s', (%s)::text" % m for m in made)
        return ("WITH keys (%s) AS (SELECT DISTINCT * FROM (%s) e), r AS (%s) SELECT '~%s', json_build_object(%s)::text FROM r"
                % (", ".join(parts), every, self.query, self.name, pairs))


class Maker:
    """Adds derivations, and the mirrors that they read, to an estate whose rules are made."""

    def __init__(self, estate):
        self.estate, self.rng = estate, estate.rng
        self.made = []

    def chance(self, p):
        return self.rng.random() < p

    def mirror(self, table):
        """The table's mirror; a table has one, so one that is there becomes one of all columns and rows."""
        if not table.mirrors:
            return self.estate.make_mirror(table, whole=True)
        table.mirrors[0].widen()
        return table.mirrors[0]

    def refs(self):
        return [(t, r) for t in self.estate.tables for r in t.refs]

    def new(self, stem, keys, types, owner=None):
        d = Derivation("derive %d" % len(self.made), owner.to if owner else "d%d" % len(self.made), self.estate.adopted)
        d.owner, d.numbered = owner, len(keys)
        if stem:
            d.key = [("id", "uuid", stem, keys, False)]
        else:
            d.key = [("k%d" % i, t, None, [k], False) for i, (k, t) in enumerate(zip(keys, types))]
        self.made.append(d)
        return d

    def make(self):
        forms = [self.count, self.hop, self.window, self.pair, self.owns, self.chain]
        for _ in range(self.rng.randint(1, 4)):
            self.rng.choice(forms)()

    def some_column(self, table):
        good = [c for c in table.columns if c.kind in ("int", "text", "bool", "date", "code", "numeric")]
        return self.rng.choice(good) if good else table.key[0]

    def by_parent(self, owner=None):
        """How many children, and their greatest value, for each parent that has some."""
        choices = [(t, r) for t, r in self.refs() if not owner or (r.table.rules and r.table.rules[0].entity)]
        if not choices:
            return None
        table, ref = self.rng.choice(choices)
        m, c = quoted(self.mirror(table).mirror), self.some_column(table)
        keys = ["k%d" % i for i in range(len(ref.columns))]
        if owner:
            d = self.new(ref.table.rules[0].entity, keys, None, ref.table.rules[0])
        else:
            stem = "by%d" % len(self.made) if self.chance(0.7) else None
            d = self.new(stem, keys, [col.type for col in ref.columns])
            d.source = ref.table if stem else None
        n, top = "n%d" % len(self.made), "top%d" % len(self.made)
        d.columns = [(n, "int"), (top, "text")]
        d.touched = [(self.mirror(table).mirror,
                      [x.name for x in ref.columns + [c]] if self.chance(0.5) and c not in ref.columns else None,
                      "select %s from touched where %s" % (listed(ref.columns), present(ref.columns)))]
        d.query = "select %s, count(*) as %s, max(c.%s::text collate \"C\") as %s from keys k join %s c on %s group by %s" % (
            ", ".join(keys_of(len(keys))), n, quoted(c.name), top, m, equal(names(ref.columns, "c"), keys_of(len(keys))),
            ", ".join(keys_of(len(keys))))
        return d

    def count(self):
        d = self.by_parent()
        if d and self.chance(0.4):
            d.reject = "%s > 2" % d.columns[0][0]
        elif d and self.chance(0.3):
            d.once = [d.columns[1][0]]
        if d and self.chance(0.25):
            d.gone, d.set = "set", {d.columns[0][0]: 0}

    def owns(self):
        d = self.by_parent(owner=True)
        if d:
            d.gone, d.set = "set", {d.columns[0][0]: 0}
            legacy = ["legacy%d" % i for i in range(len(d.owner.table.key))]
            d.touched.append((d.to, legacy, "select %s from touched" % ", ".join(legacy)))
            if CAPABILITIES["merge"] and self.chance(0.6):
                d.columns.append(("meta", "jsonb"))
                d.merge = ["meta"]
                d.query = d.query.replace(" as %s from" % d.columns[1][0],
                                          " as %s, jsonb_build_object('%s', count(*)) as meta from" % (d.columns[1][0], d.columns[0][0]))
                self.share_meta(d.owner)

    def share_meta(self, rule):
        from estate import Value
        if self.chance(0.5) and not any(v.name == "meta" for v in rule.values):
            c = rule.table.key[0]
            rule.values.append(Value("meta", "jsonb", "{pack: {own: {from: %s}}}" % json.dumps(c.name, ensure_ascii=False),
                                     "jsonb_build_object('own', %s)" % quoted(c.name), merged=True))

    def per_row(self, table):
        m = self.mirror(table).mirror
        keys = ["k%d" % i for i in range(len(table.key))]
        d = self.new("per%d" % len(self.made) if self.chance(0.7) else None, keys, [c.type for c in table.key])
        d.touched = [(m, None, "select %s from touched" % listed(table.key))]
        d.source = table if d.entity else None
        return d, quoted(m), keys_of(len(keys))

    def hop(self):
        if not self.refs():
            return
        table, ref = self.rng.choice(self.refs())
        d, m, keys = self.per_row(table)
        mine, theirs = self.some_column(table), self.some_column(ref.table)
        parent = self.mirror(ref.table).mirror
        d.columns = [("mine", "text"), ("theirs", "text")]
        if ref.table is not table:
            d.touched.append((parent, [theirs.name] if self.chance(0.5) and theirs not in ref.table.key else None,
                              "select %s from touched t join %s c on %s" % (
                                  listed(table.key, "c"), m, equal(names(ref.columns, "c"), names(ref.table.key, "t")))))
        else:
            d.touched[0] = (d.touched[0][0], None, "%s union select %s from touched t join %s c on %s" % (
                d.touched[0][2], listed(table.key, "c"), m, equal(names(ref.columns, "c"), names(ref.table.key, "t"))))
        join = "left join" if self.chance(0.5) else "join"
        d.query = "select %s, c.%s::text as mine, p.%s::text as theirs from keys k join %s c on %s %s %s p on %s" % (
            ", ".join(keys), quoted(mine.name), quoted(theirs.name), m, equal(names(table.key, "c"), keys), join,
            quoted(parent), equal(names(ref.table.key, "p"), names(ref.columns, "c")))
        d.gone = self.rng.choice(["delete", "delete", "keep"])
        if CAPABILITIES["derived references"] and ref.table.rules and ref.table.rules[0].entity and self.chance(0.6):
            self.refer(d, ref)

    def refer(self, d, ref):
        """The row's own parent, by the id that the target has for it."""
        parent, required = ref.table.rules[0], self.chance(0.5)
        of = ", ".join(n + "::text" for n in names(ref.columns, "c"))
        d.query = d.query.replace(" as theirs from", " as theirs, pgrekey.id('%s', %s) as up_id from" % (parent.entity, of))
        d.columns.append(("up_id", "uuid"))
        d.refs = [("up_id", parent, required)]
        d.modes = [self.rng.choice([None, "", "DEFERRABLE INITIALLY DEFERRED"])]
        if required:
            d.query += " where " + present(ref.columns, "c")

    def window(self):
        if not self.refs():
            return
        table, ref = self.rng.choice(self.refs())
        d, m, keys = self.per_row(table)
        d.columns = [("place", "int"), ("of", "int")]
        same = equal(names(ref.columns, "o"), names(ref.columns, "t"), "is not distinct from")
        d.touched[0] = (d.touched[0][0], None, "%s union select %s from touched t join %s o on %s" % (
            d.touched[0][2], listed(table.key, "o"), m, same))
        before = "(%s) <= (%s)" % (", ".join(names(table.key, "o")), ", ".join(names(table.key, "t")))
        d.query = ("select %s, w.place, w.of from keys k join %s t on %s cross join lateral (select count(*) filter (where %s) as place,"
                   " count(*) as of from %s o where %s) w" % (", ".join(keys), m, equal(names(table.key, "t"), keys), before, m, same))

    def pair(self):
        """Which parents meet in some row of a child; the one's and the other's UUID are the key."""
        tables = [(t, [r for r in t.refs if r.table.rules and r.table.rules[0].entity]) for t in self.estate.tables]
        tables = [(t, refs) for t, refs in tables if len(refs) > 1]
        if not tables:
            return
        table, refs = self.rng.choice(tables)
        one, two = self.rng.sample(refs, 2)
        columns = one.columns + two.columns
        d = Derivation("derive %d" % len(self.made), "d%d" % len(self.made), self.estate.adopted)
        self.made.append(d)
        cut = len(one.columns)
        parts = ["k%d" % i for i in range(len(columns))]
        d.key = [("one_id", "uuid", one.table.rules[0].entity, parts[:cut], True), ("two_id", "uuid", two.table.rules[0].entity, parts[cut:], True)]
        d.numbered = len(columns)
        d.modes = [self.rng.choice([None, "", "DEFERRABLE INITIALLY DEFERRED"]) for _ in range(2)]
        d.parents = [("one_id", one.table.rules[0]), ("two_id", two.table.rules[0])]
        d.columns = [("n", "int")]
        m = self.mirror(table).mirror
        d.touched = [(m, None, "select %s from touched where %s" % (listed(columns), present(columns)))]
        keys = keys_of(len(columns))
        d.query = "select %s, count(*) as n from keys k join %s c on %s group by %s" % (
            ", ".join(keys), quoted(m), equal(names(columns, "c"), keys), ", ".join(keys))
        d.gone = "delete"

    def chain(self):
        """What another derivation made, counted by its first column."""
        below = [d for d in self.made if not d.owner and not d.once and d.columns[0][1] == "int" and d.gone == "delete"]
        if not below:
            return
        base = self.rng.choice(below)
        value = base.columns[0][0]
        d = self.new("chain%d" % len(self.made) if self.chance(0.5) else None, ["k0"], ["int"])
        d.columns = [("many", "int")]
        d.touched = [(base.to, None, "select %s as k0 from touched where %s is not null" % (value, value))]
        d.query = "select k.k0, count(*) as many from keys k join %s b on b.%s = k.k0 group by k.k0" % (base.to, value)
