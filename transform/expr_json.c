/* What makes or reads JSON, and the identities. */
#include "transform/expr_node.h"

#include <string.h>

#include "transform/jsonb.h"

#define VALUE_MAX ((size_t)0x3fffffff)

/* --- JSON of one value --- */

static enum expr_status bad_json(struct expr_env *env, const char *reason)
{
    return eval_reject(env, CATEGORY_JSON_PARSE, reason);
}

/* jsonb's own text needs no check. */
static bool known_jsonb(const struct expr *expr)
{
    return expr->kind == NODE_PACK ||
           (expr->kind == NODE_COLUMN && expr->base_type && strcmp(expr->base_type, "jsonb") == 0);
}

static enum expr_status checked(const struct expr *expr, struct slice of, struct expr_env *env)
{
    const char *reason;

    if (!known_jsonb(expr->args[0]) && !jsonb_acceptable(of.text, of.len, &reason))
        return bad_json(env, reason);
    if (expr->function->id == FUNCTION_JSON_OBJECT && jsonb_first(of.text, of.len) != '{')
        return bad_json(env, "JSON, but not an object");
    return EXPR_OK;
}

static enum expr_status json_raw(struct slice of, struct expr_env *env, struct value *ret)
{
    static const char HEAD[] = "{\"raw\": ";
    char *text, *out;

    if (of.len > VALUE_MAX / 8)
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "longer than 1 GB");
    text = arena_alloc(env->arena, jsonb_string_bytes(of) + sizeof HEAD);
    memcpy(text, HEAD, sizeof HEAD - 1);
    out = jsonb_put_string(text + sizeof HEAD - 1, of);
    *out++ = '}';
    *ret = value_slice((struct slice){text, (size_t)(out - text)});
    return EXPR_OK;
}

/* ->> along the keys; NULL where there is no such key, or null. */
static enum expr_status json_get(const struct expr *expr, struct slice of, struct expr_env *env, struct value *ret)
{
    bool found = true;

    for (uint32_t i = 1; i < expr->count; i++) {
        struct slice key;
        bool null;
        enum expr_status status = eval_text(expr->args[i], env, &key, &null);

        if (status != EXPR_OK)
            return status;
        found = found && !null && jsonb_get(of, key, env->arena, &of);
    }
    if (found && jsonb_first(of.text, of.len) != 'n')
        *ret = value_slice(jsonb_text(of, env->arena));
    return EXPR_OK;
}

enum expr_status eval_json(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct slice of;
    bool null;
    enum expr_status status = eval_text(expr->args[0], env, &of, &null);

    *ret = value_null();
    if (status != EXPR_OK || null)
        return status;
    if (expr->function->id == FUNCTION_JSON_RAW)
        return json_raw(of, env, ret);
    status = checked(expr, of, env);
    if (status != EXPR_OK)
        return status;
    if (expr->function->id == FUNCTION_JSON_GET)
        return json_get(expr, of, env, ret);
    *ret = value_slice(of);
    return EXPR_OK;
}

/* --- pack --- */

enum packed_as { PACKED_NULL, PACKED_BARE, PACKED_STRING };

struct packed {
    struct slice text;
    enum packed_as as;
};

static struct packed pack_value(const struct expr *of, const struct value *value)
{
    struct packed packed = {slice_of_value(value), PACKED_STRING};
    const char *reason;

    if (value->state == VALUE_NULL)
        return (struct packed){{"null", 4}, PACKED_NULL};
    switch ((enum expr_type)of->type) {
    case EXPR_NUMBER:
        if (jsonb_number_acceptable(value->text, value->len))
            packed.as = PACKED_BARE;
        break;
    case EXPR_BOOL:
        packed.as = PACKED_BARE;
        packed.text = *value->text == 't' ? (struct slice){"true", 4} : (struct slice){"false", 5};
        break;
    case EXPR_JSON:
        if (known_jsonb(of) || jsonb_acceptable(value->text, value->len, &reason))
            packed.as = PACKED_BARE;
        break;
    default: break;
    }
    return packed;
}

static char *put_member(char *out, const char *name, const struct packed *packed, bool first)
{
    if (!first) {
        memcpy(out, ", ", 2);
        out += 2;
    }
    out = jsonb_put_string(out, (struct slice){name, strlen(name)});
    memcpy(out, ": ", 2);
    out += 2;
    if (packed->as == PACKED_STRING)
        return jsonb_put_string(out, packed->text);
    memcpy(out, packed->text.text, packed->text.len);
    return out + packed->text.len;
}

enum expr_status eval_pack(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct packed *items = arena_alloc(env->arena, expr->count * sizeof *items + 1);
    size_t bytes = 2;
    char *text, *out;

    for (uint32_t i = 0; i < expr->count; i++) {
        struct value value;
        enum expr_status status = eval_value(expr->args[i], env, &value);

        if (status != EXPR_OK)
            return status;
        items[i] = pack_value(expr->args[i], &value);
        bytes += jsonb_string_bytes((struct slice){expr->names[i], strlen(expr->names[i])}) + 4;
        bytes += items[i].as == PACKED_STRING ? jsonb_string_bytes(items[i].text) : items[i].text.len;
    }
    if (bytes > VALUE_MAX)
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "longer than 1 GB");
    out = text = arena_alloc(env->arena, bytes);
    *out++ = '{';
    for (uint32_t i = 0; i < expr->count; i++)
        out = put_member(out, expr->names[i], &items[i], i == 0);
    *out++ = '}';
    *ret = value_slice((struct slice){text, (size_t)(out - text)});
    return EXPR_OK;
}

/* --- identities --- */

#define FEW_PARTS 8

enum expr_status eval_uuid5(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct uuid_part few[FEW_PARTS], *parts = few;
    struct uuid uuid;
    char *text;

    if (expr->count > FEW_PARTS)
        parts = arena_alloc(env->arena, expr->count * sizeof *parts);
    for (uint32_t i = 0; i < expr->count; i++) {
        struct slice part;
        bool null;
        enum expr_status status = eval_text(expr->args[i], env, &part, &null);

        if (status != EXPR_OK || null)
            return status;
        parts[i] = (struct uuid_part){part.text, part.len};
    }
    uuid = uuid_of_key(&expr->ns, expr->name, parts, expr->count);
    text = arena_alloc(env->arena, UUID_TEXT_LEN + 1);
    uuid_format(&uuid, text);
    *ret = value_slice((struct slice){text, UUID_TEXT_LEN});
    return EXPR_OK;
}
