"""TiSASRec: self-attention with the time between events (WSDM 2020)."""

from seqzoo.plugins import hookimpl
from seqzoo.registry import Registrar


@hookimpl
def seqzoo_register(zoo: Registrar) -> None:
    """Register the backbone and the architecture."""
    zoo.backbone(
        "tisasrec",
        "seqzoo_tisasrec.backbone:TiSASRec",
        config="seqzoo_tisasrec.config:TiSASRecConfig",
        causal=True,
        streaming=True,
        uses_time=True,
    )
    zoo.architecture(
        "tisasrec",
        embedder="item",
        backbone="tisasrec",
        head="tied-softmax",
        defaults={"embedding_norm": "none", "initialisation": "xavier", "norm_eps": 1e-8},
        recipe={"batch_size": 8},
        paper="doi:10.1145/3336191.3371786",
        # docs/studies.md has the measurements.
        from_data={
            "train.lr": {"by": "events_per_user", "below": [[50, 2e-3]], "else": 1e-3},
            "train.warmup": 1.0,
        },
        search={
            "model.num_layers": [1, 2, 3],
            "model.hidden_size": [64, 128],
            "model.max_length": [50, 100, 200],
            "model.max_interval": [64, 256, 1024],
            "model.unit": [1, 60, 3600, 86400],
            "model.dropout": "0.1..0.6",
            "model.attention_dropout": "0.0..0.5",
        },
        description="causal self-attention whose keys and values depend on the time between events",
        importer="seqzoo_tisasrec.public_weights:from_public",
    )
    zoo.pretrained("tisasrec-ml100k", package="seqzoo")
