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
from seqzoo.evaluation.scatter import Point, draw_points
from seqzoo.metric_names import metric_title
from seqzoo.notebook import plain

if TYPE_CHECKING:
    from seqzoo.data.description import Description
    from seqzoo.evaluation.comparison import Comparison

__all__ = ["SUFFIXES", "PlotError", "check_plot_file", "draw", "plot", "plot_description"]

SUFFIXES = (".pdf", ".png", ".svg")

_STYLE: dict[Any, Any] = {
    # The same data give the same bytes, and text stays text, which can be searched and read aloud.
    "svg.hashsalt": "seqzoo",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
}
# What the formats call a picture's title and its description.
_WORDS = {
    "svg": ("Title", "Description"),
    "png": ("Title", "Description"),
    "pdf": ("Title", "Subject"),
}


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
    file: str | os.PathLike[str],
    size: tuple[float, float],
    make: Callable[[Any], None],
    *,
    title: str = "",
    description: str = "",
) -> None:
    """Draw a picture and write it atomically.

    Args:
        file: the file to write; its suffix selects the format.
        size: width and height in inches.
        make: draws on the matplotlib figure that is passed to it.
        title: title of the file, for those who do not see the picture.
        description: what the picture shows, for the same.

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
    metadata: dict[str, str | None] = dict(
        {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
    )
    words = zip(_WORDS[suffix], (title, description), strict=True)
    metadata |= {name: text for name, text in words if text}
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
    metric, speed = comparison.metric, "users per second (this machine, this run)"
    points = [
        Point(
            model.name,
            model.users_per_second,
            model.metrics[metric],
            model.interval[metric],
            model.parameters,
        )
        for model in comparison.models
    ]
    labels = (
        f"{speed}; area: number of parameters",
        f"{metric_title(metric)} with its 95 % interval",
    )
    title = f"{comparison.data['name']} under {comparison.protocol}, {comparison.users:,} users"
    draw(file, (7.0, 4.5), lambda figure: draw_points(figure, points, labels, title))


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
    for panel, kind in enumerate(("user", "item")):
        axes = figure.add_subplot(1, 2, panel + 1)
        axes.spines["right"].set_visible(False)
        for stage, counts in description.counts.items():
            events, owners = np.unique(counts[panel], return_counts=True)
            axes.step(events, owners[::-1].cumsum()[::-1], where="post", label=stage)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(visible=True, alpha=0.25)
        axes.set_xlabel(f"events of {'a user' if kind == 'user' else 'an item'}, at least")
        axes.set_ylabel(f"number of {kind}s")
        axes.legend(frameon=False)
