/* Records of resyncs in the state, for those who look at it from outside. */
#ifndef PGREKEY_SINKS_KAFKA_RESYNCS_H
#define PGREKEY_SINKS_KAFKA_RESYNCS_H

#include <stddef.h>
#include <stdint.h>

#include "sinks/kafka/state.h"
#include "sinks/resync.h"

void resyncs_report(const struct state *state, int64_t id, struct resync_report *ret_report);
size_t resyncs_waiting(const struct state *state);

#endif
