"""Caser: convolutions over the newest events (arXiv 1809.07426), trained on every position."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the head with a table of its own, and the architecture."""
    zoo.backbone(
        "caser",
        "seqzoo_caser.backbone:Caser",
        config="seqzoo_caser.config:CaserConfig",
        causal=True,
        streaming=True,
    )
    zoo.head(
        "untied-softmax",
        "seqzoo_caser.head:UntiedSoftmaxHead",
        config="seqzoo_caser.config:UntiedSoftmaxConfig",
    )
    zoo.architecture(
        "caser",
        embedder="item",
        backbone="caser",
        head="tied-softmax",
        # The filters' dropout is the only one.
        defaults={"dropout": 0.0, "embedding_norm": "none"},
        # After five of 20 epochs on MovieLens-100K the validation NDCG@10 was .102, with the
        # defaults of training .033.
        recipe={"batch_size": 8, "lr": 3e-3},
        paper="arXiv:1809.07426",
        # docs/studies.md has the measurements.
        from_data={"train.lr": 3e-3},
        search={
            "model.window": [3, 5, 10],
            "model.hidden_size": [64, 128],
            "model.horizontal_filters": [8, 16, 32],
            "model.vertical_filters": [2, 4, 8],
            "model.filter_dropout": "0.1..0.6",
        },
        description="convolutions over the newest few events; the state of a session is these "
        "events",
        importer="seqzoo_caser.public_weights:from_public",
    )
    zoo.pretrained("caser-ml100k", package="seqzoo")
