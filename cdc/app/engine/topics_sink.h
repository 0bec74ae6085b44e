/* `sink: kafka`: the settings as the sink and its clients want them. */
#ifndef PGREKEY_APP_TOPICS_SINK_H
#define PGREKEY_APP_TOPICS_SINK_H

#include "cdc/app/settings/settings.h"
#include "sinks/kafka/client.h"

struct client_options topics_client(const struct settings *settings);

#endif
