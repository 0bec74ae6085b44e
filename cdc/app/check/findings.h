/* What a check found: facts, each with its weight and what to do about it. Knows no server. */
#ifndef PGREKEY_APP_FINDINGS_H
#define PGREKEY_APP_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cdc/app/cmd/json.h"

enum finding_level {
    FINDING_ERROR,   /* `run` would be refused, or would go wrong */
    FINDING_WARNING, /* it works, but there is a danger */
    FINDING_INFO,    /* good to know */
};

struct finding {
    enum finding_level level;
    const char *side; /* "source", "target", "mapping", "position"; static */
    const char *code; /* stable, for machines: "wal_level"; static */
    char *fact;       /* one sentence */
    char *remedy;     /* what to do, best a line to paste; NULL where nothing is to be done */
};

struct findings {
    size_t count, capacity;
    struct finding *items;
};

/* remedy (may be NULL) is copied. */
void findings_add(struct findings *findings, enum finding_level level, const char *side, const char *code,
                  const char *remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));
size_t findings_count(const struct findings *findings, enum finding_level level);
void findings_done(struct findings *findings);

/* Grouped by side. without_info leaves out what is only good to know. */
void findings_print(const struct findings *findings, bool without_info, FILE *out);
void findings_put_json(const struct findings *findings, struct json *json);

#endif
