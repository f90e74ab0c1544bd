"""Shared by ``eval`` and ``compare``: their options, the data, and the progress bar."""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Any, get_type_hints

from seqzoo.cli.options import (
    BatchSize,
    Data,
    Device,
    ItemCol,
    Json,
    Lists,
    MinCount,
    Protocol,
    Quiet,
    SplitSettings,
    TimeCol,
    UserCol,
    given,
)
from seqzoo.cli.output import log_from
from seqzoo.cli.parsing import read_split
from seqzoo.cli.progress import users_bar
from seqzoo.errors import UsageError
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Options", "targets_of", "with_options"]


@dataclass(frozen=True)
class Options:
    """The options of both verbs; ``with_options`` shows them to typer."""

    data: Data = None
    protocol: Protocol = "loo-full"
    split: SplitSettings = None
    user_col: UserCol = None
    item_col: ItemCol = None
    time_col: TimeCol = None
    min_count: MinCount = None
    lists: Lists = False
    batch_size: BatchSize = 128
    device: Device = "cpu"
    as_json: Json = False
    quiet: Quiet = False

    def check(self) -> None:
        """Check the options before any weights are read, and apply ``--quiet``.

        Raises:
            UsageError: the batch size is below 1, or the data are an empty string.
            UnknownNameError: no protocol has the name.
            ConfigError: a setting of the split is unknown or has an invalid value.
        """
        if self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; expected 1 or more")
        if self.data == "":
            raise UsageError("--data is empty; give the name of a data set, a file or a folder")
        split_of(get_protocol(self.protocol), read_split(self.split))
        if self.quiet:
            log_from(logging.ERROR)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the data that are given."""
        return given(
            user_col=self.user_col,
            item_col=self.item_col,
            time_col=self.time_col,
            min_count=self.min_count,
            split=read_split(self.split),
        )

    def source_of(self, name: str, model: SequenceModel) -> str:
        """The data to measure on: ``--data``, or else the data of the checkpoint's recipe.

        Raises:
            UsageError: there is neither.
        """
        recipe = model.recipe.get("data", {})
        source = recipe.get("source") if self.data is None else self.data
        if not source:
            raise UsageError(f"the recipe of {name} names no data; give them with --data")
        return str(source)

    def progress(
        self, models: Sequence[SequenceModel], source: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar for the targets of all models, with a length if the data are the stored ones."""
        stored = [model.metrics.get(self.protocol, {}) for model in models]
        same = all(
            entry.get("data", {}).get("name") == PurePath(source).name and "users" in entry
            for entry in stored
        )
        total = sum(targets_of(entry) for entry in stored) if same else None
        return users_bar(total, quiet=self.quiet)


def targets_of(record: Mapping[str, Any]) -> int:
    """The number of targets of stored metrics, which is that of the users unless it is stored."""
    return int(record.get("split", {}).get("targets", record["users"]))


def with_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer reads it: each field of its parameter ``options`` is an option."""
    hints = get_type_hints(Options, include_extras=True)
    shared = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(Options)
    ]
    own = [each for each in inspect.signature(verb).parameters.values() if each.name != "options"]

    @functools.wraps(verb)
    def flat(**values: Any) -> None:
        options = Options(**{each.name: values.pop(each.name) for each in shared})
        verb(**values, options=options)

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + shared
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    return flat
