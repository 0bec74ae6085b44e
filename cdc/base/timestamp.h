/* Times as PostgreSQL prints them under DateStyle ISO. */
#ifndef PGREKEY_BASE_TIMESTAMP_H
#define PGREKEY_BASE_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

/* "2025-01-01 12:00:00.123456+00" as microseconds since 1970; 0 for anything else, a year of more than four digits and
 * one before Christ included: it is for times that only people read. */
int64_t timestamp_parse(const char *text, size_t len);

#endif
