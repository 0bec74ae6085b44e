/* Webhooks: a JSON object by POST for each alarm that begins or ends, sent by a thread of its own.
 *
 *     {"pipeline": "main", "event": "paused", "state": "firing", "text": "breaker: …", "at": "2025-…Z", "lag_s": 3.2}
 *
 * state: firing, resolved. Kept in order, tried again with back-off for an hour, then given up with a log line; while
 * one waits the next ones wait behind it. With a secret each carries
 *
 *     X-Pgrekey-Timestamp: seconds since 1970      X-Pgrekey-Delivery: the same for each try of one message
 *     X-Pgrekey-Signature: sha256=HEX              HMAC-SHA256 of "<timestamp>.<body>"
 *
 * Names and numbers only, never a row's value.
 */
#ifndef PGREKEY_APP_MONITOR_WEBHOOK_H
#define PGREKEY_APP_MONITOR_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"

struct webhook;

/* NULL in *ret_webhook where no webhook.url is set. ERR_CONFIG: its secret cannot be read, or its url is none. */
int webhook_start(const struct settings *settings, struct webhook **ret_webhook, struct err *reterr) MUST_CHECK;
/* Puts it behind the others; does not wait. NULL webhook: nothing. lag_s below zero: not known. */
void webhook_send(struct webhook *webhook, const char *event, bool over, const char *text, double lag_s);
/* Gives what waits a few seconds to go. NULL is fine. */
void webhook_stop(struct webhook *webhook);

/* "sha256=…" of the body into text[80]: what a receiver computes too. */
#define WEBHOOK_SIGNATURE_MAX 80
void webhook_sign(const char *secret, const char *timestamp, const char *body, size_t len, char *text);

#endif
