"""LRURec: linear recurrent units for sequential recommendation (Yue et al., WSDM 2024)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

seqzoo_api_version = 1


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone and the architecture."""
    zoo.backbone(
        "lru",
        "seqzoo_lru.backbone:LruRec",
        config="seqzoo_lru.config:LruRecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "lru",
        embedder="item",
        backbone="lru",
        head="tied-softmax",
        defaults={"embedding_norm": "after-dropout", "norm_eps": 1e-5, "output_bias": True},
        # The published optimizer. How long to train depends on the data: the published code
        # counts its patience in steps, seqzoo in epochs.
        recipe={
            "batch_size": 128,
            "lr": 1e-3,
            "schedule": "constant",
            "weight_decay": 0.01,
            "clip_norm": 5.0,
        },
        paper="arXiv:2310.02367",
        description="linear recurrent units, complex and diagonal, with feed-forward layers; "
        "a parallel scan in training, a constant state in streaming",
    )
