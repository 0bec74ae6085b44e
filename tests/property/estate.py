"""A random small estate: source tables, target tables, and the mapping between them.

Everything comes from one random.Random.

Each column of a rule carries its value twice: as the mapping says it (`yaml`), and as SQL over the source row (`sql`),
with the condition under which the row cannot be mapped (`bad`). From the second the judge knows by itself what must
stand on the target.
"""

import json
import uuid

import derive
from names import NAMESPACE, key_text, quoted, uuid_sql
from words import CAPABILITIES

NAMES = ["office", "person", "Order", "item", "Größe", "tag", "visit", "log", "my note", "plan"]


class Column:
    """Of a source table. kind says how values are made (workload.literal)."""

    TYPES = {"int": "int", "big": "bigint", "numeric": "numeric(12,2)", "text": "text", "long": "text", "bool": "boolean",
             "float": "double precision", "ts": "timestamptz", "date": "date", "jsonb": "jsonb", "jsontext": "text",
             "code": "smallint", "seat": "int", "mail": "text", "key_int": "int", "key_text": "text", "key_big": "bigint"}

    def __init__(self, name, kind, null=True, unique=False):
        self.name, self.kind, self.null, self.unique = name, kind, null, unique
        self.type = self.TYPES[kind]


class Ref:
    """Columns of a table that hold the key of another (or the same) one."""

    def __init__(self, columns, table, foreign_key):
        self.columns, self.table, self.foreign_key = columns, table, foreign_key


class Table:
    def __init__(self, name):
        self.name, self.key, self.columns, self.refs = name, [], [], []
        self.rules, self.mirrors = [], []
        self.rows = None  # where nobody else writes it

    def sql(self):
        return quoted(self.name)

    def all(self):
        return self.key + [c for ref in self.refs for c in ref.columns] + self.columns

    def key_sql(self):
        return ", ".join(quoted(c.name) for c in self.key)

    def referrers(self, tables):
        return [(table, ref) for table in tables for ref in table.refs if ref.table is self]

    def ddl(self):
        lines = []
        for c in self.all():
            lines.append("    %s %s%s" % (quoted(c.name), c.type, "" if c.null else " NOT NULL"))
            if c.unique:
                lines[-1] += " UNIQUE DEFERRABLE INITIALLY %s" % c.unique
        lines.append("    PRIMARY KEY (%s)" % self.key_sql())
        for ref in self.refs:
            if ref.foreign_key is not None:
                lines.append("    FOREIGN KEY (%s) REFERENCES %s ON UPDATE CASCADE %s" % (
                    ", ".join(quoted(c.name) for c in ref.columns), ref.table.sql(), ref.foreign_key))
        text = "CREATE TABLE %s (\n%s\n);\n" % (self.sql(), ",\n".join(lines))
        for c in self.columns:
            if c.kind == "long":
                text += "ALTER TABLE %s ALTER %s SET STORAGE EXTERNAL;\n" % (self.sql(), quoted(c.name))
        return text


class Value:
    """A target column and what a rule puts there."""

    def __init__(self, name, type, yaml, sql, bad=None, **more):
        self.name, self.type, self.yaml, self.sql, self.bad = name, type, yaml, sql, bad
        self.notnull = more.get("notnull", False)
        self.unique = more.get("unique", False)
        self.check = more.get("check")
        self.once = more.get("once", False)
        self.merged = more.get("merged", False)  # others own keys of it too
        self.unmarked = more.get("unmarked", False)  # non-finite values that the stream shows as NULL
        self.ref = more.get("ref")  # the parent rule
        self.required = more.get("required", False)
        self.foreign_key = more.get("foreign_key")
        self.indexed = True


class Rule:
    """A row rule. shares: the rule whose target table it writes as well."""

    def __init__(self, name, table, to):
        self.name, self.table, self.to = name, table, to
        self.entity = None
        self.adopts, self.before = False, {}  # rows that were there before: id -> {column: text}
        self.key, self.values = [], []
        self.when = self.identity = self.shares = None
        self.delete, self.set = "row", {}
        self.truncate = False
        self.lookups = {}  # alias -> column

    def columns(self):
        return self.key + self.values

    def yaml(self):
        out = ["  - name: %s" % json.dumps(self.name), "    from: %s" % json.dumps(self.table.name, ensure_ascii=False),
               "    to: %s" % self.to]
        if self.when:
            out.append("    when: %s" % json.dumps(self.when, ensure_ascii=False))
        if self.lookups:
            out.append("    lookup: {%s}" % ", ".join("%s: {mirror: label, by: %s}" % (k, json.dumps(c, ensure_ascii=False))
                                                     for k, c in self.lookups.items()))
        adopt = ", adopt: [%s]" % ", ".join("legacy%d" % i for i in range(len(self.table.key))) if self.adopts else ""
        out.append("    key: {%s%s}" % (", ".join("%s: %s" % (v.name, v.yaml) for v in self.key), adopt))
        if self.identity:
            out.append("    identity: %s" % self.identity)
        if self.delete == "set":
            out.append("    delete: {set: {%s}}" % ", ".join("%s: %s" % (k, json.dumps(v)) for k, v in self.set.items()))
        elif self.delete != "row":
            out.append("    delete: %s" % self.delete)
        if self.truncate:
            out.append("    truncate: rows")
        once = [v.name for v in self.values if v.once]
        if once:
            out.append("    once: [%s]" % ", ".join(once))
        if self.values:
            out.append("    columns:")
            out += ["      %s: %s" % (v.name, v.yaml) for v in self.values]
        return "\n".join(out)


class Mirror(Rule):
    """A rule whose target is a table of the engine's own. Nothing that a source column holds may fail here."""

    def __init__(self, table, name, columns, index, when):
        super().__init__("%s->pgrekey_mirror.%s" % (table.name, name), table, "pgrekey_mirror." + quoted(name))
        self.mirror, self.index, self.when, self.chosen = name, index, when, columns
        self.key = [self.value(c, True) for c in table.key]
        self.values = [self.value(c, False) for c in columns or table.all() if c not in table.key]

    @staticmethod
    def value(c, key):
        return Value(quoted(c.name), c.type, "", quoted(c.name), notnull=key,
                     unmarked=c if c.kind == "float" and c.null else False)

    def widen(self):
        self.chosen = self.when = None
        self.values = [self.value(c, False) for c in self.table.all() if c not in self.table.key]

    def yaml(self):
        words = []
        if self.mirror != self.table.name:
            words.append("name: %s" % json.dumps(self.mirror))
        if self.chosen:
            words.append("columns: %s" % json.dumps([c.name for c in self.chosen], ensure_ascii=False))
        if self.index:
            words.append("index: %s" % json.dumps([c.name for c in self.index], ensure_ascii=False))
        if self.when:
            words.append("where: %s" % json.dumps(self.when, ensure_ascii=False))
        if self.truncate:
            words.append("truncate: rows")
        return "  %s: {%s}" % (json.dumps(self.table.name, ensure_ascii=False), ", ".join(words))


class Estate:
    def __init__(self, rng):
        self.rng = rng
        self.span = rng.choice([25, 40, 60])  # keys are drawn from so many
        self.tables, self.rules = [], []
        self.nonfinite, self.derivations = {}, []
        self.adopted = {}  # entity -> {key_text: id}
        self.make_tables()
        self.label = self.make_label() if CAPABILITIES["lookup"] and self.chance(0.5) else None
        self.make_rules()

    def chance(self, p):
        return self.rng.random() < p

    # --- source

    def make_tables(self):
        rng = self.rng
        names = rng.sample(NAMES, rng.randint(4, 8))
        for name in names:
            table = Table(name)
            kind = rng.choices(["int", "big", "text", "pair"], [6, 2, 2, 2])[0]
            if kind == "pair":
                table.key = [Column("part", "key_int", False), Column("sub key", "key_text", False)]
            else:
                table.key = [Column(rng.choice(["id", "id", "code", "Nr"]), "key_" + kind, False)]
            for n in range(rng.randint(0, 3) if self.tables else 0):
                self.add_ref(table, rng.choice(self.tables), "r%d" % n)
            if CAPABILITIES["parking"] and self.chance(0.35):
                self.add_ref(table, table, "up")
            for n in range(rng.randint(2, 7)):
                self.add_column(table, n)
            self.tables.append(table)

    @staticmethod
    def make_label():
        table = Table("label")
        table.key, table.columns = [Column("id", "code", False)], [Column("word", "text", False)]
        table.rows = [(0, "nought"), (1, "one"), (2, "two")]
        return table

    def add_ref(self, table, parent, stem):
        null = table is parent or self.chance(0.5)
        columns = [Column("%s_%s" % (stem, c.name), c.kind, null) for c in parent.key]
        modes = ["DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE", ""]
        if CAPABILITIES["parking"]:
            modes += [None, None]
        mode = self.rng.choice(modes)
        table.refs.append(Ref(columns, parent, mode))

    def add_column(self, table, n):
        kinds = ["int", "numeric", "text", "text", "long", "bool", "ts", "date", "jsonb", "jsontext", "code", "code"]
        kinds += ["seat", "mail"] if CAPABILITIES["unique"] else ["seat"]
        kinds += ["float"] if CAPABILITIES["nonfinite"] else []
        kind = self.rng.choice(kinds)
        column = Column("%s%d" % (kind[0], n), kind, self.chance(0.6))
        if kind == "seat":
            column.null = True
            column.unique = self.rng.choice(["DEFERRED", "IMMEDIATE"])
        table.columns.append(column)

    # --- mapping

    def make_rules(self):
        for table in self.tables:
            if self.chance(0.1) and not table.referrers(self.tables):
                continue
            for n in range(2 if self.chance(0.3) else 1):
                self.make_rule(table, n)
        if self.label:
            self.make_mirror(self.label, whole=True)
        if CAPABILITIES["mirrors"]:
            for table in self.tables:
                if self.chance(0.35):
                    self.make_mirror(table)
        if CAPABILITIES["derive"]:
            maker = derive.Maker(self)
            maker.make()
            self.derivations = maker.made
            for d in self.derivations if CAPABILITIES["derived parents"] else []:
                self.refer_to(d)
        for table in self.tables:
            # All rules of a table agree, for one that pauses is enough to pause.
            if CAPABILITIES["truncate"] and self.chance(0.6):
                if not table.referrers(self.tables) and all(r.delete == "row" for r in table.rules):
                    for rule in table.rules + table.mirrors:
                        rule.truncate = True
        self.marks()

    def marks(self):
        for table in self.tables:
            marked = [c.name for c in table.columns if c.kind == "float" and c.null and self.chance(0.7)]
            self.nonfinite[table.name] = marked
            for rule in table.rules + table.mirrors:
                for value in rule.values:
                    if value.unmarked and value.unmarked.name in marked:
                        value.unmarked = False

    def make_mirror(self, table, whole=False):
        """whole: of all rows and columns, for a derivation that reads it."""
        others = [c for c in table.all() if c not in table.key]
        columns = self.rng.sample(others, self.rng.randint(1, len(others))) if self.chance(0.6) and not whole else None
        there = table.key + (columns or others)
        index = [c for c in there if c.kind != "long" and self.chance(0.2)]
        name = table.name if table is self.label or self.chance(0.8) and not table.mirrors else "m%d" % len(self.rules)
        mirror = Mirror(table, name, columns, index, self.condition(table) if self.chance(0.3) and not whole else None)
        table.mirrors.append(mirror)
        self.rules.append(mirror)
        return mirror

    def make_rule(self, table, n):
        index = len(self.rules)
        rule = Rule("rule %d" % index, table, "t%d" % index)
        parents = [r for r in table.refs if r.table.rules]
        is_parent = bool(table.referrers(self.tables)) and n == 0
        if n == 0 and not is_parent and len(table.key) == 1 and self.chance(0.3) and self.pair_key(rule, parents):
            pass
        elif n == 0 and not is_parent and self.chance(0.2):
            rule.key = [Value("k%d" % i, c.type, json.dumps(c.name, ensure_ascii=False), quoted(c.name), notnull=True)
                        for i, c in enumerate(table.key)]
        else:
            rule.entity = "e%d" % index
            if CAPABILITIES["adopt"] and self.chance(0.4):
                self.rows_before(rule)
            columns = [c.name for c in table.key]
            of = json.dumps(columns[0] if len(columns) == 1 else columns, ensure_ascii=False)
            rule.key = [Value("id", "uuid", "{uuid: %s, of: %s}" % (rule.entity, of),
                              uuid_sql(rule.entity, [quoted(c) for c in columns], self.adopted.get(rule.entity)), notnull=True)]
        if not rule.identity:
            for i, c in enumerate(table.key):
                rule.values.append(Value("legacy%d" % i, c.type, json.dumps(c.name, ensure_ascii=False), quoted(c.name),
                                         notnull=True))
        for i, ref in enumerate(table.refs):
            if not any(v.ref is not None and v.name == "p%d" % i for v in rule.key):
                self.reference(rule, i, ref, solid=is_parent and not CAPABILITIES["parking"])
        for i, column in enumerate(table.columns):
            if self.chance(0.85):
                self.column(rule, "c%d" % i, column, solid=is_parent and not CAPABILITIES["parking"])
        self.treatment(rule, is_parent and not CAPABILITIES["parking"])
        table.rules.append(rule)
        self.rules.append(rule)

    def key_value(self, column):
        n = self.rng.randint(1, self.span)
        return ["k%d", "k|%d", "k\\%d", "k %d"][n % 4] % n if column.kind == "key_text" else str(n)

    def rows_before(self, rule):
        """Rows that the target holds under ids of their own, some of them twice: then the smallest id stays."""
        rule.adopts = True
        adopted = self.adopted[rule.entity] = {}
        for _ in range(self.rng.randint(3, 12)):
            key = tuple(self.key_value(c) for c in rule.table.key)
            new = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            rule.before[new] = {"legacy%d" % i: part for i, part in enumerate(key)}
            adopted[key_text(key)] = min(new, adopted.get(key_text(key), new))

    PLAIN = {"int": "-1", "bigint": "-1", "smallint": "-1", "text": "old", "varchar(8)": "old", "jsonb": "{}", "boolean": "false",
             "numeric(12,2)": "-1.00", "date": "2001-02-03", "double precision": "-1", "timestamptz": "2001-02-03 04:05:06+00"}

    def before_sql(self, rule):
        """What must not be NULL gets a value that no rule would make."""
        text = ""
        for id, row in rule.before.items():
            row.update({v.name: self.PLAIN[v.type] for v in rule.values if v.notnull and not v.ref and v.name not in row})
            text += "INSERT INTO %s (id, %s) VALUES ('%s', %s);\n" % (
                rule.to, ", ".join(row), id, ", ".join("'%s'" % value for value in row.values()))
        return text

    def pair_key(self, rule, parents):
        """A junction: keyed by two parents on the target, by an id of its own on the source."""
        parents = [r for r in parents if r.table is not rule.table and r.table.rules[0].entity]
        if len(parents) < 2:
            return False
        for ref in self.rng.sample(parents, 2):
            value = self.reference_value(rule, "p%d" % rule.table.refs.index(ref), ref, True)
            value.notnull = True
            rule.key.append(value)
        rule.identity = "own_id"
        own = rule.table.key[0]
        rule.values.append(Value("own_id", own.type, json.dumps(own.name, ensure_ascii=False), quoted(own.name),
                                 notnull=self.chance(0.5), unique=True))
        return True

    def reference_value(self, rule, name, ref, required):
        parent = ref.table.rules[0]
        columns = [c.name for c in ref.columns]
        of = json.dumps(columns[0] if len(columns) == 1 else columns, ensure_ascii=False)
        return Value(name, "uuid", "{uuid: %s, of: %s}" % (parent.entity, of),
                     uuid_sql(parent.entity, [quoted(c) for c in columns], self.adopted.get(parent.entity)), ref=parent, required=required,
                     foreign_key=self.rng.choice([None, "", "DEFERRABLE INITIALLY DEFERRED"]))

    def reference(self, rule, i, ref, solid):
        parent = rule if ref.table is rule.table and not ref.table.rules else (ref.table.rules or [None])[0]
        if not parent or not parent.entity:
            for n, c in enumerate(ref.columns):
                rule.values.append(Value("q%d_%d" % (i, n), c.type, json.dumps(c.name, ensure_ascii=False), quoted(c.name)))
            return
        if parent is rule:
            ref.table.rules.append(rule)  # for a moment, so that it is found
        required = ref.table is not rule.table and self.chance(0.5) and not (solid and ref.columns[0].null)
        value = self.reference_value(rule, "p%d" % i, ref, required)
        if parent is rule:
            ref.table.rules.remove(rule)
        value.yaml = value.yaml[:-1] + ", required: %s}" % ("true" if required else "false")
        value.notnull = required and not rule.adopts and self.chance(0.5)
        rule.values.append(value)

    def leans(self, what, on, seen=()):
        """Does a rule or derivation come after another one, over however many?"""
        if what is on:
            return True
        below = [v.ref for v in what.columns() if v.ref] if isinstance(what, Rule) else what.leans_on(self)
        return any(self.leans(each, on, (*seen, what)) for each in below if each not in seen and each is not what)

    def refer_to(self, derivation):
        """Rules whose rows refer to derived ones: those of its own table, and of tables that refer to that."""
        for rule in self.rules:
            if not derivation.source or isinstance(rule, Mirror) or not self.chance(0.4) or self.leans(derivation, rule):
                continue
            choices = [table_ref.columns for table_ref in rule.table.refs if table_ref.table is derivation.source]
            choices += [rule.table.key] if rule.table is derivation.source else []
            if choices:
                columns = [c.name for c in self.rng.choice(choices)]
                of = json.dumps(columns[0] if len(columns) == 1 else columns, ensure_ascii=False)
                required = self.chance(0.5)
                rule.values.append(Value(
                    "of_%s" % derivation.to, "uuid", "{uuid: %s, of: %s, required: %s}" % (derivation.entity, of, json.dumps(required)),
                    uuid_sql(derivation.entity, [quoted(c) for c in columns]), ref=derivation, required=required,
                    foreign_key=self.rng.choice([None, "", "DEFERRABLE INITIALLY DEFERRED"])))

    def column(self, rule, name, c, solid):
        """solid: nothing here may fail, for others refer to these rows."""
        rng, q = self.rng, quoted(c.name)
        y = json.dumps(c.name, ensure_ascii=False)
        add = lambda *a, **k: rule.values.append(Value(name, *a, **k))
        if c.kind == "int":
            form = rng.choice(["copy", "check", "small", "expr", "default"] if not solid else ["copy", "expr", "default"])
            if form == "copy":
                add("int", y, q)
            elif form == "check":
                add("int", y, q, "%s >= 90" % q, check="%s < 90" % name)
            elif form == "small":
                add("smallint", y, q, "%s > 32767" % q)
            elif form == "expr":
                add("bigint", "{expr: %s}" % json.dumps("coalesce(%s, 0) * 2 + 1" % q, ensure_ascii=False), "coalesce(%s::bigint, 0) * 2 + 1" % q)
            else:
                add("int", "{from: %s, null: -1}" % y, "coalesce(%s, -1)" % q, notnull=True)
        elif c.kind == "text":
            form = rng.choice(["copy", "upper", "empty", "concat", "short", "notnull"] if not solid else ["copy", "upper", "empty"])
            if form == "copy":
                add("text", y, q)
            elif form == "upper":
                add("text", "{from: %s, apply: [trim, upper]}" % y, "upper(btrim(%s))" % q)
            elif form == "empty":
                add("text", '{from: %s, apply: [trim], empty: "none"}' % y, "coalesce(nullif(btrim(%s), ''), 'none')" % q, notnull=True)
            elif form == "concat":
                add("text", '{concat: [%s, "-", %s]}' % (c.name, c.name), "%s || '-' || %s" % (q, q))
            elif form == "short":
                add("varchar(8)", y, q, "length(%s) > 8" % q)
            else:
                add("text", y, q, "%s IS NULL" % q, notnull=True)
        elif c.kind == "long":
            form = rng.choice(["copy", "copy", "left", "pack"])
            if form == "copy":
                add("text", y, q)
            elif form == "left":
                add("text", "{left: {of: %s, chars: 9}}" % c.name, "left(%s, 9)" % q)
            else:
                add("jsonb", "{pack: [%s]}" % c.name, "jsonb_build_object('%s', %s)" % (c.name, q))
        elif c.kind == "code" and self.label and self.chance(0.5):
            rule.lookups["l" + name] = c.name
            add("text", "l%s.word" % name, "(SELECT l.word FROM label l WHERE l.id = %s)" % q)
        elif c.kind == "code":
            form = rng.choice(["reject", "keep", "other", "copy"] if not solid else ["keep", "other", "copy"])
            enum = "enum: {0: zero, 1: one, 2: two}"
            case = "CASE %s WHEN 0 THEN 'zero' WHEN 1 THEN 'one' WHEN 2 THEN 'two'" % q
            if form == "reject":
                add("text", "{from: %s, %s, else: reject}" % (y, enum), case + " END", "%s NOT IN (0, 1, 2)" % q)
            elif form == "keep":
                add("text", "{from: %s, %s, else: keep}" % (y, enum), case + " ELSE %s::text END" % q)
            elif form == "other":
                add("text", "{from: %s, %s, else: other}" % (y, enum), "%s WHEN %s THEN 'other' END" % (case, q))
            else:
                add("smallint", y, q)
        elif c.kind == "jsontext":
            broken = "%s LIKE '{broken%%'" % q
            if solid or self.chance(0.4):
                add("jsonb", "{from: %s, apply: [json], on_error: keep_raw}" % y,
                    "CASE WHEN %s THEN jsonb_build_object('raw', %s) ELSE %s::jsonb END" % (broken, q, q))
            else:
                add("jsonb", "{from: %s, apply: [json]}" % y, "CASE WHEN %s THEN NULL ELSE %s::jsonb END" % (broken, q), broken)
        elif c.kind == "float":
            add(c.type, y, q, unmarked=c if c.null else False)
        elif c.kind in ("seat", "mail"):
            add(c.type, y, q, unique=not solid and (c.kind == "seat" or self.chance(0.5)))
        else:
            add(c.type, y, q)

    def treatment(self, rule, solid):
        rng = self.rng
        if not solid and self.chance(0.4):
            rule.when = self.condition(rule.table)
        form = rng.choices(["row", "keep", "set"], [7, 1, 1])[0]
        if solid or rule.identity:
            form = "row"
        if form == "set":
            rule.values.append(Value("state", "text", '{const: "live"}', "'live'::text"))
            rule.set = {"state": "gone"}
        rule.delete = form
        for value in rule.values:
            if value.name.startswith("c") and not value.bad and not value.unique and not value.check and self.chance(0.06):
                value.once = True

    def condition(self, table):
        """The same text is the mapping's and SQL's."""
        options = []
        for c in table.columns:
            q = quoted(c.name)
            options += {"int": ["%s < 60" % q, "%s is null or %s > 10" % (q, q)], "code": ["%s <> 2" % q, "%s in (0, 1, 7)" % q],
                        "bool": [q, "%s is not true" % q], "long": ["%s is not null" % q], "text": ["%s is not null" % q],
                        "seat": ["%s is not null" % q]}.get(c.kind, [])
        return self.rng.choice(options) if options else None

    # --- files

    def source_ddl(self):
        text = "".join(t.ddl() for t in self.tables)
        if self.label:
            text += self.label.ddl() + "INSERT INTO label VALUES %s;\n" % ", ".join("(%d, '%s')" % row for row in self.label.rows)
        return text

    def target_ddl(self):
        text = "".join(d.ddl() for d in self.derivations if not d.owner)
        for rule in self.rules:
            if isinstance(rule, Mirror):
                continue
            lines = []
            for v in rule.columns():
                line = "    %s %s%s" % (v.name, v.type, " NOT NULL" if v.notnull else "")
                line += " UNIQUE" if v.unique else ""
                line += " CHECK (%s)" % v.check if v.check else ""
                lines.append(line)
            lines.append("    PRIMARY KEY (%s)" % ", ".join(v.name for v in rule.key))
            for v in rule.columns():
                if v.ref and v.foreign_key is not None:
                    lines.append("    FOREIGN KEY (%s) REFERENCES %s %s" % (v.name, v.ref.to, v.foreign_key))
            text += "CREATE TABLE %s (\n%s\n);\n" % (rule.to, ",\n".join(lines))
            text += "".join("CREATE INDEX ON %s (%s);\n" % (rule.to, v.name) for v in rule.values if v.ref and v.indexed)
        text += "".join(self.before_sql(r) for r in self.rules)
        text += "".join(d.ddl() for d in self.derivations if d.owner)
        return text + "".join(d.foreign_keys() for d in self.derivations)

    def without(self):
        """Names of what the mapping can do without: some rules and derivations, and all that leans on them."""
        out = {each.name for each in self.rules + self.derivations if self.chance(0.3)}
        for _ in range(len(self.rules) + len(self.derivations)):
            for rule in self.rules:
                if any(v.ref and v.ref.name in out for v in rule.columns()) or (
                        rule.lookups and self.label.mirrors[0].name in out) or (rule.shares and rule.shares.name in out):
                    out.add(rule.name)
            for d in self.derivations:
                if any(each.name in out for each in d.leans_on(self)):
                    out.add(d.name)
        return out

    def mapping(self, without=()):
        """The order in the file is not the order of the tables: that is found."""
        rules = [r for r in self.rng.sample(self.rules, len(self.rules)) if r.name not in without]
        text = "namespace: %s\n" % NAMESPACE
        read = {r.table.name for r in rules}
        marked = {name: columns for name, columns in self.nonfinite.items() if columns and name in read}
        if marked:
            text += "nonfinite: %s\n" % json.dumps(marked, ensure_ascii=False)
        rows = [r.yaml() for r in rules if not isinstance(r, Mirror)]
        text += "rows:\n%s\n" % "\n".join(rows) if rows else ""
        mirrors = [r.yaml() for r in rules if isinstance(r, Mirror)]
        text += "mirrors:\n%s\n" % "\n".join(mirrors) if mirrors else ""
        derived = [d.yaml() for d in self.rng.sample(self.derivations, len(self.derivations)) if d.name not in without]
        return text + ("derive:\n%s\n" % "\n".join(derived) if derived else "")
