pgrekey_unit_test(pg_conn pg Threads::Threads)
pgrekey_unit_test(pg_error pg)
pgrekey_unit_test(pg_quote pg)
