"""BERT4Rec: bidirectional self-attention over a history with masked items (arXiv 1904.06690)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-recbole",
        "hit@10": 0.2858,
        "ndcg@10": 0.1583,
        "mrr@10": 0.1196,
        "source": "RecBole, reading 50 events: kanishkaRandunu/pswrec2k26",
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.2843,
        "ndcg@10": 0.1537,
        "source": "antklen/sasrec-bert4rec-recsys23",
    },
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.2821,
        "ndcg@10": 0.1516,
        "source": "a replication: asash/bert4rec_repro",
    },
    {
        # Timestamps are whole days, which float32 holds exactly: RecBole's order is the true one.
        "data": "amazon-beauty",
        "protocol": "loo-full",
        "hit@10": 0.0404,
        "ndcg@10": 0.0211,
        "mrr@10": 0.0152,
        "source": "RecBole, reading 50 events: kanishkaRandunu/pswrec2k26",
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoint."""
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
        # The authors', but for the smaller batches: an epoch of a small data set has more steps.
        recipe={
            "batch_size": 8,
            "schedule": "linear",
            "weight_decay": 0.01,
            "clip_norm": 5.0,
        },
        paper="arXiv:1904.06690",
        # docs/studies.md has the measurements.
        from_data={"train.lr": 1e-3},
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.mask_ratio": "0.1..0.6",
        },
        description="bidirectional self-attention, trained to predict masked items from both sides",
        importer="seqzoo_bert4rec.public_weights:from_public",
        published=PUBLISHED,
    )
    zoo.pretrained("bert4rec-ml100k", package="seqzoo")
