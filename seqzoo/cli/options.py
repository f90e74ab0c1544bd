"""Options that several verbs share."""

from typing import Annotated, Any

import typer

from seqzoo.cli.parsing import read_whole_number

__all__ = [
    "CHECKPOINT_HELP",
    "DEFAULT_K",
    "BatchSize",
    "Checkpoint",
    "Data",
    "Device",
    "ItemCol",
    "Json",
    "K",
    "LabelCol",
    "Lists",
    "MinCount",
    "Protocol",
    "Quiet",
    "SplitSettings",
    "TimeCol",
    "UserCol",
    "given",
]

DEFAULT_K = 10

CHECKPOINT_HELP = "Checkpoint, ./folder of one, or hf://org/name."
Checkpoint = Annotated[str, typer.Argument(metavar="NAME", help=CHECKPOINT_HELP)]
K = Annotated[
    int | None,
    typer.Option(
        "-k",
        metavar="N",
        parser=read_whole_number,
        help=f"Number of items (default: {DEFAULT_K}).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar and no notes, only errors.")
]
Data = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Data set, file or folder (default: the recipe's)."),
]
UserCol = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the users (default: found by name).")
]
ItemCol = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the items (default: found by name).")
]
TimeCol = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help='Timestamp column; "" keeps the order of the rows.'),
]
LabelCol = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the item titles.")]
MinCount = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=read_whole_number,
        help="Minimum interactions per user and item (k-core).",
    ),
]
Protocol = Annotated[
    str, typer.Option(metavar="NAME", help="Protocol, such as loo-full-unseen or time-full.")
]
SplitSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="KEY=VALUE",
        help="Setting of the protocol's split, such as share=0.2, at=2014-05-01 or "
        "targets=each; repeatable.",
    ),
]
Lists = Annotated[
    bool,
    typer.Option(
        "--lists",
        help="Measure the recommended lists too: coverage, novelty, diversity, popularity, Gini.",
    ),
]
BatchSize = Annotated[
    int, typer.Option(metavar="N", parser=read_whole_number, help="Users scored at once.")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="Device to run on, cpu or cuda.")]


def given(**settings: Any) -> dict[str, Any]:
    """The settings that are not None."""
    return {name: value for name, value in settings.items() if value is not None}
