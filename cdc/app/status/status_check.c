/* `pgrekey status --check`: one line for Nagios and its kin, with performance data behind the bar. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cdc/app/cmd/progress.h"
#include "cdc/app/status/status.h"
#include "cdc/base/buf.h"

#define LINE_MAX_BYTES 1000

enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

struct verdict {
    int code;
    struct buf why;
};

__attribute__((format(printf, 3, 4))) static void found(struct verdict *verdict, int code, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c; c++) /* the bar and a line break mean something here */
        if (*c == '|' || *c == '\n')
            *c = ' ';
    buf_printf(&verdict->why, "%s%s", verdict->why.len ? "; " : "", text);
    if (code > verdict->code)
        verdict->code = code;
}

static void judge_lag(const struct status *status, double warn_s, double critical_s, struct verdict *verdict)
{
    char text[32];
    if (!status->has_lag_s) {
        if (strcmp(status->state, "streaming") == 0)
            found(verdict, CHECK_WARNING, "lag not known yet");
        return;
    }
    int code = status->lag_s >= critical_s ? CHECK_CRITICAL : status->lag_s >= warn_s ? CHECK_WARNING : CHECK_OK;
    found(verdict, code, "%s behind", progress_duration(status->lag_s, text, sizeof(text)));
}

/* What a person has to do something about at once. */
static bool is_critical(const struct status *status)
{
    const struct slot_state *slot = &status->slot;
    return status->report->position.paused ||
           (status->report->engine_running && status->report->heartbeat_age_s > 60) ||
           (status->source_err.kind == ERR_NONE &&
            (!slot->exists || strcmp(slot->wal_status, "lost") == 0 || strcmp(slot->wal_status, "unreserved") == 0));
}

static void judge(const struct status *status, double warn_s, double critical_s, struct verdict *verdict)
{
    const struct pipeline_report *report = status->report;
    if (!report) {
        found(verdict, CHECK_UNKNOWN, "%s", status->target_err.message);
        return;
    }
    found(verdict, CHECK_OK, "%s", status->state);
    judge_lag(status, warn_s, critical_s, verdict);
    if (report->exists && !report->engine_running)
        found(verdict, CHECK_CRITICAL, "no engine runs");
    for (size_t i = 0; i < status->note_count; i++)
        found(verdict, i == 0 && is_critical(status) ? CHECK_CRITICAL : CHECK_WARNING, "%s", status->notes[i].fact);
    if (status->source_err.kind != ERR_NONE && verdict->code < CHECK_CRITICAL)
        found(verdict, CHECK_UNKNOWN, "%s", status->source_err.message);
}

int status_check(const struct status *status, double warn_s, double critical_s, char *line, size_t size)
{
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    struct verdict verdict = {.code = CHECK_OK};
    buf_init(&verdict.why, LINE_MAX_BYTES);
    judge(status, warn_s, critical_s, &verdict);
    size_t len = (size_t)snprintf(line, size, "PGREKEY %s - %.600s |", words[verdict.code], buf_text(&verdict.why));
    buf_done(&verdict.why);
    if (status->has_lag_s && len < size)
        len += (size_t)snprintf(line + len, size - len, " lag=%.3fs;%g;%g;0", status->lag_s, warn_s, critical_s);
    if (status->has_lag_bytes && len < size)
        len += (size_t)snprintf(line + len, size - len, " behind=%" PRIu64 "B", status->lag_bytes);
    if (status->retained_bytes >= 0 && len < size)
        len += (size_t)snprintf(line + len, size - len, " retained=%" PRId64 "B", status->retained_bytes);
    if (status->report && len < size)
        (void)snprintf(line + len, size - len, " quarantine=%" PRId64 " parked=%" PRId64,
                       status->report->quarantine_open - status->waiting, status->waiting);
    return verdict.code;
}
