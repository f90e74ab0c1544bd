"""TiM4Rec: time-aware Mamba-2 for sequential recommendation (arXiv 2409.16182), and plain SSD.

The backbone is a stack of SSD layers (Mamba-2) whose step sizes are multiplied by factors that
depend on the time between events. It has three time modes:

- ``causal``, the default, is our variant: factors depend only on events so far, so that all
  positions can be training targets and the model can stream.
- ``reference`` is the released code: its time branch normalises and mixes the whole window. Only
  the newest position can be a training target, the model cannot stream, and weights depend on
  ``max_length``.
- ``off`` ignores timestamps. It is also registered as ``ssd4rec``: the one-directional model that
  the paper's tables call SSD4Rec, not the bidirectional one of arXiv 2409.01192.
"""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

PUBLISHED = [
    {
        # Timestamps are whole days, which float32 holds exactly: RecBole's order is the true one.
        "data": "amazon-beauty",
        "protocol": "loo-full",
        "hit@10": 0.0854,
        "ndcg@10": 0.0446,
        "mrr@10": 0.0321,
        "source": "the paper's authors, from Papers with Code",
    },
]

# docs/studies.md has the measurements.
FROM_DATA = {"train.lr": {"by": "rows", "below": [[500_000, 2e-3]], "else": 3e-3}}

SEARCH = {
    "model.num_layers": [1, 2, 3],
    "model.hidden_size": [64, 128],
    "model.max_length": [50, 100, 200],
    "model.dropout": "0.1..0.6",
}


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register both backbones, both architectures and their trained checkpoints."""
    zoo.backbone(
        "tim4rec",
        "seqzoo_tim4rec.backbone:TiM4Rec",
        config="seqzoo_tim4rec.config:TiM4RecConfig",
        causal=True,
        streaming=True,
        uses_time=True,
    )
    zoo.backbone(
        "ssd4rec",
        "seqzoo_tim4rec.backbone:Ssd4Rec",
        config="seqzoo_tim4rec.config:Ssd4RecConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "tim4rec",
        embedder="item",
        backbone="tim4rec",
        head="tied-softmax",
        recipe={"batch_size": 8},
        paper="arXiv:2409.16182",
        from_data=FROM_DATA,
        search=SEARCH,
        description="Mamba-2 layers whose step sizes depend on the time between events; linear in "
        "the sequence length",
        importer="seqzoo_tim4rec.public_weights:from_public",
        published=PUBLISHED,
    )
    zoo.architecture(
        "ssd4rec",
        embedder="item",
        backbone="ssd4rec",
        head="tied-softmax",
        defaults={"time_mode": "off"},
        recipe={"batch_size": 8},
        paper="arXiv:2409.16182",
        from_data=FROM_DATA,
        search=SEARCH,
        description="the Mamba-2 layers of TiM4Rec without timestamps: the baseline that its "
        "tables call SSD4Rec",
        importer="seqzoo_tim4rec.public_weights:from_public",
    )
    for name in ("tim4rec-ml1m", "tim4rec-ml100k"):
        zoo.pretrained(name, package="seqzoo")
    # Trained and evaluated with RecBole's order of events, as the published metrics are.
    zoo.pretrained("tim4rec-ml1m@recbole", package="seqzoo")
    zoo.pretrained("ssd4rec-ml100k", package="seqzoo")
