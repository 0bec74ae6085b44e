pgrekey_unit_test(wal2json source)
pgrekey_unit_test(rowreader source)
pgrekey_unit_test(record source)

# Run by tests/integration/source_types_test.sh: stream, COPY and reads by key, compared value by value.
add_executable(types_roundtrip integration/types_roundtrip.c)
target_link_libraries(types_roundtrip PRIVATE source pg base pgrekey_flags)

# One message of the slot, any bytes. Corpus: tests/fuzz/corpus/wal2json.
if(PGREKEY_FUZZ)
  target_compile_options(source PRIVATE -fsanitize=fuzzer-no-link)
  add_executable(wal2json_fuzz fuzz/wal2json_fuzz.c)
  target_link_libraries(wal2json_fuzz PRIVATE source pgrekey_flags)
  target_compile_options(wal2json_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_options(wal2json_fuzz PRIVATE -fsanitize=fuzzer)
endif()
