"""Settings of the BERT4Rec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import check_multiple, check_range


@dataclass
class Bert4RecConfig:
    """Settings of the backbone ``bert4rec``.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of self-attention layers.
        num_heads: number of attention heads; must divide ``hidden_size``.
        inner_size: inner width of the feed-forward layers.
        dropout: dropout probability after attention and after the feed-forward layer.
        attention_dropout: dropout probability of the attention weights.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    inner_size: int = 256
    dropout: float = 0.2
    attention_dropout: float = 0.2
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_heads", "inner_size"):
            check_range(name, getattr(self, name), 1)
        for name in ("dropout", "attention_dropout"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
