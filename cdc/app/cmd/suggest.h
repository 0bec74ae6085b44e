/* The word that somebody who mistyped probably meant. */
#ifndef PGREKEY_APP_SUGGEST_H
#define PGREKEY_APP_SUGGEST_H

#include <stddef.h>

/* How many letters must be put in, taken out, changed or swapped to make one word of the other. */
size_t suggest_distance(const char *a, const char *b);

struct suggest {
    const char *word;    /* what was typed */
    const char *nearest; /* the best so far; NULL where nothing is near enough */
    size_t distance;
};
/* `nearest` begins as NULL; offer every candidate once. */
void suggest_offer(struct suggest *suggest, const char *candidate);

#endif
