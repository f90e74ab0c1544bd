"""DuoRec without false negatives: an objective of its own around SASRec (WSDM 2022)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar

seqzoo_api_version = 1


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the objective, and SASRec with it."""
    zoo.objective(
        "duorec-clean",
        "seqzoo_duorec_clean.objective:DuoRecClean",
        config="seqzoo_duorec_clean.config:DuoRecCleanConfig",
    )
    zoo.architecture(
        "duorec-clean",
        embedder="item-position",
        backbone="sasrec",
        head="tied-softmax",
        objective="duorec-clean",
        defaults={"dropout": 0.5, "attention_dropout": 0.5},
        paper="arXiv:2110.05730",
        description="SASRec with a contrastive term between histories of the same next item",
    )
