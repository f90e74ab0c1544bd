"""BERT4Rec: bidirectional self-attention over a history with hidden items (CIKM 2019)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

seqzoo_api_version = 1


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone and the architecture."""
    zoo.backbone(
        "bert4rec",
        "seqzoo_bert4rec.backbone:Bert4Rec",
        config="seqzoo_bert4rec.config:Bert4RecConfig",
        causal=False,
    )
    zoo.architecture(
        "bert4rec",
        embedder="item-position",
        backbone="bert4rec",
        head="tied-softmax",
        objective="masked-item",
        defaults={"output_bias": True},
        recipe={"schedule": "linear", "weight_decay": 0.01, "clip_norm": 5.0},
        paper="arXiv:1904.06690",
        description="bidirectional self-attention, trained to predict hidden items from both sides",
        importer="seqzoo_bert4rec.public_weights:from_public",
    )
