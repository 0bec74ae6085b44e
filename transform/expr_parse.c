/* The text of expressions: a lexer and a parser by precedence, lowest first:
 *
 *     or < and < not < is < = <> < <= > >= < between in like ~ < || < + - < * / % < sign < ::cast
 *
 * Recursion is bounded by the depth of parentheses and signs, chains of one operator become one node.
 */
#include "transform/expr_node.h"

#include <string.h>
#include <strings.h>

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_QUOTED, TOKEN_STRING, TOKEN_NUMBER, TOKEN_PARAM, TOKEN_OPERATOR };

struct token {
    enum token_kind kind;
    const char *at;   /* where it stands, for messages */
    const char *text; /* of names and strings without quotes, in the pool */
    size_t len;
};

struct parser {
    struct expr_pool *pool;
    const char *begin, *next; /* next: behind the current token */
    struct token token;
    int depth;
    struct err *reterr;
};

/* Nodes on their way to one with all of them. */
struct list {
    struct expr **items;
    size_t count, capacity;
};

static int parse_or(struct parser *p, struct expr **ret);
static int parse_sum(struct parser *p, struct expr **ret);
static int parse_concat(struct parser *p, struct expr **ret);

static void list_add(struct parser *p, struct list *list, struct expr *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 4;
        struct expr **items = arena_zalloc(&p->pool->arena, capacity, sizeof *items);

        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
}

static int wrong_at(struct parser *p, const char *at, const char *what)
{
    return err_set(p->reterr, ERR_CONFIG, "at character %zu: %s", text_length(p->begin, (size_t)(at - p->begin)) + 1,
                   what);
}

static int expected(struct parser *p, const char *what)
{
    return err_set(p->reterr, ERR_CONFIG, "at character %zu: expected %s%s",
                   text_length(p->begin, (size_t)(p->token.at - p->begin)) + 1, what,
                   p->token.kind == TOKEN_END ? ", but the expression ends" : "");
}

/* An error of a constructor gets its place in front. */
static int placed(struct parser *p, const char *at, int result)
{
    if (result < 0)
        return err_wrap(p->reterr, "at character %zu", text_length(p->begin, (size_t)(at - p->begin)) + 1);
    return result;
}

/* --- lexer --- */

static bool name_start(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ((unsigned char)c & 0x80);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool name_char(char c)
{
    return name_start(c) || is_digit(c) || c == '$';
}

static const char *name_end(const char *at)
{
    while (name_char(*at))
        at++;
    return at;
}

/* 'it''s' or "a ""b""": the text without quotes. */
static int lex_quoted(struct parser *p, const char *at, enum token_kind kind)
{
    char quote = *at, *text, *out;
    const char *q = at + 1;

    out = text = arena_alloc(&p->pool->arena, strlen(at));
    for (; *q; q++) {
        if (*q == quote && q[1] != quote)
            break;
        if (*q == quote)
            q++;
        *out++ = *q;
    }
    if (!*q)
        return wrong_at(p, at, "the quote is not closed");
    *out = '\0';
    p->token = (struct token){kind, at, text, (size_t)(out - text)};
    p->next = q + 1;
    if (kind == TOKEN_QUOTED && out == text)
        return wrong_at(p, at, "an empty name");
    return 0;
}

static int lex_number(struct parser *p, const char *at)
{
    const char *q = at;

    while (is_digit(*q))
        q++;
    if (*q == '.')
        q++;
    while (is_digit(*q))
        q++;
    if ((*q == 'e' || *q == 'E') && (is_digit(q[1]) || ((q[1] == '+' || q[1] == '-') && is_digit(q[2])))) {
        q += 2;
        while (is_digit(*q))
            q++;
    }
    if (name_start(*q))
        return wrong_at(p, q, "a letter right behind a number");
    p->token = (struct token){TOKEN_NUMBER, at, at, (size_t)(q - at)};
    p->next = q;
    return 0;
}

static void lex_name(struct parser *p, const char *at)
{
    const char *end = name_end(at);

    p->token =
        (struct token){TOKEN_NAME, at, arena_strndup(&p->pool->arena, at, (size_t)(end - at)), (size_t)(end - at)};
    p->next = end;
}

static int lex_operator(struct parser *p, const char *at)
{
    static const char *const OPERATORS[] = {"!~*", "::", "||", "<>", "!=", "<=", ">=", "~*", "!~", "=", "<",
                                            ">",   "~",  "+",  "-",  "*",  "/",  "%",  "(",  ")",  ",", "."};

    for (size_t i = 0; i < sizeof OPERATORS / sizeof *OPERATORS; i++) {
        size_t len = strlen(OPERATORS[i]);

        if (strncmp(at, OPERATORS[i], len) == 0) {
            p->token = (struct token){TOKEN_OPERATOR, at, OPERATORS[i], len};
            p->next = at + len;
            return 0;
        }
    }
    return wrong_at(p, at, "a character that has no meaning here");
}

static int advance(struct parser *p)
{
    const char *at = p->next;

    while (*at == ' ' || (*at >= '\t' && *at <= '\r'))
        at++;
    if (*at == '\0') {
        p->token = (struct token){TOKEN_END, at, "", 0};
        return 0;
    }
    if (*at == '\'')
        return lex_quoted(p, at, TOKEN_STRING);
    if (*at == '"')
        return lex_quoted(p, at, TOKEN_QUOTED);
    if (is_digit(*at) || (*at == '.' && is_digit(at[1])))
        return lex_number(p, at);
    if (*at == ':' && name_start(at[1])) {
        lex_name(p, at + 1);
        p->token.kind = TOKEN_PARAM;
        p->token.at = at;
        return 0;
    }
    if (name_start(*at)) {
        lex_name(p, at);
        return 0;
    }
    return lex_operator(p, at);
}

static bool at_operator(const struct parser *p, const char *op)
{
    return p->token.kind == TOKEN_OPERATOR && strcmp(p->token.text, op) == 0;
}

static bool at_word(const struct parser *p, const char *word)
{
    return p->token.kind == TOKEN_NAME && strcasecmp(p->token.text, word) == 0;
}

/* 1: it was there and is behind us, 0: it was not, -1. */
static int accept_word(struct parser *p, const char *word)
{
    if (!at_word(p, word))
        return 0;
    return advance(p) < 0 ? -1 : 1;
}

static int expect_word(struct parser *p, const char *word)
{
    int there = accept_word(p, word);

    return there == 0 ? expected(p, word) : there < 0 ? -1 : 0;
}

static int expect_operator(struct parser *p, const char *op)
{
    return at_operator(p, op) ? advance(p) : expected(p, op);
}

/* --- primaries --- */

static bool reserved(const struct token *token)
{
    static const char *const WORDS[] = {"and",  "or",   "not",  "is",   "in",  "between", "like",    "ilike",
                                        "case", "when", "then", "else", "end", "from",    "distinct"};

    if (token->kind != TOKEN_NAME)
        return false;
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (strcasecmp(token->text, WORDS[i]) == 0)
            return true;
    return false;
}

/* '(' is behind us; up to and with ')'. */
static int parse_arguments(struct parser *p, struct list *list)
{
    struct expr *item;

    if (at_operator(p, ")"))
        return advance(p);
    for (;;) {
        if (parse_or(p, &item) < 0)
            return -1;
        list_add(p, list, item);
        if (!at_operator(p, ","))
            return expect_operator(p, ")");
        if (advance(p) < 0)
            return -1;
    }
}

static int parse_call(struct parser *p, struct token name, struct expr **ret)
{
    struct list list = {0};

    if (advance(p) < 0 || parse_arguments(p, &list) < 0)
        return -1;
    return placed(p, name.at, expr_call(p->pool, name.text, list.items, list.count, ret, p->reterr));
}

/* case [of] when … then … [else …] end */
static int parse_case(struct parser *p, struct expr **ret)
{
    struct expr *item;
    struct list list = {0};
    enum node_kind kind = NODE_CASE;
    int more;

    if (advance(p) < 0)
        return -1;
    if (!at_word(p, "when")) {
        kind = NODE_SWITCH;
        if (parse_or(p, &item) < 0)
            return -1;
        list_add(p, &list, item);
    }
    if (!at_word(p, "when"))
        return expected(p, "when");
    while ((more = accept_word(p, "when")) > 0) {
        if (parse_or(p, &item) < 0 || expect_word(p, "then") < 0)
            return -1;
        list_add(p, &list, item);
        if (parse_or(p, &item) < 0)
            return -1;
        list_add(p, &list, item);
    }
    if (more < 0 || (more = accept_word(p, "else")) < 0 || (more > 0 && parse_or(p, &item) < 0))
        return -1;
    if (more > 0)
        list_add(p, &list, item);
    *ret = node_new(p->pool, kind, list.items, list.count);
    return expect_word(p, "end");
}

/* alias.column; the point is at hand. */
static int parse_lookup(struct parser *p, const struct token *alias, struct expr **ret)
{
    const struct expr_lookup *lookup = pool_lookup(p->pool, alias->text, strlen(alias->text));

    if (!lookup)
        return wrong_at(p, alias->at, "there is no look-up of that name (\"lookup:\" of the rule)");
    if (advance(p) < 0)
        return -1;
    if (p->token.kind != TOKEN_NAME && p->token.kind != TOKEN_QUOTED)
        return expected(p, "a column of the look-up");
    *ret = node_lookup(p->pool, lookup, p->token.text);
    return advance(p);
}

static int parse_name(struct parser *p, struct expr **ret)
{
    struct token name = p->token;

    if (reserved(&name))
        return expected(p, "a value");
    if (advance(p) < 0)
        return -1;
    if (name.kind == TOKEN_NAME && at_operator(p, "("))
        return parse_call(p, name, ret);
    if (at_operator(p, "."))
        return parse_lookup(p, &name, ret);
    if (name.kind == TOKEN_NAME && strcasecmp(name.text, "null") == 0)
        *ret = expr_null(p->pool);
    else if (name.kind == TOKEN_NAME && strcasecmp(name.text, "true") == 0)
        *ret = expr_bool(p->pool, true);
    else if (name.kind == TOKEN_NAME && strcasecmp(name.text, "false") == 0)
        *ret = expr_bool(p->pool, false);
    else
        *ret = expr_column(p->pool, name.text);
    return 0;
}

static int parse_parenthesis(struct parser *p, struct expr **ret)
{
    if (advance(p) < 0 || parse_or(p, ret) < 0)
        return -1;
    return expect_operator(p, ")");
}

static int parse_primary(struct parser *p, struct expr **ret)
{
    struct token token = p->token;

    switch (token.kind) {
    case TOKEN_STRING: *ret = expr_const(p->pool, token.text, token.len); return advance(p);
    case TOKEN_NUMBER: *ret = node_number(p->pool, token.text, token.len); return advance(p);
    case TOKEN_PARAM: return advance(p) < 0 ? -1 : placed(p, token.at, expr_param(p->pool, token.text, ret, p->reterr));
    case TOKEN_NAME: return at_word(p, "case") ? parse_case(p, ret) : parse_name(p, ret);
    case TOKEN_QUOTED: return parse_name(p, ret);
    case TOKEN_OPERATOR:
        if (at_operator(p, "("))
            return parse_parenthesis(p, ret);
        break;
    case TOKEN_END: break;
    }
    return expected(p, "a value");
}

static bool is_cast(const char *name)
{
    const struct function *function = function_find(name, strlen(name));

    return function && function->id >= FUNCTION_TO_INT2 && function->id <= FUNCTION_TO_BOOLEAN;
}

/* value::type::type */
static int parse_cast(struct parser *p, struct expr **ret)
{
    if (parse_primary(p, ret) < 0)
        return -1;
    while (at_operator(p, "::")) {
        struct token type;

        if (advance(p) < 0)
            return -1;
        type = p->token;
        if (type.kind != TOKEN_NAME || !is_cast(type.text))
            return expected(p, "smallint, int, bigint, numeric, text or boolean after ::");
        if (expr_call(p->pool, type.text, ret, 1, ret, p->reterr) < 0 || advance(p) < 0)
            return -1;
    }
    return 0;
}

/* -1 is a constant, so that it may stand where a constant must. */
static struct expr *negated(struct parser *p, struct expr *of)
{
    if (of->kind == NODE_CONST && of->op == EXPR_NUMBER && of->text.len > 0 && *of->text.text != '-') {
        char *text = arena_alloc(&p->pool->arena, of->text.len + 1);

        text[0] = '-';
        memcpy(text + 1, of->text.text, of->text.len);
        return node_number(p->pool, text, of->text.len + 1);
    }
    return node_new(p->pool, NODE_NEGATE, &of, 1);
}

static int parse_sign(struct parser *p, struct expr **ret)
{
    bool minus = at_operator(p, "-");
    int result;

    if (!minus && !at_operator(p, "+"))
        return parse_cast(p, ret);
    if (++p->depth > EXPR_MAX_DEPTH)
        return wrong_at(p, p->token.at, "nested too deep");
    result = advance(p) < 0 || parse_sign(p, ret) < 0 ? -1 : 0;
    p->depth--;
    if (result == 0 && minus)
        *ret = negated(p, *ret);
    return result;
}

/* --- operators --- */

/* One level of left-associative operators. */
static int parse_level(struct parser *p, const char *const *ops, int (*next)(struct parser *, struct expr **),
                       struct expr **ret)
{
    struct expr *right;

    if (next(p, ret) < 0)
        return -1;
    for (;;) {
        const char *const *op = ops;
        const char *at = p->token.at;

        while (*op && !at_operator(p, *op))
            op++;
        if (!*op)
            return 0;
        if (advance(p) < 0 || next(p, &right) < 0 ||
            placed(p, at, expr_binary(p->pool, *op, *ret, right, ret, p->reterr)) < 0)
            return -1;
    }
}

static int parse_product(struct parser *p, struct expr **ret)
{
    static const char *const OPS[] = {"*", "/", "%", NULL};

    return parse_level(p, OPS, parse_sign, ret);
}

static int parse_sum(struct parser *p, struct expr **ret)
{
    static const char *const OPS[] = {"+", "-", NULL};

    return parse_level(p, OPS, parse_product, ret);
}

/* A chain of one operator (a word or ||) as one node. */
static int parse_chain(struct parser *p, const char *op, enum node_kind kind,
                       int (*next)(struct parser *, struct expr **), struct expr **ret)
{
    struct list list = {0};

    if (next(p, ret) < 0)
        return -1;
    while (at_operator(p, op) || at_word(p, op)) {
        struct expr *item;

        if (list.count == 0)
            list_add(p, &list, *ret);
        if (advance(p) < 0 || next(p, &item) < 0)
            return -1;
        list_add(p, &list, item);
    }
    if (list.count > 0)
        *ret = node_new(p->pool, kind, list.items, list.count);
    return 0;
}

static int parse_concat(struct parser *p, struct expr **ret)
{
    return parse_chain(p, "||", NODE_CONCAT, parse_sum, ret);
}

static int parse_between(struct parser *p, struct expr *of, bool negate, struct expr **ret)
{
    struct expr *args[3] = {of};

    if (parse_concat(p, &args[1]) < 0 || expect_word(p, "and") < 0 || parse_concat(p, &args[2]) < 0)
        return -1;
    *ret = node_new(p->pool, NODE_BETWEEN, args, 3);
    (*ret)->negated = negate;
    return 0;
}

static int parse_in(struct parser *p, struct expr *of, bool negate, struct expr **ret)
{
    struct list list = {0};

    list_add(p, &list, of);
    if (expect_operator(p, "(") < 0)
        return -1;
    if (at_operator(p, ")"))
        return expected(p, "a value");
    if (parse_arguments(p, &list) < 0)
        return -1;
    *ret = node_new(p->pool, NODE_IN, list.items, list.count);
    (*ret)->negated = negate;
    return 0;
}

static int parse_like(struct parser *p, const char *op, struct expr *of, bool negate, struct expr **ret)
{
    struct expr *pattern;

    if (parse_concat(p, &pattern) < 0 || expr_binary(p->pool, op, of, pattern, ret, p->reterr) < 0)
        return -1;
    (*ret)->negated = negate;
    return 0;
}

/* [not] between, in, like, ilike; ~ and its sisters. */
static int parse_predicate(struct parser *p, struct expr **ret)
{
    static const char *const OPS[] = {"~", "~*", "!~", "!~*", NULL};
    const char *at;
    int negate, word;

    if (parse_level(p, OPS, parse_concat, ret) < 0)
        return -1;
    at = p->token.at;
    if ((negate = accept_word(p, "not")) < 0)
        return -1;
    if ((word = accept_word(p, "between")) != 0)
        return word < 0 ? -1 : parse_between(p, *ret, negate, ret);
    if ((word = accept_word(p, "in")) != 0)
        return word < 0 ? -1 : parse_in(p, *ret, negate, ret);
    if ((word = accept_word(p, "like")) != 0)
        return word < 0 ? -1 : parse_like(p, "like", *ret, negate, ret);
    if ((word = accept_word(p, "ilike")) != 0)
        return word < 0 ? -1 : parse_like(p, "ilike", *ret, negate, ret);
    return negate ? wrong_at(p, at, "expected between, in, like or ilike after not") : 0;
}

/* Not a chain: `a = b = c` is a mistake. */
static int parse_compare(struct parser *p, struct expr **ret)
{
    static const char *const OPS[] = {"=", "<>", "!=", "<=", ">=", "<", ">"};
    struct expr *right;

    if (parse_predicate(p, ret) < 0)
        return -1;
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++) {
        if (!at_operator(p, OPS[i]))
            continue;
        if (advance(p) < 0 || parse_predicate(p, &right) < 0)
            return -1;
        return expr_binary(p->pool, OPS[i], *ret, right, ret, p->reterr);
    }
    return 0;
}

static int parse_is_what(struct parser *p, bool negate, struct expr **ret)
{
    struct expr *args[2] = {*ret};
    bool truth = at_word(p, "true");
    int word;

    if ((word = accept_word(p, "null")) != 0) {
        *ret = expr_is_null(p->pool, *ret);
    } else if (truth || at_word(p, "false")) {
        /* x is true = x is not distinct from true */
        args[1] = expr_bool(p->pool, truth);
        word = advance(p) < 0 ? -1 : 1;
        *ret = node_new(p->pool, NODE_IS_DISTINCT, args, 2);
        negate = !negate;
    } else if ((word = accept_word(p, "distinct")) != 0) {
        if (word < 0 || expect_word(p, "from") < 0 || parse_compare(p, &args[1]) < 0)
            return -1;
        *ret = node_new(p->pool, NODE_IS_DISTINCT, args, 2);
    } else {
        return expected(p, "null, true, false or distinct from after is");
    }
    (*ret)->negated = negate;
    return word < 0 ? -1 : 0;
}

static int parse_is(struct parser *p, struct expr **ret)
{
    int is, negate;

    if (parse_compare(p, ret) < 0)
        return -1;
    while ((is = accept_word(p, "is")) > 0) {
        if ((negate = accept_word(p, "not")) < 0 || parse_is_what(p, negate, ret) < 0)
            return -1;
    }
    return is;
}

static int parse_not(struct parser *p, struct expr **ret)
{
    bool negate = false;

    while (at_word(p, "not")) {
        if (advance(p) < 0)
            return -1;
        negate = !negate;
    }
    if (parse_is(p, ret) < 0)
        return -1;
    if (negate)
        *ret = expr_not(p->pool, *ret);
    return 0;
}

static int parse_and(struct parser *p, struct expr **ret)
{
    return parse_chain(p, "and", NODE_AND, parse_not, ret);
}

static int parse_or(struct parser *p, struct expr **ret)
{
    int result;

    if (++p->depth > EXPR_MAX_DEPTH)
        return wrong_at(p, p->token.at, "nested too deep");
    result = parse_chain(p, "or", NODE_OR, parse_and, ret);
    p->depth--;
    return result;
}

int expr_parse(struct expr_pool *pool, const char *text, struct expr **ret_expr, struct err *reterr)
{
    struct parser p = {.pool = pool, .begin = text, .next = text, .reterr = reterr};
    struct expr *expr;

    if (!text_utf8_valid(text, strlen(text)))
        return err_set(reterr, ERR_CONFIG, "the expression is not valid UTF-8");
    if (advance(&p) < 0 || parse_or(&p, &expr) < 0)
        return -1;
    if (p.token.kind != TOKEN_END)
        return expected(&p, "an operator or the end");
    *ret_expr = expr;
    return 0;
}
