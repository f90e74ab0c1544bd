"""``seqzoo verify``: is a checkpoint whole, does it load, does it keep its figures?"""

from typing import Annotated

import typer

from seqzoo.cli.options import Json, Quiet
from seqzoo.cli.output import Column, hub_progress, print_json, show, table, users_bar
from seqzoo.errors import UsageError

EXAMPLE = "Example:  seqzoo verify mamba4rec-ml1m --eval --data ml-1m"


def verify(
    name: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="Checkpoint, folder, or hf://org/name.")
    ],
    measure: Annotated[
        bool, typer.Option("--eval", help="Measure the stored figures again; takes data.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Data set, file or folder; the recipe's without it."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every file's sha256, that the weights fit the model, and that figures are there.

    The exit code is 1 where a check fails.
    """
    from seqzoo.checkpoint.find import find
    from seqzoo.evaluation.verify import verify_folder, verify_metrics

    if data is not None and not measure:
        raise UsageError("--data is for --eval, which measures the metrics again; give both")
    with hub_progress(quiet=quiet):
        folder = find(name)
    found = verify_folder(folder)
    checks = found.checks
    if measure and found.ok and found.model is not None:
        with users_bar(None, quiet=quiet) as advance:
            checks = checks + verify_metrics(found.model, data, name=name, advance=advance)
    ok = all(check.ok for check in checks)
    if as_json:
        rows = [{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks]
        print_json({"model": name, "ok": ok, "checks": rows})
    else:
        columns = [Column("check"), Column(""), Column("found", wrap=True)]
        rows_shown = [[c.name, "ok" if c.ok else "FAILED", c.detail] for c in checks]
        verdict = "all checks passed" if ok else "verification failed"
        show(table(columns, rows_shown), "", verdict)
    if not ok:
        raise typer.Exit(1)
