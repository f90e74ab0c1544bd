"""``seqzoo list``: all architectures and checkpoints."""

from fnmatch import fnmatchcase
from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.formats import count, metric, size
from seqzoo.cli.options import Json
from seqzoo.cli.output import note, print_json
from seqzoo.cli.tables import Column, show, table
from seqzoo.errors import UsageError
from seqzoo.metric_names import metric_title
from seqzoo.plugins import catalogue

__all__ = ["list_models"]

_PROTOCOL = "loo-full"
"""The protocol whose metrics are shown of a checkpoint that has several."""

_CAPABILITIES = {"causal": "causal", "streaming": "streaming", "uses_time": "timestamps"}


def list_models(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Names to show, with shell wildcards.")
    ] = "*",
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--architectures", help="Only checkpoints, or only architectures."
        ),
    ] = None,
    hub: Annotated[
        bool,
        typer.Option("--hub", help="List the models on the Hugging Face Hub with the tag seqzoo."),
    ] = False,
    org: Annotated[
        str | None, typer.Option(metavar="ORG", help="With --hub: only of this organisation.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List architectures and trained checkpoints."""
    if hub:
        _list_hub(pattern, org, as_json)
        return
    if org is not None:
        raise UsageError("--org needs --hub; give both")
    models = zoo.list_models(pattern, pretrained=pretrained)
    if as_json:
        print_json([model.to_json() for model in models])
        return
    if not models:
        hint = "" if "*" in pattern else f"; try '*{pattern}*'"
        if pattern == "*":
            hint = "; `seqzoo plugins` shows which plugins are switched off or broken"
        note(f"no model has a name like '{pattern}'{hint}")
        return
    columns = [
        Column("name", style="cyan"),
        Column("kind", spare=3),
        Column("architecture", spare=4),
        Column("plugin", spare=5),
        Column("capabilities", spare=6),
        Column("parameters", right=True, spare=1),
        Column("size", right=True, spare=2),
        Column("data"),
        Column("protocol"),
        Column(metric_title("hit@10"), right=True),
        Column(metric_title("ndcg@10"), right=True),
    ]
    show(
        table(columns, [_row(model) for model in models]),
        "\nMetrics are comparable only on the same data under the same protocol. "
        "`seqzoo info NAME` shows one model in full.",
    )


def _row(model: zoo.ModelInfo) -> list[str]:
    stored = model.metrics
    protocol = _PROTOCOL if _PROTOCOL in stored else next(iter(stored), "")
    metrics = stored.get(protocol, {})
    capabilities = ""
    if model.kind == "architecture":
        capabilities = ", ".join(w for key, w in _CAPABILITIES.items() if model.claims.get(key))
    return [
        model.name,
        model.kind,
        model.architecture,
        model.plugin,
        capabilities,
        count(model.parameters),
        size(model.bytes),
        model.data or "",
        protocol,
        metric(metrics.get("hit@10")),
        metric(metrics.get("ndcg@10")),
    ]


def _list_hub(pattern: str, org: str | None, as_json: bool) -> None:
    # The Hub's client takes longer to import than the listing of local models takes.
    from seqzoo.checkpoint.hub.listing import list_hub

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
        note(f"no model on the Hub has the tag 'seqzoo' and a name like '{pattern}'")
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
    show(table(columns, shown), "\nUnverified until `seqzoo pull` has downloaded and checked them.")
