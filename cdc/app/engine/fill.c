#include "cdc/app/engine/fill.h"

/* From so many rows on a larger set saves the target nothing more. */
#define LINGER_ROWS 4000
#define LINGER_US INT64_C(15000)
/* The stream is busy while the last batch held that many rows and is recent. */
#define BUSY_ROWS 40
#define BUSY_US (4 * LINGER_US)

bool fill_reached(const struct fill *fill, enum fill_limit limit, size_t rows, size_t bytes)
{
    return rows >= (size_t)limit * fill->max_rows || bytes >= (size_t)limit * fill->max_bytes;
}

void fill_begun(struct fill *fill, int64_t now_us)
{
    fill->since_us = now_us;
}

void fill_went(struct fill *fill, size_t rows, int64_t now_us)
{
    fill->last_rows = rows;
    fill->last_us = now_us;
}

int64_t fill_linger_us(const struct fill *fill, size_t rows, int64_t now_us)
{
    if (rows >= LINGER_ROWS || fill->last_rows < BUSY_ROWS || now_us - fill->last_us > BUSY_US)
        return 0;
    int64_t left = fill->since_us + LINGER_US - now_us;
    return left > 0 ? left : 0;
}
