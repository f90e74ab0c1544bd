"""Settings of the backbones ``bsarec`` and ``fmlp``, and of the embedder ``item-plain``."""

from dataclasses import dataclass

from seqzoo.parts.config import check_multiple, check_range

__all__ = ["BSARecConfig", "FMLPConfig", "FilterConfig", "PlainEmbedderConfig"]


@dataclass
class PlainEmbedderConfig:
    """Settings of the embedder ``item-plain``.

    Attributes:
        hidden_size: width D of the item vectors.
    """

    hidden_size: int = 64

    def __post_init__(self) -> None:
        check_range("hidden_size", self.hidden_size, 1)


@dataclass
class FilterConfig:
    """Settings that both backbones have.

    Attributes:
        hidden_size: width D of the model.
        max_length: number of slots M. All of them are filtered, so that results depend on it and
            weights belong to it.
        num_layers: number of blocks.
        inner_size: inner width of the feed-forward layers.
        dropout: dropout probability of the events, after each filter or attention, and after the
            feed-forward layers.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    max_length: int = 50
    num_layers: int = 2
    inner_size: int = 256
    dropout: float = 0.5
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("hidden_size", "max_length", "num_layers", "inner_size"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)


@dataclass
class FMLPConfig(FilterConfig):
    """Settings of the backbone ``fmlp``."""


@dataclass
class BSARecConfig(FilterConfig):
    """Settings of the backbone ``bsarec``; the defaults are those of the published code.

    Attributes:
        num_heads: number of attention heads; must divide ``hidden_size``.
        attention_dropout: dropout probability of the attention weights.
        alpha: weight of the filter; attention has the weight ``1 - alpha``.
        cutoff: c of the paper: the low-pass filter keeps the frequencies 0 to ``cutoff // 2``.
    """

    num_heads: int = 2
    attention_dropout: float = 0.5
    alpha: float = 0.9
    cutoff: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("num_heads", self.num_heads, 1)
        check_range("attention_dropout", self.attention_dropout, 0.0, 1.0)
        check_range("alpha", self.alpha, 0.0, 1.0, closed=True)
        check_range("cutoff", self.cutoff, 1)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
