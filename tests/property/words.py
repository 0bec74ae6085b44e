"""What the engine can carry, word by word. Turning one on is one line here."""

import os

CAPABILITIES = {
    "parking": True,  # parents that go, or come late, under living children; optional and self references filled later
    "mirrors": True,
    "derive": True,
    "derived parents": True,  # rows of rules that refer to derived ones
    "adopt": True,  # rows that the target holds before the engine comes
    "resync": True,  # tables are read again while all the rest goes on
    "lookup": True,  # columns of a small mirror, whose rows stay as they are: a row shows what was there when it was written
    "merge": True,  # jsonb columns that a rule and derivations share
    "derived references": True,  # derived rows that refer to rows of rules
    "join": True,  # rules, mirrors and derivations that the mapping gets while the pipeline streams
    "fast load": True,  # a snapshot without indexes and foreign keys
    "ranges": True,  # a table that a snapshot reads in several ranges
    "truncate": True,
    "unique": True,  # unique values that only the target insists on
    "nonfinite": True,
}

# For one run, to try a word: PGREKEY_WITH=derive,parking
for word in os.environ.get("PGREKEY_WITH", "").split(","):
    if word:
        CAPABILITIES[word] = True
