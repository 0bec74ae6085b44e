/* A keyed permutation over digits: what masking is made of. Not encryption: nobody is to undo it.
 *
 * Digits have a radix each (a letter 26, a digit 10). All values of one shape (count and radixes) are permuted among
 * themselves, so that the shape stays, equal values stay equal, and different ones stay different. A Feistel network
 * as in NIST SP 800-38G's FF1, with AES-256 as its function, but for radixes that differ.
 */
#ifndef PGREKEY_TRANSFORM_MASK_PERMUTE_H
#define PGREKEY_TRANSFORM_MASK_PERMUTE_H

#include <stddef.h>
#include <stdint.h>

struct digit {
    uint32_t value, radix; /* value < radix, radix > 0 */
};

struct permuter;

/* The secret may have any length; it is hashed. Ends the process where libcrypto cannot serve. Not for two threads at
 * once. */
struct permuter *permuter_new(const void *secret, size_t len);
void permuter_free(struct permuter *permuter); /* NULL is fine */

/* In place. Another tweak is another permutation. */
void permute_digits(struct permuter *permuter, uint32_t tweak, struct digit *digits, size_t count);
/* A number below `bound` to another one. */
uint32_t permute_number(struct permuter *permuter, uint32_t tweak, uint32_t number, uint32_t bound);
/* `count` bytes that hang on all of data and on the secret, and look like chance. */
void permuter_stream(struct permuter *permuter, const void *data, size_t len, uint8_t *ret_bytes, size_t count);

#endif
