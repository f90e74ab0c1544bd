"""``seqzoo info``: a model summary."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from seqzoo import zoo
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.cli.formats import command, count, eval_command, recommend_command, size
from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json
from seqzoo.cli.tables import facts, metrics_table, show
from seqzoo.plugins import catalogue, plugins

__all__ = ["info"]


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Architecture, checkpoint, ./folder of one, or hf://org/name."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show a model summary."""
    known = zoo.info(name)
    datasets = catalogue().datasets
    source = known["data"]
    known["licence"] = datasets.get(source).licence or None if source in datasets else None
    if as_json:
        print_json(known)
    elif known["kind"] == "architecture":
        _show_architecture(known)
    else:
        _show_checkpoint(known)


def _show_architecture(known: Mapping[str, Any]) -> None:
    name = known["name"]
    trained = [spec.name for spec in known_checkpoints() if spec.name.startswith(f"{name}-")]
    show(
        _heading(known, "architecture"),
        "",
        facts(
            [
                *_common(known),
                ("trains with", _settings(known["recipe"]["train"])),
                ("checkpoints", ", ".join(trained) or "none"),
                ("train one", command("seqzoo", "train", name, "--data", "interactions.csv")),
            ]
        ),
    )


def _show_checkpoint(known: Mapping[str, Any]) -> None:
    name, data = known["name"], known["recipe"].get("data", {})
    measured: Mapping[str, Any] = next(iter(known["measured"].values()), {})
    users = f", {measured['users']:,} users" if "users" in measured else ""
    core = f", {data['min_count']}-core" if "min_count" in data else ""
    fingerprint = measured.get("data", {}).get("fingerprint", "")
    examples = known["examples"]
    show(
        _heading(known, f"checkpoint of {known['architecture']}"),
        "",
        facts(
            [
                ("data", f"{known['data']}: {known['items']:,} items{users}{core}"),
                ("fingerprint", fingerprint.removeprefix("sha256:")),
                ("licence", known["licence"]),
                ("parameters", f"{count(known['parameters'])} ({size(known['bytes'])} on disk)"),
                *_common(known),
                ("sha256", known["sha256"] or ""),
                ("from", known["source"]),
            ]
        ),
        "",
        metrics_table(known["metrics"]) if known["metrics"] else "No metrics are stored.",
        "",
        facts(
            [
                ("use", recommend_command(name, examples)),
                ("measure", eval_command(name, known["metrics"])),
                ("python", f"seqzoo.load({name!r}).recommend({examples!r})"),
            ]
        ),
    )


def _heading(known: Mapping[str, Any], kind: str) -> str:
    paper = f" ({known['paper']})" if known["paper"] else ""
    description = f": {known['description']}" if known["description"] else ""
    return f"{known['name']}, {kind}{paper}{description}"


def _common(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows that architectures and checkpoints share."""
    plugin = known["plugin"]
    for record in plugins().records:
        if record.name == plugin:
            plugin = f"{plugin} ({record.distribution} {record.version})"
    has = [name.replace("_", " ") for name, holds in known["claims"].items() if holds]
    return [
        ("plugin", plugin),
        ("capabilities", ", ".join(has)),
        ("objective", known["objective"]),
        ("settings", _settings(known["config"])),
    ]


def _settings(config: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in config.items())
