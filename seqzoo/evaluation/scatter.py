"""Quality against speed: a point for each model, with its interval and its name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqzoo.notebook import plain

__all__ = ["Point", "draw_points"]

_LARGEST = 420.0
_SMALLEST = 24.0
_LONGEST_LABEL = 36
# Points (1/72 inch) from a point up to its name, and beyond which another place is far from it.
_HEIGHT, _ASIDE = 7, 14


@dataclass(frozen=True)
class Point:
    """A model in a picture.

    Attributes:
        name: of the model; the last part of a path is shown.
        speed: users per second.
        value: of the metric.
        interval: lower and upper end around the value; None for none.
        parameters: number of parameters, which the area shows; 0 for a model without any.
    """

    name: str
    speed: float
    value: float
    interval: Sequence[float] | None
    parameters: int


def draw_points(figure: Any, points: Sequence[Point], labels: tuple[str, str], title: str) -> None:
    """Draw points on a matplotlib figure; speed is on a logarithmic axis.

    Args:
        figure: a matplotlib figure.
        points: one for each model, at least one.
        labels: of the axes of speed and of the metric.
        title: above the picture.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes = figure.add_subplot()
    axes.spines["right"].set_visible(False)
    speeds = [point.speed for point in points]
    most = max(1, *(point.parameters for point in points))
    areas = [max(_SMALLEST, _LARGEST * point.parameters / most) for point in points]
    for index, point in enumerate(points):
        low, high = point.interval or (point.value, point.value)
        # The mean of a skewed sample can lie outside its percentile interval.
        errors = [[max(0.0, point.value - low)], [max(0.0, high - point.value)]]
        colour, xy = _colour(index), ([point.speed], [point.value])
        axes.errorbar(*xy, yerr=errors, color=colour, capsize=3, linewidth=1, zorder=2)
        axes.scatter(*xy, s=areas[index], color=colour, alpha=0.75, linewidth=0, zorder=3)
    axes.set_xscale("log")
    # Leave room for the names, and for at least one of the ticks at 1, 2 and 5.
    axes.set_xlim(min(speeds) / 2, max(speeds) * 2)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"
        if value < 1000 else f"{value:,.0f}"))  # fmt: skip
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, alpha=0.25)
    axes.set_xlabel(labels[0], parse_math=False)
    axes.set_ylabel(plain(labels[1]), parse_math=False)
    axes.set_title(plain(title), parse_math=False)
    _name_points(points, areas, figure, axes)


def _colour(index: int) -> str:
    return f"C{index % 10}"


def _name_points(points: Sequence[Point], areas: Sequence[float], figure: Any, axes: Any) -> None:
    """Write each name near its point, where it covers no point and no other name.

    A name that is far from its point gets a line to it.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    frame, scale = axes.get_window_extent(renderer), figure.dpi / 72
    pixels = axes.transData.transform([(point.speed, point.value) for point in points])
    taken: list[Any] = [
        Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius)
        for (x, y), radius in zip(pixels, (scale * area**0.5 / 2 for area in areas), strict=True)
    ]
    for index, point in sorted(enumerate(points), key=lambda each: each[1].value):
        # The last part of a path, the beginning of a long text.
        name = plain(point.name).rstrip("/").rpartition("/")[2] or plain(point.name)
        label = axes.annotate(
            name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…",
            (point.speed, point.value),
            xytext=(0, 0),
            textcoords="offset points",
            color=_colour(index),
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            zorder=4,
        )
        # Long names must not shrink the axes.
        label.set_in_layout(False)
        inwards = 1 if pixels[index][0] <= (frame.x0 + frame.x1) / 2 else -1
        # The nearest position first; towards the middle there is room for a long name.
        positions = sorted(
            ((side, height) for side in (inwards, -inwards) for height in range(-300, 301, 3)),
            key=lambda each: abs(each[1] - _HEIGHT) + (_ASIDE if each[0] != inwards else 0),
        )
        for side, height in positions:
            label.set_horizontalalignment("left" if side > 0 else "right")
            label.set_position((side * 9, height))
            box = label.get_window_extent(renderer)
            fits = frame.y0 <= box.y0 and box.y1 <= frame.y1
            if side != inwards:
                fits = fits and frame.x0 <= box.x0 and box.x1 <= frame.x1
            if fits and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        if abs(height - _HEIGHT) > _ASIDE:
            axes.annotate(
                "",
                (point.speed, point.value),
                xytext=(side * 9, height + 3),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": _colour(index), "linewidth": 0.5},
                zorder=2,
            ).set_in_layout(False)
