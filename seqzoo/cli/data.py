"""``seqzoo data``: describe interactions, and prepare them once for many runs."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from seqzoo.cli.commands import Group, Verb
from seqzoo.cli.formats import as_model, command, seconds, size
from seqzoo.cli.options import ItemCol, Json, LabelCol, MinCount, Quiet, TimeCol, UserCol, given
from seqzoo.cli.output import log_from, print_json, write
from seqzoo.cli.tables import Column, facts, show, table
from seqzoo.config import parse_overrides, structure
from seqzoo.data.description import describe_data
from seqzoo.data.prepare import DataConfig, prepare, settings_of_source
from seqzoo.data.prepared import check_destination, is_prepared, write_prepared
from seqzoo.data.summary import TITLES, Summary
from seqzoo.errors import UsageError
from seqzoo.evaluation import plot as plotting

__all__ = ["Settings", "Source", "app", "data", "describe", "prepare_folder"]

logger = logging.getLogger("seqzoo")

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="Data set, file or folder of interactions.")
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[data.KEY=VALUE]...", help="More settings, such as data.order=float32-time-row."
    ),
]


@app.callback(invoke_without_command=True, epilog="Example:  seqzoo data describe shop.csv --json")
def data(context: typer.Context) -> None:
    """Describe interactions, and prepare them once for many runs."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("describe", cls=Verb, epilog="Example:  seqzoo data describe shop.csv --plot shop.png")
def describe(
    source: Source,
    settings: Settings = None,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    min_count: MinCount = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw events per user and per item: .png, .svg or .pdf."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show rows, users, items, repeats and time span of interactions.

    Each line of the table is a stage: the data as read, and what the k-core filter keeps.

    If the filter drops more than half of the items, smaller filters are shown too.
    """
    if quiet:
        log_from(logging.ERROR)
    if plot is not None:
        plotting.check_plot_file(plot)
    options = given(user_col=user_col, item_col=item_col, time_col=time_col, min_count=min_count)
    found = describe_data(_config(source, settings or [], options))
    if found.warning is not None:
        logger.warning("%s", found.warning)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found.name, [*found.stages, *found.smaller])
    if plot is not None:
        plotting.plot_description(found, plot)
        if not as_json:
            show(f"plot: {plot}")


@app.command(
    "prepare", cls=Verb, epilog="Example:  seqzoo data prepare events.parquet --out prepared"
)
def prepare_folder(
    source: Source,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    settings: Settings = None,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    label_col: LabelCol = None,
    min_count: MinCount = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace prepared data in the folder.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Filter, sort and index interactions once, for many runs.

    `train`, `eval` and `compare` take the folder as --data and map its arrays into memory.
    """
    if quiet:
        log_from(logging.ERROR)
    started = time.perf_counter()
    options = given(
        user_col=user_col,
        item_col=item_col,
        time_col=time_col,
        label_col=label_col,
        min_count=min_count,
    )
    config = _config(source, settings or [], options)
    if is_prepared(source):
        raise UsageError(f"{source} is prepared already; give the data that it was made from")
    check_destination(out, overwrite=overwrite)
    prepared = prepare(config)
    folder = write_prepared(out, prepared, config, overwrite=overwrite)
    spent = time.perf_counter() - started
    if as_json:
        print_json(
            {
                "out": str(out),
                "name": prepared.name,
                "fingerprint": prepared.fingerprint,
                "stages": [summary.to_json() for summary in prepared.summaries],
                "files": folder.files,
                "bytes": sum(folder.files.values()),
                "seconds": spent,
            }
        )
        return
    _show(prepared.name, prepared.summaries)
    data_option = as_model(out)
    show(
        "",
        f"prepared in {seconds(spent)}: {size(sum(folder.files.values()))} in {out}",
        "",
        facts(
            [
                ("train", command("seqzoo", "train", "ARCHITECTURE", "--data", data_option)),
                ("measure", command("seqzoo", "eval", "NAME", "--data", data_option)),
            ]
        ),
    )


def _config(source: str, settings: Sequence[str], options: Mapping[str, Any]) -> DataConfig:
    sections = parse_overrides(settings)
    if others := sorted(set(sections) - {"data"}):
        raise UsageError(f"data takes settings of data.*; got some of {', '.join(others)}")
    if "split" in sections.get("data", {}):
        raise UsageError(
            "data.split belongs to train, eval and compare, which split the data; leave it out here"
        )
    section = {**settings_of_source(source), **sections.get("data", {}), **options}
    return structure(DataConfig, {**section, "source": source}, "data")


def _show(name: str, stages: Sequence[Summary]) -> None:
    columns = [Column(title, right=True) for title in TITLES]
    rows = [[summary.stage, *summary.cells()] for summary in stages]
    show(name, "", table([Column(""), *columns], rows))
