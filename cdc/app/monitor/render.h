/* The faces of a view: text for Prometheus, a page for people, JSON for machines. Pure: tests/unit/monitor_test.c. */
#ifndef PGREKEY_APP_MONITOR_RENDER_H
#define PGREKEY_APP_MONITOR_RENDER_H

#include "cdc/app/monitor/view.h"
#include "cdc/base/buf.h"

#define RENDER_MAX_BYTES ((size_t)8 << 20)

/* Prometheus' text format 0.0.4. The names stand in docs/metrics.md, and stay. */
void render_metrics(const struct view *view, struct buf *out);
/* The status page: HTML with its plot as SVG. Style and script are files of their own. */
void render_page(const struct view *view, struct buf *out);
/* What `pgrekey status` asks for where the target does not answer. */
void render_json(const struct view *view, struct buf *out);

/* One line of it, for people. */
void render_line(const struct view *view, struct buf *out);

/* render_plot.c: the lag of the last hour, or of the last minutes where no more is known. */
int render_plot_minutes(const struct view *view);
void render_plot(const struct view *view, struct buf *out);
/* Text inside HTML. */
void render_put_text(struct buf *out, const char *text);

#endif
