"""``seqzoo compare``: several checkpoints on the same users, with intervals and p-values."""

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqzoo.cli.evaluate import expected_users, source_of
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
    count,
    figure,
    log_from,
    print_json,
    show,
    size,
    table,
    users_bar,
)
from seqzoo.cli.parsing import read_whole_number
from seqzoo.errors import UsageError

if TYPE_CHECKING:
    from seqzoo.evaluation.comparison import Compared, Comparison, Pair
    from seqzoo.model.sequence_model import SequenceModel

EXAMPLE = "Example:  seqzoo compare mamba4rec-ml1m sasrec-ml1m --plot quality.png"


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Two checkpoints or more, or ./folders of them."),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Data set, file or folder; the first recipe's without it."
        ),
    ] = None,
    protocol: Protocol = "loo-full",
    metric: Annotated[
        str, typer.Option(metavar="NAME@K", help="What they are compared by.")
    ] = "ndcg@10",
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw quality against speed: .png, .svg or .pdf."),
    ] = None,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    min_count: MinCount = None,
    batch_size: BatchSize = 128,
    device: Device = "cpu",
    seed: Annotated[
        int,
        typer.Option(metavar="N", parser=read_whole_number, help="Of the intervals and p-values."),
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure checkpoints on the same users, side by side.

    Intervals are 95 %, bootstrapped over users. A p-value is of the paired randomisation test
    against the best model, adjusted for the number of pairs (Holm). Speeds are of this machine in
    this run. The exit code is 1 where a model's figures differ from its stored ones (drift).
    """
    _check_names(names)
    for option, number, least in (("--batch-size", batch_size, 1), ("--seed", seed, 0)):
        if number < least:
            raise UsageError(f"{option} is {number}; expected {least} or more")
    from seqzoo.evaluation.plot import check_plot_file
    from seqzoo.evaluation.plot import plot as draw

    if plot is not None:
        check_plot_file(plot)
    from seqzoo.evaluation import compare as comparing
    from seqzoo.evaluation.protocol import get_protocol

    # What can be known to be wrong is said before any weights are read.
    get_protocol(protocol)
    if quiet:
        log_from(logging.ERROR)
    models, sizes = _load(names, device)
    source = source_of(names[0], models[names[0]], data)
    settings = given(user_col=user_col, item_col=item_col, time_col=time_col, min_count=min_count)
    users = [expected_users(model.metrics.get(protocol, {}), source) for model in models.values()]
    known = [number for number in users if number is not None]
    total = sum(known) if len(known) == len(users) else None
    with users_bar(total, quiet=quiet) as advance:
        result = comparing.compare(
            models,
            source,
            protocol,
            metric=metric,
            seed=seed,
            batch_size=batch_size,
            settings=settings,
            sizes=sizes,
            advance=advance,
        )
    # A picture that cannot be written must not cost the figures.
    if as_json:
        print_json(result.to_json())
    else:
        _show(result)
    if plot is not None:
        draw(result, plot)
        if not as_json:
            show(f"picture: {plot}")
    if any(model.drift for model in result.models):
        raise typer.Exit(1)


def _check_names(names: list[str]) -> None:
    if len(names) < 2:
        raise UsageError(
            f"there is one checkpoint to compare, {names[0]}; name two or more (`seqzoo list` "
            "shows what there is)"
        )
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named more than once; name each checkpoint once")


def _load(names: list[str], device: str) -> tuple[dict[str, "SequenceModel"], dict[str, int]]:
    """The models, and the bytes of their files of weights."""
    from seqzoo.checkpoint.find import open_checkpoint
    from seqzoo.checkpoint.manifest import WEIGHTS
    from seqzoo.model.sequence_model import SequenceModel

    models, sizes = {}, {}
    folders: dict[Path, str] = {}
    for name in names:
        checkpoint = open_checkpoint(name)
        other = folders.setdefault(checkpoint.manifest.folder.resolve(), name)
        if other != name:
            raise UsageError(f"{other} and {name} are one checkpoint; name each checkpoint once")
        models[name] = SequenceModel.from_checkpoint(checkpoint, device)
        sizes[name] = checkpoint.manifest.files[WEIGHTS]["size"]
    return models, sizes


def _show(result: "Comparison") -> None:
    metric = result.metric
    ranked = sorted(result.models, key=lambda model: -model.metrics[metric])
    best = ranked[0]
    against_best = {}
    for pair in result.pairs:
        if best.name in (pair.a, pair.b):
            against_best[pair.b if pair.a == best.name else pair.a] = pair
    # From the right, what can be looked up elsewhere goes first where a terminal is narrow.
    hit = [Column("hit@10", right=True, spare=2)] if _has_hit(result) else []
    columns = [
        Column("model"),
        *hit,
        Column(metric, right=True),
        Column("95 %", right=True),
        Column("to best", right=True),
        Column("p", right=True),
        Column("users/s", right=True, spare=1),
        Column("parameters", right=True, spare=5),
        Column("weights", right=True, spare=4),
        Column("state", right=True, spare=3),
    ]
    rows = [_row(model, result, against_best.get(model.name), bool(hit)) for model in ranked]
    number = len(result.pairs)
    pairs = "1 pair" if number == 1 else f"{number} pairs"
    items = sorted({model.items for model in result.models})
    candidates = f"{items[0]:,}" if len(items) == 1 else f"{items[0]:,} to {items[-1]:,}"
    show(
        table(columns, rows),
        "",
        f"{result.protocol} on {result.data['name']}: {result.users:,} users, {candidates} items; "
        f"p: {result.permutations:,} permutations, adjusted for {pairs}; users/s: this machine in "
        "this run",
        f"data {result.data['fingerprint']}",
        *(
            f"drift: {model.name} differs from its stored figures"
            for model in result.models
            if model.drift
        ),
    )


def _has_hit(result: "Comparison") -> bool:
    return result.metric != "hit@10" and "hit@10" in result.models[0].metrics


def _row(model: "Compared", result: "Comparison", pair: "Pair | None", hit: bool) -> list[str]:
    low, high = model.interval[result.metric]
    difference = p_value = ""
    if pair is not None:
        difference = f"{pair.difference if pair.a == model.name else -pair.difference:+.4f}"
        p_value = figure(pair.p_adjusted)
    return [
        model.name,
        *([figure(model.metrics["hit@10"])] if hit else []),
        figure(model.metrics[result.metric]),
        f"[{low:.3f}, {high:.3f}]",
        difference,
        p_value,
        count(round(model.users_per_second)),
        count(model.parameters),
        size(model.bytes),
        size(model.state_bytes) or "-",
    ]
