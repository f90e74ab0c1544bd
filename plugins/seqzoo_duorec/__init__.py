"""DuoRec: SASRec with a contrastive term, between passes and same-target histories.

The objective ``duorec`` works with any architecture; the architecture ``duorec`` is SASRec with it
(arXiv 2110.05730). Its network is that of the plugin ``sasrec``, and so are its public weights.
"""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the objective, and SASRec with it."""
    zoo.objective(
        "duorec",
        "seqzoo_duorec.objective:DuoRec",
        config="seqzoo_duorec.config:DuoRecConfig",
    )
    zoo.architecture(
        "duorec",
        embedder="item-position",
        backbone="sasrec",
        head="tied-softmax",
        objective="duorec",
        # The authors'.
        defaults={"dropout": 0.5, "attention_dropout": 0.5},
        paper="arXiv:2110.05730",
        # docs/studies.md has the measurements.
        from_data={"train.lr": 1e-3},
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.dropout": "0.1..0.6",
            "model.attention_dropout": "0.0..0.5",
            "model.contrast_weight": "0.01..0.5",
        },
        description="SASRec with a contrastive term: histories with the same next item, and two "
        "passes of one history, are similar",
        importer="seqzoo_sasrec.public_weights:from_public",
    )
