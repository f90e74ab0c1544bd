"""``seqzoo plugins``: what each plugin provides, and why any are broken."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from seqzoo.cli.formats import command
from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json, visible, write
from seqzoo.cli.tables import Column, show, table
from seqzoo.plugins import plugins as loaded_plugins

__all__ = ["plugin_list", "plugin_table", "plugins"]

_KEYS = ("name", "distribution", "version", "status", "reason", "provides", "seconds")


def plugins(
    traceback: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show the traceback of a broken plugin.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List plugins, what they provide, and why any are broken."""
    if traceback is not None:
        record = loaded_plugins().record(traceback)
        details = record.details or record.reason
        if as_json:
            print_json({"name": record.name, "traceback": details})
        else:
            lines = (details or f"plugin '{record.name}' works").splitlines()
            write("".join(f"{visible(line.rstrip())}\n" for line in lines))
        return
    found = plugin_list()
    if as_json:
        print_json(found)
    else:
        show(*plugin_table(found))


def plugin_list() -> list[dict[str, Any]]:
    """Every plugin that was found, as plain values."""
    records = [asdict(record) for record in loaded_plugins().records]
    return [{key: record[key] for key in _KEYS} for record in records]


def plugin_table(found: list[dict[str, Any]]) -> list[Any]:
    """The table, and a line for each plugin that is broken or disabled."""
    if not found:
        return ["no plugins are installed; `pip install seqzoo` installs the first-party ones"]
    columns = [
        Column("plugin", style="cyan"),
        Column("distribution", spare=2),
        Column("version"),
        Column("status"),
        Column("ms", right=True, spare=3),
        Column("provides", wrap=True),
    ]
    rows = [
        [
            plugin["name"],
            plugin["distribution"],
            plugin["version"],
            plugin["status"],
            f"{1000 * plugin['seconds']:.0f}",
            ", ".join(plugin["provides"]),
        ]
        for plugin in found
    ]
    lines: list[Any] = [table(columns, rows)]
    for plugin in found:
        if plugin["status"] != "ok":
            more = ""
            if plugin["status"] == "broken":
                more = f" ({command('seqzoo', 'plugins', '--traceback', plugin['name'])})"
            lines += ["", f"{plugin['name']} is {plugin['status']}: {plugin['reason']}{more}"]
    return lines
