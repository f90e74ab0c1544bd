"""Mamba4Rec: a selective state space model for sequential recommendation (arXiv 2403.03900)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


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
        paper="arXiv:2403.03900",
        description="Mamba-1 blocks with feed-forward layers; linear in the length of the history",
        importer="seqzoo_mamba4rec.public_weights:from_public",
    )
    zoo.pretrained("mamba4rec-ml1m", package="seqzoo")
    # Trained and measured in RecBole's order of events, as the published figures are.
    zoo.pretrained("mamba4rec-ml1m@recbole", package="seqzoo")
