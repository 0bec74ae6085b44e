/* Keys that fail are found by halving under savepoints, and only they stay behind.
 *
 *     1..1000 fails ─▶ 1..500 good, 501..1000 fails ─▶ … ─▶ key 733 alone fails ─▶ quarantine
 */
#include "sinks/postgres/apply/apply.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/park.h"

/* Keys that the attempt added to others are undone with it; the bounds that say how many stay, as upper ones. */
static int attempt(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *ret_said,
                   bool *ret_done, struct err *reterr)
{
    const struct park_mark mark = park_mark(s);
    bool refused = one->refused;

    *ret_done = false;
    if (session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_derive", reterr))
        return -1;
    if (derive_merge(s, one, range, ret_said) == 0) {
        *ret_done = true;
        return session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_derive", reterr);
    }
    if (session_refusal(s, ret_said, false) == CATEGORY_NONE) {
        if (reterr)
            *reterr = *ret_said;
        return -1;
    }
    park_undo(s, mark);
    one->refused = refused;
    return session_back_to(s, "going back to a savepoint", "pgrekey_derive", true, reterr);
}

/* A few keys of a chunk, which has a savepoint of its own: where they fail, its rows go another way, and the keys come
 * here again. */
static int try_plainly(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *reterr)
{
    struct err said = {0};

    if (derive_merge(s, one, range, &said) == 0)
        return 0;
    if (session_refusal(s, &said, false) != CATEGORY_NONE)
        said.kind = ERR_POISON;
    if (reterr)
        *reterr = said;
    return -1;
}

int derive_isolate(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *reterr)
{
    struct err said = {0};
    bool done;

    if (s->derive->in_chunk && range->whole && range->hi <= DERIVE_FEW)
        return try_plainly(s, one, range, reterr);
    if (attempt(s, one, range, &said, &done, reterr))
        return -1;
    if (done)
        return 0;
    if (range->lo == range->hi) {
        if (derive_settle_failed(s, one, range->lo, &said, reterr))
            return -1;
        return apply_refuse_if_open(s, reterr);
    }
    int64_t middle = range->lo + (range->hi - range->lo) / 2;
    const struct derive_range left = {.lo = range->lo, .hi = middle}, right = {.lo = middle + 1, .hi = range->hi};
    return derive_isolate(s, one, &left, reterr) || derive_isolate(s, one, &right, reterr) ? -1 : 0;
}
