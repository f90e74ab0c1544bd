"""Write the board: ``docs/board.md`` and its pictures, from stored results only.

``python tools/update_board.py`` writes them, ``--check`` only says whether they are current. See
``board_data.py`` for where each figure comes from.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence

from board_data import ROOT, Published, Row, Table, hit_and_ndcg, tables
from board_pictures import is_current, picture_name, write_picture

from seqzoo.metric_names import metric_title

PAGE = ROOT / "docs" / "board.md"
PICTURES = ROOT / "docs" / "images" / "board"
SHOWN = ("hit@10", "ndcg@10", "mrr@10")
UNMEASURED = "unmeasured"

_INTRODUCTION = """\
# Board

<!-- Written by tools/update_board.py from model_cards/ and benchmarks/. Do not edit. -->

Every checkpoint of this repository, with quality, size and speed, compared with simple
[baselines](architectures/baselines.md) and with what others have published under the same
protocol. Each table has one data set and one [protocol](how-to/protocols.md); results of different
tables are not comparable. Click the title of a column to sort by it, and again to reverse the
order.

- **HR@10, NDCG@10, MRR@10**: the stored [metrics](how-to/evaluate.md) on the test part, which
  `seqzoo eval` reproduces. ± is half the width of the 95 % interval over users. It says nothing
  about other seeds: each checkpoint is a single run.
- **training, min**: minutes that the training of these weights took, over all epochs with their
  validation, as the run itself measured them, on the threads of its recipe (one). Other jobs may
  have slowed it down. Empty: trained before these times were recorded.
- **users/s**: users who get ten recommendations from `model.recommend_many` in a second of
  processor time, on one thread. {users:,} users of the data with their real histories, evenly
  spaced, are served at once.
- **relative speed**: users/s divided by that of the peer that is named above the tables. All models
  of a data set take turns in one run, so this depends less on the machine than users/s does.
- **state, bytes**: what a [session](how-to/sessions.md) keeps for one user after 200 events, or
  after as many as the model reads if these are fewer. "none": the model keeps no state and reads
  the history again.
- **published**: HR@10 / NDCG@10 that others have published for the same architecture, the best if
  there are several, in bold where a metric is higher than ours. The second table has the sources.

"{unmeasured}" means that the speed of these weights was not measured.

`python benchmarks/board.py` repeats the measurement, and
`python tools/update_board.py` writes this page.
"""


def table(header: Sequence[str], right: Iterable[int], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that a browser can sort; some columns are numbers, on the right."""
    numbers = set(right)
    rule = ["---:" if index in numbers else "---" for index in range(len(header))]
    lines = ["| " + " | ".join(line) + " |" for line in (header, rule, *rows)]
    return "\n".join(['<div class="sortable" markdown>', "", *lines, "", "</div>"]) + "\n"


def metric(row: Row, key: str) -> str:
    """A metric with its spread."""
    if key not in row.metrics:
        return ""
    half = f" ± {row.spread[key]:.4f}" if key in row.spread else ""
    return f"{row.metrics[key]:.4f}{half}"


def speed(row: Row) -> list[str]:
    """Users per second, relative speed, and bytes of the state."""
    if row.speed is None:
        return [UNMEASURED, "", ""]
    state = row.speed.state_bytes
    return [
        f"{row.speed.users_per_second:,.0f}",
        f"{row.speed.ratio:.2f}",
        "none" if state is None else f"{state:,}",
    ]


def published(row: Row) -> str:
    """What others have published for the same model, in bold where it is higher."""
    if row.published is None:
        return ""
    theirs = row.published.metrics
    higher = any(value > round(row.metrics.get(key, 0.0), 4) for key, value in theirs.items())
    return f"**{hit_and_ndcg(theirs)}**" if higher else hit_and_ndcg(theirs)


def results(board: Table) -> str:
    """The table of checkpoints and baselines."""
    header = [
        "checkpoint", *map(metric_title, SHOWN),
        "parameters", "training, min", "users/s", "relative speed", "state, bytes", "published",
    ]  # fmt: skip
    rows = [
        [
            f"`{row.name}`" + (" (baseline)" if row.baseline else ""),
            *(metric(row, key) for key in SHOWN),
            "" if row.parameters is None else f"{row.parameters:,}",
            "" if row.trained is None else f"{row.trained / 60:.1f}",
            *speed(row),
            published(row),
        ]
        for row in board.rows
    ]
    return table(header, range(1, len(header)), rows)


def of_others(published: Sequence[Published]) -> str:
    """The table of what others have published."""
    header = ["model", *map(metric_title, SHOWN), "source", "where", "what differs"]
    rows = [
        [
            each.model,
            *(f"{each.metrics[key]:.4f}" if key in each.metrics else "" for key in SHOWN),
            each.source,
            each.place,
            each.differs,
        ]
        for each in published
    ]
    return table(header, (1, 2, 3), rows)


def section(board: Table) -> list[str]:
    """The part of the page about one data set and protocol."""
    parts = [f"### {board.data}, `{board.protocol}`\n", f"{board.users:,} test users.\n"]
    if any(row.speed for row in board.rows):
        title = f"NDCG@10 and users per second on {board.data} under {board.protocol}"
        parts.append(f"![{title}](images/board/{picture_name(board)})\n")
    parts.append(results(board))
    if board.published:
        parts += ["Published by others under this protocol:\n", of_others(board.published)]
    return parts


def measured(board: Table) -> str:
    """When and how the speed on some data was measured."""
    entry = board.measured
    if entry is None:
        return "Speed on these data has not been measured.\n"
    machine = entry["machine"]
    return (
        f"Speed: the peer is `{entry['peer']}`; {entry['events']:g} events per user on average; "
        f"the fastest of {entry['turns']} rounds; `{entry['command']}`, {entry['date']}: "
        f"{machine['processor']}, {machine['cores']} cores, load {entry['load']}, "
        f"Python {machine['python']}, torch {machine['torch']}, seqzoo {machine['seqzoo']}.\n"
    )


def render(boards: Sequence[Table]) -> str:
    """The whole page."""
    users = {board.measured["users"] for board in boards if board.measured} or {1000}
    parts = [_INTRODUCTION.format(users=max(users), unmeasured=UNMEASURED)]
    data = ""
    for board in boards:
        if board.data != data:
            data = board.data
            parts += [f"## {data}\n", measured(board)]
        parts += section(board)
    return "\n".join(parts)


def main() -> int:
    """Write the page, or with ``--check`` exit 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 on difference")
    options = parser.parse_args()
    boards = tables()
    drawn = {
        PICTURES / picture_name(board): board
        for board in boards
        if any(row.speed for row in board.rows)
    }
    if options.check:
        wrong = [
            file
            for file, current in [
                (PAGE, PAGE.is_file() and PAGE.read_text("utf-8") == render(boards)),
                *((file, is_current(file, board)) for file, board in drawn.items()),
                *((file, file in drawn) for file in sorted(PICTURES.glob("*"))),
            ]
            if not current
        ]
        for file in wrong:
            sys.stderr.write(
                f"{file.relative_to(ROOT)} is out of date: python tools/update_board.py\n"
            )
        return 1 if wrong else 0
    PAGE.write_text(render(boards), "utf-8")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file in PICTURES.glob("*"):
        if file not in drawn:
            file.unlink()
    for file, board in drawn.items():
        if not is_current(file, board):
            write_picture(file, board)
    return 0


if __name__ == "__main__":
    sys.exit(main())
