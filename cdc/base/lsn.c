#include "cdc/base/lsn.h"

#include <inttypes.h>
#include <stdio.h>

const char *lsn_format(uint64_t lsn, char *text)
{
    snprintf(text, LSN_TEXT_MAX, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
    return text;
}

/* One to eight hex digits; NULL where there are none or more. */
static const char *parse_half(const char *text, uint32_t *ret_half)
{
    uint32_t half = 0;
    int digits = 0;

    for (;; text++, digits++) {
        uint32_t digit;
        if (*text >= '0' && *text <= '9')
            digit = (uint32_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            digit = (uint32_t)(*text - 'a') + 10;
        else if (*text >= 'A' && *text <= 'F')
            digit = (uint32_t)(*text - 'A') + 10;
        else
            break;
        if (digits == 8)
            return NULL;
        half = half << 4 | digit;
    }
    *ret_half = half;
    return digits ? text : NULL;
}

bool lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint32_t high, low;

    text = parse_half(text, &high);
    if (!text || *text != '/')
        return false;
    text = parse_half(text + 1, &low);
    if (!text || *text != '\0')
        return false;
    *ret_lsn = (uint64_t)high << 32 | low;
    return true;
}
