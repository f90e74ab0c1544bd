"""``seqzoo compare``: several checkpoints on the same users, with intervals and p-values."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from seqzoo.checkpoint.find import open_checkpoint
from seqzoo.checkpoint.manifest import WEIGHTS
from seqzoo.cli import formats
from seqzoo.cli.measuring import Options, with_options
from seqzoo.cli.output import print_json
from seqzoo.cli.parsing import read_whole_number
from seqzoo.cli.tables import Column, show, table
from seqzoo.errors import UsageError
from seqzoo.evaluation import compare as comparing
from seqzoo.evaluation import plot as plotting
from seqzoo.evaluation.comparison import Compared, Comparison, Pair
from seqzoo.metric_names import metric_title
from seqzoo.model.sequence_model import SequenceModel

__all__ = ["compare"]


@with_options
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="One checkpoint or more, named as for `seqzoo eval`."
        ),
    ],
    options: Options,
    metric: Annotated[
        str, typer.Option(metavar="NAME@K", help="Metric to compare by, such as hit@10.")
    ] = "ndcg@10",
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw quality against speed: .png, .svg or .pdf."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Compare with the registered baselines too, such as popular and item-knn.",
        ),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", parser=read_whole_number, help="Random seed for intervals and p-values."
        ),
    ] = 0,
) -> None:
    """Measure checkpoints and baselines on the same users.

    Without --data, the data are those of the first checkpoint's recipe. The 95% intervals are
    bootstrapped over users. The p-values compare each model with the best one: a paired
    randomisation test, adjusted for the number of pairs (Holm). Speed is measured on this machine.
    Baselines are fitted on the training part of the same data.
    The exit code is 1 if the metrics of a model differ from its stored ones (drift).
    """
    _check_names(names, baselines)
    if seed < 0:
        raise UsageError(f"--seed is {seed}; expected 0 or more")
    if plot is not None:
        plotting.check_plot_file(plot)
    options.check()
    models, sizes = _load(names, options.device)
    source = options.source_of(names[0], models[names[0]])
    with options.progress(list(models.values()), source) as advance:
        result = comparing.compare(
            models,
            source,
            options.protocol,
            metric=metric,
            seed=seed,
            batch_size=options.batch_size,
            settings=options.settings,
            sizes=sizes,
            lists=options.lists,
            baselines=baselines,
            advance=advance,
        )
    # The metrics are shown first: a plot that cannot be written must not lose them.
    if options.as_json:
        print_json(result.to_json())
    else:
        _show(result)
    if plot is not None:
        plotting.plot(result, plot)
        if not options.as_json:
            show(f"plot: {plot}")
    if any(model.drift for model in result.models):
        raise typer.Exit(1)


def _check_names(names: Sequence[str], baselines: bool) -> None:
    if len(names) < 2 and not baselines:
        raise UsageError(
            f"only one checkpoint is named, {names[0]}, with --no-baselines; name two or "
            "more (`seqzoo list` shows all), or leave out --no-baselines"
        )
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named more than once; name each checkpoint once")


def _load(names: Sequence[str], device: str) -> tuple[dict[str, SequenceModel], dict[str, int]]:
    """The models by name, and the sizes of their weight files in bytes."""
    models, sizes = {}, {}
    folders: dict[Path, str] = {}
    for name in names:
        checkpoint = open_checkpoint(name)
        other = folders.setdefault(checkpoint.manifest.folder.resolve(), name)
        if other != name:
            raise UsageError(
                f"{other} and {name} are the same checkpoint; name each checkpoint once"
            )
        models[name] = SequenceModel.from_checkpoint(checkpoint, device)
        sizes[name] = checkpoint.manifest.files[WEIGHTS]["size"]
    return models, sizes


def _show(result: Comparison) -> None:
    metric = result.metric
    ranked = sorted(result.models, key=lambda model: -model.metrics[metric])
    best = ranked[0]
    against_best = {}
    for pair in result.pairs:
        if best.name in (pair.a, pair.b):
            against_best[pair.b if pair.a == best.name else pair.a] = pair
    show_hit = metric != "hit@10" and "hit@10" in best.metrics
    # In a narrow terminal, columns that other verbs show as well are left out first.
    columns = [
        Column("model"),
        *([Column(metric_title("hit@10"), right=True, spare=2)] if show_hit else []),
        Column(metric_title(metric), right=True),
        Column("95 %", right=True),
        Column("to best", right=True),
        Column("p", right=True),
        Column("users/s", right=True, spare=1),
        Column("parameters", right=True, spare=5),
        Column("weights", right=True, spare=4),
        Column("state", right=True, spare=3),
    ]
    rows = [_row(model, metric, against_best.get(model.name), show_hit) for model in ranked]
    # Only those metrics of lists at the cutoff that the models are compared by.
    ends = f"@{metric.partition('@')[2]}"
    lists = [key for key in best.metrics if key not in best.interval and key.endswith(ends)]
    columns += [Column(metric_title(key), right=True) for key in lists]
    for row, model in zip(rows, ranked, strict=True):
        row += [formats.metric(model.metrics.get(key)) for key in lists]
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
            f"drift: {model.name} differs from its stored metrics"
            for model in result.models
            if model.drift
        ),
    )


def _row(model: Compared, metric: str, pair: Pair | None, show_hit: bool) -> list[str]:
    low, high = model.interval[metric]
    difference = p_value = ""
    if pair is not None:
        difference = f"{pair.difference if pair.a == model.name else -pair.difference:+.4f}"
        p_value = formats.metric(pair.p_adjusted)
    return [
        model.name,
        *([formats.metric(model.metrics["hit@10"])] if show_hit else []),
        formats.metric(model.metrics[metric]),
        f"[{low:.3f}, {high:.3f}]",
        difference,
        p_value,
        formats.count(round(model.users_per_second)),
        formats.count(model.parameters),
        formats.size(model.bytes),
        formats.size(model.state_bytes) or "-",
    ]
