#include "sinks/breaker.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

/* A ring with a bit a row. The ordinary case, no failure in it, moves nothing but `next`. */
struct breaker {
    size_t window, next;
    size_t failed; /* among those in the ring */
    size_t limit;  /* that many open it */
    size_t silent; /* rows that still come in silence after a reset */
    bool held;     /* nothing has passed since a reset */
    bool open;
    uint8_t ring[]; /* 1: failed */
};

static size_t ring_bytes(size_t window)
{
    return (window + 7) / 8;
}

struct breaker *breaker_new(int window_rows, int percent)
{
    if (window_rows <= 0)
        return NULL;
    size_t window = (size_t)window_rows;
    struct breaker *breaker = mem_zalloc(1, sizeof(*breaker) + ring_bytes(window));
    breaker->window = window;
    breaker->limit = percent <= 0 ? 1 : (window * (size_t)percent + 99) / 100;
    return breaker;
}

void breaker_free(struct breaker *breaker)
{
    free(breaker);
}

static void clear_ring(struct breaker *breaker)
{
    memset(breaker->ring, 0, ring_bytes(breaker->window));
    breaker->next = breaker->failed = 0;
}

void breaker_reset(struct breaker *breaker)
{
    if (!breaker)
        return;
    clear_ring(breaker);
    breaker->open = false;
    breaker->silent = breaker->window;
    breaker->held = true;
}

void breaker_passed(struct breaker *breaker)
{
    if (breaker)
        breaker->held = false;
}

static void record(struct breaker *breaker, bool failed)
{
    uint8_t *byte = &breaker->ring[breaker->next / 8];
    uint8_t bit = (uint8_t)(1u << (breaker->next % 8));
    if (*byte & bit)
        breaker->failed--;
    if (failed) {
        *byte |= bit;
        breaker->failed++;
    } else {
        *byte &= (uint8_t)~bit;
    }
    breaker->next = breaker->next + 1 == breaker->window ? 0 : breaker->next + 1;
}

static void count_good(struct breaker *breaker, uint64_t rows)
{
    if (breaker->failed == 0) { /* nothing but zeros: only the place moves */
        breaker->next = (breaker->next + (size_t)(rows % breaker->window)) % breaker->window;
    } else if (rows >= breaker->window) { /* nothing older remains */
        clear_ring(breaker);
    } else {
        while (rows--)
            record(breaker, false);
    }
}

void breaker_count(struct breaker *breaker, uint64_t good, uint64_t failed)
{
    if (!breaker)
        return;
    count_good(breaker, good);
    for (uint64_t i = 0; i < failed && i < breaker->window; i++)
        record(breaker, true);
    if (breaker->silent || breaker->held)
        breaker->silent -= good + failed < breaker->silent ? (size_t)(good + failed) : breaker->silent;
    else if (breaker->failed >= breaker->limit)
        breaker->open = true;
}

bool breaker_is_open(const struct breaker *breaker)
{
    return breaker && breaker->open;
}
