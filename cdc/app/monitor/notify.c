/* Type=notify: ready, what is going on, and that the main thread passes by (WatchdogSec=). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "cdc/app/monitor/internal.h"
#include "cdc/app/monitor/render.h"
#include "cdc/base/clock.h"

void notify_tick(const struct view *view, bool healthy, bool *told_ready)
{
    struct buf line;
    if (!getenv("NOTIFY_SOCKET"))
        return;
    buf_init(&line, 512);
    render_line(view, &line);
    size_t len = strcspn(buf_text(&line), "\n");
    (void)sd_notifyf(0, "STATUS=%.*s", (int)len, buf_text(&line));
    buf_done(&line);
    if (!*told_ready)
        (void)sd_notify(0, "READY=1");
    *told_ready = true;
    if (healthy)
        (void)sd_notify(0, "WATCHDOG=1");
}

void notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_us());
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}
