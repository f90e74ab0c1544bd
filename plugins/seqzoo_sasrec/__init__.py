"""SASRec: self-attentive sequential recommendation (arXiv 1808.09781), the post-norm variant."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


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
        # What validation on MovieLens-100K preferred; MovieLens-1M, ten times as large, wants 0.2.
        defaults={"dropout": 0.5, "attention_dropout": 0.3},
        paper="arXiv:1808.09781",
        description="causal self-attention over the history, the post-norm form of most tables",
        importer="seqzoo_sasrec.public_weights:from_public",
    )
    zoo.pretrained("sasrec-ml1m", package="seqzoo")
    # Trained and measured in RecBole's order of events, as the published figures are.
    zoo.pretrained("sasrec-ml1m@recbole", package="seqzoo")
