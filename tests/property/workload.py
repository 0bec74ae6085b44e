"""Random transactions against an estate's source, as a psql script.

Nothing here knows what the rows are: keys and rows are found by the SQL itself ("the row at 37 % of the table"), so
the script alone decides what happens. Whatever the source's own constraints refuse is rolled back, to a savepoint or
altogether; both are part of the test.
"""

from words import CAPABILITIES
from names import quoted

JSON = ["{}", '{"a": 1}', '[1, 2, {"b": "ü"}]', '"x"', "12.50", "null", '{"long": "%s"}' % ("y" * 50)]
TEXTS = ["", " ", "a", "Ab c", "  pad ", "it''s", "Größe", "back\\slash", "q\"uote", "longer than eight", "tab\there", "a|b"]


class Workload:
    def __init__(self, rng, estate):
        self.rng, self.estate, self.tables = rng, estate, estate.tables
        self.out = []

    def chance(self, p):
        return self.rng.random() < p

    # --- values

    def key(self, column, low=0, span=None):
        n = low + self.rng.randint(1, span or self.estate.span)
        if column.kind == "key_text":
            return "'%s'" % (["k%d", "k|%d", "k\\%d", "k %d"][n % 4] % n)
        return str(n)

    def literal(self, c):
        rng, n = self.rng, self.rng.randint(0, 99)
        if c.kind.startswith("key_"):
            return self.key(c)
        if c.null and self.chance(0.15):
            return "NULL"
        if c.kind == "int":
            return str(rng.choice([n, n, n, -n, 40000]))
        if c.kind == "numeric":
            return rng.choice(["%d.%02d" % (n, n), "-0.50", "0", "1e3"])
        if c.kind == "text":
            return "'%s'" % rng.choice(TEXTS)
        if c.kind == "long":
            return rng.choice(["repeat(md5('%d'), %d)" % (n, rng.randint(70, 200)), "repeat(md5('%d'), 80)" % n, "'short'"])
        if c.kind == "bool":
            return rng.choice(["true", "false"])
        if c.kind == "float":
            return rng.choice(["%d.25" % n, "'NaN'", "'Infinity'", "'-Infinity'", "1e-7", "0.1", "-0"])
        if c.kind == "ts":
            return "'2024-03-%02d 0%d:00:00.%03d+0%d'" % (1 + n % 28, n % 10, n, n % 5)
        if c.kind == "date":
            return "'%d-02-%02d'" % (1900 + n, 1 + n % 28)
        if c.kind == "jsonb":
            return "'%s'" % rng.choice(JSON)
        if c.kind == "jsontext":
            return "'%s'" % rng.choice(JSON + ["{broken %d" % n])
        if c.kind == "code":
            return str(rng.choice([0, 1, 2, 0, 1, 2, 7]))
        if c.kind == "seat":
            return str(rng.randint(1, 2 * self.estate.span))
        return "'m%d@x'" % rng.randint(1, self.estate.span)

    def some_row(self, table, columns=None):
        """A subquery for one existing row's key (or other columns)."""
        return "(SELECT %s FROM %s ORDER BY %s OFFSET (SELECT floor(%.3f * count(*))::int FROM %s) LIMIT 1)" % (
            columns or table.key_sql(), table.sql(), table.key_sql(), self.rng.random() * 0.999, table.sql())

    def where(self, table):
        return "(%s) = %s" % (table.key_sql(), self.some_row(table))

    def reference(self, table, ref):
        """SQL for the values of a reference's columns."""
        if ref.columns[0].null and self.chance(0.2):
            return ["NULL"] * len(ref.columns)
        if ref.foreign_key is None and self.chance(0.25):
            return [self.key(c) for c in ref.table.key]
        # One place for all columns of the key.
        place = self.rng.random() * 0.999
        return ["(SELECT %s FROM %s ORDER BY %s OFFSET (SELECT floor(%.3f * count(*))::int FROM %s) LIMIT 1)" % (
            quoted(c.name), ref.table.sql(), ref.table.key_sql(), place, ref.table.sql()) for c in ref.table.key]

    # --- statements

    def insert(self, table, key=None, refs=None, guarded=True):
        key = key or [self.key(c) for c in table.key]
        values = list(key)
        for ref in table.refs:
            given = refs and refs.get(ref)
            values += given if given else self.reference(table, ref)
        values += [self.literal(c) for c in table.columns]
        columns = table.all()
        cast = ", ".join("%s::%s" % (v, c.type) for v, c in zip(values, columns))
        text = "INSERT INTO %s (%s) SELECT %s" % (table.sql(), ", ".join(quoted(c.name) for c in columns), cast)
        if guarded:
            text += " WHERE NOT EXISTS (SELECT FROM %s WHERE (%s) = (%s))" % (table.sql(), table.key_sql(), ", ".join(key))
        return text

    def assignments(self, table, count=None):
        chosen = [c for c in table.columns if c.kind != "seat" or self.chance(0.5)]
        chosen = self.rng.sample(chosen, min(len(chosen), count or self.rng.randint(1, 3)))
        return ["%s = %s::%s" % (quoted(c.name), self.literal(c), c.type) for c in chosen]

    def update(self, table, where=None):
        sets = self.assignments(table)
        return "UPDATE %s SET %s WHERE %s" % (table.sql(), ", ".join(sets), where or self.where(table)) if sets else ""

    def move(self, table):
        refs = [r for r in table.refs]
        if not refs:
            return self.update(table)
        ref = self.rng.choice(refs)
        sets = ["%s = %s" % (quoted(c.name), v) for c, v in zip(ref.columns, self.reference(table, ref))]
        if self.chance(0.3):
            sets += self.assignments(table, 1)
        return "UPDATE %s SET %s WHERE %s" % (table.sql(), ", ".join(sets), self.where(table))

    def rekey(self, table):
        sets = ["%s = %s" % (quoted(c.name), self.key(c)) for c in table.key]
        if self.chance(0.4):
            sets += self.assignments(table)
        return "UPDATE %s SET %s WHERE %s" % (table.sql(), ", ".join(sets), self.where(table))

    def children_away(self, table, row):
        """What refers to a row is deleted, or turned to another one; `row` is a condition on the parent."""
        out = []
        for child, ref in table.referrers(self.tables):
            at = "(%s) IN (SELECT %s FROM %s WHERE %s)" % (
                ", ".join(quoted(c.name) for c in ref.columns), table.key_sql(), table.sql(), row)
            if child is not table and self.chance(0.5):
                out += self.children_away(child, at)
                out.append("DELETE FROM %s WHERE %s" % (child.sql(), at))
            else:
                sets = ["%s = %s" % (quoted(c.name), v) for c, v in zip(ref.columns, self.reference(child, ref))]
                out.append("UPDATE %s SET %s WHERE %s" % (child.sql(), ", ".join(sets), at))
        return out

    def delete(self, table):
        row = self.where(table)
        away = self.children_away(table, row) if self.chance(0.85) else []
        return away + ["DELETE FROM %s WHERE %s" % (table.sql(), row)]

    def family(self, table):
        """A child, then the parent that it refers to, then perhaps that one's."""
        refs = [r for r in table.refs if r.table is not table]
        if not refs:
            return [self.insert(table)]
        ref = self.rng.choice(refs)
        key = [self.key(c) for c in ref.table.key]
        out = [self.insert(table, refs={ref: key})]
        return out + ([self.insert(ref.table, key)] if self.chance(0.6) or not ref.table.refs else
                      [self.insert(ref.table, key), *self.family(ref.table)])

    def reborn(self, table):
        """Deleted and inserted again, or another row takes its unique values."""
        key = [self.key(c) for c in table.key]
        same = "(%s) = (%s)" % (table.key_sql(), ", ".join(key))
        out = self.children_away(table, same) if self.chance(0.5) else []
        out += ["DELETE FROM %s WHERE %s" % (table.sql(), same), self.insert(table, key)]
        if self.chance(0.3):
            out += [self.update(table, same)]
        if self.chance(0.2):
            out += ["DELETE FROM %s WHERE %s" % (table.sql(), same)]
        return out

    def heir(self, table):
        """A new row takes the unique values of one that is deleted."""
        unique = [c for c in table.columns if c.kind in ("seat", "mail")]
        if not unique:
            return self.reborn(table)
        key = [self.key(c) for c in table.key]
        same = "(%s) = (%s)" % (table.key_sql(), ", ".join(key))
        c = self.rng.choice(unique)
        take = "UPDATE %s SET %s = %s WHERE %s" % (table.sql(), quoted(c.name), self.literal(c), same)
        gone = "DELETE FROM %s WHERE %s IS NOT DISTINCT FROM %s AND NOT %s" % (table.sql(), quoted(c.name), self.literal(c), same)
        return [self.insert(table, key), gone, take]

    def swap(self, table):
        unique = [c for c in table.columns if c.kind in ("seat", "mail")]
        if not unique:
            return [self.update(table)]
        c, q = self.rng.choice(unique), table.sql()
        a, b = self.some_row(table), self.some_row(table)
        name = quoted(c.name)
        form = self.rng.randint(0, 1)
        if form == 0:
            x, y = [", ".join("%s.%s" % (each, quoted(k.name)) for k in table.key) for each in "xy"]
            return ["UPDATE %s AS x SET %s = y.%s FROM %s AS y WHERE (%s) <> (%s) AND ((%s) = %s OR (%s) = %s) AND ((%s) = %s OR (%s) = %s)" % (
                q, name, name, q, x, y, x, a, x, b, y, a, y, b)]
        return ["UPDATE %s SET %s = NULL WHERE (%s) = %s" % (q, name, table.key_sql(), a) if c.null else "",
                "UPDATE %s SET %s = %s WHERE (%s) = %s" % (q, name, self.literal(c), table.key_sql(), b),
                "UPDATE %s SET %s = %s WHERE (%s) = %s" % (q, name, self.literal(c), table.key_sql(), a)]

    def large(self, table):
        form = self.rng.randint(0, 2)
        if form == 0:
            sets = self.assignments(table)
            return ["UPDATE %s SET %s" % (table.sql(), ", ".join(s for s in sets))] if sets else []
        if form == 1:
            return [self.insert(table) for _ in range(self.rng.randint(10, 40))]
        return ["DELETE FROM %s WHERE ascii(md5(%s::text)) %% 2 = %d" % (table.sql(), quoted(table.key[0].name), self.rng.randint(0, 1))]

    def truncate(self, table):
        if not table.rules or not all(r.truncate for r in table.rules + table.mirrors):
            return [self.update(table)]
        return ["TRUNCATE %s" % table.sql(), *[self.insert(table) for _ in range(self.rng.randint(0, 3))]]

    def statements(self):
        table = self.rng.choice(self.tables)
        one = lambda make: (lambda t: [make(t)])
        kinds = [(self.insert, 8, True), (self.update, 10, True), (self.move, 5, True), (self.rekey, 2, True),
                 (self.delete, 4, False), (self.family, 4, False), (self.reborn, 3, False), (self.heir, 2, False),
                 (self.swap, 3, False), (self.large, 1, False), (self.truncate, 0.5, False)]
        make, _, single = self.rng.choices(kinds, [k[1] for k in kinds])[0]
        return [s for s in (one(make) if single else make)(table) if s]

    # --- transactions

    def guarded(self, statements):
        """In a subtransaction that is rolled back where the source's constraints say no."""
        body = " ".join(s + ";" for s in statements)
        return "DO $do$ BEGIN %s EXCEPTION WHEN integrity_constraint_violation THEN NULL; END $do$" % body

    def transaction(self):
        rng = self.rng
        if self.chance(0.15):
            statements = self.statements()
            if len(statements) == 1:
                return statements
        out = ["BEGIN"]
        if self.chance(0.5):
            out.append("SET CONSTRAINTS ALL DEFERRED")
        careful = self.chance(0.6)
        for _ in range(rng.choices([1, 2, 4, 9], [4, 4, 2, 1])[0]):
            statements = self.statements()
            if self.chance(0.1):
                out += ["SAVEPOINT s", self.guarded(statements), "ROLLBACK TO s"]
            elif self.chance(0.1):
                out += ["SAVEPOINT s", self.guarded(statements), "RELEASE s"]
            else:
                out += [self.guarded(statements)] if careful else statements
        out.append("ROLLBACK" if self.chance(0.05) else "COMMIT")
        return out

    def seed(self):
        """What is there before the engine is."""
        out = []
        for table in self.tables:
            out += [self.guarded([self.insert(table)]) for _ in range(self.rng.randint(0, self.estate.span))]
        if CAPABILITIES["ranges"] and self.chance(0.25):
            out.append(self.many())
        return out

    def many(self):
        """So many rows of one table that its snapshot is read in several ranges."""
        # A window over so many rows takes longer than anybody waits.
        few = {t for d in self.estate.derivations if " w.place, " in d.query for t in self.tables if t.mirrors and t.mirrors[0].mirror == d.touched[0][0]}
        choices = [t for t in self.tables if t not in few]
        if not choices:
            return "SELECT 1"
        table = self.rng.choice(choices)
        chosen = [c for c in table.columns if c.kind not in ("seat", "mail")]
        values = ["%s::%s" % ("'n' || g" if c.kind == "key_text" else "g", c.type) for c in table.key]
        for ref in table.refs:
            values += ["%s::%s" % (v, c.type) for v, c in zip(self.reference(table, ref), ref.columns)]
        values += ["%s::%s" % ("repeat(md5(g::text), g % 90)" if c.kind == "long" else self.literal(c), c.type) for c in chosen]
        columns = table.key + [c for ref in table.refs for c in ref.columns] + chosen
        missing = [c for c in table.columns if c not in chosen and not c.null]
        for c in missing:
            columns.append(c)
            values.append("'m' || g")
        return self.guarded(["INSERT INTO %s (%s) SELECT %s FROM generate_series(10001, 12500) g" % (
            table.sql(), ", ".join(quoted(c.name) for c in columns), ", ".join(values))])

    def script(self, transactions, seconds):
        """All of it, with pauses that make up so many seconds."""
        out = [self.transaction() for _ in range(transactions)]
        pauses = [self.rng.random() ** 3 for _ in out]
        scale = seconds / (sum(pauses) or 1)
        text = ""
        for statements, pause in zip(out, pauses):
            text += "".join(s + ";\n" for s in statements) + "SELECT pg_sleep(%.3f);\n" % (pause * scale)
        return text

    def held(self, seconds):
        """A second session's: new rows only, under keys of its own, in a transaction that is open for a while."""
        table = self.rng.choice(self.tables)
        out = ["BEGIN"]
        for n in range(3):
            low = 100000 + 1000 * n
            out.append(self.guarded([self.insert(table, [self.key(c, low, 1) for c in table.key])]))
        return "".join(s + ";\n" for s in out) + "SELECT pg_sleep(%.3f);\nCOMMIT;\n" % seconds
