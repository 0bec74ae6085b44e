#include "cdc/base/timestamp.h"

#include <stdbool.h>

struct reader {
    const char *at, *end;
};

/* Exactly `digits` digits. */
static bool take_number(struct reader *r, int digits, int64_t *ret_number)
{
    int64_t number = 0;
    if (r->end - r->at < digits)
        return false;
    for (int i = 0; i < digits; i++, r->at++) {
        if (*r->at < '0' || *r->at > '9')
            return false;
        number = number * 10 + (*r->at - '0');
    }
    *ret_number = number;
    return true;
}

static bool take_char(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* Days since 1970-01-01 of a Gregorian date. The year begins in March here, so that the leap day is its last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t era = year / 400, year_of_era = year % 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool take_date(struct reader *r, int64_t *ret_days)
{
    int64_t year, month, day;
    if (!take_number(r, 4, &year) || !take_char(r, '-') || !take_number(r, 2, &month) || !take_char(r, '-') ||
        !take_number(r, 2, &day))
        return false;
    *ret_days = days_of(year, month, day);
    return true;
}

static bool take_time(struct reader *r, int64_t *ret_us)
{
    int64_t hour, minute, second, fraction = 0, digit;
    if (!take_number(r, 2, &hour) || !take_char(r, ':') || !take_number(r, 2, &minute) || !take_char(r, ':') ||
        !take_number(r, 2, &second))
        return false;
    if (take_char(r, '.'))
        for (int64_t unit = 100000; take_number(r, 1, &digit); unit /= 10)
            fraction += digit * unit;
    *ret_us = (hour * 3600 + minute * 60 + second) * 1000000 + fraction;
    return true;
}

/* "+02" or "-03:30": how far the clock is ahead of UTC. */
static bool take_zone(struct reader *r, int64_t *ret_us)
{
    int64_t hour, minute = 0, sign = take_char(r, '+') ? 1 : take_char(r, '-') ? -1 : 0;
    if (sign == 0 || !take_number(r, 2, &hour) || (take_char(r, ':') && !take_number(r, 2, &minute)))
        return false;
    *ret_us = sign * (hour * 3600 + minute * 60) * 1000000;
    return true;
}

int64_t timestamp_parse(const char *text, size_t len)
{
    struct reader r = {text, text + len};
    int64_t days, time_us, zone_us;
    if (!take_date(&r, &days) || !take_char(&r, ' ') || !take_time(&r, &time_us) || !take_zone(&r, &zone_us) ||
        r.at != r.end)
        return 0;
    return days * INT64_C(86400000000) + time_us - zone_us;
}
