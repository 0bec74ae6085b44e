#include "cdc/app/cmd/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cdc/base/clock.h"

#define DRAW_EVERY_US 100000
#define BAR_COLUMNS 20
/* Weight of the newest second in the rate: steady enough to read, quick enough to follow. */
#define RATE_WEIGHT 0.2

void progress_init(struct progress *progress, FILE *out, bool wanted, const char *label, const char *unit)
{
    *progress =
        (struct progress){.out = out, .drawing = wanted && out && isatty(fileno(out)), .label = label, .unit = unit};
}

const char *progress_count(double count, char *text, size_t size)
{
    static const char *const suffixes[] = {"", " k", " M", " G", " T"};
    size_t step = 0;
    while (count >= 999.5 && step + 1 < sizeof(suffixes) / sizeof(suffixes[0])) {
        count /= 1000;
        step++;
    }
    int decimals = step == 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
    snprintf(text, size, "%.*f%s", decimals, count, suffixes[step]);
    return text;
}

const char *progress_bytes(double bytes, char *text, size_t size)
{
    static const char *const suffixes[] = {"B", "kB", "MB", "GB", "TB"};
    size_t step = 0;
    while (bytes >= 1023.5 && step + 1 < sizeof(suffixes) / sizeof(suffixes[0])) {
        bytes /= 1024;
        step++;
    }
    snprintf(text, size, "%.*f %s", step == 0 || bytes >= 99.95 ? 0 : 1, bytes, suffixes[step]);
    return text;
}

const char *progress_duration(double seconds, char *text, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(text, size, "?");
        return text;
    }
    long whole = (long)(seconds + 0.5);
    if (seconds < 9.95 && seconds > 0.05)
        snprintf(text, size, "%.1f s", seconds);
    else if (whole < 60)
        snprintf(text, size, "%ld s", whole);
    else if (whole < 3600)
        snprintf(text, size, "%ld min %ld s", whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(text, size, "%ld h %ld min", whole / 3600, whole % 3600 / 60);
    else
        snprintf(text, size, "%ld d %ld h", whole / 86400, whole % 86400 / 3600);
    return text;
}

/* The mean since the start is right in the long run, what happened lately is right when a table of another kind
 * begins: the rate shown moves from one to the other by RATE_WEIGHT a second. */
static void note_rate(struct progress *progress, int64_t now_us, uint64_t done)
{
    if (!progress->started) {
        progress->started = true;
        progress->started_us = progress->drawn_us = now_us;
        progress->started_at = progress->done = done;
        return;
    }
    double since_us = (double)(now_us - progress->drawn_us);
    if (since_us <= 0)
        return;
    double advanced = done > progress->done ? (double)(done - progress->done) : 0;
    double now_rate = advanced * 1e6 / since_us;
    double weight = RATE_WEIGHT * since_us / 1e6;
    if (weight > 1)
        weight = 1;
    if (progress->rate <= 0) {
        double total_us = (double)(now_us - progress->started_us);
        progress->rate = (double)(done - progress->started_at) * 1e6 / total_us;
    } else {
        progress->rate += (now_rate - progress->rate) * weight;
    }
    progress->drawn_us = now_us;
    progress->done = done;
}

static size_t put(char *text, size_t size, size_t used, const char *piece)
{
    size_t len = strlen(piece);
    if (used + len + 1 > size)
        return used;
    memcpy(text + used, piece, len + 1);
    return used + len;
}

static size_t put_bar(char *text, size_t size, size_t used, double part)
{
    char bar[BAR_COLUMNS + 16];
    int full = (int)(part * BAR_COLUMNS);
    bar[0] = '[';
    for (int i = 0; i < BAR_COLUMNS; i++)
        bar[i + 1] = i < full ? '=' : i == full ? '>' : ' ';
    snprintf(bar + BAR_COLUMNS + 1, sizeof(bar) - BAR_COLUMNS - 1, "] %3d %%  ", (int)(part * 100));
    return put(text, size, used, bar);
}

const char *progress_format(struct progress *progress, int64_t now_us, uint64_t done, uint64_t total, const char *note,
                            size_t width, char *text, size_t size)
{
    char number[32], piece[96];
    size_t limit = width + 1 < size ? width + 1 : size;
    note_rate(progress, now_us, done);
    progress->total = total;

    text[0] = '\0';
    snprintf(piece, sizeof(piece), "%s  ", progress->label);
    size_t used = put(text, limit, 0, piece);
    if (total > 0)
        used = put_bar(text, limit, used, done >= total ? 1.0 : (double)done / (double)total);
    used = put(text, limit, used, progress_count((double)done, number, sizeof(number)));
    if (total > 0) {
        snprintf(piece, sizeof(piece), " of %s", progress_count((double)total, number, sizeof(number)));
        used = put(text, limit, used, piece);
    }
    snprintf(piece, sizeof(piece), " %s", progress->unit);
    used = put(text, limit, used, piece);
    if (progress->rate > 0) {
        snprintf(piece, sizeof(piece), "  %s/s", progress_count(progress->rate, number, sizeof(number)));
        used = put(text, limit, used, piece);
    }
    if (progress->rate > 0 && total > done) {
        double left_s = (double)(total - done) / progress->rate;
        snprintf(piece, sizeof(piece), "  %s left", progress_duration(left_s, number, sizeof(number)));
        used = put(text, limit, used, piece);
    }
    if (note) {
        snprintf(piece, sizeof(piece), "  %s", note);
        put(text, limit, used, piece);
    }
    return text;
}

static size_t columns_of(FILE *out)
{
    struct winsize window;
    if (ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col > 20)
        return window.ws_col - 1u;
    return 79;
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total, const char *note)
{
    int64_t now_us = clock_mono_us();
    if (!progress->drawing || (progress->on_screen && now_us - progress->drawn_us < DRAW_EVERY_US))
        return;
    char text[512];
    progress_format(progress, now_us, done, total, note, columns_of(progress->out), text, sizeof(text));
    fprintf(progress->out, "\r%s\033[K", text);
    fflush(progress->out);
    progress->on_screen = true;
}

void progress_clear(struct progress *progress)
{
    if (!progress->on_screen)
        return;
    fputs("\r\033[K", progress->out);
    fflush(progress->out);
    progress->on_screen = false;
}
