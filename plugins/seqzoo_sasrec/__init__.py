"""SASRec: self-attentive sequential recommendation (arXiv 1808.09781), the post-norm variant."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-recbole",
        "hit@10": 0.2952,
        "ndcg@10": 0.1662,
        "mrr@10": 0.1270,
        "source": "RecBole, reading 50 events: kanishkaRandunu/pswrec2k26",
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3152,
        "ndcg@10": 0.1821,
        "source": "SASRec+ (cross-entropy): antklen/sasrec-bert4rec-recsys23",
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.3003,
        "ndcg@10": 0.1726,
        "source": "gSASRec: asash/gSASRec-pytorch",
    },
    {
        # Timestamps are whole days, which float32 holds exactly: RecBole's order is the true one.
        "data": "amazon-beauty",
        "protocol": "loo-full",
        "hit@10": 0.0842,
        "ndcg@10": 0.0421,
        "mrr@10": 0.0292,
        "source": "RecBole, reading 50 events: kanishkaRandunu/pswrec2k26",
    },
    {
        "data": "amazon-beauty",
        "protocol": "loo-full-unseen",
        "hit@10": 0.0921,
        "ndcg@10": 0.0531,
        "source": "sampled softmax: blondered/transformer_benchmark",
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoints."""
    zoo.backbone(
        "sasrec",
        "seqzoo_sasrec.backbone:SASRec",
        config="seqzoo_sasrec.config:SASRecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "sasrec",
        embedder="item-position",
        backbone="sasrec",
        head="tied-softmax",
        # The best on MovieLens-100K's validation items; 0.1 is better for the larger MovieLens-1M.
        defaults={"dropout": 0.5, "attention_dropout": 0.3},
        paper="arXiv:1808.09781",
        # docs/studies.md has the measurements.
        from_data={
            "model.dropout": {"by": "rows", "below": [[500_000, 0.5]], "else": 0.1},
            "model.attention_dropout": {"by": "rows", "below": [[500_000, 0.3]], "else": 0.1},
            "train.lr": 2e-3,
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.attention_dropout": "0.0..0.5",
        },
        description="causal self-attention over the history, in the usual post-norm form",
        importer="seqzoo_sasrec.public_weights:from_public",
        published=PUBLISHED,
    )
    for data in ("ml1m", "ml100k"):
        zoo.pretrained(f"sasrec-{data}", package="seqzoo")
    # Trained and evaluated with RecBole's order of events, as the published metrics are.
    zoo.pretrained("sasrec-ml1m@recbole", package="seqzoo")
