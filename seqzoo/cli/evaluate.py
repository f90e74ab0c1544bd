"""``seqzoo eval``: measured metrics beside the stored ones."""

from collections.abc import Sequence
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli import measuring
from seqzoo.cli.formats import metric, seconds
from seqzoo.cli.options import (
    BatchSize,
    Data,
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
from seqzoo.cli.output import print_json
from seqzoo.cli.tables import Column, show, table
from seqzoo.evaluation import evaluate as evaluation
from seqzoo.metric_names import metric_title


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Checkpoint, or ./folder of one.")],
    data: Data = None,
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
    """Measure a checkpoint and compare with its stored metrics.

    The exit code is 1 if a metric differs from the stored one within the first 4 digits (drift).
    On other data than the stored metrics were measured on, differences are expected: there is a
    warning, and the exit code is 0.
    """
    measuring.check_options(protocol, batch_size, data, quiet=quiet)
    model = zoo.load(name, device=device)
    source = measuring.source_of(name, model, data)
    with measuring.progress([model], protocol, source, quiet=quiet) as advance:
        result = evaluation.evaluate(
            model,
            source,
            protocol,
            batch_size=batch_size,
            name=name,
            settings=given(
                user_col=user_col, item_col=item_col, time_col=time_col, min_count=min_count
            ),
            advance=advance,
        )
    if as_json:
        print_json(result.to_json())
    else:
        _show(result, list(model.metrics))
    if result.drift and result.data["match"] == "same":
        raise typer.Exit(1)


def _show(result: evaluation.Evaluation, protocols: Sequence[str]) -> None:
    columns = [Column("metric"), Column("measured", right=True)]
    rows = [[metric_title(name), metric(value)] for name, value in result.metrics.items()]
    known = result.known_targets
    users = f"{result.users:,} users"
    if known["users"] < result.users:
        users += f" ({known['users']:,} with a held-out item that the model knows)"
        columns.append(Column("known items", right=True))
        for row, name in zip(rows, result.metrics, strict=True):
            row.append(metric(known["metrics"].get(name)))
    if result.stored:
        columns += [Column("stored", right=True), Column("difference", right=True), Column("")]
        for row, (name, value) in zip(rows, result.metrics.items(), strict=True):
            stored = result.stored.get(name)
            difference = "" if stored is None else f"{value - stored:+.4f}"
            drifts = name in result.drift and result.data["match"] == "same"
            row += [metric(stored), difference, "drift" if drifts else ""]
    counts = f"{users}, {result.items:,} items, {seconds(result.seconds)}"
    show(
        f"{result.model} on {result.data['name']} under {result.protocol}: {counts}",
        "",
        table(columns, rows),
        "",
        f"data {result.data['fingerprint']}",
        _verdict(result, protocols),
    )


def _verdict(result: evaluation.Evaluation, protocols: Sequence[str]) -> str:
    if not result.stored:
        others = [f"--protocol {name}" for name in protocols]
        remedy = f"; there are some for {' and '.join(others)}" if others else ""
        return f"no metrics are stored for {result.protocol}: nothing to compare with{remedy}"
    if result.data["match"] != "same":
        what = "timestamps" if result.data["match"] == "timestamps" else "data"
        name, fingerprint = (result.data["stored"].get(key) for key in ("name", "fingerprint"))
        return f"the stored metrics were measured on other {what}: {name} {fingerprint}"
    if result.drift:
        return f"drift: {len(result.drift)} of {len(result.metrics)} metrics differ"
    return "no drift: the metrics agree with the stored ones to 4 digits"
