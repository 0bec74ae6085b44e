/* Dates and timestamps as their ISO text (DateStyle=ISO, TimeZone=UTC): ordered without being converted.
 *
 * Within one type the text orders as the time does, but for years of more than four digits, years BC and the
 * infinities, which are told apart first.
 */
#include "transform/expr_node.h"

#include <string.h>

/* What decides before the bytes do. */
struct era {
    int64_t year; /* BC: negative; the infinities beyond every year */
    struct slice rest;
};

static bool ends_with(struct slice of, const char *end)
{
    size_t len = strlen(end);

    return of.len >= len && memcmp(of.text + of.len - len, end, len) == 0;
}

static struct era era_of(struct slice of)
{
    struct era era = {.rest = of};

    if (text_equal(of, (struct slice){"infinity", 8}))
        era.year = INT64_MAX;
    else if (text_equal(of, (struct slice){"-infinity", 9}))
        era.year = INT64_MIN;
    if (era.year != 0)
        return era;
    while (era.rest.len > 0 && *era.rest.text >= '0' && *era.rest.text <= '9' && era.year < 100000000) {
        era.year = era.year * 10 + (*era.rest.text - '0');
        era.rest.text++;
        era.rest.len--;
    }
    if (ends_with(of, " BC") && era.rest.len >= 3) {
        era.year = -era.year;
        era.rest.len -= 3;
    }
    return era;
}

int temporal_compare(struct slice a, struct slice b)
{
    struct era x = era_of(a), y = era_of(b);

    if (x.year != y.year)
        return x.year < y.year ? -1 : 1;
    return x.year == INT64_MAX || x.year == INT64_MIN ? 0 : text_compare(x.rest, y.rest);
}

/* Digits where the shape has 0, the same byte elsewhere. */
static bool has_shape(struct slice of, const char *shape)
{
    for (size_t i = 0; shape[i]; i++) {
        bool digit = i < of.len && of.text[i] >= '0' && of.text[i] <= '9';

        if (i >= of.len || (shape[i] == '0' ? !digit : of.text[i] != shape[i]))
            return false;
    }
    return true;
}

static bool in_range(const char *two, int low, int high)
{
    int value = (two[0] - '0') * 10 + (two[1] - '0');

    return value >= low && value <= high;
}

/* The length of "HH:MM[:SS[.f]]" at the start, 0 where there is none. Written out as the server shows it: with seconds,
 * without zeros at the fraction's end. */
static size_t put_time(struct slice of, char *out, size_t *ret_len)
{
    size_t end = 8, kept;

    if (!has_shape(of, "00:00") || !in_range(of.text, 0, 23) || !in_range(of.text + 3, 0, 59))
        return 0;
    memcpy(out, of.text, 5);
    memcpy(out + 5, ":00", 3);
    *ret_len = 8;
    if (of.len == 5 || of.text[5] != ':')
        return 5;
    if (!has_shape(of, "00:00:00") || !in_range(of.text + 6, 0, 59))
        return 0;
    if (of.len > 8 && of.text[8] == '.')
        for (end = 9; end < of.len && end < 15 && of.text[end] >= '0' && of.text[end] <= '9';)
            end++;
    kept = end;
    while (kept > 8 && of.text[kept - 1] == '0')
        kept--;
    if (of.text[kept - 1] == '.')
        kept--;
    memcpy(out + 5, of.text + 5, kept - 5);
    *ret_len = kept;
    return end;
}

bool temporal_literal(struct slice of, const char *base_type, struct arena *arena, struct slice *ret)
{
    bool date = strcmp(base_type, "date") == 0, zone = strcmp(base_type, "timestamp with time zone") == 0;
    char *text = arena_alloc(arena, 48);
    size_t len = 10, time_len = 0, taken;
    struct slice rest;

    of = text_trim(of);
    if (text_equal(of, (struct slice){"infinity", 8}) || text_equal(of, (struct slice){"-infinity", 9})) {
        *ret = of;
        return true;
    }
    if (!has_shape(of, "0000-00-00") || !in_range(of.text + 5, 1, 12) || !in_range(of.text + 8, 1, 31))
        return false;
    memcpy(text, of.text, 10);
    *ret = (struct slice){text, len};
    if (date)
        return of.len == 10;
    text[len++] = ' ';
    if (of.len == 10) {
        memcpy(text + len, "00:00:00", 8);
        len += 8;
        rest = (struct slice){of.text + 10, 0};
    } else {
        if (of.text[10] != ' ' && of.text[10] != 'T')
            return false;
        rest = (struct slice){of.text + 11, of.len - 11};
        taken = put_time(rest, text + len, &time_len);
        if (taken == 0)
            return false;
        len += time_len;
        rest = (struct slice){rest.text + taken, rest.len - taken};
    }
    if (rest.len > 0 &&
        (!zone || !(text_equal(rest, (struct slice){"Z", 1}) || text_equal(rest, (struct slice){"+00", 3}) ||
                    text_equal(rest, (struct slice){"+00:00", 6}))))
        return false;
    if (zone) {
        memcpy(text + len, "+00", 3);
        len += 3;
    }
    *ret = (struct slice){text, len};
    return true;
}
