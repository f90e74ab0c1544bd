"""Search spaces as plain data: the ranges and choices that trials draw settings from.

A range is written ``"1e-4..1e-2"`` (numbers) or ``"1..4"`` (whole numbers), a choice as a list:
``[16, 32, 64]``. A range of positive numbers whose end is ten times its start or more is drawn on a
logarithmic scale. The keys are settings as on the command line: ``train.lr``, ``model.dropout``.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from seqzoo.config import parse_overrides
from seqzoo.errors import ConfigError
from seqzoo.plugins import catalogue

__all__ = [
    "COMMON",
    "Choice",
    "Range",
    "Space",
    "nested",
    "parse_search",
    "parse_space",
    "space_of",
    "with_defaults",
]

COMMON: Mapping[str, Any] = {"train.lr": "3e-4..5e-3", "train.batch_size": [8, 16, 32]}
"""Searched for every architecture that learns by gradients, with what its plugin declares."""

_RANGE = re.compile(r"\s*([^.\s]\S*?|\.\S+?)\s*\.\.\s*(\S+)\s*")
_KEY = re.compile(r"(model|train)\.[a-z_][a-z0-9_]*")
_EXPECTED = "expected a range such as 1e-4..1e-2 or 1..4, or a list of choices such as [16, 32]"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        low, high: whole numbers if both were written so.
        log: whether equal factors, not equal differences, are equally likely.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int)

    @property
    def ends(self) -> list[Any]:
        """The values to check before any trial."""
        return [self.low, self.high]

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, int if self.whole else int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@dataclass(frozen=True)
class Choice:
    """One of some values: strings, numbers or booleans."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> list[Any]:
        """The values to check before any trial."""
        return list(self.values)

    def __contains__(self, value: object) -> bool:
        return any(value == each and type(value) is type(each) for each in self.values)

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.values))}]"


Space: TypeAlias = dict[str, Range | Choice]
"""What is searched, by setting."""


def parse_space(entries: Mapping[str, Any], where: str = "the search space") -> Space:
    """Read a search space from plain values.

    Args:
        entries: a range or a list of choices by setting.
        where: what the space belongs to, for messages.

    Raises:
        ConfigError: a key is not a setting of the model or of training, or a value is neither a
            range nor a list of choices.
    """
    space: Space = {}
    for key, value in entries.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ConfigError(
                f"{where} names {key!r}; expected a setting of model or train, for example "
                "train.lr or model.dropout"
            )
        space[key] = _entry(f"{where}: {key}", value)
    return space


def _entry(where: str, value: Any) -> Range | Choice:
    if isinstance(value, list | tuple):
        plain = all(isinstance(each, str | int | float | bool) for each in value)
        if not value or not plain or len(set(map(repr, value))) < len(value):
            raise ConfigError(f"{where} is {value!r}; {_EXPECTED}, all different")
        return Choice(tuple(value))
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(f"{where} is {value!r}; {_EXPECTED}")
    try:
        low, high = (
            int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text) for text in found.groups()
        )
    except ValueError:
        raise ConfigError(f"{where} is {value!r}; {_EXPECTED}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{where} is {value!r}; expected a start that is less than the end")
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return Range(low, high, log=low > 0 and high >= 10 * low)


def parse_search(words: list[str]) -> dict[str, Any]:
    """Turn ``["train.lr=1e-4..1e-2", "model.num_layers=[1, 2]"]`` into entries by setting.

    Raises:
        ConfigError: a word is not of this form.
    """
    entries = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(
                f"--search {word!r} is not of the form SETTING=RANGE; {_EXPECTED}: "
                "--search train.lr=1e-4..1e-2"
            )
        if ".." in text:
            entries[key.strip()] = text
        else:
            (values,) = parse_overrides([f"value={text}"]).values()
            entries[key.strip()] = values
    return entries


def space_of(architecture: str, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> Space:
    """The search space of an architecture, with the user's own entries in place of declared ones.

    Args:
        architecture: registered name.
        given: entries of the user.
        fixed: sections of settings that the user has fixed, which are not searched.

    Raises:
        UnknownNameError: no architecture has the name.
        ConfigError: an entry is invalid, a setting is both searched and fixed, or nothing is left.
    """
    spec = catalogue().architectures.get(architecture)
    own = parse_space(given)
    taken = {f"{section}.{key}" for section in ("model", "train") for key in fixed.get(section, {})}
    both = sorted(own.keys() & taken)
    if both:
        raise ConfigError(f"{both[0]} is both searched and fixed; leave one of them out")
    declared = parse_space({**COMMON, **spec.search}, f"the search space of '{architecture}'")
    space = {**declared, **own}
    # Another head may lack the settings that are declared for the architecture's own.
    space = {key: entry for key, entry in space.items() if key not in taken}
    if not space:
        raise ConfigError(
            "nothing is left to search: every setting of the space is fixed; name one with "
            "--search, for example --search train.lr=1e-4..1e-2"
        )
    return space


def with_defaults(space: Space, defaults: Mapping[str, Any], given: Collection[str]) -> Space:
    """The space with the defaults among the choices, so that the first trial can have them.

    The data may decide a default, such as the batch size, that no plugin has declared as a choice.

    Args:
        space: what is searched.
        defaults: the settings of a run without tuning, by setting.
        given: the settings whose entry is the user's own, which stay.
    """
    found = dict(space)
    for key, entry in space.items():
        lacking = key not in given and key in defaults and defaults[key] not in entry
        if lacking and isinstance(entry, Choice):
            found[key] = Choice((*entry.values, defaults[key]))
    return found


def nested(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"train.lr": 1e-3}`` as ``{"train": {"lr": 1e-3}}``."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return sections
