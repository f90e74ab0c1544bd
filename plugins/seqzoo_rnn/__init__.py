"""GRU4Rec and NARM as in RecBole, on which published results rest; trained on all positions."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

PUBLISHED = [
    {
        "data": "ml-1m",
        "protocol": "loo-full-unseen",
        "hit@10": 0.2811,
        "ndcg@10": 0.1648,
        "source": "GRU4Rec as the README of generative-recommenders quotes it",
    },
    {
        # Timestamps are whole days, which float32 holds exactly: RecBole's order is the true one.
        "data": "amazon-beauty",
        "protocol": "loo-full",
        "hit@10": 0.0623,
        "ndcg@10": 0.0342,
        "mrr@10": 0.0256,
        "source": "RecBole: kanishkaRandunu/pswrec2k26",
    },
]


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register both backbones, both architectures and their trained checkpoints."""
    # With the batch size of the other architectures a recurrent network only learns how popular
    # items are in its first ten epochs; small batches and a high learning rate avoid that.
    recipe = {"batch_size": 8, "lr": 3e-3}
    for name, class_name in (("gru4rec", "Gru4Rec"), ("narm", "Narm")):
        zoo.backbone(
            name,
            f"seqzoo_rnn.{name}:{class_name}",
            config=f"seqzoo_rnn.config:{class_name}Config",
            causal=True,
            streaming=True,
        )
    zoo.architecture(
        "gru4rec",
        embedder="item",
        backbone="gru4rec",
        head="tied-softmax",
        defaults={"dropout": 0.3, "embedding_norm": "none", "initialisation": "xavier"},
        recipe=recipe,
        paper="arXiv:1511.06939",
        # docs/studies.md has the measurements: without the norm, small data teach only popularity.
        from_data={"model.embedding_norm": "after-dropout"},
        search={
            "model.hidden_size": [64, 128],
            "model.gru_size": [64, 128, 256],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
        },
        description="a gated recurrent network over the history, with a state of constant size; "
        "trained on the next item at every position, not on the original's parallel sessions",
        importer="seqzoo_rnn.public_weights:gru4rec_from_public",
        published=PUBLISHED,
    )
    zoo.architecture(
        "narm",
        embedder="item",
        backbone="narm",
        head="tied-softmax",
        defaults={"dropout": 0.25, "embedding_norm": "none", "initialisation": "xavier"},
        recipe=recipe,
        paper="arXiv:1711.04725",
        # docs/studies.md has the measurements.
        from_data={
            "model.embedding_norm": "after-dropout",
            "model.dropout": {"by": "rows", "below": [[500_000, 0.25]], "else": 0.1},
            "model.output_dropout": {"by": "rows", "below": [[500_000, 0.5]], "else": 0.1},
        },
        search={
            "model.hidden_size": [64, 128],
            "model.output_dropout": "0.1..0.6",
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
        },
        description="a gated recurrent network whose newest state attends to all earlier ones",
        importer="seqzoo_rnn.public_weights:narm_from_public",
    )
    for name in ("gru4rec", "narm"):
        for data in ("ml1m", "ml100k"):
            zoo.pretrained(f"{name}-{data}", package="seqzoo")
        # Trained and evaluated with RecBole's order of events, as the published metrics are.
        zoo.pretrained(f"{name}-ml1m@recbole", package="seqzoo")
