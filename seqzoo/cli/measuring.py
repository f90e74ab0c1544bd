"""Shared by ``eval`` and ``compare``: checks of their options, the data, and the progress bar."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePath
from typing import Any

from seqzoo.cli.output import log_from
from seqzoo.cli.progress import users_bar
from seqzoo.errors import UsageError
from seqzoo.evaluation.protocol import get_protocol
from seqzoo.model.sequence_model import SequenceModel


def check_options(protocol: str, batch_size: int, data: str | None, *, quiet: bool) -> None:
    """Check the options before any weights are read, and apply ``--quiet``.

    Raises:
        UsageError: the batch size is below 1, or the data are an empty string.
        UnknownNameError: no protocol has the name.
    """
    if batch_size < 1:
        raise UsageError(f"--batch-size is {batch_size}; expected 1 or more")
    if data == "":
        raise UsageError("--data is empty; give the name of a data set, a file or a folder")
    get_protocol(protocol)
    if quiet:
        log_from(logging.ERROR)


def source_of(name: str, model: SequenceModel, data: str | None) -> str:
    """The data to measure on: ``--data``, or else the data of the checkpoint's recipe.

    Raises:
        UsageError: there is neither.
    """
    source = model.recipe.get("data", {}).get("source") if data is None else data
    if not source:
        raise UsageError(f"the recipe of {name} names no data; give them with --data")
    return str(source)


def progress(
    models: Sequence[SequenceModel], protocol: str, source: str, *, quiet: bool
) -> AbstractContextManager[Callable[[int], None]]:
    """A bar for the users of all models; its length is known if the data are the stored ones."""
    expected = [_expected_users(model.metrics.get(protocol, {}), source) for model in models]
    known = [users for users in expected if users is not None]
    return users_bar(sum(known) if len(known) == len(models) else None, quiet=quiet)


def _expected_users(stored: Any, source: str) -> int | None:
    same = stored.get("data", {}).get("name") == PurePath(source).name
    return stored.get("users") if same else None
