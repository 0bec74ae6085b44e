/* JSON for machines, written piece by piece; commas are its own business. LSNs are texts, since they do not fit into
 * the numbers that readers of JSON have. */
#ifndef PGREKEY_APP_JSON_H
#define PGREKEY_APP_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cdc/base/buf.h"

struct json {
    struct buf buf;
    bool comma; /* something stands before in this object or array */
};

void json_init(struct json *json);
/* Prints it with a newline, frees it. -1 where it outgrew its limit or could not be written. */
int json_print(struct json *json, FILE *out);
void json_done(struct json *json);

/* key NULL: an element of an array, or the outermost value. */
void json_open(struct json *json, const char *key, char bracket);     /* '{' or '[' */
void json_close(struct json *json, char bracket);                     /* '}' or ']' */
void json_text(struct json *json, const char *key, const char *text); /* NULL: null */
void json_int(struct json *json, const char *key, int64_t number);
void json_double(struct json *json, const char *key, double number);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_lsn(struct json *json, const char *key, uint64_t lsn); /* 0: null */
/* Text that is JSON already; null where it is NULL or empty. */
void json_raw(struct json *json, const char *key, const char *text);

#endif
