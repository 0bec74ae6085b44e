/* What the quick path needs of a derivation, made beforehand. Of a chain most changes reach a part only: were the rest
 * left to be made when it is first reached, the chain would go the long way for good. */
#include "sinks/postgres/derive/derive_work.h"

static int empty(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql;
    int failed;

    if (one->kept <= DERIVE_KEPT_MAX)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "TRUNCATE pgrekey_k%d, pgrekey_w%d, pgrekey_r%d", index, index, index);
    derive_put_small(&sql, one, "kwr");
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    if (!failed)
        one->kept = 0;
    return failed;
}

static int empty_images(struct pgsink *s, struct derive_one *one, struct derive_input *input, struct err *reterr)
{
    char name[48];
    struct buf sql;
    int failed;

    if (input->images <= DERIVE_KEPT_MAX)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "TRUNCATE %s", touched_images(one, input, name, sizeof(name)));
    touched_put_small(&sql, name);
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    if (!failed)
        input->images = 0;
    return failed;
}

int derive_ready(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    if (derive_make(s, one, reterr) || derive_ask_id(s, one, reterr) || empty(s, one, reterr))
        return -1;
    for (size_t i = 0; i < one->input_count; i++)
        if (one->inputs[i].filtered &&
            (touched_images_ready(s, one, &one->inputs[i], reterr) || empty_images(s, one, &one->inputs[i], reterr)))
            return -1;
    derive_keep_made(one);
    return 0;
}
