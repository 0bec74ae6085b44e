#include "cdc/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_DEFAULT ((size_t)64 << 10)
#define ARENA_ALIGN ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of data */
    _Alignas(16) char data[];
};

static void out_of_memory(void)
{
    static const char line[] = "level=error event=out_of_memory\n";
    fwrite(line, 1, sizeof(line) - 1, stderr);
    abort();
}

void arena_init(struct arena *arena, size_t block_bytes)
{
    *arena = (struct arena){.block_bytes = block_bytes};
}

static struct arena_block *block_new(size_t bytes)
{
    struct arena_block *block = mem_alloc(sizeof(*block) + bytes);
    block->bytes = bytes;
    ARENA_POISON(block->data, bytes);
    return block;
}

static void block_free(struct arena_block *block)
{
    ARENA_UNPOISON(block->data, block->bytes);
    free(block);
}

static void block_list_free(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        block_free(block);
        block = next;
    }
}

void arena_done(struct arena *arena)
{
    block_list_free(arena->head);
    block_list_free(arena->spare);
    arena_init(arena, arena->block_bytes);
}

void arena_reset(struct arena *arena, size_t keep_bytes)
{
    size_t kept_bytes = 0;
    struct arena_block *kept = NULL;
    struct arena_block *lists[] = {arena->head, arena->spare};

    for (size_t i = 0; i < 2; i++) {
        for (struct arena_block *block = lists[i], *next; block; block = next) {
            next = block->next;
            if (block->bytes != arena->block_bytes || keep_bytes - kept_bytes < block->bytes) {
                block_free(block);
                continue;
            }
            ARENA_POISON(block->data, block->bytes);
            kept_bytes += block->bytes;
            block->next = kept;
            kept = block;
        }
    }
    arena_init(arena, arena->block_bytes);
    arena->spare = kept;
}

/* A piece of more than a quarter of a block gets its own, so that the rest of the head isn't wasted on it. */
static void *alloc_own_block(struct arena *arena, size_t taken)
{
    struct arena_block *block = block_new(taken);
    if (arena->head) {
        block->next = arena->head->next;
        arena->head->next = block;
    } else {
        block->next = NULL;
        arena->head = block;
    }
    arena->used_bytes += taken;
    return block->data;
}

void *arena_alloc_slow(struct arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        out_of_memory();
    if (bytes == 0)
        bytes = 1;
    if (arena->block_bytes == 0)
        arena->block_bytes = ARENA_BLOCK_DEFAULT;
    arena->block_bytes = (arena->block_bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

    if (bytes > arena->room && bytes > arena->block_bytes / 4) {
        size_t taken = (bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
        /* arena_reset() knows ordinary blocks by their size */
        void *piece = alloc_own_block(arena, taken == arena->block_bytes ? taken + ARENA_ALIGN : taken);
        ARENA_UNPOISON(piece, bytes);
        return piece;
    }
    if (bytes > arena->room) {
        struct arena_block *block = arena->spare;
        if (block)
            arena->spare = block->next;
        else
            block = block_new(arena->block_bytes);
        block->next = arena->head;
        arena->head = block;
        arena->next = block->data;
        arena->room = block->bytes;
    }
    return arena_alloc(arena, bytes);
}

void *arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        out_of_memory();
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    char small[512];
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);

    size_t bytes = len < 0 ? 1 : (size_t)len + 1;
    char *text = arena_alloc(arena, bytes);
    if (len < 0)
        text[0] = '\0';
    else if (bytes <= sizeof(small))
        memcpy(text, small, bytes);
    else
        vsnprintf(text, bytes, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used_bytes;
}

void *mem_alloc(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

void *mem_zalloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

void *mem_realloc(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

char *mem_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(mem_alloc(bytes), text, bytes);
}
