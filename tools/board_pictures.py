"""The pictures of the board: quality against speed, a point for each model."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

from board_data import Row, Table

from seqzoo.evaluation.plot import draw
from seqzoo.evaluation.scatter import Point, draw_points
from seqzoo.metric_names import metric_title

METRIC = "ndcg@10"


def picture_name(board: Table) -> str:
    """The name of a table's picture."""
    return re.sub(r"[^a-z0-9-]+", "-", f"{board.data}-{board.protocol}".lower()) + ".svg"


def _points(board: Table) -> list[Point]:
    """The rows whose speed was measured, by name, so that colours change less than ranks."""
    return [
        Point(row.name, row.speed.users_per_second, row.metrics[METRIC], _interval(row),
              row.parameters or 0)
        for row in sorted(board.rows, key=lambda row: (row.baseline, row.name))
        if row.speed is not None
    ]  # fmt: skip


def _without_shared_ending(points: list[Point]) -> list[Point]:
    """The points without what all checkpoints' names end with, such as ``-ml1m``."""
    names = [point.name for point in points if point.parameters]
    shared = "-" + names[0].rpartition("-")[2] if names else ""
    if len(names) < 2 or not all(name.endswith(shared) for name in names):
        return points
    return [replace(point, name=point.name.removesuffix(shared)) for point in points]


def _interval(row: Row) -> tuple[float, float] | None:
    half = row.spread.get(METRIC)
    return None if half is None else (row.metrics[METRIC] - half, row.metrics[METRIC] + half)


def _title(board: Table) -> str:
    return f"{board.data} under {board.protocol}, {board.users:,} users"


def _description(board: Table) -> str:
    """The points in words, for those who do not see the picture; also says what was drawn."""
    return "; ".join(
        f"{point.name}: {metric_title(METRIC)} {point.value:.4f}, "
        f"{point.speed:,.0f} users per second"
        for point in _points(board)
    )


def is_current(file: Path, board: Table) -> bool:
    """Whether a picture was drawn from these results; another matplotlib may give other bytes."""
    if not file.is_file():
        return False
    text = file.read_text("utf-8")
    title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    said = re.search(r"<dc:description>(.*?)</dc:description>", text, re.DOTALL)
    found = [unescape(each[1]) if each else None for each in (title, said)]
    return found == [_title(board), _description(board)]


def write_picture(file: Path, board: Table) -> None:
    """Draw the picture of a table."""
    points, title = _without_shared_ending(_points(board)), _title(board)
    labels = (
        "users per second, one thread; area: number of parameters",
        f"{metric_title(METRIC)} with its 95 % interval over users",
    )
    draw(
        file,
        (8.0, 5.2),
        lambda figure: draw_points(figure, points, labels, title),
        title=title,
        description=_description(board),
    )
