"""BSARec (arXiv 2312.10325) and FMLP-Rec (arXiv 2202.13556): filters along the history.

Both filter a window of ``max_length`` slots; empty slots are on the left. A filter is
circular, so the models are not causal: they train on the newest position of random prefixes.
"""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

_SEARCH = {
    "model.num_layers": [1, 2, 3],
    "model.hidden_size": [64, 128],
    "model.max_length": [50, 100, 200],
    "model.dropout": "0.1..0.6",
}

# Each window gives one target in an epoch: small batches make enough steps of them.
_RECIPE = {"batch_size": 8, "epochs": 200, "patience": 20}


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the embedder, both backbones and both architectures."""
    zoo.embedder(
        "item-plain",
        "seqzoo_filters.embedder:PlainEmbedder",
        config="seqzoo_filters.config:PlainEmbedderConfig",
    )
    for name, class_name in (("bsarec", "BSARec"), ("fmlp", "FMLP")):
        zoo.backbone(
            name,
            f"seqzoo_filters.{name}:{class_name}",
            config=f"seqzoo_filters.config:{class_name}Config",
            causal=False,
        )
    zoo.architecture(
        "bsarec",
        embedder="item-plain",
        backbone="bsarec",
        head="tied-softmax",
        # For embedders that have other defaults.
        defaults={"max_length": 50, "dropout": 0.5},
        recipe=_RECIPE,
        paper="arXiv:2312.10325",
        search=_SEARCH
        | {
            "model.attention_dropout": "0.1..0.6",
            "model.alpha": [0.1, 0.3, 0.5, 0.7, 0.9],
            "model.cutoff": [1, 3, 5, 7, 9],
        },
        description="self-attention and, in parallel, a filter that scales the history's high "
        "frequencies",
        importer="seqzoo_filters.public_weights:bsarec_from_public",
    )
    zoo.architecture(
        "fmlp",
        embedder="item-plain",
        backbone="fmlp",
        head="tied-softmax",
        defaults={"max_length": 50, "dropout": 0.5},
        recipe=_RECIPE,
        paper="arXiv:2202.13556",
        search=_SEARCH,
        description="filters along the history that are learned in the frequency domain, without "
        "attention",
        importer="seqzoo_filters.public_weights:fmlp_from_public",
    )
    zoo.pretrained("bsarec-ml100k", package="seqzoo")
    zoo.pretrained("fmlp-ml100k", package="seqzoo")
