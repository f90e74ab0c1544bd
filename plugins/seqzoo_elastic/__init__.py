"""ELASTIC, reconstructed: linear dispatcher attention and a sparse interest memory.

The paper (arXiv 2408.09380) was withdrawn by its authors and its code was never released. This is a
reconstruction from the abstract and from two equations that reviews quote. None of the paper's
metrics are repeated here.

Known from the abstract and the quoted equations: a fixed number of learned interest experts
compresses the history by attention, and the events attend to the experts. Both are linear in the
sequence length. The initial experts are extended by sparse retrieval from a large interest memory.

Our choices: heads, residual connections, LayerNorms and feed-forward layers and their positions;
all sizes and initial values; product keys for the retrieval, where in the model it happens (`imr`)
and with which query; the whole causal form. The balance loss that reviews mention for the memory is
left out, because a backbone has no loss of its own: only the initial values (see
`seqzoo_elastic.memory`) work against the use of just a few slots.

`forgetting` is also ours, and off by default: in the quoted equations an expert knows the age of an
event only from positions. With it the score of an event for an expert falls by a learned rate per
head and expert with every later event (the linear bias of arXiv 2108.12409, but learned). It costs
no time and is compatible with running sums. Initial half-lives are between 1 and 256 events.
"""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone, the architecture and its trained checkpoints."""
    zoo.backbone(
        "elastic",
        "seqzoo_elastic.backbone:Elastic",
        config="seqzoo_elastic.config:ElasticConfig",
        causal=True,
        streaming=True,
    )
    zoo.architecture(
        "elastic",
        embedder="item-position",
        backbone="elastic",
        head="tied-softmax",
        # The best on MovieLens-100K's validation items, like the smaller batches.
        defaults={"dropout": 0.3},
        recipe={"batch_size": 16},
        paper="arXiv:2408.09380",
        # docs/studies.md has the measurements.
        from_data={
            "model.dropout": {"by": "rows", "below": [[500_000, 0.3]], "else": 0.1},
            "train.lr": 2e-3,
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 3],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.forgetting": [False, True],
        },
        description="interest experts with a sparse memory, linear in the sequence length; a "
        "reconstruction of a withdrawn paper without released code",
    )
    for data in ("ml1m", "ml100k"):
        zoo.pretrained(f"elastic-{data}", package="seqzoo")
    # Trained and evaluated with RecBole's order of events, as the published metrics are.
    zoo.pretrained("elastic-ml1m@recbole", package="seqzoo")
