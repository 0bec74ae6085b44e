# The mapping file.
add_library(test_catalogs STATIC support/catalogs.c)
target_link_libraries(test_catalogs PUBLIC base pgrekey_flags)
pgrekey_unit_test(map_load transform)
pgrekey_unit_test(map_parts transform)
pgrekey_unit_test(map_bind transform test_catalogs)
pgrekey_unit_test(map_derive transform test_catalogs)
pgrekey_unit_test(map_mask transform test_catalogs)
pgrekey_unit_test(mask transform)
pgrekey_unit_test(map_lookup transform test_catalogs)
pgrekey_unit_test(map_transform transform test_catalogs)
pgrekey_unit_test(map_docs transform)
target_compile_definitions(map_docs_test PRIVATE PGREKEY_DOCS_DIR="${CMAKE_SOURCE_DIR}/docs")

# Expressions.
pgrekey_unit_test(expr transform)
pgrekey_unit_test(number transform)
pgrekey_unit_test(text transform)
pgrekey_unit_test(jsonb transform)
