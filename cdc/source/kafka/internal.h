/* What the files of this folder share. */
#ifndef PGREKEY_SOURCE_KAFKA_INTERNAL_H
#define PGREKEY_SOURCE_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "cdc/source/kafka/kafka.h"

/* A consumer's configuration from the options. */
int kafka_conf(const struct kafka_options *options, rd_kafka_conf_t **ret_conf, struct err *reterr) MUST_CHECK;

#endif
