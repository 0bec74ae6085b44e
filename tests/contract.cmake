# The suite that every sink passes: against the PostgreSQL whose connection PGREKEY_TEST_TARGET holds.
add_library(contract_world STATIC contract/world.c)
target_link_libraries(contract_world PUBLIC sink_postgres PkgConfig::CMOCKA pgrekey_flags)
foreach(suite pgsink pgsink_adopt pgsink_circle pgsink_derive pgsink_derive_quick pgsink_random pgsink_rekey pgsink_kept pgsink_id)
  add_executable(${suite}_contract contract/${suite}_test.c)
  target_link_libraries(${suite}_contract PRIVATE contract_world)
  add_test(NAME contract/${suite} COMMAND ${suite}_contract)
  set_tests_properties(contract/${suite} PROPERTIES LABELS contract SKIP_RETURN_CODE 77 RESOURCE_LOCK target_database)
endforeach()
