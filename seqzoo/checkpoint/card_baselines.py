"""The table of baselines in a model card: a checkpoint compared with simple methods."""

from collections.abc import Mapping

from seqzoo.checkpoint.markdown import code_span, markdown_text
from seqzoo.metric_names import metric_title

__all__ = ["baselines_table"]

_CUTOFF = "@10"


def baselines_table(
    own: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], title: str
) -> str:
    """Markdown rows of a checkpoint and of the baselines, by the metrics at 10; "" without any.

    Args:
        own: the checkpoint's metrics under a protocol.
        baselines: the baselines' metrics on the same users under the same protocol.
        title: title of the first column, data and protocol, as Markdown.
    """
    keys = [key for key in own if key.endswith(_CUTOFF)]
    if not keys or not baselines:
        return ""
    lines = [
        f"| {title} | {' | '.join(markdown_text(metric_title(key)) for key in keys)} |",
        "|---|" + "---:|" * len(keys),
    ]
    rows = [("this checkpoint", own)]
    rows += [(code_span(name, cell=True), values) for name, values in baselines.items()]
    for name, values in rows:
        cells = (f"{values[key]:.4f}" if key in values else "" for key in keys)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
