"""``seqzoo recommend``: the best items after a history."""

from enum import Enum
from typing import Annotated

import typer

from seqzoo.cli.options import Json
from seqzoo.cli.output import Column, figure, print_json, show, table
from seqzoo.cli.parsing import read_whole_number
from seqzoo.errors import UsageError

EXAMPLE = "Example:  seqzoo recommend mamba4rec-ml1m --history 1 260 1196 -k 5"

_MOST = 10


class OnUnknown(str, Enum):
    """What becomes of items that the model does not know."""

    SKIP = "skip"
    ERROR = "error"


def recommend(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Checkpoint, or ./folder of one.")
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(metavar="ID...", help="Items the user has met, oldest first."),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", metavar="N", parser=read_whole_number, help=f"How many items; {_MOST} by default."
        ),
    ] = None,
    exclude_seen: Annotated[
        bool,
        typer.Option("--exclude-seen/--include-seen", help="Whether the history stays out."),
    ] = True,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="Leave items out that the model does not know, or refuse.")
    ] = OnUnknown.SKIP,
    candidates: Annotated[
        list[str] | None,
        typer.Option(metavar="ID...", help="Items to choose from; all without it."),
    ] = None,
    timestamps: Annotated[
        list[int] | None,
        typer.Option(
            metavar="SECONDS...",
            parser=read_whole_number,
            help="Unix times of the history, if the model uses them.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recommend the items that come next after a history."""
    history = list(history or [])
    name = name or _model_among(history)
    if not history:
        raise UsageError("the history is empty; give item ids, oldest first: --history ID [ID ...]")
    from seqzoo import zoo

    model = zoo.load(name)
    (answer,) = model.answer_many(
        [history],
        min(_MOST, len(model.vocabulary)) if k is None else k,
        exclude_seen=exclude_seen,
        candidates=candidates,
        timestamps=None if timestamps is None else [timestamps],
        on_unknown=on_unknown.value,
    )
    best, unknown = answer.recommendations, answer.unknown
    if unknown:
        shown = ", ".join(f"'{item}'" for item in unknown)
        typer.echo(f"left out, as the model does not know them: {shown}", err=True)
    if as_json:
        print_json(
            {
                "model": name,
                "history": history,
                "unknown": unknown,
                "recommendations": [
                    {"item": one.item, "score": one.score, "label": one.label} for one in best
                ],
            }
        )
        return
    if not best:
        typer.echo("nothing is left to recommend: the history holds every candidate", err=True)
    has_labels = any(one.label for one in best)
    columns = [Column("", right=True), Column("item", style="cyan"), Column("score", right=True)]
    columns += [Column("title", wrap=True)] if has_labels else []
    show(
        table(
            columns,
            [
                [str(rank), one.item, figure(one.score), one.label or ""][: len(columns)]
                for rank, one in enumerate(best, start=1)
            ],
        )
    )


def _model_among(history: list[str]) -> str:
    """The model's name where ``--history 1 260 NAME`` has taken it for the last item."""
    from seqzoo.checkpoint.find import looks_like_path
    from seqzoo.plugins import catalogue

    if history and (history[-1] in catalogue().pretrained or looks_like_path(history[-1])):
        return history.pop()
    raise UsageError(
        "no model is named; give one first: seqzoo recommend NAME --history ID [ID ...]"
    )
