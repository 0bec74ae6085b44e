/* Included before every file that clang-tidy reads, and by nothing else: what it cannot know of another file, that
 * these functions give -1. Without it every path behind a failure looks as if it had succeeded. */
#include "cdc/base/err.h"
#define err_set(...) (err_set(__VA_ARGS__), -1)
#define err_hint(...) (err_hint(__VA_ARGS__), -1)
#define err_wrap(...) (err_wrap(__VA_ARGS__), -1)
#if __has_include(<libpq-fe.h>)
#include "cdc/pg/pg.h"
#define pg_err(...) (pg_err(__VA_ARGS__), -1)
#endif
