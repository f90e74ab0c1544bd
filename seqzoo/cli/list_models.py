"""``seqzoo list``: the architectures and the checkpoints there are."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import Column, count, figure, print_json, show, size, table
from seqzoo.errors import UsageError

EXAMPLE = "Example:  seqzoo list '*ml1m*' --pretrained"

_PROTOCOL = "loo-full"
"""The protocol whose figures are shown of a checkpoint that has several."""


def list_models(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Names to show, with shell wildcards.")
    ] = "*",
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--architectures", help="Only the ones or the others."),
    ] = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Show models on the Hub that carry seqzoo's tag.")
    ] = False,
    org: Annotated[
        str | None, typer.Option(metavar="ORG", help="With --hub: only of this organisation.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show architectures and trained checkpoints."""
    if hub:
        _list_hub(pattern, org, as_json)
        return
    if org is not None:
        raise UsageError("--org is about the Hub; give --hub as well")
    from seqzoo import zoo

    models = zoo.list_models(pattern, pretrained=pretrained)
    if as_json:
        print_json([model.to_json() for model in models])
        return
    if not models:
        hint = "" if "*" in pattern else f"; try '*{pattern}*'"
        if pattern == "*":
            hint = "; `seqzoo plugins` shows which plugins are switched off or broken"
        typer.echo(f"no model has a name like '{pattern}'{hint}", err=True)
        return
    columns = [
        Column("name", style="cyan"),
        Column("kind", spare=3),
        Column("architecture", spare=4),
        Column("plugin", spare=5),
        Column("claims", spare=6),
        Column("parameters", right=True, spare=1),
        Column("size", right=True, spare=2),
        Column("data"),
        Column("protocol"),
        Column("hit@10", right=True),
        Column("ndcg@10", right=True),
    ]
    rows = []
    for model in models:
        protocol = _protocol_of(model.metrics)
        figures = model.metrics.get(protocol, {})
        rows.append(
            [
                model.name,
                model.kind,
                model.architecture,
                model.plugin,
                _claims(model.claims) if model.kind == "architecture" else "",
                count(model.parameters),
                size(model.bytes),
                model.data or "",
                protocol,
                figure(figures.get("hit@10")),
                figure(figures.get("ndcg@10")),
            ]
        )
    show(
        table(columns, rows),
        "\nFigures compare only within one data set and protocol. `seqzoo info NAME` shows a model "
        "whole.",
    )


def _protocol_of(metrics: Mapping[str, object]) -> str:
    """The protocol whose figures stand in the table; nothing where none were measured."""
    return _PROTOCOL if _PROTOCOL in metrics else next(iter(metrics), "")


def _claims(claims: Mapping[str, bool]) -> str:
    """What a backbone claims, in a few words."""
    words = {"causal": "causal", "streaming": "streaming", "uses_time": "times"}
    return ", ".join(word for claim, word in words.items() if claims.get(claim))


def _list_hub(pattern: str, org: str | None, as_json: bool) -> None:
    from seqzoo.checkpoint.hub.listing import list_hub
    from seqzoo.plugins import catalogue

    architectures = catalogue().architectures
    models = [m for m in list_hub(org) if fnmatchcase(m.address.repo.partition("/")[2], pattern)]
    rows = []
    for model in models:
        architecture = next((tag for tag in model.tags if tag in architectures), "")
        rows.append(
            {
                "name": f"hf://{model.address.repo}",
                "kind": "checkpoint",
                "architecture": architecture,
                "plugin": architectures.get(architecture).plugin if architecture else "",
                "bundled": False,
                "parameters": None,
                "bytes": None,
                "data": None,
                "metrics": {},
                "commit": model.address.revision,
                "downloads": model.downloads,
                "likes": model.likes,
                "private": model.private,
                "last_modified": model.last_modified,
            }
        )
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("no model on the Hub carries the tag 'seqzoo' and such a name", err=True)
        return
    columns = [
        Column("name", style="cyan"),
        Column("architecture"),
        Column("changed"),
        Column("downloads", right=True),
        Column("likes", right=True),
    ]
    shown = [
        [
            str(row["name"]),
            str(row["architecture"]),
            str(row["last_modified"] or "")[:10],
            str(row["downloads"]),
            str(row["likes"]),
        ]
        for row in rows
    ]
    show(table(columns, shown), "\nNothing of these is checked before `seqzoo pull` fetches it.")
