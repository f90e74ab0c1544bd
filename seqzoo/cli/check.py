"""``seqzoo check``: the conformance kit on a registered component."""

from typing import Annotated

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import print_json
from seqzoo.cli.parsing import read_model_settings
from seqzoo.cli.tables import Column, show, table
from seqzoo.serving.export.write import check_export, missing_package
from seqzoo.testing.run import Outcome, check_registered

__all__ = ["check"]


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Registered name: an architecture, a part, a metric, a checkpoint …",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL.KEY=VALUE]...", help="Settings of the model to check."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Check a part in one architecture, not in all that use it, and skip the export.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the conformance checks on a registered component.

    The exit code is 1 if a check fails. If the extra `export` is installed, architectures are also
    exported to ONNX; a failure of that is a warning.
    """
    chosen = read_model_settings(settings or [], "check")
    warn = {} if quick or missing_package() else {"export": check_export}
    outcomes = check_registered(name, quick=quick, warn=warn, **chosen)
    failed = sum(not outcome.ok for outcome in outcomes)
    if as_json:
        rows = [
            {
                "subject": o.subject,
                "check": o.check,
                "ok": o.ok,
                "warning": o.warning,
                "message": o.message,
            }
            for o in outcomes
        ]
        print_json({"name": name, "ok": not failed, "checks": rows})
    else:
        columns = [
            Column("subject"),
            Column("check"),
            Column(""),
            Column("what is wrong", wrap=True),
        ]
        shown = [[o.subject, o.check, _verdict(o), o.message] for o in outcomes]
        verdict = f"{failed} of {len(outcomes)} checks failed" if failed else "all checks passed"
        if warnings := sum(outcome.warning for outcome in outcomes):
            verdict += f", {warnings} warning{'' if warnings == 1 else 's'}"
        show(table(columns, shown), "", verdict)
    if failed:
        raise typer.Exit(1)


def _verdict(outcome: Outcome) -> str:
    if outcome.warning:
        return "warning"
    return "ok" if outcome.ok else "FAILED"
