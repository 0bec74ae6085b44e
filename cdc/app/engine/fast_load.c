#include "cdc/app/engine/fast_load.h"

#include "cdc/base/log.h"

void fast_load_log(const struct engine *engine, struct sink_fast_load *before)
{
    const struct sink_fast_load now = sink_fast_load(engine->sink);
    const char *pipeline = engine->settings->pipeline;
    char quoted[LOG_QUOTED_MAX];
    if (now.taken_off > before->taken_off)
        log_event(LOG_INFO, "taken_off", "pipeline=%s indexes_and_foreign_keys=%zu", pipeline,
                  now.taken_off - before->taken_off);
    if (now.restored > before->restored)
        log_event(LOG_INFO, "built_again", "pipeline=%s indexes_and_foreign_keys=%zu", pipeline,
                  now.restored - before->restored);
    if (now.failed > before->failed)
        log_event(LOG_ERROR, "not_built_again", "pipeline=%s indexes_and_foreign_keys=%zu last=%s", pipeline,
                  now.failed - before->failed, log_quote(now.last_failed, quoted, sizeof(quoted)));
    *before = now;
}

int fast_load_level_done(const struct engine *engine, int level, struct err *reterr)
{
    struct sink_fast_load before = sink_fast_load(engine->sink);
    int failed = sink_level_loaded(engine->sink, level, reterr);
    fast_load_log(engine, &before);
    return failed;
}
