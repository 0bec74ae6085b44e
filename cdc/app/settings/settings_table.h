/* The one table of settings: read by the loader (settings.c) and by what prints it (settings_print.c). Outside those
 * two and their tests everybody uses settings.h. */
#ifndef PGREKEY_APP_SETTINGS_TABLE_H
#define PGREKEY_APP_SETTINGS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/app/settings/settings.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_LIST,   /* words, with commas between; in a file also a list */
    SETTING_NAME,   /* 1 to 63 of a-z, 0-9 and _ : what PostgreSQL allows for a slot */
    SETTING_PATH,   /* relative to the settings file where it stands in one */
    SETTING_CHOICE, /* one of the words in `choices` */
    SETTING_BOOL,
    SETTING_COUNT,       /* a plain number */
    SETTING_DURATION_MS, /* "500ms", "10s", "5min", "1h", "7d", kept in milliseconds */
    SETTING_DURATION_S,  /* the same, kept in seconds */
    SETTING_BYTES,       /* "64kB", "16MB", "2GB" */
};

struct setting {
    const char *name; /* "source.dsn" */
    enum setting_type type;
    size_t offset;        /* in struct settings */
    int64_t min, max;     /* in the unit it is kept in */
    const char *fallback; /* the default, written as a user would; NULL for none */
    const char *choices;  /* "error|warn|info|debug" */
    const char *example;  /* stands uncommented in the example file; NULL: the default, commented out */
    const char *doc;      /* what it means, whole sentences */
};

const struct setting *settings_table(size_t *ret_count);
/* "source.dsn" -> "PGREKEY_SOURCE_DSN", into text[64]. */
#define SETTING_ENV_MAX 64
const char *setting_env_name(const struct setting *setting, char *text);
/* "duration", "text", …: how manuals name the type. */
const char *setting_type_name(const struct setting *setting);
/* Reads a number with its unit as this setting wants it. ERR_CONFIG says what was expected. */
int setting_parse_number(const struct setting *setting, const char *text, int64_t *ret_value,
                         struct err *reterr) MUST_CHECK;

/* A settings file's text over the defaults, without environment and overrides: the door for tests and fuzzing. */
int settings_load_memory(const char *path, const char *text, size_t len, struct settings **ret_settings,
                         struct err *reterr) MUST_CHECK;

#endif
