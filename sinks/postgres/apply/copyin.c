#include "sinks/postgres/apply/copyin.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/session/session.h"

#define PIECE_BYTES ((size_t)128 << 10)

int copyin_begin(struct pgsink *s, const char *sql, struct err *reterr)
{
    PGresult *result;
    int rc = 0;

    buf_reset(&s->copy);
    if (session_refuses(sql))
        return err_set(reterr, ERR_FATAL, "target: a COPY is too long to be sent");
    result = PQexec(s->conn, sql);
    if (PQresultStatus(result) != PGRES_COPY_IN)
        rc = pg_err(reterr, SIDE, s->conn, result, "starting a COPY");
    PQclear(result);
    return rc;
}

static void send_piece(struct pgsink *s)
{
    if (s->copy.len == 0)
        return;
    /* A failure here is the connection's, or the server has ended the COPY: copyin_end() asks which. */
    (void)PQputCopyData(s->conn, s->copy.data, (int)s->copy.len);
    s->copy.len = 0;
}

/* What stands after the backslash; 0: the byte goes as it is. */
static const char ESCAPE[256] = {['\\'] = '\\', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};

#define EACH_BYTE(x) (UINT64_C(0x0101010101010101) * (x))

/* Copies up to the first byte that may need an escape, a control character or a backslash, eight at a time: nearly
 * every value is plain, and this loop sees every byte that goes to the target. Gives how many were copied. */
static size_t copy_plain(char *out, const char *text, size_t len)
{
    size_t i = 0;

    for (; i + 8 <= len; i += 8) {
        uint64_t word, slash;
        memcpy(&word, text + i, 8);
        slash = word ^ EACH_BYTE('\\');
        /* a high bit for each byte below 0x20, and for each that is a backslash */
        uint64_t special = ((word - EACH_BYTE(0x20)) & ~word) | ((slash - EACH_BYTE(1)) & ~slash);
        if (special & EACH_BYTE(0x80))
            break;
        memcpy(out + i, &word, 8);
    }
    for (; i < len && !((unsigned char)text[i] < 0x20 || text[i] == '\\'); i++)
        out[i] = text[i];
    return i;
}

static void put_escaped(struct pgsink *s, const char *text, size_t len)
{
    while (len > 0) {
        size_t step = len < PIECE_BYTES ? len : PIECE_BYTES;
        char *out;

        if (s->copy.len + step * 2 > 2 * PIECE_BYTES)
            send_piece(s);
        if (!buf_reserve(&s->copy, step * 2 + 1))
            return;
        out = s->copy.data + s->copy.len;
        for (size_t i = 0; i < step;) {
            size_t plain = copy_plain(out, text + i, step - i);
            out += plain;
            i += plain;
            if (i < step) {
                char escape = ESCAPE[(unsigned char)text[i]];
                if (escape)
                    *out++ = '\\';
                *out++ = escape ? escape : text[i];
                i++;
            }
        }
        s->copy.len = (size_t)(out - s->copy.data);
        text += step;
        len -= step;
    }
}

static void put_raw(struct pgsink *s, const char *text, size_t len)
{
    if (!buf_reserve(&s->copy, len + 1))
        return;
    memcpy(s->copy.data + s->copy.len, text, len);
    s->copy.len += len;
}

void copyin_row(struct pgsink *s, int64_t number, const struct value *values, const uint16_t *columns, size_t count)
{
    if (number >= 0) {
        char digits[24];
        size_t at = sizeof(digits);

        do
            digits[--at] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        put_raw(s, digits + at, sizeof(digits) - at);
    }
    for (size_t i = 0; i < count; i++) {
        const struct value *value = &values[columns ? columns[i] : i];

        if (i || number >= 0)
            put_raw(s, "\t", 1);
        if (value->state == VALUE_TEXT)
            put_escaped(s, value->text, value->len);
        else
            put_raw(s, "\\N", 2);
    }
    put_raw(s, "\n", 1);
    if (s->copy.len >= PIECE_BYTES)
        send_piece(s);
}

int copyin_end(struct pgsink *s, int64_t *ret_rows, struct err *reterr)
{
    PGresult *result;
    int rc = 0;

    *ret_rows = 0;
    send_piece(s);
    (void)PQputCopyEnd(s->conn, buf_overflowed(&s->copy) ? "a row is cut off" : NULL);
    while ((result = PQgetResult(s->conn))) {
        if (PQresultStatus(result) == PGRES_COMMAND_OK)
            *ret_rows = strtoll(PQcmdTuples(result), NULL, 10);
        else if (rc == 0)
            rc = pg_err(reterr, SIDE, s->conn, result, "copying rows");
        PQclear(result);
        if (PQstatus(s->conn) != CONNECTION_OK)
            break;
    }
    if (PQstatus(s->conn) != CONNECTION_OK)
        rc = rc ? rc : pg_err(reterr, SIDE, s->conn, NULL, "copying rows");
    else if (buf_overflowed(&s->copy)) /* and so the server was told to forget it */
        rc = err_set(reterr, ERR_FATAL, "target: a row is too long for the buffer of a COPY");
    return rc;
}
