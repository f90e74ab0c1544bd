"""``seqzoo info``: the card of one model in short."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import (
    command,
    count,
    eval_command,
    facts,
    figures_table,
    print_json,
    show,
    size,
)

EXAMPLE = "Example:  seqzoo info mamba4rec-ml1m"


def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Architecture, checkpoint, or ./folder of one.")
    ],
    as_json: Json = False,
) -> None:
    """Show the card of one model in short."""
    from seqzoo import zoo

    known = zoo.info(name)
    known["licence"] = _licence(known)
    if as_json:
        print_json(known)
    elif known["kind"] == "architecture":
        _show_architecture(known)
    else:
        _show_checkpoint(known)


def _show_architecture(known: Mapping[str, Any]) -> None:
    from seqzoo.plugins import catalogue

    name = known["name"]
    trained = [spec.name for spec in catalogue().pretrained if spec.name.startswith(f"{name}-")]
    show(
        _heading(known),
        "",
        facts(
            [
                ("plugin", _plugin(known["plugin"])),
                ("claims", _claims(known)),
                ("settings", _settings(known["config"])),
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
        _heading(known),
        "",
        facts(
            [
                ("data", f"{known['data']}: {known['items']:,} items{users}{core}"),
                ("fingerprint", fingerprint.removeprefix("sha256:")),
                ("licence", known["licence"]),
                ("parameters", f"{count(known['parameters'])} ({size(known['bytes'])} on disk)"),
                ("plugin", _plugin(known["plugin"])),
                ("claims", _claims(known)),
                ("settings", _settings(known["config"])),
                ("sha256", known["sha256"] or ""),
                ("from", known["source"]),
            ]
        ),
        "",
        figures_table(known["metrics"]) if known["metrics"] else "No figures stored.",
        "",
        facts(
            [
                ("use", command("seqzoo", "recommend", name, "--history", *examples)),
                ("check", eval_command(name, known["metrics"])),
                ("python", f"seqzoo.load({name!r}).recommend({examples!r})"),
            ]
        ),
    )


def _heading(known: Mapping[str, Any]) -> str:
    what = f"{known['kind']} of {known['architecture']}"
    if known["kind"] == "architecture":
        what = "architecture"
    paper = f" ({known['paper']})" if known["paper"] else ""
    description = f": {known['description']}" if known["description"] else ""
    return f"{known['name']}, {what}{paper}{description}"


def _plugin(name: str) -> str:
    from seqzoo.plugins import plugins

    for record in plugins().records:
        if record.name == name:
            return f"{name} ({record.distribution} {record.version})"
    return name


def _claims(known: Mapping[str, Any]) -> str:
    return ", ".join(claim.replace("_", " ") for claim, holds in known["claims"].items() if holds)


def _settings(config: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in config.items())


def _licence(known: Mapping[str, Any]) -> str | None:
    """What the card says, or else the terms of the data."""
    from seqzoo.plugins import catalogue

    datasets = catalogue().datasets
    if known["data"] in datasets:
        return datasets.get(known["data"]).licence or None
    return None
