"""FuXi-Linear: linear attention with temporal and positional channels (arXiv 2602.23671)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the embedder, the backbone and the architecture.

    No published metrics are registered: those of the paper were measured without a validation item,
    and with only the items of the window excluded, which no protocol of seqzoo does
    (docs/architectures/fuxi-linear.md quotes them).
    """
    zoo.embedder(
        "fuxi-linear",
        "seqzoo_fuxi_linear.embedder:FuxiEmbedder",
        config="seqzoo_fuxi_linear.config:FuxiEmbedderConfig",
    )
    zoo.backbone(
        "fuxi-linear",
        "seqzoo_fuxi_linear.backbone:FuxiLinear",
        config="seqzoo_fuxi_linear.config:FuxiLinearConfig",
        causal=True,
        streaming=True,
        uses_time=True,
        uses_query_time=True,
    )
    zoo.architecture(
        "fuxi-linear",
        embedder="fuxi-linear",
        backbone="fuxi-linear",
        head="cosine-softmax",
        defaults={"temperature": 0.05},
        paper="arXiv:2602.23671",
        # docs/studies.md has the measurements.
        from_data={
            "model.dropout": {"by": "rows", "below": [[500_000, 0.2]], "else": 0.1},
            "train.lr": {"by": "events_per_user", "below": [[50, 2e-3]], "else": 1e-3},
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 4],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.time_skip": [False, True],
            "model.learn_decay": [False, True],
        },
        description="linear attention and sums over damped oscillations in time; uses the time of "
        "the request",
        importer="seqzoo_fuxi_linear.public_weights:from_public",
    )
    zoo.pretrained("fuxi-linear-ml1m", package="seqzoo")
    zoo.pretrained("fuxi-linear-ml100k", package="seqzoo")
