"""Recommendations for all users of a file or a data set, written to a file."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from seqzoo.data.build import build_sequences
from seqzoo.data.prepare import load_data
from seqzoo.data.prepared import PreparedFolder, is_prepared
from seqzoo.data.readers.read import SUFFIXES, rows_of
from seqzoo.data.readers.sources import open_source
from seqzoo.data.readers.tables import Rows
from seqzoo.errors import UsageError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.session import identity
from seqzoo.serving.batch.buckets import buckets_for
from seqzoo.serving.batch.engines import check_engine, make_engine
from seqzoo.serving.batch.job import Job, Part, out_error
from seqzoo.serving.batch.layout import Columns, Layout, find_layout
from seqzoo.serving.batch.lists import ItemLists, is_table
from seqzoo.serving.batch.score import SCHEMA, Options
from seqzoo.serving.batch.tasks import Engine, Task
from seqzoo.serving.batch.users import (
    Block,
    blocks_of_buckets,
    blocks_of_data,
    blocks_of_rows,
    write_buckets,
)
from seqzoo.version import __version__

__all__ = [
    "BatchResult",
    "recommend_file",
]

_USERS_AT_ONCE, _EVENTS_AT_ONCE = 1 << 14, 1 << 18


@dataclass(frozen=True)
class BatchResult:
    """What was written.

    Attributes:
        model: name of the model.
        users: number of users.
        cold: how many of them have no item that the model knows.
        unknown: number of events with items that the model does not know.
        rows: number of recommendations.
        seconds: duration of this run.
        resumed: whether an interrupted run was resumed.
        out: the file.
    """

    model: str
    users: int
    cold: int
    unknown: int
    rows: int
    seconds: float
    resumed: bool
    out: str

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def recommend_file(
    model: SequenceModel,
    source: str | Path,
    out: str | Path,
    k: int = 10,
    *,
    exclude_seen: bool = True,
    candidates: Sequence[str] | str | Path | None = None,
    exclude: Sequence[str] | str | Path | None = None,
    on_unknown: str = "skip",
    on_cold: str = "empty",
    batch_size: int = 256,
    user_col: str | None = None,
    item_col: str | None = None,
    time_col: str | None = None,
    history_col: str | None = None,
    overwrite: bool = False,
    engine: str = "local",
    workers: int | None = None,
    name: str | None = None,
    advance: Callable[[int], None] = lambda users: None,
) -> BatchResult:
    """Write the recommendations of all users of a file.

    Memory does not grow with the number of users, up to files of 4 GiB (Parquet) or 16 GiB (text);
    above that it grows with the file, and a warning says so. A call with the same arguments resumes
    an interrupted run; the output file appears only when it is complete.

    Args:
        model: any model.
        source: a CSV, TSV, Parquet or JSON lines file with one row per event or one row per user;
            or any other data that training reads. A folder of prepared data is mapped into memory;
            other data are read into it.
        out: a ``.parquet``, ``.csv`` or ``.jsonl`` file with the columns ``user``, ``rank`` (from
            1), ``item``, ``score`` and ``label``.
        k: number of items for each user.
        exclude_seen: exclude all items of the history.
        candidates: item ids to choose from, or a file of them; with a column of users, each user
            has candidates of their own, and users without any get nothing.
        exclude: item ids that are never recommended, or a file of them; with a column of users, for
            single users.
        on_unknown: ``skip`` ignores ids that the model does not know, ``error`` raises.
        on_cold: what users without a known item get: ``empty`` for no rows, ``popular`` for the
            most popular items, ``error`` to raise.
        batch_size: maximum number of histories per batch.
        user_col: column of users; by default the one with a common name.
        item_col: column of items; by default the one with a common name.
        time_col: column of timestamps; by default the one with a common name; empty for the order
            of the rows.
        history_col: column with all items of a user: a list, or text with ids separated by blanks.
        overwrite: replace the output file.
        engine: ``local`` scores in this process. ``ray`` scores on the Ray cluster that this
            process is connected to or that the variable RAY_ADDRESS names, or else on one of this
            machine; lost workers are replaced. The rows and their order are the same.
        workers: number of workers of the engine ``ray``, with one core each; None for one on each
            core of the cluster that is free when the run starts.
        name: the model's name in the result.
        advance: called with numbers of users that are done.

    Raises:
        DataError: a file cannot be read or written; the message names the file and the row.
        UnknownItemError: a user is cold and ``on_cold`` is ``error``, or an id is unknown and
            ``on_unknown`` is ``error``; the message names the file and the row or the user.
        UsageError: an argument is invalid.
    """
    started = time.perf_counter()
    _check_files(source, {"candidates": candidates, "exclude": exclude})
    options = Options(k, exclude_seen, on_unknown, on_cold, batch_size)
    options.check(model)
    check_engine(engine, workers, model)
    job = Job(out, overwrite=overwrite)
    columns = Columns(user_col, item_col, time_col, history_col)
    lists = {"candidates": _lists(candidates), "exclude": _lists(exclude)}
    settings = {
        "seqzoo": __version__,
        "polars": pl.__version__,
        "model": identity(model),
        "source": _state_of(source),
        "columns": asdict(columns),
        "options": asdict(options),
        "format": job.format,
        "candidates": _given(candidates),
        "exclude": _given(exclude),
    }
    try:
        resumed = job.start(settings)
        try:
            blocks = _blocks(source, columns, lists, job.folder)
            tasks = _tasks(model, blocks, lists, job, advance)
            _run(make_engine(engine, workers, model, options, lists), tasks, job, advance)
            parts = job.done.values()
            totals = {
                field: sum(getattr(part, field) for part in parts)
                for field in ("users", "cold", "unknown", "rows")
            }
            job.finish(SCHEMA)
        finally:
            job.close()
    except OSError as error:
        raise out_error(job.out, error) from error
    return BatchResult(
        model=name or model.architecture,
        seconds=time.perf_counter() - started,
        resumed=resumed,
        out=str(out),
        **totals,
    )


def _check_files(source: object, lists: Mapping[str, object]) -> None:
    """Refuse tables in memory, which another function takes.

    Raises:
        UsageError: the source is not a path or a name, or a list is a table in memory.
    """
    if not isinstance(source, str | Path):
        raise UsageError(
            f"the source is a {type(source).__name__}; expected the path of a file or the name of "
            "a data set; for tables in memory call seqzoo.recommend_tables(model, [TABLE])"
        )
    for what, given in lists.items():
        if is_table(given):
            raise UsageError(
                f"{what} is a {type(given).__name__}; expected item ids or the path of a file; "
                "seqzoo.recommend_tables takes a table in memory"
            )


def _tasks(
    model: SequenceModel,
    blocks: Iterator[Block],
    lists: Mapping[str, ItemLists | None],
    job: Job,
    advance: Callable[[int], None],
) -> Iterator[Task]:
    """The blocks that are not done yet."""
    for number, block in enumerate(blocks):
        if number == 0:
            model.warn_of_timestamps(block.times)
        if number in job.done:
            advance(len(block.users))
        else:
            wanted: dict[str, Any] = {
                what: None if each is None else each.of(block.users, block.bucket)
                for what, each in lists.items()
            }
            yield Task(number, block, wanted)


def _run(engine: Engine, tasks: Iterator[Task], job: Job, advance: Callable[[int], None]) -> None:
    with closing(engine.run(tasks)) as found:
        for task, answered in found:
            part = Part(
                part=task.number,
                users=len(task.block.users),
                cold=answered.cold,
                rows=answered.frame.height,
                unknown=answered.unknown,
            )
            job.add(answered.frame, part)
            advance(part.users)


def _blocks(
    source: str | Path, columns: Columns, lists: Mapping[str, ItemLists | None], folder: Path
) -> Iterator[Block]:
    by_user = {
        what: each for what, each in lists.items() if each is not None and each.everyone is None
    }
    path = Path(source).expanduser()
    if is_prepared(source) or not path.is_file() or path.suffix.lower() == ".zip":
        if by_user:
            raise UsageError(
                f"lists by user need a file of histories, and {source} is not one; export the data "
                "as a table, and give it with --histories FILE"
            )
        return _blocks_of_data(source, columns)
    rows, layout = _opened(path, columns)
    if layout.whole and not by_user:
        return blocks_of_rows(rows, layout)
    # As many as the largest of the files needs, since each is divided in the same way.
    count = max(map(buckets_for, (path, *(each.path for each in by_user.values()))))
    buckets = write_buckets(folder / "histories", count, rows, layout)
    for what, each in by_user.items():
        each.divide(folder / what, count)
    return blocks_of_buckets(buckets, rows.head, layout)


def _opened(path: Path, columns: Columns) -> tuple[Rows, Layout]:
    """The rows of a file and their layout; rows of users are read in smaller chunks."""
    opened = open_source(path)
    layout = find_layout(rows_of(opened).head, columns)
    return rows_of(opened, _USERS_AT_ONCE if layout.whole else _EVENTS_AT_ONCE), layout


def _blocks_of_data(source: str | Path, columns: Columns) -> Iterator[Block]:
    if columns.history is not None:
        raise UsageError(f"{source} has no column of histories; leave out --history-col")
    if is_prepared(source):
        folder = PreparedFolder.open(source)
        return blocks_of_data(folder.load(**folder.settings))
    named = {"user_col": columns.user, "item_col": columns.item, "time_col": columns.time}
    return blocks_of_data(build_sequences(load_data(source, named)))


def _lists(given: Sequence[str] | str | Path | None) -> ItemLists | None:
    if given is None:
        return None
    if (path := file_of_lists(given)) is not None:
        return ItemLists.read(path)
    return ItemLists([str(each) for each in given])  # type: ignore[union-attr]


def file_of_lists(given: Sequence[str] | str | Path) -> Path | None:
    """The file that candidates or exclusions are in; None if they are ids themselves.

    A list of a single id is a file if it has the ending of a table and exists.
    """
    if isinstance(given, str | Path):
        return Path(given)
    if len(given) == 1 and given[0].lower().endswith(SUFFIXES) and Path(given[0]).is_file():
        return Path(given[0])
    return None


def _given(given: Sequence[str] | str | Path | None) -> Any:
    if given is None or isinstance(given, str | Path):
        return None if given is None else _state_of(given)
    path = file_of_lists(given)
    return list(given) if path is None else _state_of(path)


def _state_of(source: str | Path) -> list[Any]:
    """What shows whether data have changed: the files with their sizes and times."""
    path = Path(source).expanduser()
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file())
    else:
        return [str(source)]
    states = [(str(each.resolve()), each.stat()) for each in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]
