"""``plot``: a comparison as a picture, and the drawing and saving that all pictures share."""

import io
import os
import secrets
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqzoo.errors import SeqzooError, UsageError, nearest
from seqzoo.metric_names import metric_title
from seqzoo.notebook import plain

if TYPE_CHECKING:
    from seqzoo.data.description import Description
    from seqzoo.evaluation.comparison import Comparison

SUFFIXES = (".pdf", ".png", ".svg")

_STYLE: dict[Any, Any] = {
    # The same data give the same bytes, and text stays text, which can be searched and read aloud.
    "svg.hashsalt": "seqzoo",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
}
_LARGEST = 420.0
_SMALLEST = 24.0
_LONGEST_LABEL = 36


class PlotError(SeqzooError):
    """A picture cannot be drawn because matplotlib is not installed."""


def check_plot_file(file: str | os.PathLike[str]) -> Path:
    """Check that a picture can be written to a file, before anything is drawn.

    Returns:
        The path.

    Raises:
        PlotError: matplotlib is not installed.
        UsageError: the suffix is none of ``SUFFIXES``, or the folder does not exist.
    """
    path = Path(file)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"the plot '{path}' ends in '{suffix}'{nearest(suffix, SUFFIXES)}; expected one of: "
            f"{', '.join(SUFFIXES)}"
        )
    if path.is_dir():
        raise UsageError(f"the plot '{path}' is a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise UsageError(
            f"the picture '{path}' cannot be written: the folder '{path.parent}' does not exist; "
            "create it or choose another"
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(
            f"the plot '{path}' cannot be written: no permission in '{path.parent}'; choose "
            "another folder"
        )
    if find_spec("matplotlib") is None:
        raise PlotError(
            "pictures need matplotlib, which is not installed: pip install 'seqzoo[plot]'"
        )
    return path


def draw(
    file: str | os.PathLike[str], size: tuple[float, float], make: Callable[[Any], None]
) -> None:
    """Draw a picture and write it atomically.

    Args:
        file: the file to write; its suffix selects the format.
        size: width and height in inches.
        make: draws on the matplotlib figure that is passed to it.

    Raises:
        PlotError: matplotlib is not installed.
        UsageError: as ``check_plot_file``, or the file cannot be written.
    """
    path = check_plot_file(file)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # pyplot would keep figures and choose a display

    picture = io.BytesIO()
    suffix = path.suffix.lower().removeprefix(".")
    # No dates, for the same bytes every time; a PNG has none.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix)
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Letters that the font lacks are shown as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)  # measures text without a display
        make(figure)
        figure.savefig(picture, format=suffix, dpi=150, metadata=metadata)
    content = picture.getvalue()
    if suffix == "svg":
        # Most machines that show a card lack the font; any sans-serif font will do there.
        content = content.replace(b"'DejaVu Sans';", b"'DejaVu Sans', sans-serif;")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"the plot '{path}' cannot be written: {error.strerror or error}; choose another file"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def plot(comparison: "Comparison", file: str | os.PathLike[str]) -> None:
    """Draw quality against speed: a point for each model, its area the number of parameters.

    Args:
        comparison: the result of ``compare``.
        file: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        PlotError: matplotlib is not installed.
        UsageError: as ``check_plot_file``, or the file cannot be written.
    """
    draw(file, (7.0, 4.5), lambda figure: _draw_comparison(comparison, figure))


def plot_description(description: "Description", file: str | os.PathLike[str]) -> None:
    """Draw how many users and items have at least a given number of events, at every stage.

    Args:
        description: the result of ``describe_data``.
        file: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        PlotError: matplotlib is not installed.
        UsageError: as ``check_plot_file``, or the file cannot be written.
    """
    draw(file, (8.0, 3.6), lambda figure: _draw_description(description, figure))


def _draw_description(description: "Description", figure: Any) -> None:
    figure.suptitle(plain(description.name), parse_math=False)
    for place, kind in enumerate(("user", "item")):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.spines["right"].set_visible(False)
        for stage, counts in description.counts.items():
            events, owners = np.unique(counts[place], return_counts=True)
            axes.step(events, owners[::-1].cumsum()[::-1], where="post", label=stage)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(visible=True, alpha=0.25)
        axes.set_xlabel(f"events of {'a user' if kind == 'user' else 'an item'}, at least")
        axes.set_ylabel(f"number of {kind}s")
        axes.legend(frameon=False)


def _draw_comparison(comparison: "Comparison", figure: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes = figure.add_subplot()
    axes.spines["right"].set_visible(False)
    metric, models = comparison.metric, comparison.models
    speeds = [model.users_per_second for model in models]
    most = max(model.parameters for model in models)
    for index, (model, speed) in enumerate(zip(models, speeds, strict=True)):
        value = model.metrics[metric]
        low, high = model.interval[metric]
        # The mean of a skewed sample can lie outside its percentile interval.
        errors = [[max(0.0, value - low)], [max(0.0, high - value)]]
        colour = f"C{index % 10}"
        axes.errorbar([speed], [value], yerr=errors, color=colour, capsize=3, linewidth=1, zorder=2)
        area = max(_SMALLEST, _LARGEST * model.parameters / most)
        axes.scatter([speed], [value], s=area, color=colour, alpha=0.75, linewidth=0, zorder=3)
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
    axes.set_xlabel("users per second (this machine, this run); area: number of parameters")
    axes.set_ylabel(f"{plain(metric_title(metric))} with its 95 % interval", parse_math=False)
    title = f"{comparison.data['name']} under {comparison.protocol}, {comparison.users:,} users"
    axes.set_title(plain(title), parse_math=False)
    _label_points(comparison, figure, axes)


def _label_points(comparison: "Comparison", figure: Any, axes: Any) -> None:
    """Write each name beside its point, moved up or down where it would cover another name."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    middle = axes.transData.inverted().transform(axes.transAxes.transform((0.5, 0.5)))[0]
    frame = axes.get_window_extent(renderer)
    taken: list[Any] = []
    colours = {model.name: f"C{index % 10}" for index, model in enumerate(comparison.models)}
    by_value = sorted(comparison.models, key=lambda model: model.metrics[comparison.metric])
    for model in by_value:
        left = model.users_per_second <= middle
        # The last part of a path, the beginning of a long text.
        name = plain(model.name).rstrip("/").rpartition("/")[2] or plain(model.name)
        label = axes.annotate(
            name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…",
            (model.users_per_second, model.metrics[comparison.metric]),
            xytext=(9 if left else -9, 7),
            textcoords="offset points",
            ha="left" if left else "right",
            color=colours[model.name],
            parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            zorder=4,
        )
        # Long names must not shrink the axes.
        label.set_in_layout(False)
        # Try the positions nearest to the point first, above and below it.
        for height in sorted(range(-300, 301, 3), key=lambda height: abs(height - 7)):
            label.set_position((9 if left else -9, height))
            box = label.get_window_extent(renderer)
            inside = frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
