"""``seqzoo pull``: download a checkpoint from the Hub and check it."""

from pathlib import Path
from typing import Annotated

import typer

from seqzoo.checkpoint.pull import pull_checkpoint
from seqzoo.cli.formats import as_model, recommend_command
from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import print_json
from seqzoo.cli.progress import hub_progress
from seqzoo.cli.tables import facts, show

__all__ = ["pull"]


def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Checkpoint, or hf://org/name[@revision].")
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to copy to (default: only the Hub's cache)."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download a checkpoint from the Hugging Face Hub and check it.

    Every file must have its recorded sha256. A tag or branch is resolved to a commit, which is
    shown; use the commit to get the same files again.
    """
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
    loaded_as = str(found.address) if found.address else name
    if to is not None:
        loaded_as = as_model(found.folder)
    show(
        facts(
            [
                ("model", name),
                ("commit", (found.address.revision or "") if found.address else ""),
                ("folder", str(found.folder)),
                ("sha256", found.sha256),
                ("use", recommend_command(loaded_as, found.examples)),
            ]
        )
    )
