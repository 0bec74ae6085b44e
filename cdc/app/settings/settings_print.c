/* What people read of the table of settings: help, manual, example file. */
#include <string.h>

#include "cdc/app/settings/settings_table.h"
#include "cdc/app/cmd/term.h"

static size_t section_len(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

static void print_default(const struct setting *setting, FILE *out)
{
    fprintf(out, "%s", setting_type_name(setting));
    if (setting->fallback)
        fprintf(out, "; default %s", setting->fallback);
}

void settings_print_help(FILE *out)
{
    size_t count;
    const struct setting *settings = settings_table(&count);
    char env[SETTING_ENV_MAX];
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  %s (", settings[i].name);
        print_default(&settings[i], out);
        fprintf(out, ")\n");
        term_wrap(out, settings[i].doc, "      ", 92);
        fprintf(out, "      %s\n", setting_env_name(&settings[i], env));
    }
}

void settings_print_man(FILE *out)
{
    size_t count;
    const struct setting *settings = settings_table(&count);
    char env[SETTING_ENV_MAX];
    for (size_t i = 0; i < count; i++) {
        fprintf(out, ".TP\n.B ");
        term_roff(out, settings[i].name);
        fprintf(out, "\n(");
        print_default(&settings[i], out);
        fprintf(out, ")\n");
        term_roff(out, settings[i].doc);
        fprintf(out, "\nEnvironment: %s.\n", setting_env_name(&settings[i], env));
    }
}

static void print_example_value(const struct setting *setting, const char *indent, FILE *out)
{
    const char *name = setting->name + section_len(setting->name);
    name += *name == '.';
    const char *value = setting->example ? setting->example : setting->fallback;
    bool quoted = setting->example && setting->type == SETTING_TEXT;
    fprintf(out, "%s%s%s:", indent, setting->example ? "" : "# ", name);
    if (value)
        fprintf(out, quoted ? " \"%s\"" : " %s", value);
    fputc('\n', out);
}

void settings_print_example(FILE *out)
{
    size_t count, last_len = 0;
    const char *last = "";
    const struct setting *settings = settings_table(&count);
    fputs(
        "# Settings of pgrekey. Lines that are commented out show the default.\n"
        "# Every setting can also come from the environment (source.dsn: PGREKEY_SOURCE_DSN) or from the command line\n"
        "# (--set source.dsn=...). The command line wins over the environment, the environment over this file.\n"
        "# Durations: 500ms, 10s, 5min, 1h, 7d. Sizes: 64kB, 16MB, 1GB. Paths are relative to this file.\n"
        "# Written by `pgrekey settings --example`.\n",
        out);
    for (size_t i = 0; i < count; i++) {
        size_t len = section_len(settings[i].name);
        const char *indent = len ? "  " : "", *doc_indent = len ? "  # " : "# ";
        fputc('\n', out);
        if (len && (len != last_len || strncmp(last, settings[i].name, len) != 0))
            fprintf(out, "%.*s:\n", (int)len, settings[i].name);
        last = settings[i].name;
        last_len = len;
        term_wrap(out, settings[i].doc, doc_indent, 110);
        print_example_value(&settings[i], indent, out);
    }
}
