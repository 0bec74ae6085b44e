"""Names, as SQL writes them and as the engine makes them."""

NAMESPACE = "6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21"


def quoted(name):
    return '"%s"' % name.replace('"', '""')


def uuid_sql(entity, columns):
    """SQL for the identity of a legacy key."""
    if len(columns) == 1:
        key = "%s::text" % columns[0]
    else:
        key = " || '|' || ".join("replace(replace(%s::text, '\\', '\\\\'), '|', '\\|')" % c for c in columns)
    return "uuid_generate_v5('%s', '%s:' || %s)" % (NAMESPACE, entity, key)
