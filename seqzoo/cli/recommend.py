"""``seqzoo recommend``: the best items after a history."""

import json
import logging
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqzoo import zoo
from seqzoo.checkpoint.pins import known_checkpoints
from seqzoo.cli.formats import metric
from seqzoo.cli.options import (
    CHECKPOINT_HELP,
    DEFAULT_K,
    BatchSize,
    Device,
    ItemCol,
    Json,
    K,
    Quiet,
    TimeCol,
    UserCol,
)
from seqzoo.cli.output import log_from, note, print_json
from seqzoo.cli.parsing import read_whole_number
from seqzoo.cli.recommend_file import recommend_to_file, source_of
from seqzoo.cli.tables import Column, show, table
from seqzoo.errors import UsageError
from seqzoo.storage.messages import listing
from seqzoo.validation import looks_like_path

if TYPE_CHECKING:
    from seqzoo.model.recommendations import Recommendations
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Engine", "OnCold", "OnUnknown", "recommend", "show_items"]

_SHOWN = 20


class OnUnknown(str, Enum):
    """What to do with items that the model does not know."""

    SKIP = "skip"
    ERROR = "error"


class OnCold(str, Enum):
    """What a user without a known item gets."""

    ERROR = "error"
    EMPTY = "empty"
    POPULAR = "popular"


class Engine(str, Enum):
    """Where the users of a file are scored."""

    LOCAL = "local"
    RAY = "ray"


def recommend(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help=CHECKPOINT_HELP)] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(metavar="ID...", help="Items of the user's history, oldest first."),
    ] = None,
    k: K = None,
    exclude_seen: Annotated[
        bool,
        typer.Option("--exclude-seen/--include-seen", help="Exclude items already in the history."),
    ] = True,
    on_unknown: Annotated[
        OnUnknown, typer.Option(help="Skip items that the model does not know, or fail.")
    ] = OnUnknown.SKIP,
    on_cold: Annotated[
        OnCold | None,
        typer.Option(
            help="For a user whose history has no item that the model knows: fail, recommend "
            "nothing, or recommend the most popular items (default: error; with --out: empty)."
        ),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID...",
            help="Recommend only these items (default: all); with --out, ids or a file.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID...", help="Never recommend these items; with --out, ids or a file."
        ),
    ] = None,
    timestamps: Annotated[
        list[int] | None,
        typer.Option(
            metavar="SECONDS...",
            parser=read_whole_number,
            help="Unix timestamps of the history, for models that use them.",
        ),
    ] = None,
    histories: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File with the histories of many users (.csv, .parquet, .jsonl): one row per "
            "event or one row per user.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Instead of --histories: a data set, file or folder as for `seqzoo train`.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File for the recommendations of all users: .parquet, .csv or .jsonl.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --out file.")] = False,
    user_col: UserCol = None,
    item_col: ItemCol = None,
    time_col: TimeCol = None,
    history_col: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of whole histories (default: found by name)."),
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(help="Score the users of --out in this process, or on a Ray cluster."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=read_whole_number,
            help="Workers of --engine ray, one core each (default: the free cores).",
        ),
    ] = None,
    batch_size: BatchSize = 256,
    device: Device = "cpu",
    at: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            parser=read_whole_number,
            help="Unix time of the request, for models that use it (default: the newest event's).",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="Features of the history's events, for models that use them: "
            "'{\"rating\": [5, 3]}'.",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Id of the user, for models that use it.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Recommend items for a history, or for all users of a file."""
    history = list(history or [])
    source = source_of(histories, data, out, history)
    if source is not None:
        if name is None or timestamps or at is not None or features or user:
            raise UsageError(
                "name the model, and leave out --timestamps, --at, --features and --user, which "
                "belong to one history: seqzoo recommend NAME --histories FILE --out FILE"
            )
        if quiet:
            log_from(logging.ERROR)
        log_from(logging.ERROR if quiet else logging.INFO, "ray")
        recommend_to_file(
            zoo.load(name, device=device),
            name,
            source,
            str(out),
            quiet=quiet,
            as_json=as_json,
            k=DEFAULT_K if k is None else k,
            exclude_seen=exclude_seen,
            candidates=candidates,
            exclude=exclude,
            on_unknown=on_unknown.value,
            on_cold=(on_cold or OnCold.EMPTY).value,
            batch_size=batch_size,
            user_col=user_col,
            item_col=item_col,
            time_col=time_col,
            history_col=history_col,
            overwrite=overwrite,
            engine=(engine or Engine.LOCAL).value,
            workers=workers,
        )
        return
    if engine is not None or workers is not None:
        raise UsageError(
            "--engine and --workers are for all users of a file: seqzoo recommend NAME --histories "
            "FILE --out FILE --engine ray"
        )
    _after_one_history(
        name,
        history,
        k,
        device,
        on_cold or OnCold.ERROR,
        as_json=as_json,
        exclude_seen=exclude_seen,
        candidates=candidates,
        exclude=exclude,
        timestamps=timestamps,
        at=at,
        features=_features(features),
        user=user,
        on_unknown=on_unknown.value,
    )


def _after_one_history(
    name: str | None,
    history: list[str],
    k: int | None,
    device: str,
    on_cold: OnCold,
    *,
    as_json: bool,
    candidates: list[str] | None,
    exclude: list[str] | None,
    **options: Any,
) -> None:
    """Recommend items for one history, and show the result."""
    name = name or _model_among(history)
    if not history and on_cold is OnCold.ERROR:
        raise UsageError(
            "the history is empty; give item ids, oldest first: --history ID [ID ...], or ask for "
            "the most popular items: --on-cold popular"
        )
    model = zoo.load(name, device=device)
    best = model.recommend(
        history,
        min(DEFAULT_K, len(model.vocabulary)) if k is None else k,
        candidates=candidates,
        exclude=exclude,
        on_cold=on_cold.value,
        **options,
    )
    _note_skipped(model, best, candidates or [], exclude or [])
    if as_json:
        print_json(
            {
                "model": name,
                "history": history,
                "unknown": best.unknown,
                "cold": best.cold,
                "recommendations": [asdict(one) for one in best],
            }
        )
    else:
        _show(best, on_cold)


def _note_skipped(
    model: "SequenceModel", best: "Recommendations", candidates: list[str], exclude: list[str]
) -> None:
    for what, unknown in (
        ("", best.unknown),
        (" candidates", model.vocabulary.encode(candidates)[1]),
        (" exclusions", model.vocabulary.encode(exclude)[1]),
    ):
        if unknown:
            shown = listing([f"'{item}'" for item in unknown], _SHOWN)
            note(f"skipped{what}, because the model does not know them: {shown}")


def _show(best: "Recommendations", on_cold: OnCold) -> None:
    if best.cold:
        answer = "the most popular items" if on_cold is OnCold.POPULAR else "nothing"
        note(f"the model knows no item of the history, so it recommends {answer}")
    elif not best:
        note("nothing to recommend: all candidates are in the history or excluded")
    show_items(best, "interactions" if best.cold else "score")


def _features(given: str | None) -> dict[str, Any] | None:
    """The features of the history's events, from JSON."""
    if given is None:
        return None
    expected = "expected lists by name in JSON: --features '{\"rating\": [5, 3]}'"
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--features cannot be read ({error}); {expected}") from None
    if not isinstance(found, dict) or not all(isinstance(v, list) for v in found.values()):
        raise UsageError(f"--features is {given[:80]}; {expected}")
    return found


def show_items(items: "Recommendations", score: str) -> None:
    """Show items as a table, best first, with the meaning of their scores at the top."""
    columns = [Column("", right=True), Column("item", style="cyan"), Column(score, right=True)]
    columns += [Column("title", wrap=True)] if any(one.label for one in items) else []
    rows = []
    for rank, one in enumerate(items, start=1):
        number = f"{one.score:,.0f}" if score == "interactions" else metric(one.score)
        rows.append([str(rank), one.item, number, one.label or ""][: len(columns)])
    show(table(columns, rows))


def _model_among(history: list[str]) -> str:
    """The model's name, if ``--history 1 260 NAME`` has taken it as the last item."""
    if history and (history[-1] in known_checkpoints() or looks_like_path(history[-1])):
        return history.pop()
    raise UsageError(
        "no model is named; give one first: seqzoo recommend NAME --history ID [ID ...]"
    )
