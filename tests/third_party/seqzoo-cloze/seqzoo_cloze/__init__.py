"""Cloze: PyTorch's transformer layers over a history with hidden items (arXiv 1904.06690)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

seqzoo_api_version = 1


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone and the architecture."""
    zoo.backbone(
        "cloze",
        "seqzoo_cloze.backbone:Cloze",
        config="seqzoo_cloze.config:ClozeConfig",
        causal=False,
    )
    zoo.architecture(
        "cloze",
        embedder="item-position",
        backbone="cloze",
        head="tied-softmax",
        objective="masked-item",
        defaults={"embedding_norm": "none"},
        recipe={"schedule": "linear", "weight_decay": 0.01, "clip_norm": 5.0},
        paper="arXiv:1904.06690",
        description="pre-norm transformer layers, trained to predict hidden items from both sides",
        importer="seqzoo_cloze.public_weights:from_public",
    )
