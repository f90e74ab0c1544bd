"""``seqzoo list``: the architectures and the checkpoints there are."""

from typing import Annotated

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import Column, count, figure, print_json, show, size, table

EXAMPLE = "Example:  seqzoo list '*ml1m*' --pretrained"

_PROTOCOL = "loo-full"


def list_models(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Names to show, with shell wildcards.")
    ] = "*",
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--architectures", help="Only the ones or the others."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show architectures and trained checkpoints."""
    from seqzoo import zoo

    models = zoo.list_models(pattern, pretrained=pretrained)
    if as_json:
        print_json([model.to_json() for model in models])
        return
    if not models:
        hint = "" if "*" in pattern else f"; try '*{pattern}*'"
        typer.echo(f"no model has a name like '{pattern}'{hint}", err=True)
        return
    columns = [
        Column("name", style="cyan"),
        Column("kind", spare=2),
        Column("architecture", spare=3),
        Column("plugin", spare=4),
        Column("parameters", right=True),
        Column("size", right=True, spare=1),
        Column("data"),
        Column("hit@10", right=True),
        Column("ndcg@10", right=True),
    ]
    rows = []
    for model in models:
        figures = model.metrics.get(_PROTOCOL, {})
        rows.append(
            [
                model.name,
                model.kind,
                model.architecture,
                model.plugin,
                count(model.parameters),
                size(model.bytes),
                model.data or "",
                figure(figures.get("hit@10")),
                figure(figures.get("ndcg@10")),
            ]
        )
    show(
        table(columns, rows),
        f"\nFigures under the protocol {_PROTOCOL}. `seqzoo info NAME` shows a model whole.",
    )
