"""The exceptions of seqzoo: every mistake of a user raises a ``SeqzooError``.

A message is one line that says what was given, what was expected, the nearest valid choice and, if
there is one, the command that fixes it. The command line prints it without a traceback and exits
with ``exit_code``.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendUnavailableError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "FormatVersionError",
    "HubError",
    "IntegrityError",
    "NotFiniteError",
    "PluginError",
    "SeqzooError",
    "StoreError",
    "TrainingError",
    "UnknownItemError",
    "UnknownNameError",
    "UsageError",
    "error_text",
    "nearest",
    "one_line",
]


_LONGEST = 2000


class SeqzooError(Exception):
    """Base class of all errors that seqzoo raises on purpose.

    The text is always one line of at most 2,000 characters, however long the values that it quotes.
    """

    exit_code = 2

    def __str__(self) -> str:
        text = " ".join(super().__str__().splitlines())
        # The remedy is at the end.
        return text if len(text) <= _LONGEST else f"{text[:1200]} … {text[3 - _LONGEST + 1200 :]}"


class UsageError(SeqzooError):
    """An argument has an invalid value."""


class UnknownNameError(SeqzooError):
    """A name that is not registered: a model, a part, a data set, a protocol or a metric."""


class ConfigError(SeqzooError):
    """A configuration key is unknown or its value has the wrong type."""


class DataError(SeqzooError):
    """Interactions cannot be read, or nothing is left after filtering."""


class UnknownItemError(DataError):
    """A history has items that are not in the model's vocabulary."""


class DownloadError(SeqzooError):
    """A download is incomplete or has a wrong checksum."""


class PluginError(SeqzooError):
    """A plugin cannot be used; the message names the plugin and its distribution."""


class CheckpointError(SeqzooError):
    """A checkpoint folder cannot be used as it is; the message names the file and the remedy."""


class IntegrityError(CheckpointError):
    """A file of a checkpoint differs from the sha256 or the size recorded for it."""


class FormatVersionError(CheckpointError):
    """This version of seqzoo cannot read the format of a checkpoint."""


class HubError(SeqzooError):
    """The Hub cannot be reached, refuses, or lacks the requested model."""


class TrainingError(SeqzooError):
    """Training cannot start, resume or continue."""


class NotFiniteError(SeqzooError):
    """A model computes NaN or infinite scores: its weights are damaged or overflow."""


class StoreError(SeqzooError):
    """A store of sessions cannot be used."""


class BackendUnavailableError(SeqzooError):
    """A compute backend was requested by name and does not work here."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint ``; did you mean 'x'?`` for the known name closest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def one_line(text: object, limit: int | None = None) -> str:
    """A value as one line, at most ``limit`` characters of it."""
    return " ".join(str(text).split())[:limit]


def error_text(error: BaseException) -> str:
    """The message of any exception in one line, with its type unless it is a ``SeqzooError``."""
    try:
        message = one_line(error)
    except Exception:  # its __str__ may be broken too
        message = ""
    if isinstance(error, SeqzooError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
