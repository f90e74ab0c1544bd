"""Numbers and commands as text."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from seqzoo.validation import looks_like_path

__all__ = [
    "as_model",
    "command",
    "count",
    "eval_command",
    "metric",
    "recommend_command",
    "seconds",
    "size",
]


def metric(value: float | None) -> str:
    """A metric with 4 digits."""
    return "" if value is None else f"{value:.4f}"


def count(value: int | None) -> str:
    """A whole number with separated thousands."""
    return "" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """A number of bytes in the unit that suits it."""
    if value is None:
        return ""
    amount, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit in ("B", "KiB") else f"{amount:.1f} {unit}"


def seconds(value: float) -> str:
    """A duration in seconds, minutes or hours."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def command(*words: object) -> str:
    """A command line, quoted for the shell."""
    return shlex.join(str(word) for word in words)


def recommend_command(name: object, history: Sequence[object]) -> str:
    """The command that recommends after a history."""
    return command("seqzoo", "recommend", name, "--history", *history)


def eval_command(name: object, metrics: Mapping[str, Any]) -> str:
    """The command that measures the stored metrics of a checkpoint again."""
    own = [] if not metrics or "loo-full" in metrics else ["--protocol", next(iter(metrics))]
    return command("seqzoo", "eval", name, *own)


def as_model(name: object) -> str:
    """A folder as commands take it: one without a separator needs ``./`` to be a path."""
    text = str(name)
    return text if looks_like_path(text) else f"./{text}"
