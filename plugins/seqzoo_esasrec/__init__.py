"""eSASRec: SASRec with LiGR layers and a sampled softmax (blondered/transformer_benchmark)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

_SOURCE = "the authors' README: blondered/transformer_benchmark"

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3133,
        "ndcg@10": 0.1772,
        "source": _SOURCE,
    },
    {
        "data": "amazon-beauty",
        "protocol": "loo-full-unseen",
        "hit@10": 0.0928,
        "ndcg@10": 0.0523,
        "source": _SOURCE,
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoint."""
    zoo.backbone(
        "esasrec",
        "seqzoo_esasrec.backbone:ESASRec",
        config="seqzoo_esasrec.config:ESASRecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "esasrec",
        embedder="item-ordered-position",
        backbone="esasrec",
        head="tied-softmax",
        defaults={
            "dropout": 0.1,
            "initialisation": "xavier",
            # Of the LayerNorms in the layers; the embedder has none.
            "norm_eps": 1e-5,
            "loss": "sampled-softmax",
            "loss_options": {
                "negatives": 256,
                "share": "row",
                "correction": "none",
                "mask_target": False,
            },
        },
        # On MovieLens-100K's validation items 8 windows beat 32 after six epochs.
        recipe={"batch_size": 8},
        paper="arXiv:2508.06450",
        # docs/studies.md has the measurements.
        from_data={
            "train.lr": {"by": "events_per_user", "below": [[50, 2e-3]], "else": 1e-3},
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 4],
            "model.hidden_size": [64, 128, 256],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.5",
        },
        description="self-attention with gated residual branches and SwiGLU (LiGR layers), "
        "trained with a sampled softmax",
        importer="seqzoo_esasrec.public_weights:from_public",
        published=PUBLISHED,
    )
    zoo.pretrained("esasrec-ml100k", package="seqzoo")
