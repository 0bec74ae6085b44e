/* simdjson (on demand) behind cdc/source/wal2json.h. The one C++ file: nothing of it shows in the header.
 *
 * The hot path of the engine. A message is a flat object of which wal2json fixes the order of keys, so one walk
 * over simdjson's tokens is enough, and no value is copied unless it holds an escape:
 *
 *   {"action":"U","xid":9,"schema":"s","table":"t","columns":[{"name":"id","value":1},…],"identity":[…]}
 *                          └─ same bytes as last time? the same table   └─ the column after the last one?
 *
 * What a table looks like comes from relation(). Where a message contradicts that, relation() is asked once more,
 * with the reason, and the message is decoded again against its answer. What the answer leaves standing is then
 * taken as allowed, until the relation changes: an unknown column is dropped, a missing one is ABSENT, a value of
 * another kind is its text. So the policy (refuse, warn, go on) stays with whoever gives relations.
 *
 * Built without exceptions: simdjson reports by code, and an allocation that fails ends the process as in arena.h.
 */
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <simdjson.h>

extern "C" {
#include "cdc/base/lsn.h"
#include "cdc/base/timestamp.h"
#include "cdc/source/wal2json.h"
}

namespace ondemand = simdjson::ondemand;

static_assert(WAL2JSON_PADDING >= simdjson::SIMDJSON_PADDING, "simdjson reads past the end of a message");

namespace {

/* Above this, the parser's memory (about six bytes for each of the longest message) is given back. */
constexpr size_t PARSER_KEEP_BYTES = 1 << 20;
/* Contradictions settled within one message: more than that is no schema that settles down. */
constexpr int ASK_MAX = 4096;
constexpr int NO_KEY = -1;

enum outcome { FAILED = -1, DONE = 0, AGAIN, SKIPPED };

struct column_plan {
    std::string_view name;
    column_kind kind;
    int key;    /* position in relation->key, or NO_KEY */
    bool never; /* dropped at decode */
    bool toastable;
    bool may_miss; /* relation() lets it be missing */
    bool any_kind; /* relation() lets it be of another kind */
};

struct table {
    std::string raw_schema, raw_name; /* as the message spells them, escapes and all */
    std::string schema, name;
    const struct relation *relation = nullptr; /* NULL: nobody wants it */
    std::vector<column_plan> columns;
    std::vector<std::string> dropped; /* unknown columns that relation() allowed */
};

/* One message under way. */
struct message {
    struct arena *arena;
    struct err *reterr;
    char action = 0;
    uint32_t xid = 0;
    int64_t commit_us = 0;
    uint64_t end_lsn = 0;
    bool transactional = true;
    const char *prefix = "", *content = "";
    std::string_view raw_schema, raw_name;
    struct table *table = nullptr;
    struct change *change = nullptr;
    bool has_columns = false, has_identity = false;
};

} // namespace

struct wal2json {
    wal2json_options options;
    ondemand::parser parser;
    struct table *last = nullptr;
    std::string key; /* scratch: what tables are found by */
    std::unordered_map<std::string, std::unique_ptr<struct table>> tables;
};

namespace {

int malformed(struct err *reterr, const char *what)
{
    return err_set(reterr, ERR_FATAL, "a message of the slot is not what wal2json writes: %s", what);
}

/* ---- tokens ---- */

std::string_view trimmed(std::string_view token)
{
    while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ')
        token.remove_suffix(1);
    return token;
}

/* The bytes between the quotes, escapes untouched; false where it is no string. */
inline bool string_content(std::string_view token, std::string_view *ret_content)
{
    if (token.size() < 2 || token.front() != '"')
        return false;
    if (token.back() != '"') {
        token = trimmed(token);
        if (token.size() < 2 || token.back() != '"')
            return false;
    }
    *ret_content = token.substr(1, token.size() - 2);
    return true;
}

inline bool has_escape(std::string_view content)
{
    return memchr(content.data(), '\\', content.size()) != nullptr;
}

/* content is the inside of a string of the message, so a quote stands behind it. */
bool unescape(const ondemand::parser &parser, std::string_view content, struct arena *arena, std::string_view *ret_text)
{
    size_t room = content.size() + simdjson::SIMDJSON_PADDING;
    uint8_t *start = static_cast<uint8_t *>(arena_alloc(arena, room)), *end = start;
    ondemand::raw_json_string raw(reinterpret_cast<const uint8_t *>(content.data()));
    return parser.unescape(raw, end).get(*ret_text) == simdjson::SUCCESS;
}

bool plain_text(const ondemand::parser &parser, std::string_view content, struct arena *arena,
                std::string_view *ret_text)
{
    *ret_text = content;
    return !has_escape(content) || unescape(parser, content, arena, ret_text);
}

bool is_number(std::string_view token)
{
    for (char c : token)
        if (!(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E')
            return false;
    return true;
}

bool parse_xid(std::string_view token, uint32_t *ret_xid)
{
    token = trimmed(token);
    *ret_xid = 0;
    if (token == "null")
        return true;
    uint64_t xid = 0;
    for (char c : token) {
        if (c < '0' || c > '9' || xid > UINT32_MAX)
            return false;
        xid = xid * 10 + static_cast<unsigned>(c - '0');
    }
    *ret_xid = static_cast<uint32_t>(xid);
    return xid <= UINT32_MAX && !token.empty();
}

/* ---- tables ---- */

void plan_columns(const struct wal2json *decoder, struct table *table)
{
    const struct relation *relation = table->relation;
    table->columns.clear();
    table->dropped.clear();
    if (!relation)
        return;
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct column *column = &relation->columns[i];
        column_plan plan = {column->name, column->kind, NO_KEY, false, column->toastable, false, false};
        for (size_t k = 0; k < relation->key_count; k++)
            if (relation->key[k] == i)
                plan.key = static_cast<int>(k);
        plan.never = decoder->options.never && decoder->options.never(decoder->options.context, table->schema.c_str(),
                                                                      table->name.c_str(), column->name);
        table->columns.push_back(plan);
    }
}

int ask_relation(const struct wal2json *decoder, struct table *table, const char *column, const char *why,
                 struct err *reterr)
{
    const struct relation *relation = nullptr;
    if (decoder->options.relation(decoder->options.context, table->schema.c_str(), table->name.c_str(), column, why,
                                  &relation, reterr))
        return -1;
    bool same = relation && table->relation && column && relation_same_shape(relation, table->relation);
    table->relation = relation;
    if (!same)
        plan_columns(decoder, table); /* forgets what was allowed: it was allowed of another shape */
    return 0;
}

/* The table of the message under way, met before or not. */
int find_table(struct wal2json *decoder, struct message *message)
{
    struct table *last = decoder->last;
    if (last && last->raw_name == message->raw_name && last->raw_schema == message->raw_schema) {
        message->table = last;
        return 0;
    }
    /* a quote cannot stand unescaped in either part */
    decoder->key.assign(message->raw_schema).append(1, '"').append(message->raw_name);
    auto found = decoder->tables.find(decoder->key);
    if (found == decoder->tables.end()) {
        std::string_view schema, name;
        if (!plain_text(decoder->parser, message->raw_schema, message->arena, &schema) ||
            !plain_text(decoder->parser, message->raw_name, message->arena, &name))
            return malformed(message->reterr, "the name of a table");
        auto table = std::make_unique<struct table>();
        table->raw_schema = message->raw_schema;
        table->raw_name = message->raw_name;
        table->schema = schema;
        table->name = name;
        if (ask_relation(decoder, table.get(), nullptr, "new", message->reterr))
            return -1;
        found = decoder->tables.emplace(decoder->key, std::move(table)).first;
    }
    message->table = decoder->last = found->second.get();
    return 0;
}

/* The message contradicts the relation: asks again, and notes what the answer lets stand. */
outcome contradiction(const struct wal2json *decoder, const struct message *message, std::string_view name,
                      const char *why)
{
    struct table *table = message->table;
    const std::string column(name);
    const column_plan *before = nullptr;
    for (const column_plan &plan : table->columns)
        if (plan.name == name)
            before = &plan;
    const column_kind kind = before ? before->kind : COLUMN_TEXT;

    if (ask_relation(decoder, table, column.c_str(), why, message->reterr))
        return FAILED;
    if (!table->relation)
        return SKIPPED;
    for (column_plan &plan : table->columns) {
        if (plan.name != column)
            continue;
        if (strcmp(why, "missing_column") == 0)
            plan.may_miss = true;
        else if (strcmp(why, "kind") == 0 && plan.kind == kind)
            plan.any_kind = true;
        return AGAIN;
    }
    if (strcmp(why, "unknown_column") == 0)
        table->dropped.push_back(column);
    return AGAIN;
}

/* ---- values ---- */

/* What a value that fits no column's kind becomes where that was allowed: its text as it stands. */
bool loose_value(const ondemand::parser &parser, std::string_view token, struct arena *arena, struct value *ret_value)
{
    std::string_view content;
    token = trimmed(token);
    if (string_content(token, &content)) {
        if (!plain_text(parser, content, arena, &token))
            return false;
    } else if (token == "true" || token == "false") {
        token = token.substr(0, 1);
    }
    *ret_value = {token.data(), static_cast<uint32_t>(token.size()), VALUE_TEXT};
    return true;
}

bool bytea_value(std::string_view content, struct arena *arena, struct value *ret_value)
{
    char *text = static_cast<char *>(arena_alloc(arena, content.size() + 2));
    text[0] = '\\';
    text[1] = 'x';
    memcpy(text + 2, content.data(), content.size());
    *ret_value = {text, static_cast<uint32_t>(content.size() + 2), VALUE_TEXT};
    return !has_escape(content);
}

/* DONE, FAILED (not JSON as wal2json writes it; no error set) or AGAIN (of another kind than the column). */
inline outcome decode_value(const ondemand::parser &parser, std::string_view token, column_kind kind,
                            struct arena *arena, struct value *ret_value)
{
    std::string_view text;
    if (token.empty() || token.size() > UINT32_MAX - 2)
        return FAILED;
    switch (token.front()) {
    case '"':
        if (!string_content(token, &text))
            return FAILED;
        if (kind == COLUMN_BYTEA)
            return bytea_value(text, arena, ret_value) ? DONE : FAILED;
        if (kind != COLUMN_TEXT)
            return AGAIN;
        if (!plain_text(parser, text, arena, &text))
            return FAILED;
        break;
    case 'n':
        if (trimmed(token) != "null")
            return FAILED;
        *ret_value = {nullptr, 0, VALUE_NULL};
        return DONE;
    case 't':
    case 'f':
        text = trimmed(token);
        if (text != "true" && text != "false")
            return FAILED;
        if (kind != COLUMN_BOOL)
            return AGAIN;
        text = text.substr(0, 1);
        break;
    default:
        text = trimmed(token);
        if (!is_number(text))
            return FAILED;
        if (kind != COLUMN_NUMBER)
            return AGAIN;
        break;
    }
    *ret_value = {text.data(), static_cast<uint32_t>(text.size()), VALUE_TEXT};
    return DONE;
}

/* ---- columns ---- */

constexpr size_t COLUMN_DROPPED = SIZE_MAX;

/* A column elsewhere than right behind the last one: others are missing, or its name holds an escape.
 * *ret_index is COLUMN_DROPPED for an unknown one that is allowed. */
outcome search_column(const struct wal2json *decoder, const struct message *message, std::string_view raw,
                      size_t *ret_index)
{
    std::string_view name;
    if (!plain_text(decoder->parser, raw, message->arena, &name)) {
        malformed(message->reterr, "the name of a column");
        return FAILED;
    }
    const std::vector<column_plan> &columns = message->table->columns;
    for (size_t i = 0; i < columns.size(); i++) {
        if (columns[i].name == name) {
            *ret_index = i;
            return DONE;
        }
    }
    for (const std::string &dropped : message->table->dropped) {
        if (dropped == name) {
            *ret_index = COLUMN_DROPPED;
            return DONE;
        }
    }
    return contradiction(decoder, message, name, "unknown_column");
}

/* Where a value of `columns` or `identity` belongs; NULL where nobody wants it. */
inline struct value *place_of(const struct message *message, size_t index, bool identity)
{
    struct change *change = message->change;
    if (!identity)
        return &change->columns[index];
    int key = message->table->columns[index].key;
    if (key != NO_KEY)
        return &change->identity[key];
    /* REPLICA IDENTITY FULL: the old row stands here whole, so also what did not change and lies out of line */
    if (change->columns && change->columns[index].state == VALUE_ABSENT)
        return &change->columns[index];
    return nullptr;
}

/* One {"name":…,"value":…}. */
outcome decode_pair(const struct wal2json *decoder, const struct message *message, ondemand::object object,
                    bool identity, size_t *cursor)
{
    const std::vector<column_plan> &columns = message->table->columns;
    std::string_view raw_name, token;
    bool has_name = false;

    for (auto each : object) {
        ondemand::field field;
        if (std::move(each).get(field)) {
            token = {};
            break;
        }
        ondemand::raw_json_string key = field.key();
        if (key.unsafe_is_equal("value"))
            token = field.value().raw_json_token();
        else if (key.unsafe_is_equal("name"))
            has_name = string_content(field.value().raw_json_token(), &raw_name);
    }
    if (!has_name || token.empty()) {
        malformed(message->reterr, "a column without name and value");
        return FAILED;
    }
    size_t index = *cursor;
    if (index >= columns.size() || columns[index].name != raw_name) {
        outcome found = search_column(decoder, message, raw_name, &index);
        if (found != DONE || index == COLUMN_DROPPED)
            return found;
    }
    *cursor = index + 1;

    const column_plan &plan = columns[index];
    struct value *place = place_of(message, index, identity);
    if (!place)
        return DONE;
    if (plan.never) {
        *place = {nullptr, 0, VALUE_NULL};
        return DONE;
    }
    outcome decoded = decode_value(decoder->parser, token, plan.kind, message->arena, place);
    if (decoded == AGAIN && plan.any_kind)
        decoded = loose_value(decoder->parser, token, message->arena, place) ? DONE : FAILED;
    if (decoded == AGAIN)
        return contradiction(decoder, message, plan.name, "kind");
    if (decoded == FAILED)
        malformed(message->reterr, "the value of a column");
    return decoded;
}

outcome decode_pairs(const struct wal2json *decoder, const struct message *message, ondemand::value list, bool identity)
{
    ondemand::array array;
    size_t cursor = 0;
    if (list.get_array().get(array)) {
        malformed(message->reterr, "columns that are no list");
        return FAILED;
    }
    for (auto each : array) {
        ondemand::object object;
        if (each.get_object().get(object)) {
            malformed(message->reterr, "a column that is no object");
            return FAILED;
        }
        outcome decoded = decode_pair(decoder, message, object, identity, &cursor);
        if (decoded != DONE)
            return decoded;
    }
    return DONE;
}

/* ---- changes ---- */

void new_change(struct message *message)
{
    const struct relation *relation = message->table->relation;
    bool whole = message->action == 'I' || message->action == 'U', truncate = message->action == 'T';
    size_t columns = whole ? relation->column_count : 0, keys = truncate ? 0 : relation->key_count;
    size_t bytes = sizeof(struct change) + (columns + keys) * sizeof(struct value);
    char *memory = static_cast<char *>(arena_alloc(message->arena, bytes));

    static_assert(sizeof(struct change) % alignof(struct value) == 0, "values follow their change");
    memset(memory, 0, bytes);
    struct change *change = reinterpret_cast<struct change *>(memory);
    struct value *values = reinterpret_cast<struct value *>(memory + sizeof(*change));
    change->op = static_cast<enum change_op>(message->action);
    change->relation = relation;
    change->columns = whole ? values : nullptr;
    change->identity = truncate ? nullptr : values + columns;
    change->xid = message->xid;
    message->change = change;
}

bool same_value(const struct value *a, const struct value *b)
{
    return a->state == b->state && a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

/* An update's columns and identity are complete: fills what only the other half holds, and asks about what
 * neither does. */
outcome join_halves(const struct wal2json *decoder, const struct message *message)
{
    const std::vector<column_plan> &columns = message->table->columns;
    struct change *change = message->change;

    for (size_t i = 0; change->columns && i < columns.size(); i++) {
        struct value *column = &change->columns[i];
        const column_plan &plan = columns[i];
        if (column->state != VALUE_ABSENT)
            continue;
        if (plan.key != NO_KEY && change->identity[plan.key].state != VALUE_ABSENT)
            *column = change->identity[plan.key];
        else if (plan.never)
            *column = {nullptr, 0, VALUE_NULL};
        else if (!plan.may_miss && !(plan.toastable && change->op == CHANGE_UPDATE))
            return contradiction(decoder, message, plan.name, "missing_column");
    }
    return DONE;
}

/* The old key: an insert's is its own; an update without identity has the one it had; one that is nowhere to be
 * found means that the replica identity is not what the relation says. */
outcome join_key(const struct wal2json *decoder, const struct message *message)
{
    const struct relation *relation = message->table->relation;
    struct change *change = message->change;

    for (size_t k = 0; k < relation->key_count; k++) {
        const column_plan &plan = message->table->columns[relation->key[k]];
        struct value *key = &change->identity[k];
        const struct value *column = change->columns ? &change->columns[relation->key[k]] : nullptr;
        if (key->state == VALUE_ABSENT && column)
            *key = *column;
        else if (column && !same_value(key, column))
            change->key_changed = true;
        if (key->state != VALUE_ABSENT)
            continue;
        if (!plan.may_miss && !plan.never)
            return contradiction(decoder, message, plan.name, "missing_column");
        err_set(message->reterr, ERR_REFUSED, "a change of table %s.%s does not hold its key column %s",
                message->table->schema.c_str(), message->table->name.c_str(), relation->columns[relation->key[k]].name);
        err_pause(message->reterr, "schema_mismatch");
        err_hint(message->reterr, "The table's replica identity was changed: put it back, or resync the table");
        return FAILED;
    }
    return DONE;
}

/* The table of a change, before its first value is met. */
outcome begin_change(struct wal2json *decoder, struct message *message)
{
    if (!message->action || strchr("IUDT", message->action) == nullptr || message->raw_name.data() == nullptr ||
        message->raw_schema.data() == nullptr) {
        malformed(message->reterr, "a change without action and table");
        return FAILED;
    }
    if (find_table(decoder, message))
        return FAILED;
    if (!message->table->relation)
        return SKIPPED;
    new_change(message);
    return DONE;
}

outcome decode_half(struct wal2json *decoder, struct message *message, ondemand::value list, bool identity)
{
    bool *has = identity ? &message->has_identity : &message->has_columns;
    if (!message->change) {
        outcome begun = begin_change(decoder, message);
        if (begun != DONE)
            return begun;
    }
    bool fits = identity ? message->change->identity != nullptr && message->action != 'I'
                         : message->change->columns != nullptr && !message->has_identity;
    if (!fits || *has) {
        malformed(message->reterr, "columns where they do not belong");
        return FAILED;
    }
    *has = true;
    return decode_pairs(decoder, message, list, identity);
}

outcome finish_change(struct wal2json *decoder, struct message *message)
{
    if (!message->change) {
        outcome begun = begin_change(decoder, message);
        if (begun != DONE)
            return begun;
    }
    if (message->change->columns && !message->has_columns) {
        malformed(message->reterr, "a row without columns");
        return FAILED;
    }
    if (message->action == 'T')
        return DONE;
    outcome joined = join_halves(decoder, message);
    return joined == DONE ? join_key(decoder, message) : joined;
}

/* ---- messages ---- */

bool copy_text(const ondemand::parser &parser, std::string_view token, struct arena *arena, const char **ret_text)
{
    std::string_view text;
    if (!string_content(token, &text) || !plain_text(parser, text, arena, &text))
        return false;
    *ret_text = arena_strndup(arena, text.data(), text.size());
    return true;
}

bool parse_lsn(std::string_view token, uint64_t *ret_lsn)
{
    char copy[LSN_TEXT_MAX];
    std::string_view text;
    if (!string_content(token, &text) || text.size() >= sizeof(copy))
        return false;
    memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return lsn_parse(copy, ret_lsn);
}

/* A member that is neither columns nor identity; false where its value is not what wal2json writes. */
bool decode_member(const struct wal2json *decoder, struct message *message, ondemand::raw_json_string key,
                   std::string_view token)
{
    std::string_view text;
    switch (*key.raw()) {
    case 'a':
        if (!key.unsafe_is_equal("action"))
            return true;
        if (!string_content(token, &text) || text.size() != 1 || message->change)
            return false;
        message->action = text.front();
        return true;
    case 's': return !key.unsafe_is_equal("schema") || string_content(token, &message->raw_schema);
    case 't':
        if (key.unsafe_is_equal("table"))
            return string_content(token, &message->raw_name);
        if (key.unsafe_is_equal("transactional"))
            message->transactional = token.front() == 't';
        else if (key.unsafe_is_equal("timestamp") && (message->action == 'B' || message->action == 'C') &&
                 string_content(token, &text))
            message->commit_us = timestamp_parse(text.data(), text.size());
        return true;
    case 'n': return message->action != 'B' || !key.unsafe_is_equal("nextlsn") || parse_lsn(token, &message->end_lsn);
    case 'x': return !key.unsafe_is_equal("xid") || parse_xid(token, &message->xid);
    case 'p':
        return !key.unsafe_is_equal("prefix") || copy_text(decoder->parser, token, message->arena, &message->prefix);
    case 'c':
        return !key.unsafe_is_equal("content") || copy_text(decoder->parser, token, message->arena, &message->content);
    default: return true;
    }
}

outcome decode_members(struct wal2json *decoder, struct message *message, ondemand::object object)
{
    for (auto each : object) {
        ondemand::field field;
        if (std::move(each).get(field)) {
            malformed(message->reterr, "an object that breaks off");
            return FAILED;
        }
        ondemand::raw_json_string key = field.key();
        bool identity = key.unsafe_is_equal("identity");
        if (identity || key.unsafe_is_equal("columns")) {
            outcome decoded = decode_half(decoder, message, field.value(), identity);
            if (decoded != DONE)
                return decoded;
            continue;
        }
        std::string_view token = field.value().raw_json_token();
        if (token.empty() || !decode_member(decoder, message, key, token)) {
            malformed(message->reterr, "a member of another kind");
            return FAILED;
        }
    }
    return DONE;
}

outcome decode_once(struct wal2json *decoder, struct message *message, const char *text, size_t len)
{
    ondemand::document document;
    ondemand::object object;
    if (decoder->parser.iterate(text, len, len + WAL2JSON_PADDING).get(document) || document.get_object().get(object)) {
        malformed(message->reterr, "not JSON, or not in UTF-8");
        return FAILED;
    }
    outcome decoded = decode_members(decoder, message, object);
    if (decoded != DONE || strchr("BCM", message->action ? message->action : '?'))
        return decoded;
    return finish_change(decoder, message);
}

void fill_item(const struct message *message, struct wal2json_item *item)
{
    *item = {};
    item->xid = message->xid;
    item->commit_us = message->commit_us;
    item->end_lsn = message->end_lsn;
    item->change = message->change;
    switch (message->action) {
    case 'B': item->action = WAL2JSON_BEGIN; break;
    case 'C': item->action = WAL2JSON_COMMIT; break;
    case 'M':
        item->action = WAL2JSON_MESSAGE;
        item->prefix = message->prefix;
        item->content = message->content;
        item->transactional = message->transactional;
        break;
    default: item->action = WAL2JSON_CHANGE; break;
    }
}

} // namespace

struct wal2json *wal2json_new(const struct wal2json_options *options)
{
    auto decoder = new struct wal2json;
    decoder->options = *options;
    return decoder;
}

void wal2json_free(struct wal2json *decoder)
{
    delete decoder;
}

int wal2json_decode(struct wal2json *decoder, const char *text, size_t len, struct arena *arena,
                    struct wal2json_item *ret_item, struct err *reterr)
{
    outcome decoded = AGAIN;
    for (int asked = 0; decoded == AGAIN && asked < ASK_MAX; asked++) {
        struct message message = {};
        message.arena = arena;
        message.reterr = reterr;
        decoded = decode_once(decoder, &message, text, len);
        if (decoded == DONE)
            fill_item(&message, ret_item);
    }
    if (len > PARSER_KEEP_BYTES)
        decoder->parser = ondemand::parser();
    if (decoded == SKIPPED) {
        *ret_item = {};
        ret_item->action = WAL2JSON_SKIP;
    }
    if (decoded == AGAIN) {
        err_set(reterr, ERR_REFUSED, "the columns of a table contradict the catalogue without end");
        return err_pause(reterr, "schema_mismatch");
    }
    return decoded == FAILED ? -1 : 0;
}
