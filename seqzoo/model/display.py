"""How a model is displayed in a notebook."""

from typing import TYPE_CHECKING, Any

from seqzoo.model.streaming import Streaming
from seqzoo.notebook import block, facts, line, metrics_table, number

if TYPE_CHECKING:
    from seqzoo.model.sequence_model import SequenceModel

__all__ = ["model_html"]

_SHOWN = ("hit@10", "ndcg@10", "mrr@10")


def model_html(model: "SequenceModel") -> str:
    """Architecture, training data, size and stored metrics of a model, as HTML."""
    backbone = model.backbone
    capabilities = [
        word
        for word, has in (
            ("causal", backbone.causal),
            ("streaming", Streaming.of(model).keeps_state(0)),
            ("uses timestamps", backbone.uses_time),
        )
        if has
    ]
    chosen = (model.embedder, backbone, model.head, model.objective)
    parts = (type(part).__name__ for part in chosen)
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
