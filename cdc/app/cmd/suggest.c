#include "cdc/app/cmd/suggest.h"

#include <string.h>

#define WORD_MAX 48

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t a_len = strnlen(a, WORD_MAX), b_len = strnlen(b, WORD_MAX);
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

void suggest_offer(struct suggest *suggest, const char *candidate)
{
    size_t len = strnlen(suggest->word, WORD_MAX);
    size_t distance = suggest_distance(suggest->word, candidate);
    /* "--deep-scan" for "--deep" is no slip of the finger, but it is meant */
    if (len >= 3 &&
        (strncmp(suggest->word, candidate, len) == 0 || strncmp(suggest->word, candidate, strlen(candidate)) == 0))
        distance = least(distance, 2); /* never 0: that is the word itself */
    if (distance > 1 + len / 5)
        return;
    if (!suggest->nearest || distance < suggest->distance) {
        suggest->nearest = candidate;
        suggest->distance = distance;
    }
}
