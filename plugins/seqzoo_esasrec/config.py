"""Settings of the eSASRec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import check_multiple, check_range

__all__ = ["ESASRecConfig"]


@dataclass
class ESASRecConfig:
    """Settings of the backbone ``esasrec``.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of LiGR layers.
        num_heads: number of attention heads; must divide ``hidden_size``.
        inner_factor: inner width of the feed-forward layers, as a multiple of ``hidden_size``.
        dropout: dropout probability of the attention weights, after attention, inside the
            feed-forward layers and after them.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 1
    inner_factor: int = 4
    dropout: float = 0.1
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_heads", "inner_factor"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
