#include "sinks/pipeline.h"

#include <stdlib.h>

void sink_parts_free(struct sink_part *parts, size_t count)
{
    for (size_t i = 0; parts && i < count; i++) {
        char *texts[] = {parts[i].schema, parts[i].table, parts[i].lo, parts[i].hi};
        for (size_t t = 0; t < sizeof(texts) / sizeof(*texts); t++)
            free(texts[t]);
        for (size_t r = 0; r < parts[i].rule_count; r++)
            free(parts[i].rules[r]);
        free(parts[i].rules);
    }
    free(parts);
}

void sink_steps_free(struct sink_step *steps, size_t count)
{
    for (size_t i = 0; steps && i < count; i++) {
        free(steps[i].name);
        free(steps[i].kind);
        free(steps[i].source_table);
        free(steps[i].state);
    }
    free(steps);
}

void sink_losses_free(struct sink_loss *losses, size_t count)
{
    for (size_t i = 0; losses && i < count; i++)
        free(losses[i].step);
    free(losses);
}
