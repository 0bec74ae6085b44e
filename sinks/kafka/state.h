/* What a publisher knows of itself: records of the state topic, each a JSON key and a JSON value, kept in memory as
 * they are there. Written in the Kafka transaction of what they tell of; read back at start.
 */
#ifndef PGREKEY_SINKS_KAFKA_STATE_H
#define PGREKEY_SINKS_KAFKA_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/buf.h"
#include "sinks/kafka/client.h"

struct state;

struct state *state_new(void);
void state_free(struct state *state); /* NULL is fine */
/* Reads the topic, instead of what was there. */
int state_load(struct state *state, const struct client_options *options, const char *topic,
               struct err *reterr) MUST_CHECK;
/* NULL where there is no such record. */
const char *state_get(const struct state *state, const char *key);
/* In memory only. value NULL: it goes. */
void state_set(struct state *state, const char *key, const char *value);
/* Visits records whose key begins with `prefix`, in no order; `visit` returns false to stop. */
void state_each(const struct state *state, const char *prefix,
                bool (*visit)(void *context, const char *key, const char *value), void *context);

#endif
