"""``seqzoo push``: publish a checkpoint on the Hub."""

from typing import Annotated, Any

import typer

from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import command, facts, hub_progress, print_json, show

EXAMPLE = "Example:  seqzoo push runs/shop my-org/mamba4rec-shop --tag v1"


def push(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Folder, or name of a checkpoint.")
    ],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Repository on the Hub.")],
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Of a new repository; else the Hub's default."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch to commit to; main without it.")
    ] = None,
    create_pr: Annotated[
        bool,
        typer.Option(
            "--create-pr", help="Propose the commit: every call opens a new pull request."
        ),
    ] = False,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="A name that the commit keeps.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish a checkpoint: files, card and figures in one commit.

    Every file is checked first. Where nothing has changed nothing is committed.
    """
    from seqzoo import zoo

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
        what = ", ".join(done.changed) or "nothing"
        show(f"would commit to {done.address.repo}: {what}")
        return
    pairs: list[tuple[str, Any]] = [
        ("commit", done.commit or ""),
        ("tag", done.tag or ""),
        ("review", done.pull_request or ""),
        ("load", command("seqzoo", "recommend", str(done.address), "--history", "...")),
        ("registry", done.registry_line),
    ]
    if done.pull_request:
        pairs = pairs[:3]
    changed = f"published {', '.join(done.changed)}" if done.committed else "nothing has changed"
    show(f"{done.address.repo}: {changed}", "", facts(pairs))
