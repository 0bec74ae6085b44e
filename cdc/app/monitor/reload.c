/* SIGHUP: the settings are read again, and those that may change while an engine runs take effect. What else differs is
 * named, and waits for a restart. A file that is wrong changes nothing.
 */
#include <string.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/monitor/internal.h"
#include "cdc/base/log.h"

struct tunables monitor_tunables_of(const struct settings *settings)
{
    const char *action = settings->guard_action;
    return (struct tunables){
        .guard = {.budget_bytes = settings->guard_wal_budget,
                  .warn_percent = (int)settings->guard_warn_percent,
                  .act_percent = (int)settings->guard_act_percent},
        .action = strcmp(action, "drop_slot") == 0        ? GUARD_DROP_SLOT
                  : strcmp(action, "stop_snapshots") == 0 ? GUARD_STOP_SNAPSHOTS
                                                          : GUARD_ALERT,
        .alarms = {.lag_s = (double)settings->webhook_lag_s, .after_s = (double)settings->webhook_after_s},
        .heartbeat_us = settings->source_heartbeat_interval_ms * 1000,
    };
}

struct tunables monitor_tunables(struct monitor *m)
{
    pthread_mutex_lock(&m->lock);
    struct tunables tunables = m->tunables;
    pthread_mutex_unlock(&m->lock);
    return tunables;
}

/* Against those of the start: a second reload tells again what still waits. */
static void take(struct monitor *m, const struct settings *now)
{
    size_t at = 0, waiting = 0;
    for (const char *name; (name = settings_differ(m->engine->settings, now, &at)) != NULL;) {
        if (setting_reloads(name))
            continue;
        waiting++;
        log_event(LOG_WARN, "reload_waits", "setting=%s msg=\"a restart is needed for it\"", name);
    }
    pthread_mutex_lock(&m->lock);
    m->tunables = monitor_tunables_of(now);
    pthread_mutex_unlock(&m->lock);
    cli_set_log(now);
    log_event(LOG_INFO, "reloaded", "waiting=%zu", waiting);
    vitals_event(m->vitals, LOG_INFO, "reloaded", "settings were read again; %zu wait for a restart", waiting);
}

void monitor_reload(struct monitor *m)
{
    const struct run_options *options = m->engine->options;
    struct settings *now = NULL;
    struct err err = {0};
    char quoted[LOG_QUOTED_MAX];
    if (!run_reload)
        return;
    run_reload = 0;
    notify_reloading();
    m->told_ready = false;
    if (settings_load(options->config, options->overrides, options->override_count, &now, &err) == 0) {
        take(m, now);
        settings_free(now);
        return;
    }
    log_event(LOG_ERROR, "reload_failed", "msg=%s", log_quote(err.message, quoted, sizeof(quoted)));
    vitals_event(m->vitals, LOG_ERROR, "reload_failed", "%s", err.message);
}
