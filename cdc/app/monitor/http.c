#include "cdc/app/monitor/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cdc/app/monitor/assets.h"
#include "cdc/app/monitor/render.h"
#include "cdc/base/arena.h"
#include "cdc/base/log.h"

#define CONNECTIONS_MAX 64
#define TIMEOUT_S 10

/* Nothing from anywhere else, nothing inline. */
#define POLICY                                                                                                         \
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "    \
    "form-action 'none'; frame-ancestors 'none'"

struct http {
    struct MHD_Daemon *daemon;
    struct monitor *monitor;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, const void *data,
                              size_t len, enum MHD_ResponseMemoryMode mode)
{
    union {
        const void *in;
        void *out;
    } bytes = {.in = data}; /* libmicrohttpd does not say const, and does not write */
    struct MHD_Response *response = MHD_create_response_from_buffer(len, bytes.out, mode);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    (void)MHD_add_response_header(response, "Content-Security-Policy", POLICY);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, "text/plain; charset=utf-8", text, strlen(text), MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result answer_rendered(struct http *http, struct MHD_Connection *connection, const char *type,
                                       void (*render)(const struct view *, struct buf *))
{
    struct view view;
    struct buf out;
    buf_init(&out, RENDER_MAX_BYTES);
    monitor_view(http->monitor, &view);
    render(&view, &out);
    view_done(&view);
    enum MHD_Result result = buf_overflowed(&out)
                                 ? answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "too large\n")
                                 : answer(connection, MHD_HTTP_OK, type, out.data, out.len, MHD_RESPMEM_MUST_COPY);
    buf_done(&out);
    return result;
}

static enum MHD_Result answer_health(struct http *http, struct MHD_Connection *connection, bool ready)
{
    struct view view;
    char text[128];
    monitor_view(http->monitor, &view);
    const char *why = ready ? view_not_ready(&view)
                      : view_healthy(&view, monitor_main_thread_age_s(http->monitor))
                          ? ""
                          : "the main thread has not passed by for minutes";
    snprintf(text, sizeof(text), "%s\n", *why ? why : "ok");
    view_done(&view);
    return answer_text(connection, *why ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, text);
}

static enum MHD_Result route(struct http *http, struct MHD_Connection *connection, const char *url)
{
    if (strcmp(url, "/") == 0)
        return answer_rendered(http, connection, "text/html; charset=utf-8", render_page);
    if (strcmp(url, "/metrics") == 0)
        return answer_rendered(http, connection, "text/plain; version=0.0.4; charset=utf-8", render_metrics);
    if (strcmp(url, "/status.json") == 0)
        return answer_rendered(http, connection, "application/json", render_json);
    if (strcmp(url, "/status.txt") == 0)
        return answer_rendered(http, connection, "text/plain; charset=utf-8", render_line);
    if (strcmp(url, "/healthz") == 0)
        return answer_health(http, connection, false);
    if (strcmp(url, "/readyz") == 0)
        return answer_health(http, connection, true);
    if (strcmp(url, "/page.css") == 0)
        return answer(connection, MHD_HTTP_OK, "text/css; charset=utf-8", page_css, sizeof(page_css),
                      MHD_RESPMEM_PERSISTENT);
    if (strcmp(url, "/page.js") == 0)
        return answer(connection, MHD_HTTP_OK, "text/javascript; charset=utf-8", page_js, sizeof(page_js),
                      MHD_RESPMEM_PERSISTENT);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "there is: / /metrics /healthz /readyz /status.json\n");
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **request)
{
    (void)version;
    (void)upload;
    if (!*request) { /* only the headers are here */
        *request = context;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    return route(context, connection, url);
}

/* --- life --- */

/* "host:port" or "[host]:port"; the address only, no names that a resolver would have to know, but localhost. */
static struct addrinfo *resolve(const char *listen)
{
    char host[80];
    const char *colon = strrchr(listen, ':');
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    size_t len = colon ? (size_t)(colon - listen) : 0;
    bool bracketed = len >= 2 && listen[0] == '[' && listen[len - 1] == ']';
    if (len == 0 || len >= sizeof(host))
        return NULL;
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? len - 2 : len), listen + (bracketed ? 1 : 0));
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

int http_connect(const char *listen)
{
    const struct timeval patience = {.tv_sec = 1};
    if (!listen || strcmp(listen, "off") == 0)
        return -1;
    struct addrinfo *address = resolve(listen);
    if (!address)
        return -1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
                    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
                    connect(fd, address->ai_addr, address->ai_addrlen) != 0)) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(address);
    return fd;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof(in6));
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static struct http *refuse(const char *listen, const char *why)
{
    char quoted[LOG_QUOTED_MAX];
    log_event(LOG_WARN, "http_unavailable", "listen=%s msg=\"%s\"", log_quote(listen, quoted, sizeof(quoted)), why);
    return NULL;
}

struct http *http_start(const char *listen, struct monitor *monitor)
{
    if (!listen || strcmp(listen, "off") == 0)
        return NULL;
    struct addrinfo *address = resolve(listen);
    if (!address)
        return refuse(listen, "no such address");
    struct http *http = mem_zalloc(1, sizeof(*http));
    unsigned flags = MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD;
    bool local = is_loopback(address->ai_addr);
    http->monitor = monitor;
    http->daemon =
        MHD_start_daemon(flags | (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL, on_request, http,
                         MHD_OPTION_SOCK_ADDR, address->ai_addr, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_END);
    freeaddrinfo(address);
    if (!http->daemon) {
        free(http);
        return refuse(listen, "the address cannot be had; is another pgrekey there?");
    }
    log_event(local ? LOG_INFO : LOG_WARN, "http_listens", "listen=%s%s", listen,
              local ? "" : " msg=\"anybody who reaches it can read it\"");
    return http;
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    free(http);
}
