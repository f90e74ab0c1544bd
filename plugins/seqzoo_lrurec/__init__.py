"""LRURec: linear recurrent units for sequential recommendation (arXiv 2310.02367)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoint.

    No published metrics are registered: those of the paper were measured under a protocol that
    seqzoo does not have (docs/architectures/lrurec.md quotes them).
    """
    zoo.backbone(
        "lrurec",
        "seqzoo_lrurec.backbone:LruRec",
        config="seqzoo_lrurec.config:LruRecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "lrurec",
        embedder="item",
        backbone="lrurec",
        head="tied-softmax",
        defaults={"embedding_norm": "after-dropout", "norm_eps": 1e-5, "output_bias": True},
        # The published optimizer. The published code counts its patience in steps, not in epochs.
        recipe={
            "batch_size": 128,
            "lr": 1e-3,
            "schedule": "constant",
            "weight_decay": 0.01,
            "clip_norm": 5.0,
        },
        paper="arXiv:2310.02367",
        # docs/studies.md has the measurements.
        from_data={
            "model.dropout": {"by": "rows", "below": [[500_000, 0.2]], "else": 0.1},
            "model.recurrent_dropout": {"by": "rows", "below": [[500_000, 0.2]], "else": 0.1},
            "train.lr": 2e-3,
        },
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.recurrent_dropout": "0.0..0.6",
        },
        description="complex linear recurrent units with feed-forward layers; linear in the "
        "sequence length",
        importer="seqzoo_lrurec.public_weights:from_public",
    )
    zoo.pretrained("lrurec-ml100k", package="seqzoo")
    zoo.pretrained("lrurec-ml1m", package="seqzoo")
