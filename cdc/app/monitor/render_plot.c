/* The lag of the last hour as SVG, or of as much as is known: a line with its area, a scale in round seconds, and the
 * same in words for who cannot see it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cdc/app/monitor/render.h"
#include "cdc/app/cmd/progress.h"

#define WIDTH 960
#define HEIGHT 220
#define LEFT 56
#define BOTTOM 26
#define TOP 12

static double scale_of(double highest)
{
    static const double steps[] = {1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 86400};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        if (highest <= steps[i])
            return steps[i];
    return ceil(highest / 86400) * 86400;
}

static const struct history_point *point_at(const struct history *history, size_t index)
{
    size_t oldest = (history->next + HISTORY_POINTS - history->count) % HISTORY_POINTS;
    return &history->points[(oldest + index) % HISTORY_POINTS];
}

/* A young process's few minutes would be a needle at the edge of an hour. */
int render_plot_minutes(const struct view *view)
{
    static const int spans[] = {4, 8, 20, 40};
    size_t known_s = view->history.count * HISTORY_STEP_S;
    for (size_t i = 0; i < sizeof(spans) / sizeof(*spans); i++)
        if (known_s <= (size_t)spans[i] * 60)
            return spans[i];
    return 60;
}

static double x_of(const struct history *history, size_t index, int minutes)
{
    double from_right = (double)((history->count - 1 - index) * HISTORY_STEP_S) / (minutes * 60 - HISTORY_STEP_S);
    return WIDTH - from_right * (WIDTH - LEFT);
}

static double y_of(double lag_s, double scale)
{
    return HEIGHT - BOTTOM - lag_s / scale * (HEIGHT - BOTTOM - TOP);
}

/* A run of known points: its line, and the area under it. */
static void put_run(const struct history *history, size_t from, size_t to, double scale, int minutes, struct buf *out)
{
    for (int area = 1; area >= 0; area--) {
        buf_printf(out, "<path class=\"%s\" d=\"", area ? "area" : "line");
        for (size_t i = from; i < to; i++)
            buf_printf(out, "%c%.1f %.1f", i == from ? 'M' : 'L', x_of(history, i, minutes),
                       y_of(point_at(history, i)->lag_s, scale));
        if (area)
            buf_printf(out, "L%.1f %dL%.1f %dZ", x_of(history, to - 1, minutes), HEIGHT - BOTTOM,
                       x_of(history, from, minutes), HEIGHT - BOTTOM);
        buf_puts(out, "\"/>");
    }
}

static void put_grid(double scale, int span, struct buf *out)
{
    char text[32];
    for (int i = 0; i <= 2; i++) {
        double value = scale * i / 2, y = y_of(value, scale);
        buf_printf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH, y, y);
        buf_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 8, y + 4,
                   i ? progress_duration(value, text, sizeof(text)) : "0");
    }
    for (int i = 4; i >= 0; i--) {
        double minutes = (double)span * i / 4, x = WIDTH - minutes / span * (WIDTH - LEFT);
        snprintf(text, sizeof(text), i ? "%g min ago" : "now", minutes);
        buf_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>", x, HEIGHT - 6,
                   i == 4 ? "start"
                   : i    ? "middle"
                          : "end",
                   text);
    }
}

void render_plot(const struct view *view, struct buf *out)
{
    const struct history *history = &view->history;
    double highest = 0, scale;
    int minutes = render_plot_minutes(view);
    char high[32], now[32];
    for (size_t i = 0; i < history->count; i++)
        highest = fmax(highest, point_at(history, i)->lag_s);
    scale = scale_of(highest);
    progress_duration(highest, high, sizeof(high));
    progress_duration(view->lag_s, now, sizeof(now));
    buf_printf(
        out,
        "<svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"plot-title plot-words\">"
        "<title id=\"plot-title\">Lag over the last %d minutes, in seconds</title><desc id=\"plot-words\">%zu minutes "
        "are known. The highest lag was %s; now it is %s.</desc>",
        WIDTH, HEIGHT, minutes, history->count * HISTORY_STEP_S / 60, high, view->lag_s < 0 ? "not known" : now);
    put_grid(scale, minutes, out);
    for (size_t i = 0; i < history->count;) {
        size_t from = i;
        while (i < history->count && point_at(history, i)->lag_s >= 0)
            i++;
        if (i - from > 1)
            put_run(history, from, i, scale, minutes, out);
        if (i == from)
            i++;
    }
    buf_puts(out, "</svg>");
}
