/* A thread that asks one server once a second, and opens another connection when one has failed. */
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cdc/app/monitor/internal.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

#define EVERY_US INT64_C(1000000)
#define AGAIN_MAX_US INT64_C(5000000) /* after looks that failed */
#define STOP_WAIT_MS 300              /* for an answer that is under way, when the process ends */

static void sleep_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static void look_once(struct observer *observer, int64_t *interval_us)
{
    struct err err = {0};
    if (observer->look(observer, &err) == 0) {
        observer->fd = PQsocket(observer->conn);
        *interval_us = EVERY_US;
        return;
    }
    char quoted[LOG_QUOTED_MAX];
    log_event(LOG_DEBUG, "monitor_failed", "side=%s sqlstate=%s msg=%s", observer->name, err.sqlstate,
              log_quote(err.message, quoted, sizeof(quoted)));
    observer->fd = -1;
    pg_close(observer->conn);
    observer->conn = NULL;
    *interval_us = *interval_us * 2 < AGAIN_MAX_US ? *interval_us * 2 : AGAIN_MAX_US;
}

static void *observer_main(void *arg)
{
    struct observer *observer = arg;
    int64_t next_us = 0, interval_us = EVERY_US;
    while (!observer->monitor->stop) {
        int64_t now_us = clock_mono_us();
        if (now_us < next_us) {
            sleep_ms(20);
            continue;
        }
        look_once(observer, &interval_us);
        next_us = now_us + interval_us;
    }
    observer->fd = -1;
    pg_close(observer->conn);
    observer->conn = NULL;
    observer->ended = true;
    return NULL;
}

int observer_start(struct observer *observer, struct monitor *monitor, const char *name,
                   int (*look)(struct observer *, struct err *), struct err *reterr)
{
    *observer = (struct observer){.monitor = monitor, .name = name, .look = look, .fd = -1};
    if (pthread_create(&observer->thread, NULL, observer_main, observer) != 0)
        return err_set(reterr, ERR_FATAL, "starting the monitor's thread failed");
    observer->running = true;
    return 0;
}

void observer_stop(struct observer *observer)
{
    if (!observer->running)
        return;
    for (int waited_ms = 0; !observer->ended && waited_ms < STOP_WAIT_MS; waited_ms += 10)
        sleep_ms(10);
    int fd = observer->fd;
    if (!observer->ended && fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
    pthread_join(observer->thread, NULL);
    observer->running = false;
}
