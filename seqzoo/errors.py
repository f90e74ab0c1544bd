"""The one exception tree of seqzoo: everything a user can do wrong ends in a ``SeqzooError``.

A message is one line that says what was given, what was expected, the nearest valid choice and,
where there is one, the command that mends it. The command line prints it without a traceback and
exits with ``exit_code``.
"""

import difflib
from collections.abc import Iterable


class SeqzooError(Exception):
    """Base of all errors that seqzoo raises on purpose."""

    exit_code = 2


class UsageError(SeqzooError):
    """An argument has a value that the call cannot take."""


class UnknownNameError(SeqzooError):
    """A name that is not registered: a model, a part, a data set, a protocol or a metric."""


class ConfigError(SeqzooError):
    """A configuration key is unknown or its value has the wrong type."""


class DataError(SeqzooError):
    """Interactions that cannot be read, or that leave nothing to work on."""


class UnknownItemError(DataError):
    """A history names items that the model's vocabulary does not hold."""


class DownloadError(SeqzooError):
    """A file could not be fetched whole, or what came has another checksum."""


class PluginError(SeqzooError):
    """A plugin cannot be used; the message names the plugin and its distribution."""


class CheckpointError(SeqzooError):
    """A checkpoint folder cannot be used as it is; the message names the file and the remedy."""


class IntegrityError(CheckpointError):
    """A file of a checkpoint differs from the sha256 or the size recorded for it."""


class FormatVersionError(CheckpointError):
    """A checkpoint was written in a format that this seqzoo does not read."""


class HubError(SeqzooError):
    """The Hub cannot be reached, refuses, or does not have what was asked for."""


class TrainingError(SeqzooError):
    """Training cannot start, resume or go on."""


class NotFiniteError(SeqzooError):
    """A model computes NaN or infinite scores: its weights are damaged or overflow."""


class BackendUnavailableError(SeqzooError):
    """A compute backend was asked for by name and does not work here."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint ``; did you mean 'x'?`` for the known name closest to ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def one_line(text: object, limit: int | None = None) -> str:
    """A text in one line, at most ``limit`` characters of it."""
    return " ".join(str(text).split())[:limit]


def error_text(error: BaseException) -> str:
    """What an exception of foreign code says, in one line; with its type, unless it is ours."""
    try:
        message = one_line(error)
    except Exception:  # its __str__ may be broken too
        message = ""
    if isinstance(error, SeqzooError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
