"""``seqzoo check``: the conformance kit on anything registered."""

from typing import Annotated, Any

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import Column, print_json, show, table
from seqzoo.errors import UsageError

EXAMPLE = "Example:  seqzoo check linrec model.hidden_size=32"


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Anything registered: an architecture, a part, a metric, a checkpoint …",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL.KEY=VALUE", help="Settings of the model to check."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check what a registered thing promises; the exit code is 1 where a promise is not kept."""
    from seqzoo.config import parse_overrides
    from seqzoo.testing.run import check_registered

    sections = parse_overrides(settings or [])
    if set(sections) - {"model"}:
        raise UsageError(f"settings of {', '.join(sections)} were given; a check takes model.*")
    outcomes = check_registered(name, **sections.get("model", {}))
    ok = all(outcome.ok for outcome in outcomes)
    if as_json:
        rows: list[dict[str, Any]] = [
            {"subject": o.subject, "check": o.check, "ok": o.ok, "message": o.message}
            for o in outcomes
        ]
        print_json({"name": name, "ok": ok, "checks": rows})
    else:
        columns = [Column("of"), Column("check"), Column(""), Column("what is wrong", wrap=True)]
        shown = [
            [o.subject, o.check, "ok" if o.ok else "FAILED", "" if o.ok else o.message]
            for o in outcomes
        ]
        failed = sum(not outcome.ok for outcome in outcomes)
        verdict = f"{failed} of {len(outcomes)} checks fail" if failed else "all promises are kept"
        show(table(columns, shown), "", verdict)
    if not ok:
        raise typer.Exit(1)
