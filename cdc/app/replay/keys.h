/* Where the last message of each key stands: a hash table of 24 bytes a key. Keys are known by 128 bits of them. */
#ifndef PGREKEY_APP_REPLAY_KEYS_H
#define PGREKEY_APP_REPLAY_KEYS_H

#include <stddef.h>
#include <stdint.h>

struct keys;

struct keys *keys_new(void);
void keys_free(struct keys *keys); /* NULL is fine */
void keys_clear(struct keys *keys);
void keys_put(struct keys *keys, const char *rule, const char *key, size_t len, int64_t offset);
/* -1: never put. */
int64_t keys_get(const struct keys *keys, const char *rule, const char *key, size_t len);

#endif
