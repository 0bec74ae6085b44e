/* Memory with one lifetime: allocated piece by piece, given back all at once.
 *
 * Allocation never fails: the process ends when the system has no memory left. That is safe here,
 * for every promise holds across a kill at any point; what must not happen is unbounded growth, so
 * whoever fills an arena watches arena_used() against its own limit.
 */
#ifndef PGREKEY_BASE_ARENA_H
#define PGREKEY_BASE_ARENA_H

#include <stddef.h>

/* Under AddressSanitizer what is not handed out is poisoned, so that overruns show as with malloc. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define ARENA_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define ARENA_POISON(p, n) ((void)(p), (void)(n))
#define ARENA_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

struct arena_block;

/*  head ─▶ block ─▶ block ─▶ …      in use, newest first; a piece too large for an ordinary block
 *          ├ handed out ┤ room ┤    has a block of its own, linked behind the head
 *                       next
 *  spare ─▶ block ─▶ …              ordinary blocks kept by arena_reset()
 */
struct arena {
    struct arena_block *head; /* newest block; blocks are linked to the oldest */
    size_t used_bytes;        /* handed out since the last reset */
    size_t block_bytes;       /* size of an ordinary block */
    char *next;               /* where the next piece begins, room bytes before the block ends */
    size_t room;              /* a multiple of 16 */
    struct arena_block *spare;
};

/* block_bytes 0 means 64 KiB. Nothing is allocated before the first use. */
void arena_init(struct arena *arena, size_t block_bytes);
/* Gives all blocks back. The arena can be used again. */
void arena_done(struct arena *arena);
/* Forgets all that was allocated; keeps up to keep_bytes of ordinary blocks for the next round. */
void arena_reset(struct arena *arena, size_t keep_bytes);

/* The rare half of arena_alloc(): another block, or a piece of no bytes. */
void *arena_alloc_slow(struct arena *arena, size_t bytes) __attribute__((returns_nonnull));

/* Aligned to 16 bytes, not zeroed. Never NULL. */
static inline void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes - 1 >= arena->room)
        return arena_alloc_slow(arena, bytes);
    size_t taken = (bytes + 15) & ~(size_t)15;
    char *piece = arena->next;
    ARENA_UNPOISON(piece, bytes);
    arena->next += taken;
    arena->room -= taken;
    arena->used_bytes += taken;
    return piece;
}

/* Zeroed array. */
void *arena_zalloc(struct arena *arena, size_t count, size_t size) __attribute__((returns_nonnull));
/* NUL-terminated copy of len bytes. */
char *arena_strndup(struct arena *arena, const char *text, size_t len) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *arena, const char *text) __attribute__((returns_nonnull));
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3), returns_nonnull));

size_t arena_used(const struct arena *arena);

/* malloc and friends that end the process when there is no memory; freed with free(). */
void *mem_alloc(size_t bytes) __attribute__((returns_nonnull, malloc));
void *mem_zalloc(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
void *mem_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((returns_nonnull, malloc));

#endif
