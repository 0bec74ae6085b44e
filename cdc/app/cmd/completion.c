/* Completion for shells, from the table of commands. Both scripts are data and a fixed engine: a case per command
 * with its options, a case per option with its values. */
#include <string.h>

#include "cdc/app/cmd/command.h"
#include "cdc/app/settings/settings_table.h"

static void put_choices(FILE *out, const char *choices)
{
    for (; *choices; choices++)
        fputc(*choices == '|' ? ' ' : *choices, out);
}

/* First words, each once. */
static void put_first_words(FILE *out)
{
    size_t count, last_len = 0;
    const struct command *commands = command_table(&count);
    const char *last = "";
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(commands[i].name, " ");
        if (len != last_len || strncmp(last, commands[i].name, len) != 0)
            fprintf(out, "%s%.*s", i ? " " : "", (int)len, commands[i].name);
        last = commands[i].name;
        last_len = len;
    }
}

static void put_options(FILE *out, uint64_t which)
{
    const struct option_def *options = command_options();
    for (int id = 0; id < OPTION_COUNT; id++)
        if (which >> id & 1)
            fprintf(out, " --%s", options[id].name);
}

static void put_settings(FILE *out)
{
    size_t count;
    const struct setting *settings = settings_table(&count);
    for (size_t i = 0; i < count; i++)
        fprintf(out, " %s=", settings[i].name);
}

/* `file` and `words` are the shell's own ways to offer files, or one of some words (two halves around them). */
static void put_values(FILE *out, const char *file, const char *words_begin, const char *words_end)
{
    const struct option_def *options = command_options();
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (options[id].kind == OPTION_FLAG)
            continue;
        fprintf(out, "    --%s", options[id].name);
        if (options[id].letter)
            fprintf(out, "|-%c", options[id].letter);
        fprintf(out, ") ");
        if (options[id].kind == OPTION_FILE)
            fprintf(out, "%s", file);
        if (options[id].choices || id == OPT_SET) {
            fprintf(out, "%s", words_begin);
            if (id == OPT_SET)
                put_settings(out);
            else
                put_choices(out, options[id].choices);
            fprintf(out, "%s", words_end);
        }
        fprintf(out, " return ;;\n");
    }
}

static void put_second_words(FILE *out)
{
    size_t count;
    const struct command *commands = command_table(&count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(commands[i].name, " ");
        if (commands[i].name[len] != ' ' || (i > 0 && strncmp(commands[i - 1].name, commands[i].name, len + 1) == 0))
            continue;
        fprintf(out, "    %.*s) words='", (int)len, commands[i].name);
        for (size_t j = i; j < count && strncmp(commands[j].name, commands[i].name, len + 1) == 0; j++)
            fprintf(out, "%s%s", j > i ? " " : "", commands[j].name + len + 1);
        fprintf(out, "' ;;\n");
    }
}

static void put_command_cases(FILE *out)
{
    size_t count;
    const struct command *commands = command_table(&count);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "    '%s') words='", commands[i].name);
        if (commands[i].choices)
            put_choices(out, commands[i].choices);
        else if (strcmp(commands[i].name, "help") == 0)
            put_first_words(out);
        put_options(out, commands[i].options | command_global_options());
        fprintf(out, "'%s ;;\n", strcmp(commands[i].name, "map check") == 0 ? "; files=1" : "");
    }
}

/* The part that both shells share: from the words typed so far to the words that may follow. It is plain POSIX. */
static void put_engine(FILE *out)
{
    fprintf(out, "  local words='' files='' command=''\n  case \"$first\" in\n");
    put_second_words(out);
    fprintf(out, "  esac\n"
                 "  command=\"$first${second:+ $second}\"\n"
                 "  if [ -z \"$first\" ]; then\n"
                 "    words='");
    put_first_words(out);
    put_options(out, command_global_options());
    fprintf(out, "'\n"
                 "  fi\n"
                 "  case \"$command\" in\n");
    put_command_cases(out);
    fprintf(out, "  esac\n"
                 "  [ -n \"$words\" ] || case \"$first\" in\n");
    size_t count;
    const struct command *commands = command_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (strchr(commands[i].name, ' '))
            continue;
        fprintf(out, "    %s) words='", commands[i].name);
        put_options(out, commands[i].options | command_global_options());
        fprintf(out, "' ;;\n");
    }
    fprintf(out, "  esac\n");
}

static void put_values_flags(FILE *out)
{
    const struct option_def *options = command_options();
    const char *separator = "";
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (options[id].kind == OPTION_FLAG)
            continue;
        fprintf(out, "%s--%s", separator, options[id].name);
        if (options[id].letter)
            fprintf(out, "|-%c", options[id].letter);
        separator = "|";
    }
}

static void print_bash(FILE *out)
{
    fprintf(out, "# bash completion of pgrekey; written by `pgrekey completion bash`\n"
                 "_pgrekey() {\n"
                 "  local current=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                 "  local first='' second='' i=1\n"
                 "  COMPREPLY=()\n"
                 "  case \"$before\" in\n");
    put_values(out, "mapfile -t COMPREPLY < <(compgen -f -- \"$current\");", "mapfile -t COMPREPLY < <(compgen -W '",
               "' -- \"$current\");");
    fprintf(out, "  esac\n"
                 "  while [ \"$i\" -lt \"$COMP_CWORD\" ]; do\n"
                 "    case \"${COMP_WORDS[i]}\" in\n      ");
    put_values_flags(out);
    fprintf(out, ") i=$((i + 1)) ;;\n"
                 "      -*) ;;\n"
                 "      *) if [ -z \"$first\" ]; then first=\"${COMP_WORDS[i]}\"\n"
                 "         elif [ -z \"$second\" ]; then second=\"${COMP_WORDS[i]}\"; fi ;;\n"
                 "    esac\n"
                 "    i=$((i + 1))\n"
                 "  done\n");
    put_engine(out);
    fprintf(out, "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
                 "  [ -z \"$files\" ] || mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$current\")\n"
                 "}\n"
                 "complete -F _pgrekey pgrekey\n");
}

static void print_zsh(FILE *out)
{
    fprintf(out, "#compdef pgrekey\n"
                 "# zsh completion of pgrekey; written by `pgrekey completion zsh`\n"
                 "_pgrekey() {\n"
                 "  local cur=\"${words[CURRENT]}\" before=\"${words[CURRENT-1]}\" first='' second='' i=2\n"
                 "  local -a typed; typed=(\"${words[@]}\")\n"
                 "  local at=$CURRENT\n"
                 "  case \"$before\" in\n");
    put_values(out, "_files;", "compadd -- ${=:-", "};");
    fprintf(out, "  esac\n"
                 "  while [ \"$i\" -lt \"$at\" ]; do\n"
                 "    case \"${typed[i]}\" in\n      ");
    put_values_flags(out);
    fprintf(out, ") i=$((i + 1)) ;;\n"
                 "      -*) ;;\n"
                 "      *) if [ -z \"$first\" ]; then first=\"${typed[i]}\"\n"
                 "         elif [ -z \"$second\" ]; then second=\"${typed[i]}\"; fi ;;\n"
                 "    esac\n"
                 "    i=$((i + 1))\n"
                 "  done\n"
                 "  _pgrekey_offer\n"
                 "}\n"
                 "_pgrekey_offer() {\n");
    put_engine(out);
    fprintf(out, "  compadd -- ${=words}\n"
                 "  [ -z \"$files\" ] || _files\n"
                 "}\n"
                 "if [ \"$funcstack[1]\" = '_pgrekey' ]; then _pgrekey \"$@\"; else compdef _pgrekey pgrekey; fi\n");
}

bool completion_print(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(out);
    else
        return false;
    return true;
}
