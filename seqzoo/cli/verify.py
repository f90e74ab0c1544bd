"""``seqzoo verify``: whether a checkpoint is complete, loads, and reproduces its metrics."""

from typing import Annotated

import typer

from seqzoo.checkpoint.find import find
from seqzoo.cli.options import Checkpoint, Data, Json, Quiet
from seqzoo.cli.output import print_json
from seqzoo.cli.progress import hub_progress, users_bar
from seqzoo.cli.tables import Column, show, table
from seqzoo.errors import UsageError
from seqzoo.evaluation.verify import verify_folder, verify_metrics

__all__ = ["verify"]


def verify(
    name: Checkpoint,
    measure: Annotated[
        bool, typer.Option("--eval", help="Measure the stored metrics again; needs the data.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the files, the weights and the metrics of a checkpoint.

    Every file must have its recorded sha256, and the weights must fit the model. The exit code is 1
    if a check fails.
    """
    if data is not None and not measure:
        raise UsageError("--data needs --eval, which measures the metrics again; give both")
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
