# The suite that every sink passes: against the PostgreSQL whose connection PGREKEY_TEST_TARGET holds.
add_executable(pgsink_contract contract/pgsink_test.c contract/world.c)
target_link_libraries(pgsink_contract PRIVATE sink_postgres PkgConfig::CMOCKA pgrekey_flags)
add_test(NAME contract/pgsink COMMAND pgsink_contract)
set_tests_properties(contract/pgsink PROPERTIES LABELS contract SKIP_RETURN_CODE 77 RESOURCE_LOCK target_database)
