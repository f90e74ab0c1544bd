"""``seqzoo push``: publish a checkpoint on the Hub."""

from typing import Annotated

import typer

from seqzoo import zoo
from seqzoo.cli.formats import recommend_command
from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import print_json
from seqzoo.cli.progress import hub_progress
from seqzoo.cli.tables import facts, show

__all__ = ["push"]


def push(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Checkpoint, or ./folder of one.")
    ],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Repository on the Hub.")],
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Visibility of a new repository (default: the Hub's).",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch to commit to (default: main).")
    ] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a new pull request instead of committing.")
    ] = False,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Tag for the commit.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be committed.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub.

    Its files, card and metrics go into one commit, after every file has been checked. If nothing
    has changed, nothing is committed.
    """
    with hub_progress(quiet=quiet):
        done = zoo.push(
            checkpoint,
            repo,
            private=private,
            revision=revision,
            create_pr=create_pr,
            tag=tag,
            dry_run=dry_run,
        )
    if as_json:
        print_json(
            {
                "repo": done.address.repo,
                "commit": done.commit,
                "committed": done.committed,
                "changed": list(done.changed),
                "pull_request": done.pull_request,
                "tag": done.tag,
                "sha256": done.sha256,
                "registry": done.registry_line if done.commit else None,
                "dry_run": dry_run,
            }
        )
        return
    if dry_run:
        show(f"would commit to {done.address.repo}: {', '.join(done.changed) or 'nothing'}")
        return
    pairs = [
        ("commit", done.commit or ""),
        ("tag", done.tag or ""),
        ("review", done.pull_request or ""),
    ]
    if not done.pull_request:
        pairs += [
            ("load", recommend_command(done.address, ["..."])),
            ("registry", done.registry_line),
        ]
    changed = f"published {', '.join(done.changed)}" if done.committed else "nothing has changed"
    show(f"{done.address.repo}: {changed}", "", facts(pairs))
