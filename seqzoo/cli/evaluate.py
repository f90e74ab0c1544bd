"""``seqzoo eval``: measured figures beside the stored ones."""

import logging
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqzoo.cli.options import (
    BatchSize,
    Device,
    ItemCol,
    Json,
    MinCount,
    Protocol,
    Quiet,
    TimeCol,
    UserCol,
    given,
)
from seqzoo.cli.output import (
    Column,
    figure,
    log_from,
    print_json,
    seconds,
    show,
    table,
    users_bar,
)
from seqzoo.errors import UsageError

if TYPE_CHECKING:
    from seqzoo.evaluation.evaluate import Evaluation
    from seqzoo.model.sequence_model import SequenceModel

EXAMPLE = "Example:  seqzoo eval mamba4rec-ml1m --data ml-1m --protocol loo-full-unseen"


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Checkpoint, or ./folder of one.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Data set, file or folder; the recipe's without it."),
    ] = None,
    protocol: Protocol = "loo-full",
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    min_count: MinCount = None,
    batch_size: BatchSize = 128,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a checkpoint beside its stored figures.

    The exit code is 1 where a figure differs from the stored one in the first 4 digits (drift).
    Figures of other data than the stored ones are not expected to agree: that is a warning, and
    the exit code is 0.
    """
    from seqzoo import zoo
    from seqzoo.evaluation import evaluate as evaluation

    if batch_size < 1:
        raise UsageError(f"--batch-size is {batch_size}; expected 1 or more")
    if quiet:
        log_from(logging.ERROR)
    model = zoo.load(name, device=device)
    source = source_of(name, model, data)
    settings = given(user_col=user_col, item_col=item_col, time_col=time_col, min_count=min_count)
    with users_bar(expected_users(model.metrics.get(protocol, {}), source), quiet=quiet) as advance:
        result = evaluation.evaluate(
            model,
            source,
            protocol,
            batch_size=batch_size,
            name=name,
            settings=settings,
            advance=advance,
        )
    if as_json:
        print_json(result.to_json())
    else:
        _show(result, list(model.metrics))
    if result.drift and is_stored_data(result.data):
        raise typer.Exit(1)


def source_of(name: str, model: "SequenceModel", data: str | None) -> str:
    """The data to measure on: those that were named, or those of the checkpoint's recipe."""
    if data == "":
        raise UsageError("--data is empty; give a data set's name, a file or a folder")
    source = model.recipe.get("data", {}).get("source") if data is None else data
    if not source:
        raise UsageError(f"{name} does not say what data it was trained on; name them with --data")
    return str(source)


def expected_users(stored: Mapping[str, Any], source: str) -> int | None:
    """How many users to expect, where the data are called like those of the stored figures."""
    same = stored.get("data", {}).get("name") == PurePath(source).name
    return stored.get("users") if same else None


def is_stored_data(data: Mapping[str, Any]) -> bool:
    """Whether figures were measured on the data of the stored ones, as far as that is known."""
    return bool(data["stored"].get("fingerprint", data["fingerprint"]) == data["fingerprint"])


def _show(result: "Evaluation", protocols: list[str]) -> None:
    columns = [Column("metric"), Column("measured", right=True)]
    rows = [[name, figure(value)] for name, value in result.metrics.items()]
    if result.stored:
        columns += [Column("stored", right=True), Column("difference", right=True), Column("")]
        for row, (name, value) in zip(rows, result.metrics.items(), strict=True):
            stored = result.stored.get(name)
            difference = "" if stored is None else f"{value - stored:+.4f}"
            drifts = name in result.drift and is_stored_data(result.data)
            row += [figure(stored), difference, "drift" if drifts else ""]
    where = f"{result.users:,} users, {result.items:,} items, {seconds(result.seconds)}"
    show(
        f"{result.model} on {result.data['name']} under {result.protocol}: {where}",
        "",
        table(columns, rows),
        "",
        f"data {result.data['fingerprint']}",
        _verdict(result, protocols),
    )


def _verdict(result: "Evaluation", protocols: list[str]) -> str:
    if not result.stored:
        others = [f"--protocol {name}" for name in protocols]
        remedy = f"; there are some with {' or '.join(others)}" if others else ""
        return f"no figures are stored under {result.protocol}: nothing to compare with{remedy}"
    if not is_stored_data(result.data):
        name, fingerprint = (result.data["stored"].get(key) for key in ("name", "fingerprint"))
        return f"the stored figures are of other data: {name} {fingerprint}"
    if result.drift:
        return f"drift: {len(result.drift)} of {len(result.metrics)} figures differ"
    return "no drift: the figures agree with the stored ones to 4 digits"
