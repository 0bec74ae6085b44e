/* What makes two connections reach the same source database: stored with the position, compared at start. */
#ifndef PGREKEY_BASE_IDENTITY_H
#define PGREKEY_BASE_IDENTITY_H

#include <stdint.h>

struct source_identity {
    char system_identifier[24]; /* IDENTIFY_SYSTEM's, decimal */
    uint32_t timeline;
    char database[64];
};

#endif
