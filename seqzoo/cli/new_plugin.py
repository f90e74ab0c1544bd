"""``seqzoo new-plugin``: a small distribution to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import command, facts, print_json, show

EXAMPLE = "Example:  seqzoo new-plugin linrec && pip install ./seqzoo-linrec && seqzoo list"


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of what the plugin brings.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="backbone, embedder, head, loss, dataset, metric, protocol or command.",
        ),
    ] = "backbone",
    folder: Annotated[
        Path | None, typer.Option("--in", metavar="DIR", help="Where its folder is made.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a plugin that installs and passes its own tests; then make it yours."""
    from seqzoo.scaffold.write import new_plugin as write

    home = write(name, kind, folder)
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
