"""Settings of the LRURec backbone."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import check_range

__all__ = ["LruRecConfig"]


@dataclass
class LruRecConfig:
    """Settings of the backbone ``lrurec``; the defaults are the published ones for MovieLens-1M.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of blocks, each a recurrent unit and a feed-forward layer.
        expand: the recurrence has ``expand * hidden_size`` complex channels.
        min_radius: smallest absolute value of the decays of a new model.
        max_radius: largest absolute value; the closer to 1, the longer the memory.
        recurrent_dropout: dropout probability after the recurrent unit.
        dropout: dropout probability inside and after the feed-forward layer.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    num_layers: int = 2
    expand: int = 2
    min_radius: float = 0.8
    max_radius: float = 0.99
    recurrent_dropout: float = 0.2
    dropout: float = 0.2
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "expand"):
            check_range(name, getattr(self, name), 1)
        for name in ("recurrent_dropout", "dropout"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        # The decays are stored as the logarithm of a logarithm, which 0 and 1 do not have.
        for name in ("min_radius", "max_radius"):
            check_range(name, getattr(self, name), 1e-3, 1.0)
        if self.min_radius > self.max_radius:
            raise ConfigError(
                f"setting 'min_radius' is {self.min_radius}, which is above 'max_radius' = "
                f"{self.max_radius}; give a min_radius of at most {self.max_radius}"
            )
