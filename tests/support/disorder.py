#!/usr/bin/env python3
"""Prints SQL transactions that insert, change and delete the rows of a family of tables in any order.

    disorder.py SEED TRANSACTIONS     for the source's database: office <- person <- ticket, team

The source has no foreign keys, so children come before their parents, and stay when those go. E-mail addresses are
unique among the people that live at a transaction's end; they wander between them. The last transactions bring every
parent that somebody wants.
"""
import random
import sys

OFFICES, PEOPLE, TICKETS, TEAMS, EMAILS = 10, 30, 40, 10, 60


class Family:
    def __init__(self, rng):
        self.rng = rng
        self.rows = {"office": {}, "person": {}, "ticket": {}, "team": {}}
        self.sizes = {"office": OFFICES, "person": PEOPLE, "ticket": TICKETS, "team": TEAMS}

    def maybe(self, of):
        return self.rng.randint(1, of) if self.rng.random() < 0.6 else None

    def free_email(self):
        taken = {row["email"] for row in self.rows["person"].values()}
        return self.rng.choice([n for n in range(EMAILS) if f"e{n}@x" not in taken])

    def columns(self, table):
        rng = self.rng
        if table == "office":
            return {"name": f"o{rng.randint(0, 99)}"}
        if table == "person":
            return {"office_id": rng.randint(1, OFFICES), "mate_id": self.maybe(PEOPLE),
                    "email": f"e{self.free_email()}@x", "note": rng.choice([None, "short", "long"])}
        if table == "ticket":
            return {"person_id": rng.randint(1, PEOPLE), "second_id": self.maybe(PEOPLE),
                    "office_id": rng.randint(1, OFFICES), "title": f"t{rng.randint(0, 99)}"}
        return {"lead_id": self.maybe(PEOPLE), "title": f"m{rng.randint(0, 99)}"}

    def insert(self, table, key):
        row = self.columns(table)
        self.rows[table][key] = row
        names = ", ".join(["id", *row])
        values = ", ".join([str(key), *(literal(value) for value in row.values())])
        return f"INSERT INTO {table} ({names}) VALUES ({values});"

    def update(self, table, key):
        row = self.rows[table][key]
        new = self.columns(table)
        if table == "person" and self.rng.random() < 0.3 and len(self.rows[table]) > 1:
            return self.swap(key)
        names = self.rng.sample(sorted(new), self.rng.randint(1, len(new)))
        row.update({name: new[name] for name in names})
        sets = ", ".join(f"{name} = {literal(new[name])}" for name in names)
        return f"UPDATE {table} SET {sets} WHERE id = {key};"

    def swap(self, key):
        people = self.rows["person"]
        other = self.rng.choice([k for k in people if k != key])
        people[key]["email"], people[other]["email"] = people[other]["email"], people[key]["email"]
        return (f"UPDATE person SET email = 'between' WHERE id = {key};"
                f" UPDATE person SET email = {literal(people[other]['email'])} WHERE id = {other};"
                f" UPDATE person SET email = {literal(people[key]['email'])} WHERE id = {key};")

    def move(self, table, key):
        free = [k for k in range(1, self.sizes[table] + 1) if k not in self.rows[table]]
        if not free:
            return self.delete(table, key)
        new = self.rng.choice(free)
        self.rows[table][new] = self.rows[table].pop(key)
        return f"UPDATE {table} SET id = {new} WHERE id = {key};"

    def delete(self, table, key):
        del self.rows[table][key]
        return f"DELETE FROM {table} WHERE id = {key};"

    def step(self):
        rng = self.rng
        if rng.random() < 0.002:
            self.rows["office"].clear()
            return "TRUNCATE office;"
        table = rng.choices(list(self.rows), [3, 4, 4, 2])[0]
        key = rng.randint(1, self.sizes[table])
        if key not in self.rows[table]:
            return self.insert(table, key)
        return rng.choices([self.update, self.delete, self.move], [6, 5, 1])[0](table, key)

    def missing(self):
        for table, key in [("office", k) for k in range(1, OFFICES + 1)] + [("person", k) for k in range(1, PEOPLE + 1)]:
            if key not in self.rows[table]:
                yield table, key


def literal(value):
    if value is None:
        return "NULL"
    if value == "long":  # out of line
        return "repeat('long', 1000)"
    return str(value) if isinstance(value, int) else f"'{value}'"


def main():
    rng = random.Random(int(sys.argv[1]))
    family = Family(rng)
    for _ in range(int(sys.argv[2])):
        size = rng.choice([1, 1, 1, 2, 3, 5, 8, 20, 60])
        steps = [family.step() for _ in range(size)]
        print("BEGIN;", *steps, rng.choice(["COMMIT;"] * 9 + ["COMMIT; SELECT pg_sleep(0.05);"]))
    print("\\echo every parent comes")
    last = list(family.missing())
    rng.shuffle(last)
    for table, key in last:
        print(family.insert(table, key))


main()
