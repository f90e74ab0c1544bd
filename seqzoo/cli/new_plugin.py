"""``seqzoo new-plugin``: a small distribution to start from."""

from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.formats import command
from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json
from seqzoo.cli.tables import facts, show
from seqzoo.scaffold import write

__all__ = ["new_plugin"]


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the component.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="backbone, embedder, head, loss, objective, dataset, split, metric, protocol or "
            "command.",
        ),
    ] = "backbone",
    folder: Annotated[
        Path | None,
        typer.Option("--in", metavar="DIR", help="Parent folder (default: the current folder)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a new plugin that installs and passes its own tests."""
    home = write.new_plugin(name, kind, folder)
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    if as_json:
        print_json({"name": name, "kind": kind, "folder": str(home), "files": files})
        return
    shown = home if home.is_absolute() else f"./{home}"
    show(
        f"{home}: {', '.join(files)}",
        "",
        facts(
            [
                ("install", command("pip", "install", "-e", f"{shown}[test]")),
                ("test", command("pytest", shown)),
                ("look", command("seqzoo", "plugins")),
            ]
        ),
    )
