"""``seqzoo verify``: is a checkpoint whole, does it load, does it keep its figures?"""

from typing import Annotated, Any

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
    from seqzoo import zoo
    from seqzoo.checkpoint.audit import Check, audit

    if data is not None and not measure:
        raise UsageError("--data is for --eval, which measures the figures again; give both")
    with hub_progress(quiet=quiet):
        folder = zoo.find(name)
    checks = audit(folder)
    if measure and all(check.ok for check in checks):
        checks += [Check(*row) for row in _measured(name, data, quiet)]
    ok = all(check.ok for check in checks)
    if as_json:
        rows = [{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks]
        print_json({"model": name, "ok": ok, "checks": rows})
    else:
        columns = [Column("check"), Column(""), Column("found", wrap=True)]
        rows_shown = [[c.name, "ok" if c.ok else "FAILED", c.detail] for c in checks]
        show(table(columns, rows_shown), "", "whole" if ok else "not as it should be")
    if not ok:
        raise typer.Exit(1)


def _measured(name: str, data: str | None, quiet: bool) -> list[tuple[str, bool, str]]:
    """The stored figures beside those measured now, a line for each protocol."""
    from seqzoo import zoo
    from seqzoo.evaluation.evaluate import evaluate

    model = zoo.load(name)
    source: Any = data or model.recipe.get("data", {}).get("source")
    if not source:
        raise UsageError(f"{name} does not say what data it was trained on; name them with --data")
    rows = []
    for protocol in model.metrics:
        with users_bar(None, quiet=quiet) as advance:
            result = evaluate(model, source, protocol, name=name, advance=advance)
        stored = result.data["stored"].get("fingerprint")
        same = stored in (None, result.data["fingerprint"])
        if not same:
            detail = f"{source} is other data than {result.data['stored'].get('name')}"
        elif result.drift:
            detail = "drift: " + ", ".join(f"{k} {v:+.4f}" for k, v in result.drift.items())
        else:
            detail = f"all {len(result.metrics)} figures agree to 4 digits"
        rows.append((protocol, same and not result.drift, detail))
    return rows
