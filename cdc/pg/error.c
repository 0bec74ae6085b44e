/* From libpq's errors to ours.
 *
 * A server's message may quote values ("invalid input syntax for type date: …", "Key (email)=(…) already
 * exists"), so only SQLSTATE and names leave this file. Excepted are the few SQLSTATEs whose message is
 * about servers, roles and names; and even these only where no function, trigger or COPY stands in the
 * error's context, for a RAISE may say anything under any SQLSTATE.
 */
#include "cdc/pg/pg.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cdc/pg/internal.h"

struct sqlstate_rule {
    const char *prefix; /* the longest that fits decides, so exact codes stand beside their class */
    enum err_kind kind;
    bool message_is_safe;
};

static const struct sqlstate_rule rules[] = {
    {"08", ERR_RETRY, true},      /* connection */
    {"21", ERR_FATAL, false},     /* cardinality */
    {"22", ERR_POISON, false},    /* data */
    {"23", ERR_POISON, false},    /* constraints */
    {"25006", ERR_CONFIG, true},  /* read-only */
    {"25P03", ERR_RETRY, true},   /* idle in transaction for too long: the session is gone */
    {"26", ERR_CONFIG, false},    /* no such prepared statement: a transaction pooler */
    {"27", ERR_POISON, false},    /* a trigger changed the row that is being written */
    {"28", ERR_CONFIG, true},     /* authorization */
    {"2F", ERR_POISON, false},    /* a function on the row ended without a result */
    {"38", ERR_POISON, false},    /* a function of another language failed on the row */
    {"39", ERR_POISON, false},    /* the same */
    {"3D", ERR_CONFIG, true},     /* no such database */
    {"3F", ERR_CONFIG, true},     /* no such schema */
    {"40", ERR_RETRY, false},     /* deadlock, serialization */
    {"42", ERR_CONFIG, false},    /* names, syntax, types, privileges */
    {"42501", ERR_CONFIG, true},  /* privilege */
    {"42703", ERR_CONFIG, true},  /* no such column */
    {"42704", ERR_CONFIG, true},  /* no such object */
    {"42P01", ERR_CONFIG, true},  /* no such table */
    {"44", ERR_POISON, false},    /* WITH CHECK OPTION of a view */
    {"53", ERR_RETRY, true},      /* disk, memory, connections, slots */
    {"54000", ERR_POISON, false}, /* a value too large for its index */
    {"54001", ERR_POISON, false}, /* JSON nested too deeply */
    {"55000", ERR_CONFIG, true},  /* wal_level; a published table without replica identity */
    {"55006", ERR_RETRY, true},   /* in use: a slot */
    {"55P03", ERR_RETRY, true},   /* lock_timeout */
    {"57014", ERR_RETRY, true},   /* statement_timeout, or cancelled by somebody */
    {"57P", ERR_RETRY, true},     /* shutting down, starting, crashed */
    {"57P04", ERR_CONFIG, true},  /* database dropped */
    {"58030", ERR_RETRY, false},  /* input or output on the server's disk */
    {"58P01", ERR_CONFIG, true},  /* no such file: a library that is not installed */
    {"P0", ERR_POISON, false},    /* a trigger on the row: RAISE, no row, too many rows, ASSERT */
};

static const struct sqlstate_rule *find_rule(const char *sqlstate)
{
    const struct sqlstate_rule *found = NULL;
    size_t found_len = 0;

    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        size_t len = strlen(rules[i].prefix);
        if (len > found_len && strncmp(sqlstate, rules[i].prefix, len) == 0) {
            found = &rules[i];
            found_len = len;
        }
    }
    return found;
}

enum err_kind pg_kind_of_sqlstate(const char *sqlstate)
{
    const struct sqlstate_rule *rule = find_rule(sqlstate);
    return rule ? rule->kind : ERR_FATAL;
}

static const char *hint_of_sqlstate(const char *sqlstate, const char *side)
{
    static const struct {
        const char *sqlstate, *hint;
    } hints[] = {
        {"25006", "The server or the session is read-only: connect to the primary"},
        {"26000", "A pooler hands out another session per transaction: use its session mode or a direct connection"},
        {"42P05", "A pooler hands out another session per transaction: use its session mode or a direct connection"},
        {"53100", "The server's disk is full: make room there"},
        {"53300", "The server has no connection left: raise max_connections or close some"},
        {"55P03", "Another session holds the lock; see lock_timeout"},
    };
    if (strcmp(sqlstate, "42501") == 0)
        return strcmp(side, "source") == 0 ? "`pgrekey init --source` prints what the role must be granted"
                                           : "`pgrekey init` grants the role what it needs";
    for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++) {
        if (strcmp(hints[i].sqlstate, sqlstate) == 0)
            return hints[i].hint;
    }
    return NULL;
}

static bool is_sqlstate(const char *text)
{
    for (int i = 0; i < 5; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9', letter = text[i] >= 'A' && text[i] <= 'Z';
        if (!digit && !letter)
            return false;
    }
    return text[5] == ':' || text[5] == '\n' || text[5] == '\0';
}

/* One line of libpq's, without the SQLSTATE behind its severity. */
static void put_line(struct buf *text, const char *line, size_t len, char *sqlstate)
{
    for (size_t i = 0; i < len; i++) {
        if (strncmp(line + i, ":  ", 3) == 0 && is_sqlstate(line + i + 3)) {
            memcpy(sqlstate, line + i + 3, 5);
            i += 7; /* "FATAL:  28P01: no …", or "FATAL:  57P01" alone */
            continue;
        }
        buf_putc(text, (unsigned char)line[i] < 0x20 ? ' ' : line[i]);
    }
}

void pg_tidy_message(const char *message, char *text, size_t size, char *sqlstate)
{
    struct buf all;

    buf_init(&all, 8192);
    sqlstate[0] = sqlstate[5] = '\0';
    while (*message) {
        size_t len = strcspn(message, "\n");
        /* a tab begins libpq's advice, LOCATION names the server's source file */
        if (len && *message != '\t' && strncmp(message, "LOCATION:", 9) != 0) {
            if (all.len)
                buf_append(&all, "; ", 2);
            put_line(&all, message, len, sqlstate);
        }
        message += len + (message[len] == '\n');
    }
    while (all.len && (all.data[all.len - 1] == ' ' || all.data[all.len - 1] == ':'))
        all.data[--all.len] = '\0';
    snprintf(text, size, "%s", buf_text(&all));
    buf_done(&all);
}

/* Where sending fails, libpq says so at once, but holds the connection for good until it reads its end. */
static bool is_lost(const PGconn *conn)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = POLLRDHUP};
    return PQstatus(conn) != CONNECTION_OK || (poll(&fd, 1, 0) > 0 && fd.revents != 0);
}

/* The connection failed under us, or libpq itself has something to say: no server's text is in it but
 * severity and SQLSTATE, for pg_open() asks libpq for no more. */
static int err_from_libpq(struct err *err, const char *side, PGconn *conn, const char *message, const char *doing)
{
    char text[ERR_TEXT_MAX], sqlstate[6];
    bool lost = is_lost(conn);

    pg_tidy_message(message, text, sizeof(text), sqlstate);
    enum err_kind kind = lost ? ERR_RETRY : ERR_FATAL;
    if (sqlstate[0] && find_rule(sqlstate))
        kind = pg_kind_of_sqlstate(sqlstate);
    err_set(err, kind, "%s: %s failed%s%s", side, doing, text[0] ? ": " : lost ? ": the connection is lost" : "", text);
    if (err)
        memcpy(err->sqlstate, sqlstate, sizeof(sqlstate));
    return -1;
}

static void copy_name(char *name, const PGresult *result, int field)
{
    const char *value = PQresultErrorField(result, field);
    snprintf(name, ERR_NAME_MAX, "%s", value ? value : "");
}

/* The server's message where it cannot hold values, else NULL. */
static const char *safe_message(const PGresult *result, const char *sqlstate)
{
    const struct sqlstate_rule *rule = find_rule(sqlstate);
    if (!rule || !rule->message_is_safe || PQresultErrorField(result, PG_DIAG_CONTEXT))
        return NULL;
    return PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
}

/* Somebody's own words, from a function or trigger: under whatever SQLSTATE they come, they speak of the row, and what
 * stands where names should be may be a value. */
static bool is_raised(const PGresult *result)
{
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    return function && strcmp(function, "exec_stmt_raise") == 0;
}

int pg_err(struct err *err, const char *side, PGconn *conn, const PGresult *result, const char *doing)
{
    if (!result)
        return err_from_libpq(err, side, conn, PQerrorMessage(conn), doing);

    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE && status != PGRES_NONFATAL_ERROR)
        return err_set(err, ERR_FATAL, "%s: %s failed: unexpected answer %s", side, doing, PQresStatus(status));
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!sqlstate || strlen(sqlstate) != 5)
        return err_from_libpq(err, side, conn, PQresultErrorMessage(result), doing);

    char table[ERR_NAME_MAX] = "", column[ERR_NAME_MAX] = "", constraint[ERR_NAME_MAX] = "";
    bool raised = is_raised(result);
    if (!raised) {
        copy_name(table, result, PG_DIAG_TABLE_NAME);
        copy_name(column, result, PG_DIAG_COLUMN_NAME);
        copy_name(constraint, result, PG_DIAG_CONSTRAINT_NAME);
    }
    const char *said = raised ? NULL : safe_message(result, sqlstate);

    err_set(err, raised ? ERR_POISON : pg_kind_of_sqlstate(sqlstate), "%s: %s failed (SQLSTATE %s%s%s%s%s%s%s)%s%s",
            side, doing, sqlstate, table[0] ? ", table " : "", table, column[0] ? ", column " : "", column,
            constraint[0] ? ", constraint " : "", constraint, said ? ": " : "", said ? said : "");
    if (!err)
        return -1;
    memcpy(err->sqlstate, sqlstate, 6);
    memcpy(err->table, table, sizeof(table));
    memcpy(err->column, column, sizeof(column));
    memcpy(err->constraint, constraint, sizeof(constraint));
    const char *hint = raised ? NULL : hint_of_sqlstate(sqlstate, side);
    if (hint)
        err_hint(err, "%s", hint);
    return -1;
}
