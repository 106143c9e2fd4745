"""``cipp-mcp completion``: scripts for four shells; what they offer comes from the parser and the catalogue.

The scripts ask ``cipp-mcp complete-words`` for the words that fit, so they never go stale.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

Candidate = tuple[str, str]
"""(the word, what it means)."""

_BASH = r"""_cipp_mcp() {
    local IFS=$'\n'
    COMPREPLY=($(cipp-mcp complete-words --split --at "$((COMP_CWORD - 1))" -- "${COMP_WORDS[@]:1}" 2>/dev/null | cut -f1))
    if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _cipp_mcp cipp-mcp
"""
_ZSH = r"""#compdef cipp-mcp
_cipp_mcp() {
    local line
    local -a open closed
    for line in "${(@f)$(cipp-mcp complete-words --at "$((CURRENT - 2))" -- "${(@)words[2,-1]}" 2>/dev/null)}"; do
        line=${line%%$'\t'*}
        if [[ $line == *= ]]; then open+=("$line"); elif [[ -n $line ]]; then closed+=("$line"); fi
    done
    (( ${#open} )) && compadd -U -S '' -- "${open[@]}"
    (( ${#closed} )) && compadd -U -- "${closed[@]}"
}
compdef _cipp_mcp cipp-mcp
"""
_FISH = r"""function __cipp_mcp_words
    set -l words (commandline -opc)
    cipp-mcp complete-words --at (math (count $words) - 1) -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c cipp-mcp -f -a '(__cipp_mcp_words)'
"""
_POWERSHELL = r"""Register-ArgumentCompleter -Native -CommandName cipp-mcp -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    $at = if ($wordToComplete) { $words.Count - 1 } else { $words.Count }
    cipp-mcp complete-words --at $at '--' @words 2>$null | ForEach-Object {
        $word, $meaning = $_ -split "`t", 2
        if (-not $meaning) { $meaning = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $meaning)
    }
}
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}


def add_completion(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Adds ``completion``, and the command its scripts call, to the sub-commands of `parser`."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands and endpoint names in your shell",
        description="Prints a completion script. bash, zsh: add  source <(cipp-mcp completion bash)  to ~/.bashrc or "
        "~/.zshrc (after compinit). fish: cipp-mcp completion fish > ~/.config/fish/completions/cipp-mcp.fish. "
        "PowerShell: add  cipp-mcp completion powershell | Out-String | Invoke-Expression  to $PROFILE.",
    )
    completion.add_argument("shell", choices=tuple(SCRIPTS), help="your shell")
    completion.set_defaults(run=_print_script)
    asked = commands.add_parser("complete-words")  # without help, so that it is not listed
    asked.add_argument("--at", type=int, required=True)
    asked.add_argument("--split", action="store_true")
    asked.add_argument("words", nargs="*")
    asked.set_defaults(run=lambda arguments: _print_words(parser, arguments))


def _print_script(arguments: argparse.Namespace) -> int:
    print(SCRIPTS[arguments.shell], end="")
    return 0


def _print_words(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    words = [*arguments.words[: arguments.at], *(arguments.words[arguments.at : arguments.at + 1] or [""])]
    whole = joined(words) if arguments.split else words
    # Shells that take = for the end of a word replace only what follows it.
    cut = whole[-1].rfind("=") + 1 if arguments.split else 0
    for word, meaning in candidates(parser, whole):
        print(f"{word[cut:]}\t{meaning}" if meaning else word[cut:])
    return 0


def joined(words: Sequence[str]) -> list[str]:
    """`words` as bash has them, with ``key``, ``=``, ``value`` put together again."""
    whole: list[str] = []
    for position, word in enumerate(words):
        follows = position > 0 and (word == "=" or words[position - 1] == "=")
        if follows and whole:
            whole[-1] += word
        else:
            whole.append(word)
    return whole


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[Candidate]:
    """What the last of `words` (those after the program's name) may become."""
    *before, typed = words
    names: list[str] = []
    positionals: list[str] = []
    waiting: argparse.Action | None = None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            waiting = next((a for a in parser._actions if word in a.option_strings and a.nargs != 0), None)
        elif (inner := _commands(parser).get(word)) is not None:
            parser = inner
            names.append(word)
        else:
            positionals.append(word)
    if waiting is not None:
        found: Iterator[Candidate] = ((str(choice), "") for choice in waiting.choices or _known(waiting.dest))
    elif typed.startswith("-"):
        found = _options(parser)
    elif _commands(parser):
        found = _listed_commands(parser)
    else:
        found = _arguments(parser, " ".join(names), positionals, typed)
    return [(word, meaning) for word, meaning in found if word.lower().startswith(typed.lower())]


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _listed_commands(parser: argparse.ArgumentParser) -> Iterator[Candidate]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((choice.dest, choice.help or "") for choice in action._choices_actions)


def _options(parser: argparse.ArgumentParser) -> Iterator[Candidate]:
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            yield action.option_strings[-1], action.help or ""


def _arguments(parser: argparse.ArgumentParser, command: str, given: Sequence[str], typed: str) -> Iterator[Candidate]:
    if command == "call":
        yield from _pairs(given[0], given[1:], typed) if given else _endpoints()
    elif command == "tools" and not given:
        from cipp_mcp.registry import AREAS

        yield from ((area, "area") for area in AREAS)
        yield from _endpoints()
    else:
        expected = [action for action in parser._actions if not action.option_strings]
        if len(given) < len(expected):
            yield from ((str(choice), "") for choice in expected[len(given)].choices or ())


def _known(option: str) -> Sequence[str]:
    """The values of an option that come from the catalogue, which the parser does not load."""
    if option not in ("area", "risk"):
        return ()
    from cipp_mcp.registry import AREAS, RISKS

    return AREAS if option == "area" else RISKS


def _endpoints() -> Iterator[Candidate]:
    from cipp_mcp.registry import NEVER_CALLABLE, Registry

    for _, raw in Registry.load().raw():
        if raw["name"] not in NEVER_CALLABLE:
            yield raw["name"], raw["summary"]


def _pairs(name: str, given: Sequence[str], typed: str) -> Iterator[Candidate]:
    """``parameter=`` for every argument not yet given, and ``parameter=value`` where the values are known."""
    from cipp_mcp.registry import Registry

    registry = Registry.load()
    known = registry.resolve(name)
    if known is None:
        return
    used = {pair.partition("=")[0].lower() for pair in given}
    wanted, equals, _ = typed.partition("=")
    for parameter, shape in registry[known].parameters.items():
        if equals and parameter.lower() == wanted.lower():
            values = shape.enum or (["true", "false"] if shape.type == "boolean" else [])
            yield from ((f"{parameter}={_text(value)}", "") for value in values)
        elif not equals and parameter.lower() not in used:
            yield f"{parameter}=", shape.description or ("needed" if shape.required else "")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
