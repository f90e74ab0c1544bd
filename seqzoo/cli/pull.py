"""``seqzoo pull``: fetch a checkpoint from the Hub and check it."""

from pathlib import Path
from typing import Annotated

import typer

from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import as_model, command, facts, hub_progress, print_json, show

EXAMPLE = "Example:  seqzoo pull hf://my-org/mamba4rec-shop@v1 --to models/shop"


def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Checkpoint, or hf://org/name[@revision].")
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy it there; without it, the Hub's cache keeps it."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a checkpoint; every file is checked against its sha256.

    A tag or branch is resolved to a commit. Give that commit to get the same files for ever.
    """
    from seqzoo.checkpoint.pull import pull_checkpoint

    with hub_progress(quiet=quiet):
        found = pull_checkpoint(name, to=to)
    if as_json:
        print_json(
            {
                "model": name,
                "folder": str(found.folder),
                "repo": found.address.repo if found.address else None,
                "commit": found.address.revision if found.address else None,
                "sha256": found.sha256,
                "bytes": found.bytes,
            }
        )
        return
    shown = str(found.address) if found.address else name
    given = as_model(found.folder) if to is not None else shown
    show(
        facts(
            [
                ("model", name),
                ("commit", (found.address.revision or "") if found.address else ""),
                ("folder", str(found.folder)),
                ("sha256", found.sha256),
                ("use", command("seqzoo", "recommend", given, "--history", *found.examples)),
            ]
        )
    )
