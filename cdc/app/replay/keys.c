#include "cdc/app/replay/keys.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

#define SLOTS_FIRST ((size_t)1 << 12)
#define FNV_PRIME UINT64_C(1099511628211)

struct slot {
    uint64_t a, b;  /* the key */
    int64_t offset; /* -1: free */
};

struct keys {
    struct slot *slots;
    size_t count, capacity; /* a power of two */
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

static void take_in(struct slot *slot, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, len - i < 8 ? len - i : 8);
        slot->a = mix(slot->a ^ word) + FNV_PRIME;
        slot->b = mix(slot->b + word * FNV_PRIME) ^ len;
    }
    slot->a = mix(slot->a ^ len);
}

static struct slot slot_of(const char *rule, const char *key, size_t len, int64_t offset)
{
    struct slot slot = {1, 2, offset};
    take_in(&slot, rule, strlen(rule));
    take_in(&slot, key ? key : "", key ? len : 0);
    return slot;
}

static struct slot *find(const struct keys *keys, const struct slot *slot)
{
    size_t at = (size_t)slot->a & (keys->capacity - 1);
    while (keys->slots[at].offset >= 0 && (keys->slots[at].a != slot->a || keys->slots[at].b != slot->b))
        at = (at + 1) & (keys->capacity - 1);
    return &keys->slots[at];
}

static void make_slots(struct keys *keys, size_t capacity)
{
    keys->slots = mem_alloc(capacity * sizeof *keys->slots);
    keys->capacity = capacity;
    for (size_t i = 0; i < capacity; i++)
        keys->slots[i].offset = -1;
}

static void grow(struct keys *keys)
{
    struct keys old = *keys;
    make_slots(keys, 2 * old.capacity);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].offset >= 0)
            *find(keys, &old.slots[i]) = old.slots[i];
    free(old.slots);
}

struct keys *keys_new(void)
{
    struct keys *keys = mem_zalloc(1, sizeof *keys);
    make_slots(keys, SLOTS_FIRST);
    return keys;
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    free(keys->slots);
    free(keys);
}

void keys_clear(struct keys *keys)
{
    free(keys->slots);
    keys->count = 0;
    make_slots(keys, SLOTS_FIRST);
}

void keys_put(struct keys *keys, const char *rule, const char *key, size_t len, int64_t offset)
{
    struct slot slot = slot_of(rule, key, len, offset);
    struct slot *at = find(keys, &slot);
    if (at->offset < 0 && ++keys->count * 4 > keys->capacity * 3) {
        grow(keys);
        at = find(keys, &slot);
    }
    *at = slot;
}

int64_t keys_get(const struct keys *keys, const char *rule, const char *key, size_t len)
{
    struct slot slot = slot_of(rule, key, len, 0);
    return find(keys, &slot)->offset;
}
