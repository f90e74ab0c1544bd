"""Mamba4Rec: a selective state space model for sequential recommendation (arXiv 2403.03900)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-recbole",
        "hit@10": 0.3121,
        "ndcg@10": 0.1822,
        "mrr@10": 0.1425,
        "source": "the paper, as quoted in issues 1 and 3 of chengkai-liu/Mamba4Rec",
        "settings": {"num_layers": 1, "hidden_size": 64},
    },
    {
        "data": "ml-1m",
        "protocol": "loo-recbole",
        "hit@10": 0.3253,
        "source": "two layers, run by TiM4Rec's authors: issue 1 of AlwaysFHao/TiM4Rec",
        "settings": {"num_layers": 2, "hidden_size": 64},
    },
    {
        # Timestamps are whole days, which float32 holds exactly: RecBole's order is the true one.
        "data": "amazon-beauty",
        "protocol": "loo-full",
        "hit@10": 0.0734,
        "ndcg@10": 0.0431,
        "mrr@10": 0.0340,
        "source": "the paper's settings, run by TiM4Rec's author: issue 8 of "
        "chengkai-liu/Mamba4Rec",
        "settings": {"num_layers": 1, "hidden_size": 64},
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoints."""
    zoo.backbone(
        "mamba4rec",
        "seqzoo_mamba4rec.backbone:Mamba4Rec",
        config="seqzoo_mamba4rec.config:Mamba4RecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "mamba4rec",
        embedder="item",
        backbone="mamba4rec",
        head="tied-softmax",
        # Small batches, for many steps: on MovieLens-100K's validation items 8 beat 32 windows.
        recipe={"batch_size": 8},
        paper="arXiv:2403.03900",
        # docs/studies.md has the measurements. A single layer has no residual around it.
        from_data={
            "model.num_layers": 2,
            "model.dropout": {"by": "rows", "below": [[500_000, 0.4]], "else": 0.1},
            "train.lr": 2e-3,
        },
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
        },
        description="Mamba-1 blocks with feed-forward layers; linear in the sequence length",
        importer="seqzoo_mamba4rec.public_weights:from_public",
        published=PUBLISHED,
    )
    for data in ("ml1m", "ml100k"):
        zoo.pretrained(f"mamba4rec-{data}", package="seqzoo")
    zoo.pretrained("mamba4rec-2l-ml1m", package="seqzoo")
    # Trained and evaluated with RecBole's order of events, as the published metrics are.
    for name in ("mamba4rec-ml1m@recbole", "mamba4rec-2l-ml1m@recbole"):
        zoo.pretrained(name, package="seqzoo")
