/* How every session on the source prints values: their text is what is carried, so it must be the same in the stream,
 * in a snapshot and in a row read by key, whatever role or database have set. lc_monetary speaks for money. */
#ifndef PGREKEY_SOURCE_SESSION_H
#define PGREKEY_SOURCE_SESSION_H

#define SOURCE_SESSION                                                                                                 \
    "-c bytea_output=hex -c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=3 "          \
    "-c lc_monetary=C -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off"

#endif
