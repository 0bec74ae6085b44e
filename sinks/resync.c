#include "sinks/resync.h"

#include <stdlib.h>

void resync_record_free(struct resync_record *record)
{
    if (!record)
        return;
    char *texts[] = {record->table, record->reason, record->lo, record->hi, record->next};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < record->key_count; i++)
        free(record->keys[i]);
    free(record->keys);
    free(record);
}
