"""Options that several verbs have."""

from typing import Annotated, Any

import typer

from seqzoo.cli.parsing import read_whole_number

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr, only errors.")
]
UserCol = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the users, if not a usual name.")
]
ItemCol = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the items.")]
TimeCol = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help='Column of the times; "" takes the rows in their order.'),
]
LabelCol = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the items' titles.")
]
MinCount = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=read_whole_number,
        help="Least interactions of each user and item (k-core).",
    ),
]
Protocol = Annotated[str, typer.Option(metavar="NAME", help="How figures are measured.")]
BatchSize = Annotated[
    int, typer.Option(metavar="N", parser=read_whole_number, help="Users scored at once.")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="Where it runs, cpu or cuda.")]


def given(**settings: Any) -> dict[str, Any]:
    """The settings that were given."""
    return {name: value for name, value in settings.items() if value is not None}
