/* Log lines on stderr, `key=value`, one event a line. Never a row's values, never a secret.
 *
 * A library function below cdc/app returns an error instead of logging; it may log at debug only.
 */
#ifndef PGREKEY_BASE_LOG_H
#define PGREKEY_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Process-wide, set once at start (one of the two mutable globals; the other is the stop flag). */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Lines as JSON objects, each value a string, instead of key=value. Process-wide likewise. */
void log_set_json(bool json);

/* A text that may hold spaces or quotes as a value: "in \"quotes\", escaped". Cut off where `out` is too small, never
 * inside an escape. Returns `out`. */
const char *log_quote(const char *text, char *out, size_t size);
#define LOG_QUOTED_MAX 1100 /* any message or hint of an error fits */

/* log_event(LOG_INFO, "slot_created", "slot=%s lsn=%s", slot, text): writes
 * `ts=2025-01-01T00:00:00.000Z level=info event=slot_created slot=… lsn=…`.
 * A value that may hold spaces goes through log_quote(). Thread-safe: one write(2) a line. */
void log_event(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line as JSON into out; what log_event does with log_set_json. Returns its length. */
size_t log_line_json(const char *line, char *out, size_t size);

#endif
