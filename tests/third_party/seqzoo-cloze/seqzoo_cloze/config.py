"""Settings of the backbone; without torch, so that they can be read quickly."""

from dataclasses import dataclass

from seqzoo.parts.config import check_multiple, check_range


@dataclass
class ClozeConfig:
    """Settings of the backbone ``cloze``.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of transformer layers.
        num_heads: number of attention heads; must divide ``hidden_size``.
        inner_size: inner width of the feed-forward layers.
        dropout: dropout probability everywhere in a layer.
    """

    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    inner_size: int = 256
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_heads", "inner_size"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
