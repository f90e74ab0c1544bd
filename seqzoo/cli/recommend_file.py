"""``seqzoo recommend --out``: recommendations for all users of a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqzoo.cli.formats import count, seconds
from seqzoo.cli.output import note, print_json
from seqzoo.cli.tables import show
from seqzoo.errors import UsageError

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["recommend_to_file", "source_of"]


def source_of(
    histories: str | None, data: str | None, out: str | None, history: Sequence[str]
) -> str | None:
    """The file or the data whose users get recommendations; None for a single history.

    Raises:
        UsageError: the options do not fit together.
    """
    given = [source for source in (histories, data) if source is not None]
    if not given and out is None:
        return None
    if len(given) != 1 or history:
        raise UsageError(
            "--out needs the users: give one of --histories FILE and --data SOURCE, without "
            "--history"
        )
    if out is None:
        option = "--data" if histories is None else "--histories"
        raise UsageError(f"{option} needs a file for the recommendations: --out FILE")
    return given[0]


def recommend_to_file(
    model: "SequenceModel",
    name: str,
    source: str,
    out: str,
    *,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the recommendations for all users, and print what was written."""
    from seqzoo.cli.progress import users_bar
    from seqzoo.serving.batch.run import recommend_file

    with users_bar(None, quiet=quiet) as advance:
        result = recommend_file(model, source, out, name=name, advance=advance, **options)
    if as_json:
        print_json(result.to_json())
        return
    show(
        f"{count(result.rows)} recommendations for {count(result.users)} users in {result.out} "
        f"({seconds(result.seconds)}{', resumed an interrupted run' if result.resumed else ''})"
    )
    if result.cold:
        answer = "the most popular items" if options["on_cold"] == "popular" else "nothing"
        note(
            f"the model knows no item of {count(result.cold)} users, who got {answer}; --on-cold "
            "chooses"
        )
    if result.unknown:
        note(f"skipped {count(result.unknown)} events with items that the model does not know")
