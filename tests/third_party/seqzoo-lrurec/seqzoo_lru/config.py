"""Settings of the LRURec backbone; without torch, so that they can be read quickly."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import check_range


@dataclass
class LruRecConfig:
    """Settings of the backbone ``lru``; the defaults are the published ones for MovieLens-1M.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of blocks, each with a recurrent unit and a feed-forward layer.
        expand: the recurrence has ``expand * hidden_size`` complex channels.
        min_radius: smallest absolute value of the recurrence's initial coefficients.
        max_radius: largest absolute value; closer to 1 means a longer memory.
        dropout: dropout probability after the recurrent unit and twice in the feed-forward layer.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    num_layers: int = 2
    expand: int = 2
    min_radius: float = 0.8
    max_radius: float = 0.99
    dropout: float = 0.2
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "expand"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        # The logarithm of the logarithm of 0 or 1 is not finite.
        for name in ("min_radius", "max_radius"):
            check_range(name, getattr(self, name), 1e-3, 1.0)
        if self.min_radius > self.max_radius:
            raise ConfigError(
                f"setting 'min_radius' is {self.min_radius}, above 'max_radius' = "
                f"{self.max_radius}; expected at most that"
            )
