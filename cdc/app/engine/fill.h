/* When the filling batch goes to the applier. Pure: sizes and times in, a decision out.
 *
 *     rows ──▶ filling ──▶ at the limit: with the next commit      at twice the limit: inside the transaction
 *                      ──▶ below it: with any commit once nothing more is waiting, and after lingering in a busy stream
 *
 * In a quiet stream that is each commit at once. In a busy one a batch lingers a few milliseconds for more, for a set
 * of a thousand rows costs the target far less than ten sets of a hundred.
 */
#ifndef PGREKEY_APP_FILL_H
#define PGREKEY_APP_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fill {
    size_t max_rows, max_bytes;
    size_t last_rows; /* of the batch that went last */
    int64_t last_us;  /* when it went; monotonic, as all times here */
    int64_t since_us; /* when the filling one got its first row */
};

enum fill_limit {
    FILL_AT_COMMIT = 1, /* full enough to go at the end of a transaction */
    FILL_INSIDE = 2,    /* so full that it goes inside one */
};
bool fill_reached(const struct fill *fill, enum fill_limit limit, size_t rows, size_t bytes);

void fill_begun(struct fill *fill, int64_t now_us);
void fill_went(struct fill *fill, size_t rows, int64_t now_us);

/* How long a batch of whole transactions with that many rows still waits for more, although nothing more is in the
 * socket. 0: it goes now. */
int64_t fill_linger_us(const struct fill *fill, size_t rows, int64_t now_us);

#endif
