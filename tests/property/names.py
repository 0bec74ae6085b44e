"""Names, as SQL writes them and as the engine makes them."""

NAMESPACE = "6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21"


def quoted(name):
    return '"%s"' % name.replace('"', '""')


def key_text(parts):
    """How a legacy key's parts are written for its identity, in Python."""
    if len(parts) == 1:
        return parts[0]
    return "|".join(p.replace("\\", "\\\\").replace("|", "\\|") for p in parts)


def uuid_sql(entity, columns, adopted=None):
    """SQL for the identity of a legacy key. adopted: key_text -> id of a row that was there before."""
    if len(columns) == 1:
        key = "%s::text" % columns[0]
    else:
        key = " || '|' || ".join("replace(replace(%s::text, '\\', '\\\\'), '|', '\\|')" % c for c in columns)
    computed = "uuid_generate_v5('%s', '%s:' || %s)" % (NAMESPACE, entity, key)
    if not adopted:
        return computed
    return "CASE %s %s ELSE %s END" % (key, " ".join("WHEN '%s' THEN '%s'::uuid" % a for a in sorted(adopted.items())), computed)
