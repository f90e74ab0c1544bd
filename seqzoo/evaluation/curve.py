"""``plot_curve``: the course of training, epoch by epoch, as a picture for model cards."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from seqzoo.errors import UsageError
from seqzoo.evaluation.plot import draw
from seqzoo.metric_names import metric_title
from seqzoo.notebook import plain

__all__ = ["plot_curve"]

_MARKED = 60
"""With more epochs than this, markers would merge into a band and make the file large."""


def plot_curve(
    epochs: Sequence[Mapping[str, Any]], file: str | os.PathLike[str], title: str
) -> None:
    """Draw the validation metric (left) and the loss (right) over epochs, the best one marked.

    The same epochs give the same bytes.

    Args:
        epochs: ``epoch``, ``loss``, ``metric`` and ``value`` of each epoch, as a run logs them.
        file: ``.svg``, ``.png`` or ``.pdf``.
        title: the heading.

    Raises:
        PlotError: matplotlib is not installed.
        UsageError: there is no epoch, one lacks a value, or the file cannot be written.
    """
    if not epochs:
        raise UsageError(f"the picture '{file}' has no epochs to show; expected one or more")
    for number, record in enumerate(epochs, start=1):
        keys = ("epoch", "loss", "metric", "value")
        missing = [key for key in keys if record.get(key) is None]
        if missing:
            raise UsageError(
                f"epoch record {number} lacks {', '.join(missing)}; expected epoch, loss, metric "
                "and value"
            )
    draw(file, (6.0, 3.4), lambda figure: _draw_curve(epochs, title, figure))


def _draw_curve(epochs: Sequence[Mapping[str, Any]], title: str, figure: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [record["epoch"] for record in epochs]
    values = [record["value"] for record in epochs]
    metric = plain(metric_title(str(epochs[0]["metric"])))
    best = max(range(len(values)), key=values.__getitem__)
    marker = "o" if len(epochs) <= _MARKED else ""

    left = figure.add_subplot()
    right = left.twinx()
    # The metric matters more than the loss, so it is drawn above it.
    left.set_zorder(right.get_zorder() + 1)
    left.patch.set_visible(False)
    right.plot(numbers, [record["loss"] for record in epochs], color="C1", linewidth=1.2,
        ls="--", marker="" if len(epochs) > 1 else "o", markersize=3)  # fmt: skip
    left.plot(numbers, values, color="C0", linewidth=1.5, marker=marker, markersize=3)
    left.plot([numbers[best]], [values[best]], "o", color="C0", markersize=8, fillstyle="none")
    left.axvline(numbers[best], color="0.6", linewidth=0.8, zorder=0)

    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    left.set_xlabel(f"epoch (best: {numbers[best]}, {values[best]:.4f})")
    left.set_ylabel(f"validation {metric}", color="C0", parse_math=False)
    right.set_ylabel("loss (dashed)", color="C1")
    left.grid(visible=True, alpha=0.25)
    left.set_title(plain(title), parse_math=False)
