pgrekey_unit_test(lag lag)
pgrekey_unit_test(vitals lag Threads::Threads)
