"""The completion script for bash: a table of words, in which nothing comes from a server or from a file."""

import argparse
from collections.abc import Iterator
from typing import Final

from vedette.cli.main import parsers

OF_SERVER: Final = ("server", "tenant", "user", "backup", "restore", "migrate", "feed", "demo", "version")

_SCRIPT: Final = """\
# bash completion for vedette(1); written by `vedette completion bash`.
_vedette() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} key="" word words=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [[ $word == -* ]] && break
        case "$key $word" in
{paths}) key="$key $word" ;;
            *) break ;;
        esac
    done
    case "$key" in
{words}
    esac
    COMPREPLY=()
    for word in $words; do
        [[ $word != "$current"* ]] || COMPREPLY+=("$word")
    done
    # After the words of a command: files.
    if ((${{#COMPREPLY[@]}} == 0)); then compopt -o default 2>/dev/null || true; fi
}}
complete -F _vedette vedette
"""


def script() -> str:
    """The whole script."""
    table = dict(_walk(parsers()[0], ""))
    table[""] = sorted({*table[""], *OF_SERVER})
    paths = " | \\\n".join(f"            {_quoted(path)}" for path in table if path)
    words = "\n".join(f"        {_quoted(path)}) words={_quoted(' '.join(words))} ;;" for path, words in table.items())
    return _SCRIPT.format(paths=paths, words=words)


def _walk(node: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, list[str]]]:
    """For each path of commands, what can stand behind it."""
    words: list[str] = []
    for action in node._actions:
        if isinstance(action, argparse._SubParsersAction):
            words += action.choices
            for name, inner in action.choices.items():
                yield from _walk(inner, f"{path} {name}")
        else:
            words += [name for name in action.option_strings if name.startswith("--")] or map(str, action.choices or ())
    yield path, words


def _quoted(text: str) -> str:
    assert "'" not in text
    return f"'{text}'"
