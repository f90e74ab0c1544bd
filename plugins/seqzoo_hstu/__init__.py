"""HSTU: pointwise gated attention over events and the time gaps between them (arXiv 2402.17152).

This is the model of the authors' research code (section 4.1.1), not DLRM-v3. The query time of a
position is the time of the next event in training and evaluation, and the time of the request when
recommending.
"""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

_AUTHORS = (
    "the authors (ties in any order, only items of the window excluded): "
    "meta-recsys/generative-recommenders"
)
_RERUN = "eSASRec's authors, events in their true order: blondered/transformer_benchmark"

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3097,
        "ndcg@10": 0.1720,
        "source": _AUTHORS,
        "settings": {"num_layers": 2},
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3294,
        "ndcg@10": 0.1893,
        "source": f"HSTU-large: {_AUTHORS}",
        "settings": {"num_layers": 8},
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3037,
        "ndcg@10": 0.1719,
        "source": _RERUN,
    },
    {
        "data": "amazon-beauty",
        "protocol": "loo-full-unseen",
        "hit@10": 0.0788,
        "ndcg@10": 0.0439,
        "source": _RERUN,
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone and the architecture."""
    zoo.backbone(
        "hstu",
        "seqzoo_hstu.backbone:Hstu",
        config="seqzoo_hstu.config:HstuConfig",
        causal=True,
        streaming=True,
        uses_time=True,
        uses_query_time=True,
    )
    zoo.architecture(
        "hstu",
        embedder="item-ordered-position",
        backbone="hstu",
        head="cosine-softmax",
        defaults={
            "scale_items": True,
            # Of the LayerNorms in the layers; the embedder has none.
            "norm_eps": 1e-6,
            "loss": "sampled-softmax",
            "loss_options": {"negatives": 128, "share": "row", "correction": "none"},
        },
        # On MovieLens-100K's validation items 8 windows beat 32 after six epochs.
        recipe={"batch_size": 8},
        paper="arXiv:2402.17152",
        # docs/studies.md has the measurements.
        from_data={
            "model.dropout": {"by": "rows", "below": [[500_000, 0.2]], "else": 0.1},
            "train.lr": {"by": "events_per_user", "below": [[50, 2e-3]], "else": 1e-3},
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 4, 8],
            "model.num_heads": [1, 2, 4],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
        },
        description="gated attention without softmax, with biases for distances and for time gaps "
        "up to the request",
        importer="seqzoo_hstu.public_weights:from_public",
        published=PUBLISHED,
    )
    zoo.pretrained("hstu-ml1m", package="seqzoo")
    zoo.pretrained("hstu-ml100k", package="seqzoo")
