#include "cdc/app/check/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/term.h"
#include "cdc/base/arena.h"

#define FACT_MAX 2048

void findings_add(struct findings *findings, enum finding_level level, const char *side, const char *code,
                  const char *remedy, const char *format, ...)
{
    char fact[FACT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(fact, sizeof(fact), format, args);
    va_end(args);
    if (findings->count == findings->capacity) {
        findings->capacity = findings->capacity ? findings->capacity * 2 : 32;
        findings->items = mem_realloc(findings->items, findings->capacity * sizeof(*findings->items));
    }
    findings->items[findings->count++] = (struct finding){
        .level = level,
        .side = side,
        .code = code,
        .fact = mem_strdup(fact),
        .remedy = remedy && *remedy ? mem_strdup(remedy) : NULL,
    };
}

size_t findings_count(const struct findings *findings, enum finding_level level)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++)
        count += findings->items[i].level == level;
    return count;
}

void findings_done(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].fact);
        free(findings->items[i].remedy);
    }
    free(findings->items);
    *findings = (struct findings){0};
}

static const char *level_name(enum finding_level level)
{
    static const char *const names[] = {"error", "warning", "info"};
    return names[level];
}

static void print_one(const struct finding *finding, FILE *out)
{
    static const enum term_colour colours[] = {TERM_RED, TERM_YELLOW, TERM_DIM};
    fprintf(out, "  %s%-7s%s  %s\n", term_colour(out, colours[finding->level]), level_name(finding->level),
            term_colour(out, TERM_PLAIN), finding->fact);
    /* not wrapped: it is there to be pasted */
    if (finding->remedy)
        fprintf(out, "           %s\n", finding->remedy);
}

static void print_side(const struct findings *findings, const char *side, bool without_info, FILE *out)
{
    bool headed = false;
    for (int level = FINDING_ERROR; level <= (without_info ? FINDING_WARNING : FINDING_INFO); level++)
        for (size_t i = 0; i < findings->count; i++) {
            const struct finding *finding = &findings->items[i];
            if ((int)finding->level != level || strcmp(finding->side, side) != 0)
                continue;
            if (!headed)
                fprintf(out, "%s%s%s\n", term_colour(out, TERM_BOLD), side, term_colour(out, TERM_PLAIN));
            headed = true;
            print_one(finding, out);
        }
}

void findings_print(const struct findings *findings, bool without_info, FILE *out)
{
    static const char *const sides[] = {"mapping", "source", "target", "position"};
    for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++)
        print_side(findings, sides[i], without_info, out);
}

void findings_put_json(const struct findings *findings, struct json *json)
{
    json_open(json, "findings", '[');
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        json_open(json, NULL, '{');
        json_text(json, "level", level_name(finding->level));
        json_text(json, "side", finding->side);
        json_text(json, "code", finding->code);
        json_text(json, "fact", finding->fact);
        json_text(json, "remedy", finding->remedy);
        json_close(json, '}');
    }
    json_close(json, ']');
}
