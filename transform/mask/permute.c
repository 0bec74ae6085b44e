#include "transform/mask/permute.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

#define ROUNDS 10
#define BLOCK 16
#define LABEL "pgrekey mask 1"

struct permuter {
    EVP_CIPHER_CTX *aes;
};

/* A chain of blocks, as CBC-MAC: the state of what has been taken in. */
struct mac {
    struct permuter *permuter;
    uint8_t state[BLOCK];
    size_t filled;
};

static void check(bool fine)
{
    if (fine)
        return;
    fputs("pgrekey: libcrypto failed\n", stderr);
    abort();
}

static void encrypt(struct permuter *permuter, uint8_t *block)
{
    int len = 0;
    check(EVP_EncryptUpdate(permuter->aes, block, &len, block, BLOCK) == 1 && len == BLOCK);
}

struct permuter *permuter_new(const void *secret, size_t len)
{
    struct permuter *permuter = mem_zalloc(1, sizeof *permuter);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t key[EVP_MAX_MD_SIZE];
    unsigned key_len = 0;
    check(hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
          EVP_DigestUpdate(hash, LABEL, sizeof LABEL) == 1 && EVP_DigestUpdate(hash, secret, len) == 1 &&
          EVP_DigestFinal_ex(hash, key, &key_len) == 1 && key_len == 32);
    EVP_MD_CTX_free(hash);
    permuter->aes = EVP_CIPHER_CTX_new();
    check(permuter->aes && EVP_EncryptInit_ex(permuter->aes, EVP_aes_256_ecb(), NULL, key, NULL) == 1 &&
          EVP_CIPHER_CTX_set_padding(permuter->aes, 0) == 1);
    memset(key, 0, sizeof key);
    return permuter;
}

void permuter_free(struct permuter *permuter)
{
    if (!permuter)
        return;
    EVP_CIPHER_CTX_free(permuter->aes);
    free(permuter);
}

/* What the chain is for comes first, so that no two uses share a chain. */
static struct mac mac_begin(struct permuter *permuter, uint32_t use, uint32_t tweak, uint64_t count)
{
    struct mac mac = {.permuter = permuter};
    memcpy(mac.state, &use, sizeof use);
    memcpy(mac.state + 4, &tweak, sizeof tweak);
    memcpy(mac.state + 8, &count, sizeof count);
    encrypt(permuter, mac.state);
    return mac;
}

static void mac_put(struct mac *mac, uint8_t byte)
{
    mac->state[mac->filled++] ^= byte;
    if (mac->filled < BLOCK)
        return;
    encrypt(mac->permuter, mac->state);
    mac->filled = 0;
}

static void mac_end(struct mac *mac)
{
    if (mac->filled)
        encrypt(mac->permuter, mac->state);
    mac->filled = 0;
}

/* The index-th block of what the finished chain yields. */
static void mac_yield(const struct mac *mac, uint32_t index, uint8_t *ret_block)
{
    memcpy(ret_block, mac->state, BLOCK);
    for (size_t i = 0; i < 4; i++)
        ret_block[i] ^= (uint8_t)(index >> (8 * i));
    encrypt(mac->permuter, ret_block);
}

static void mac_put_digit(struct mac *mac, const struct digit *digit)
{
    size_t bytes = digit->radix <= 256 ? 1 : 4;
    for (size_t i = 0; i < bytes; i++)
        mac_put(mac, (uint8_t)(digit->value >> (8 * i)));
    for (size_t i = 0; i < bytes; i++)
        mac_put(mac, (uint8_t)((digit->radix - 1) >> (8 * i)));
}

/* One half moves by what the other one says. */
static void turn(struct permuter *permuter, uint32_t tweak, uint32_t round, const struct digit *by, size_t by_count,
                 struct digit *half, size_t count)
{
    struct mac mac = mac_begin(permuter, round + 1, tweak, (uint64_t)by_count << 32 | count);
    uint8_t block[BLOCK];
    for (size_t i = 0; i < by_count; i++)
        mac_put_digit(&mac, &by[i]);
    for (size_t i = 0; i < count; i++) /* a shape is its radixes, in both halves */
        mac_put(&mac, (uint8_t)(half[i].radix & 0xff));
    mac_end(&mac);
    for (size_t i = 0; i < count; i++) {
        uint32_t number;
        if (i % 4 == 0)
            mac_yield(&mac, (uint32_t)(i / 4), block);
        memcpy(&number, block + 4 * (i % 4), sizeof number);
        half[i].value = (uint32_t)(((uint64_t)half[i].value + number) % half[i].radix);
    }
}

void permute_digits(struct permuter *permuter, uint32_t tweak, struct digit *digits, size_t count)
{
    size_t left = count / 2, right = count - left;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (round % 2 == 0)
            turn(permuter, tweak, round, digits, left, digits + left, right);
        else if (left)
            turn(permuter, tweak, round, digits + left, right, digits, left);
    }
}

/* Two digits reach a little beyond the bound; what falls there goes on until it is below. */
uint32_t permute_number(struct permuter *permuter, uint32_t tweak, uint32_t number, uint32_t bound)
{
    uint32_t radix = 1;
    while ((uint64_t)radix * radix < bound)
        radix++;
    do {
        struct digit digits[2] = {{number / radix, radix}, {number % radix, radix}};
        permute_digits(permuter, tweak, digits, 2);
        number = digits[0].value * radix + digits[1].value;
    } while (number >= bound);
    return number;
}

void permuter_stream(struct permuter *permuter, const void *data, size_t len, uint8_t *ret_bytes, size_t count)
{
    struct mac mac = mac_begin(permuter, 0, 0, len);
    uint8_t block[BLOCK];
    for (size_t i = 0; i < len; i++)
        mac_put(&mac, ((const uint8_t *)data)[i]);
    mac_end(&mac);
    for (size_t i = 0; i < count; i += BLOCK) {
        mac_yield(&mac, (uint32_t)(i / BLOCK), block);
        memcpy(ret_bytes + i, block, count - i < BLOCK ? count - i : BLOCK);
    }
}
