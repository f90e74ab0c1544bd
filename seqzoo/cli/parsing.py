"""Additions to typer's parser: options with several values, and usage errors in one line."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

import typer

from seqzoo.errors import UsageError, one_line

__all__ = [
    "ParserError",
    "explain",
    "read_model_settings",
    "read_split",
    "read_whole_number",
    "spread",
]

# Some versions of typer ship their parser, others use click's: the base of both, by its position.
ParserError: Any = typer.BadParameter.__mro__[1]

_NEGATIVE_NUMBER = re.compile(r"-\d+(\.\d+)?")


def spread(arguments: Sequence[str], repeatable: Collection[str]) -> list[str]:
    """Repeat an option before each of the values that follow it, up to the next option.

    A negative number is a value; any other value that begins with a dash is written
    ``--history=-value``.

    Raises:
        ParserError: an option is followed by no value.
    """
    result: list[str] = []
    option, values = "", 1
    for index, word in enumerate([*arguments, "--"]):
        is_option = word.startswith("-") and word != "-" and not _NEGATIVE_NUMBER.fullmatch(word)
        if is_option and option and not values:
            raise ParserError(f"option '{option}' needs one value or more")
        if word == "--":
            return [*result, *arguments[index:]]
        if is_option:
            option, values = (word if word in repeatable else ""), 0
            if not option:
                result.append(word)
        else:
            result.append(f"{option}={word}" if option else word)
            values += 1
    return result


def read_whole_number(text: str | int) -> int:
    """A whole number, or an error that shows what was given."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a whole number") from None


def read_model_settings(settings: Sequence[str], verb: str) -> dict[str, Any]:
    """The settings of a verb that takes only ``model.KEY=VALUE``, without the prefix ``model.``.

    Raises:
        UsageError: a setting belongs to another section.
        ConfigError: a setting is not of the form ``model.KEY=VALUE``.
    """
    from seqzoo.config import parse_overrides  # omegaconf, which `--help` does without

    sections = parse_overrides(settings)
    others = sorted(set(sections) - {"model"})
    if others:
        raise UsageError(f"{verb} takes settings of model.*; got some of {', '.join(others)}")
    return dict(sections.get("model", {}))


def explain(error: Any, words: Sequence[str]) -> str:
    """A usage error in one line, with the nearest option and the command that shows them all.

    Args:
        error: the error that typer's parser raised.
        words: the command line.
    """
    # Some errors of the parser do not have the verb.
    context = error.ctx
    path = context.command_path if context else " ".join(["seqzoo", *words[:1]])
    text = one_line(error.format_message()).rstrip(".").replace("Value error, ", "")
    if hasattr(error, "possibilities"):
        known = [name for parameter in context.command.params for name in parameter.opts]
        close = difflib.get_close_matches(error.option_name, known, n=1, cutoff=0.7)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        text = f"unknown option '{error.option_name}'{hint}"
    text = text[:1].lower() + text[1:]
    ending = "" if text.endswith("?") else ";"
    return f"{text}{ending} `{path} --help` shows what it takes"


def read_split(settings: list[str] | None) -> dict[str, Any] | None:
    """The values of ``--split KEY=VALUE``; None if there are none.

    Raises:
        UsageError: one is not of this form.
    """
    for setting in settings or []:
        key, equals, _ = setting.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(
                f"--split is '{setting}'; expected KEY=VALUE, for example --split share=0.2"
            )
    if not settings:
        return None
    from seqzoo.config import parse_overrides  # omegaconf, which `--help` does without

    return parse_overrides(settings)
