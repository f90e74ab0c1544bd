"""ELASTIC, reconstructed: linear dispatcher attention and a sparse interest memory.

The paper (arXiv 2408.09380) was withdrawn by its authors and its code was never released. What is
here is a reconstruction from the abstract and from two equations that reviews quote. No figure of
the paper is repeated and no accuracy is claimed.

Known (abstract, quoted equations): a fixed number of learnt interest experts compresses the history
by attention; the events attend to the compressed interests; both are linear in the length. The
experts' start is enlarged by sparse retrieval from a large interest memory.

Ours: heads, residuals, LayerNorms and feed-forward layers and where they stand, every size and
every first value, product keys for the retrieval, where in the model it happens (`imr`) and with
which query, and the whole causal form, which nothing that we could read of the paper has. The
balance loss that reviews mention for the memory is left out, because a backbone has no loss of its
own here: nothing but the first values (see `seqzoo_elastic.memory`) keeps the model from using a
few slots alone.

Also ours is `forgetting`, off by default because no equation has it: as quoted nothing but
positions tells an expert how old an event is. With it each head and expert takes a learnt rate off
an event's score for every later event (the linear bias of arXiv 2108.12409, learnt), which costs
nothing and keeps the running sums: half-lives start between one event and 256.
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
        # What validation on MovieLens-100K preferred, like the smaller batches.
        defaults={"dropout": 0.3},
        recipe={"batch_size": 16},
        paper="arXiv:2408.09380",
        description="interest experts with a sparse memory, linear in the length; a reconstruction "
        "of a withdrawn paper without released code",
    )
    for data in ("ml1m", "ml100k", "beauty", "games"):
        zoo.pretrained(f"elastic-{data}", package="seqzoo")
    # Trained and measured in RecBole's order of events, as the published figures are.
    zoo.pretrained("elastic-ml1m@recbole", package="seqzoo")
