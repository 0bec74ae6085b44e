/* Any bytes as a settings file. */
#include <stdint.h>

#include "cdc/app/settings/settings_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings *settings;
    struct err err;
    if (settings_load_memory("fuzz.yaml", (const char *)data, size, &settings, &err) == 0)
        settings_free(settings);
    return 0;
}
