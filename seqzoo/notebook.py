"""The output of seqzoo in notebooks: HTML fragments, and whether the code runs in a notebook.

Ids, titles and names may come from untrusted sources, so every text is escaped. A fragment loads
nothing and sets no colours of its own, so that it is readable on a light and on a dark page.
"""

import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqzoo.errors import one_line
from seqzoo.metric_names import metric_title

__all__ = [
    "Html",
    "block",
    "escape",
    "facts",
    "in_kernel",
    "line",
    "metrics_table",
    "number",
    "plain",
    "table",
]

_GREY = "rgba(128, 128, 128, 0.4)"
_CELL = f"padding: 2px 10px; border-bottom: 1px solid {_GREY}; text-align: "


@dataclass(frozen=True)
class Html:
    """A piece of HTML that is shown as it is; every other text is escaped."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


def in_kernel() -> bool:
    """Whether the code runs in a Jupyter kernel; IPython is asked only if it is there already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def escape(value: object) -> str:
    """A value as one line of HTML text, without control characters."""
    if isinstance(value, Html):
        return value.text
    return html.escape(plain(one_line(value)))


def plain(text: str) -> str:
    """An untrusted string, with ``?`` for every character that is not printable."""
    return "".join(char if char.isprintable() else "?" for char in text)


def block(title: object, *parts: Html) -> Html:
    """A heading with parts below it."""
    inside = "".join(part.text for part in parts)
    return Html(f'<div><div style="font-weight: bold">{escape(title)}</div>{inside}</div>')


def line(*values: object) -> Html:
    """Values side by side in a line of text."""
    return Html(f"<div>{' '.join(escape(value) for value in values)}</div>")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], text: int = 1) -> Html:
    """A table; the first ``text`` columns are aligned to the left, the others to the right."""

    def cells(tag: str, values: Sequence[object]) -> str:
        made = []
        for index, value in enumerate(values):
            style = _CELL + ("left" if index < text else "right")
            made.append(f'<{tag} style="{style}">{escape(value)}</{tag}>')
        return f"<tr>{''.join(made)}</tr>"

    head = f"<thead>{cells('th', columns)}</thead>" if any(columns) else ""
    body = "".join(cells("td", row) for row in rows)
    style = "border-collapse: collapse; margin: 6px 0"
    return Html(f'<table style="{style}">{head}<tbody>{body}</tbody></table>')


def facts(pairs: Sequence[tuple[str, object]]) -> Html:
    """A table of names and values; pairs without a value are left out."""
    rows = [pair for pair in pairs if pair[1] not in ("", None)]
    return table(("", ""), rows, text=2)


def metrics_table(metrics: dict[str, dict[str, float]]) -> Html:
    """Metrics by row name: a row for each name, a column for each metric that any row has."""
    columns = list(dict.fromkeys(key for row in metrics.values() for key in row))
    rows = [
        [name, *(f"{row[key]:.4f}" if key in row else "" for key in columns)]
        for name, row in metrics.items()
    ]
    return table(["", *map(metric_title, columns)], rows)


def number(value: Any) -> str:
    """A whole number with separators between thousands."""
    return f"{value:,}"
