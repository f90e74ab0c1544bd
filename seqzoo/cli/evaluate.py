"""``seqzoo eval``: measured metrics next to the stored ones."""

from collections.abc import Sequence

import typer

from seqzoo import zoo
from seqzoo.cli.formats import metric, seconds
from seqzoo.cli.measuring import Options, with_options
from seqzoo.cli.options import Checkpoint
from seqzoo.cli.output import print_json
from seqzoo.cli.tables import Column, show, table
from seqzoo.data.splits import split_text
from seqzoo.data.summary import Summary
from seqzoo.evaluation import evaluate as evaluation
from seqzoo.metric_names import metric_title

__all__ = ["evaluate"]


@with_options
def evaluate(name: Checkpoint, options: Options) -> None:
    """Measure a checkpoint and compare with its stored metrics.

    The exit code is 1 if a metric differs from the stored one in the first 4 decimals (drift). If
    the data are not those of the stored metrics, there is only a warning, and the exit code is 0.
    """
    options.check()
    model = zoo.load(name, device=options.device)
    source = options.source_of(name, model)
    with options.progress([model], source) as advance:
        result = evaluation.evaluate(
            model,
            source,
            options.protocol,
            batch_size=options.batch_size,
            name=name,
            settings=options.settings,
            lists=options.lists,
            advance=advance,
        )
    if options.as_json:
        print_json(result.to_json())
    else:
        _show(result, list(model.metrics))
    if result.drift and result.data["match"] == "same":
        raise typer.Exit(1)


def _show(result: evaluation.Evaluation, protocols: Sequence[str]) -> None:
    columns = [Column("metric"), Column("measured", right=True)]
    rows = [[metric_title(name), metric(value)] for name, value in result.metrics.items()]
    known = result.known_targets
    several = result.targets > result.users
    users = f"{result.users:,} users"
    if several:
        users = f"{result.targets:,} held-out items of {users}"
    if known["targets"] < result.targets:
        users += (
            f" ({known['targets']:,} that the model knows)"
            if several
            else f" ({known['users']:,} with a held-out item that the model knows)"
        )
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
        *(f"{each['stage']}: {Summary(**each).text()}" for each in result.data["stages"]),
        *_split_lines(result),
        *_list_lines(result),
        f"data {result.data['fingerprint']}",
        _verdict(result, protocols),
    )


def _split_lines(result: evaluation.Evaluation) -> list[str]:
    """What the split holds out, unless that is an item of every user."""
    facts = result.data["split"]
    if not facts["settings"] and not facts["left_out"]:
        return []
    return [f"split {facts['name']}: {split_text(facts)}"]


def _list_lines(result: evaluation.Evaluation) -> list[str]:
    """What the metrics of lists were computed from."""
    if not result.lists:
        return []
    categories = result.lists["categories"]
    about = f", {categories} categories of items" if categories else ""
    if result.lists["categories_of"] == "checkpoint":
        about += " (item features of the checkpoint)"
    skipped = result.lists["skipped"].items()
    return [
        f"lists: {result.lists['lists']:,}{about}",
        *(f"{metric_title(name)} is left out: {reason}" for name, reason in skipped),
    ]


def _verdict(result: evaluation.Evaluation, protocols: Sequence[str]) -> str:
    if not result.stored:
        others = [f"--protocol {name}" for name in protocols]
        remedy = f"; there are some for {' and '.join(others)}" if others else ""
        return f"no metrics are stored for {result.protocol}: nothing to compare with{remedy}"
    if result.data["match"] != "same":
        if result.data["match"] == "split":
            return "the stored metrics were measured with other settings of the split"
        match = result.data["match"]
        what = "data" if match == "other" else match
        name, fingerprint = (result.data["stored"].get(key) for key in ("name", "fingerprint"))
        return f"the stored metrics were measured on other {what}: {name} {fingerprint}"
    if result.drift:
        return f"drift: {len(result.drift)} of {len(result.metrics)} metrics differ"
    return "no drift: the metrics agree with the stored ones to 4 digits"
