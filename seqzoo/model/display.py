"""How a model and its recommendations are displayed in a notebook."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from seqzoo.notebook import block, facts, line, metrics_table, number, table

if TYPE_CHECKING:
    from seqzoo.model.scoring import Recommendation
    from seqzoo.model.sequence_model import SequenceModel

_SHOWN = ("hit@10", "ndcg@10", "mrr@10")
_MOST_USERS, _MOST_RANKS = 20, 10
"""Rows and columns of the table for several users."""


class Recommendations(list["Recommendation"]):
    """Recommended items, best first: a list that a notebook shows as a table.

    Attributes:
        unknown: ids of the history that the model does not know, which were skipped.
        cold: whether the model knows no item of the history, so that ``on_cold`` chose the answer.
    """

    def __init__(
        self,
        items: Iterable["Recommendation"] = (),
        *,
        unknown: Sequence[str] = (),
        cold: bool = False,
    ) -> None:
        super().__init__(items)
        self.unknown = list(unknown)
        self.cold = cold

    def _repr_html_(self) -> str:
        labels = any(each.label is not None for each in self)
        columns = ["rank", "item", *(["label"] if labels else []), "score"]
        rows = [
            [rank, each.item, *([each.label or ""] if labels else []), f"{each.score:.4f}"]
            for rank, each in enumerate(self, start=1)
        ]
        return table(columns, rows, text=len(columns) - 1).text


class RecommendationLists(list[Recommendations]):
    """The recommendations of several users: a list of lists that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        shown = [best[:_MOST_RANKS] for best in self[:_MOST_USERS]]
        ranks = max(map(len, shown), default=0)
        rows = [
            [number(user), *(each.label or each.item for each in best), *[""] * (ranks - len(best))]
            for user, best in enumerate(shown)
        ]
        title = f"recommendations for {number(len(self))} users"
        if len(shown) < len(self):
            title += f", the first {len(shown)}"
        columns = ["user", *map(str, range(1, 1 + ranks))]
        return block(title, table(columns, rows, text=len(columns))).text


def model_html(model: "SequenceModel") -> str:
    """Architecture, training data, size and stored metrics of a model, as HTML."""
    backbone = model.backbone
    capabilities = [
        word
        for word, has in (
            ("causal", backbone.causal),
            ("streaming", backbone.streaming),
            ("uses timestamps", backbone.uses_time),
        )
        if has
    ]
    parts = (type(part).__name__ for part in (model.embedder, backbone, model.head))
    data = model.recipe.get("data", {})
    measured: dict[str, dict[str, float]] = {}
    users = []
    for protocol, record in model.metrics.items():
        metrics: dict[str, Any] = record.get("metrics", {})
        measured[protocol] = {key: metrics[key] for key in _SHOWN if key in metrics} or metrics
        name = record.get("data", {}).get("name", "data without a name")
        users.append(f"{protocol}: {name}, {number(record.get('users', 0))} users")
    return block(
        f"SequenceModel {model.architecture}",
        facts(
            [
                ("parts", ", ".join(parts)),
                ("capabilities", ", ".join(capabilities)),
                ("parameters", number(model.num_parameters)),
                ("items", number(len(model.vocabulary))),
                ("trained on", data.get("source", "")),
                ("weights", f"{model.embedder.item_table.dtype} on {model.device}"),
            ]
        ),
        *(
            [line("stored metrics"), metrics_table(measured), *map(line, users)]
            if measured
            else [line("no stored metrics; seqzoo.evaluate measures the model")]
        ),
    ).text
