pgrekey_unit_test(position app)
pgrekey_unit_test(settings app)
pgrekey_unit_test(command app)
pgrekey_unit_test(progress app)
pgrekey_unit_test(suggest app)
pgrekey_unit_test(status app)
pgrekey_unit_test(json app)
pgrekey_unit_test(findings app)
# What is generated and kept in the tree must be what the program generates.
target_compile_definitions(settings_test PRIVATE EXAMPLE_FILE="${CMAKE_SOURCE_DIR}/deploy/pgrekey.example.yaml")

# Any bytes as a settings file. Corpus: tests/fuzz/corpus/settings_fuzz.
if(PGREKEY_FUZZ)
  target_compile_options(app PRIVATE -fsanitize=fuzzer-no-link)
  add_executable(settings_fuzz fuzz/settings_fuzz.c)
  target_link_libraries(settings_fuzz PRIVATE app pgrekey_flags)
  target_compile_options(settings_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_options(settings_fuzz PRIVATE -fsanitize=fuzzer)
endif()
