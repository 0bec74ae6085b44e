/* What each rule meant when its events were published: new ones get a snapshot of their own, changed ones are due to be
 * read again. Derivations are none of our business. */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/ksink.h"

struct kstep {
    const struct rule *rule;
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
};

static void describe(const struct ksink *k, const struct rule *rule, struct kstep *ret_step)
{
    *ret_step = (struct kstep){.rule = rule};
    map_step_fingerprint(k->options.map, map_rule_step(k->options.map, rule), ret_step->whole, ret_step->identity);
}

static void make_key(const char *name, struct buf *out)
{
    buf_reset(out);
    buf_puts(out, "{\"kind\":\"step\",\"name\":");
    buf_put_json_string(out, name, strlen(name));
    buf_putc(out, '}');
}

static int record(struct ksink *k, const struct rule *rule, struct err *reterr)
{
    struct kstep step;
    struct buf key;
    buf_init(&key, 4096);
    describe(k, rule, &step);
    make_key(rule->name, &key);
    buf_reset(&k->text);
    buf_printf(&k->text,
               "{\"kind\":\"%s\",\"whole\":\"%s\",\"identity\":\"%s\",\"table\":", rule->mirror ? "mirror" : "rule",
               step.whole, step.identity);
    buf_put_json_string(&k->text, rule->from_table, strlen(rule->from_table));
    buf_putc(&k->text, '}');
    int failed = krecord_put(k, buf_text(&key), buf_text(&k->text), reterr);
    buf_done(&key);
    return failed;
}

int ksteps_record_all(struct ksink *k, struct err *reterr)
{
    for (size_t i = 0; i < map_rule_count(k->options.map); i++)
        if (record(k, map_rule(k->options.map, i), reterr) != 0)
            return -1;
    return 0;
}

/* "new", "changed", "rekeyed", or NULL. */
static const char *compare(const struct ksink *k, const struct rule *rule, struct arena *arena)
{
    struct kstep step;
    struct buf key;
    buf_init(&key, 4096);
    make_key(rule->name, &key);
    const char *text = state_get(k->state, buf_text(&key));
    buf_done(&key);
    if (!text)
        return "new";
    describe(k, rule, &step);
    const struct jsontree *known = jsontree_parse(text, strlen(text), arena);
    const char *whole = jsontree_text(known, "whole", arena), *identity = jsontree_text(known, "identity", arena);
    if (!identity || strcmp(identity, step.identity) != 0)
        return "rekeyed";
    return whole && strcmp(whole, step.whole) == 0 ? NULL : "changed";
}

bool ksteps_is_new(const struct ksink *k, const struct rule *rule)
{
    struct arena arena;
    arena_init(&arena, 0);
    const char *how = compare(k, rule, &arena);
    arena_done(&arena);
    return how && strcmp(how, "new") == 0;
}

int ksteps_check(struct ksink *k, struct err *reterr)
{
    struct arena arena;
    int failed = 0;
    arena_init(&arena, 0);
    for (size_t i = 0; i < map_rule_count(k->options.map) && !failed; i++) {
        const struct rule *rule = map_rule(k->options.map, i);
        const char *how = compare(k, rule, &arena);
        if (!how || strcmp(how, "rekeyed") != 0)
            continue;
        failed = err_set(reterr, ERR_REFUSED, "rule %s makes other keys than those that are published", rule->name);
        (void)err_hint(reterr, "bring namespace and key back; or take a new kafka.prefix and a new snapshot");
    }
    arena_done(&arena);
    return failed;
}

static void add(struct sink_step **steps, size_t *count, const struct rule *rule, const char *state)
{
    *steps = mem_realloc(*steps, (*count + 1) * sizeof(**steps));
    (*steps)[(*count)++] = (struct sink_step){.name = mem_strdup(rule->name),
                                              .kind = mem_strdup(rule->mirror ? "mirror" : "rule"),
                                              .source_table = mem_strdup(rule->from_table),
                                              .state = mem_strdup(state)};
}

int ksteps_due(struct sink *sink, struct sink_step **ret_steps, size_t *ret_count, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    struct arena arena;
    (void)reterr;
    *ret_steps = NULL;
    *ret_count = 0;
    if (k->phase != PIPELINE_STREAMING)
        return 0;
    arena_init(&arena, 0);
    for (size_t i = 0; i < map_rule_count(k->options.map); i++) {
        const struct rule *rule = map_rule(k->options.map, i);
        const char *how = compare(k, rule, &arena);
        if (how)
            add(ret_steps, ret_count, rule, how);
    }
    arena_done(&arena);
    return 0;
}

/* Called when the parts of all new rules are in. */
int ksteps_loaded(struct sink *sink, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    struct arena arena;
    int failed = 0;
    bool any = false;
    arena_init(&arena, 0);
    for (size_t i = 0; i < map_rule_count(k->options.map) && !failed; i++) {
        const struct rule *rule = map_rule(k->options.map, i);
        const char *how = compare(k, rule, &arena);
        if (!how || strcmp(how, "new") != 0)
            continue;
        any = true;
        failed = record(k, rule, reterr);
    }
    arena_done(&arena);
    return failed || (any && client_commit(k->client, reterr) != 0) ? -1 : 0;
}
