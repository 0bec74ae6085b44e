#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include <stdlib.h>

#include "cdc/base/arena.h"

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct arena arena;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 63, 64, 200, 255, 256, 257, 1024, 1025, 5000, 0, 3};
    enum { COUNT = sizeof(sizes) / sizeof(*sizes), ROUNDS = 20 };
    char *pieces[COUNT * ROUNDS];

    arena_init(&arena, 1000);
    for (size_t i = 0; i < COUNT * ROUNDS; i++) {
        size_t size = sizes[i % COUNT];
        pieces[i] = arena_alloc(&arena, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < COUNT * ROUNDS; i++) {
        for (size_t j = 0; j < sizes[i % COUNT]; j++)
            assert_int_equal((unsigned char)pieces[i][j], i % 251);
    }
    arena_done(&arena);
}

static void nothing_is_taken_before_the_first_use(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_null(arena.head);
    assert_int_equal(arena_used(&arena), 0);
    arena_reset(&arena, 1 << 20);
    arena_done(&arena);
    arena_done(&arena);
}

static void used_counts_what_was_handed_out_since_the_reset(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    arena_alloc(&arena, 1);
    assert_int_equal(arena_used(&arena), 16);
    arena_alloc(&arena, 100000);
    assert_true(arena_used(&arena) >= 100016 && arena_used(&arena) < 100064);
    arena_reset(&arena, 0);
    assert_int_equal(arena_used(&arena), 0);
    arena_done(&arena);
}

static size_t spare_count(const struct arena *arena)
{
    /* a block begins with its link to the next */
    size_t count = 0;
    for (const void *block = arena->spare; block; count++)
        memcpy(&block, block, sizeof(block));
    return count;
}

static void reset_keeps_ordinary_blocks_up_to_the_limit(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            memset(arena_alloc(&arena, 200), 1, 200);
        memset(arena_alloc(&arena, 1024), 1, 1024); /* large enough for a block of its own */
        memset(arena_alloc(&arena, 100000), 1, 100000);
        arena_reset(&arena, 4 * 1024 + 1023);
        assert_int_equal(spare_count(&arena), 4);
    }
    arena_reset(&arena, 0);
    assert_int_equal(spare_count(&arena), 0);
    arena_done(&arena);
}

static void copies_and_formats_text(void **state)
{
    (void)state;
    struct arena arena;
    char large[2000];

    arena_init(&arena, 256);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&arena, NULL, 0), "");
    assert_string_equal(arena_strdup(&arena, "häuser"), "häuser");
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    assert_string_equal(arena_printf(&arena, "%s", ""), "");
    assert_string_equal(arena_printf(&arena, "%s", large), large);
    arena_done(&arena);
}

static void zalloc_zeroes_reused_memory(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    memset(arena_alloc(&arena, 200), 0xff, 200);
    arena_reset(&arena, 1 << 20);
    const char *zeroed = arena_zalloc(&arena, 50, 4);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(zeroed[i], 0);
    arena_done(&arena);
}

static void mem_takes_zero_bytes(void **state)
{
    (void)state;
    free(mem_alloc(0));
    free(mem_zalloc(0, 8));
    free(mem_realloc(NULL, 0));
    char *copy = mem_strdup("copy");
    assert_string_equal(copy, "copy");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(nothing_is_taken_before_the_first_use),
        cmocka_unit_test(used_counts_what_was_handed_out_since_the_reset),
        cmocka_unit_test(reset_keeps_ordinary_blocks_up_to_the_limit),
        cmocka_unit_test(copies_and_formats_text),
        cmocka_unit_test(zalloc_zeroes_reused_memory),
        cmocka_unit_test(mem_takes_zero_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
