/* HTTP for whoever watches: /metrics, /healthz, /readyz, /status.json, and the status page at /.
 *
 * One thread of libmicrohttpd, GET and HEAD only, no state, no row's values. It is not needed for the engine to run: an
 * address that cannot be had is a warning.
 */
#ifndef PGREKEY_APP_MONITOR_HTTP_H
#define PGREKEY_APP_MONITOR_HTTP_H

#include "cdc/app/monitor/monitor.h"

struct http;

/* listen: "127.0.0.1:9848", "[::1]:9848"; "off" or NULL: none. NULL where it does not listen, which is logged. */
struct http *http_start(const char *listen, struct monitor *monitor);
void http_stop(struct http *http); /* NULL is fine */

/* A connection to whoever listens there, with a second's patience; -1 where nobody does. */
int http_connect(const char *listen);

#endif
