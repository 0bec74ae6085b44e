/* simdjson (on demand) behind cdc/source/kafka/record.h. Built without exceptions, like wal2json.cc. */
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

extern "C" {
#include "cdc/source/kafka/record.h"
}

namespace ondemand = simdjson::ondemand;

struct record_decoder {
    ondemand::parser parser;
    std::vector<char> padded; /* the message at hand, with room behind it */
};

namespace {

using object = ondemand::object;

bool is(std::string_view text, const char *word)
{
    return text == std::string_view(word);
}

bool open_object(record_decoder *d, const char *bytes, size_t len, ondemand::document *doc, object *ret)
{
    if (d->padded.size() < len + simdjson::SIMDJSON_PADDING)
        d->padded.resize(2 * len + simdjson::SIMDJSON_PADDING);
    memcpy(d->padded.data(), bytes, len);
    if (d->parser.iterate(d->padded.data(), len, d->padded.size()).get(*doc) != simdjson::SUCCESS)
        return false;
    ondemand::json_type type;
    if (doc->type().get(type) != simdjson::SUCCESS || type != ondemand::json_type::object)
        return false;
    return doc->get_object().get(*ret) == simdjson::SUCCESS;
}

/* "4711:26844512" */
bool take_id(std::string_view id, struct record *record)
{
    char text[48], *end = nullptr;
    if (id.empty() || id.size() >= sizeof text)
        return false;
    memcpy(text, id.data(), id.size());
    text[id.size()] = '\0';
    unsigned long long xid = strtoull(text, &end, 10);
    if (*end != ':' || xid > UINT32_MAX)
        return false;
    record->xid = static_cast<uint32_t>(xid);
    record->lsn = strtoull(end + 1, &end, 10);
    return *end == '\0' && record->lsn > 0;
}

bool take_source(ondemand::value value, struct record *record)
{
    object source;
    if (value.get_object().get(source) != simdjson::SUCCESS)
        return false;
    bool found = false;
    for (auto field : source) {
        std::string_view key;
        uint64_t number = 0;
        if (field.unescaped_key().get(key) != simdjson::SUCCESS)
            return false;
        if (is(key, "lsn") && field.value().get_uint64().get(number) == simdjson::SUCCESS) {
            record->lsn = number;
            found = true;
        } else if (is(key, "txId") && field.value().get_uint64().get(number) == simdjson::SUCCESS) {
            record->xid = static_cast<uint32_t>(number);
        } else if (is(key, "ts_ms") && field.value().get_uint64().get(number) == simdjson::SUCCESS) {
            record->ts_ms = static_cast<int64_t>(number);
        }
    }
    return found;
}

bool take_transaction(ondemand::value value, struct record *record)
{
    ondemand::json_type type;
    object transaction;
    if (value.type().get(type) != simdjson::SUCCESS)
        return false;
    if (type == ondemand::json_type::null)
        return true;
    if (value.get_object().get(transaction) != simdjson::SUCCESS)
        return false;
    for (auto field : transaction) {
        std::string_view key, id;
        uint64_t number = 0;
        if (field.unescaped_key().get(key) != simdjson::SUCCESS)
            return false;
        if (is(key, "id")) {
            if (field.value().get_string().get(id) != simdjson::SUCCESS || !take_id(id, record))
                return false;
        } else if (is(key, "total_order")) {
            if (field.value().get_uint64().get(number) != simdjson::SUCCESS)
                return false;
            record->order = number;
        }
    }
    return record->order > 0;
}

bool take_extra(ondemand::value value, struct record *record)
{
    object extra;
    if (value.get_object().get(extra) != simdjson::SUCCESS)
        return false;
    for (auto field : extra) {
        std::string_view key, text;
        if (field.unescaped_key().get(key) != simdjson::SUCCESS)
            return false;
        if (is(key, "rule")) {
            if (field.value().get_string().get(text) != simdjson::SUCCESS || text.empty() ||
                text.size() >= RECORD_RULE_MAX)
                return false;
            memcpy(record->rule, text.data(), text.size());
            record->rule[text.size()] = '\0';
        }
    }
    return true;
}

const char *take_field(ondemand::field &field, struct record *record)
{
    std::string_view key, text;
    uint64_t number = 0;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS)
        return "not valid JSON";
    if (is(key, "payload") || is(key, "schema"))
        return "a message with a schema; only plain JSON is replayed (kafka.schemas)";
    if (is(key, "op")) {
        if (field.value().get_string().get(text) != simdjson::SUCCESS || text.size() != 1 || !strchr("cudr", text[0]))
            return "an op that is none of c, u, d, r";
        record->op = text[0];
    } else if (is(key, "source")) {
        return take_source(field.value(), record) ? nullptr : "no source.lsn";
    } else if (is(key, "transaction")) {
        return take_transaction(field.value(), record) ? nullptr : "no transaction id and order";
    } else if (is(key, "pgrekey")) {
        return take_extra(field.value(), record) ? nullptr : "no name of a rule";
    } else if (is(key, "status")) {
        if (field.value().get_string().get(text) != simdjson::SUCCESS)
            return "a status that is no text";
        record->kind = is(text, "BEGIN") ? RECORD_BEGIN : is(text, "END") ? RECORD_END : RECORD_FOREIGN;
    } else if (is(key, "id")) {
        if (field.value().get_string().get(text) != simdjson::SUCCESS || !take_id(text, record))
            return "no transaction id";
    } else if (is(key, "event_count")) {
        if (field.value().get_uint64().get(number) == simdjson::SUCCESS)
            record->event_count = number;
    } else if (is(key, "ts_ms")) {
        if (record->ts_ms == 0 && field.value().get_uint64().get(number) == simdjson::SUCCESS)
            record->ts_ms = static_cast<int64_t>(number);
    }
    return nullptr;
}

const char *decode(record_decoder *d, const char *bytes, size_t len, struct record *record)
{
    ondemand::document doc;
    object root;
    if (!open_object(d, bytes, len, &doc, &root))
        return "not a JSON object";
    for (simdjson::simdjson_result<ondemand::field> result : root) {
        ondemand::field field;
        if (std::move(result).get(field) != simdjson::SUCCESS)
            return "not valid JSON";
        const char *reason = take_field(field, record);
        if (reason)
            return reason;
    }
    if (record->kind != RECORD_CHANGE)
        return record->kind == RECORD_FOREIGN || record->lsn == 0 ? "not a message of ours" : nullptr;
    if (!record->op || !*record->rule || record->lsn == 0)
        return "not a message of ours";
    if (record->order == 0 && record->op != 'r' && record->op != 'd')
        return "a change outside a transaction";
    return nullptr;
}

/* ---- values ---- */

bool put_text(std::string_view text, struct arena *arena, struct value *ret)
{
    if (text.size() > UINT32_MAX - 1)
        return false;
    *ret = {arena_strndup(arena, text.data(), text.size()), static_cast<uint32_t>(text.size()), VALUE_TEXT};
    return true;
}

std::string_view trimmed(std::string_view token)
{
    while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ')
        token.remove_suffix(1);
    return token;
}

bool take_value(ondemand::value value, struct arena *arena, struct value *ret)
{
    ondemand::json_type type;
    std::string_view text;
    bool truth = false;
    if (value.type().get(type) != simdjson::SUCCESS)
        return false;
    switch (type) {
    case ondemand::json_type::null: *ret = {nullptr, 0, VALUE_NULL}; return true;
    case ondemand::json_type::boolean:
        return value.get_bool().get(truth) == simdjson::SUCCESS && put_text(truth ? "t" : "f", arena, ret);
    case ondemand::json_type::string:
        return value.get_string().get(text) == simdjson::SUCCESS && put_text(text, arena, ret);
    case ondemand::json_type::number: return put_text(trimmed(value.raw_json_token()), arena, ret);
    default: return false;
    }
}

/* Columns mostly come in the relation's order. */
int find_column(const struct relation *relation, std::string_view name, size_t *next)
{
    for (size_t tried = 0; tried < relation->column_count; tried++) {
        size_t at = (*next + tried) % relation->column_count;
        if (name == relation->columns[at].name) {
            *next = at + 1;
            return static_cast<int>(at);
        }
    }
    return -1;
}

bool take_row(object row, const struct relation *relation, struct value *values, struct arena *arena)
{
    size_t next = 0;
    for (auto field : row) {
        std::string_view name;
        if (field.unescaped_key().get(name) != simdjson::SUCCESS)
            return false;
        int at = find_column(relation, name, &next);
        if (at < 0)
            continue;
        ondemand::value value;
        if (field.value().get(value) != simdjson::SUCCESS || !take_value(value, arena, &values[at]))
            return false;
    }
    return true;
}

bool has_key(const struct relation *relation, const struct value *values)
{
    for (size_t k = 0; k < relation->key_count; k++)
        if (values[relation->key[k]].state != VALUE_TEXT)
            return false;
    return true;
}

} // namespace

extern "C" struct record_decoder *record_decoder_new(void)
{
    return new (std::nothrow) record_decoder;
}

extern "C" void record_decoder_free(struct record_decoder *decoder)
{
    delete decoder;
}

extern "C" void record_decode(struct record_decoder *decoder, const char *value, size_t len, struct record *ret_record)
{
    *ret_record = record{};
    ret_record->kind = RECORD_CHANGE;
    const char *reason = decode(decoder, value, len, ret_record);
    if (!reason)
        return;
    ret_record->kind = RECORD_FOREIGN;
    ret_record->reason = reason;
}

extern "C" bool record_values(struct record_decoder *decoder, const char *value, size_t len,
                              const struct record *record, const struct relation *relation, struct value *ret_values,
                              struct arena *arena, const char **ret_reason)
{
    ondemand::document doc;
    object root, row;
    memset(ret_values, 0, relation->column_count * sizeof *ret_values);
    *ret_reason = "values that cannot be read";
    if (!open_object(decoder, value, len, &doc, &root) ||
        root.find_field_unordered(record->op == 'd' ? "before" : "after").get_object().get(row) != simdjson::SUCCESS ||
        !take_row(row, relation, ret_values, arena))
        return false;
    *ret_reason = "no key";
    return has_key(relation, ret_values);
}
