"""Settings of the backbone ``tisasrec``."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import check_choice, check_multiple, check_range

__all__ = ["POSITION_ORDERS", "SCALES", "TiSASRecConfig"]

SCALES = ("unit", "train_median", "user_min")
POSITION_ORDERS = ("oldest", "newest")


@dataclass
class TiSASRecConfig:
    """Settings of the backbone ``tisasrec``.

    Attributes:
        hidden_size: width D of the model.
        max_length: number of positions M; each has a vector of its own.
        num_layers: number of blocks.
        num_heads: number of attention heads; must divide ``hidden_size``.
        max_interval: largest interval K; longer ones count as K.
        scale: what intervals are measured in. ``unit``: a fixed number of seconds.
            ``train_median``: the median of the gaps that are not 0 in the first training batch,
            which is kept with the weights. ``user_min``: the smallest gap of the history that is
            not 0, as in the paper. That gap may come later, so that only the newest position can
            be a training target and the model cannot stream.
        unit: seconds of one interval with ``scale=unit``, and with ``train_median`` as long as no
            gap has been seen.
        position_order: ``oldest`` counts positions from the oldest event that is read. ``newest``
            gives the newest event the last position, as the published code does; the model then
            cannot stream, because every event moves all others.
        mask_padded_keys: False lets events read the empty positions before the oldest event, as the
            public PyTorch code does; for its weights, with ``position_order=newest``.
        dropout: dropout probability of events, of the vectors of positions and intervals, and in
            the feed-forward layers.
        attention_dropout: dropout probability of the attention weights.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    max_length: int = 200
    num_layers: int = 2
    num_heads: int = 1
    max_interval: int = 256
    scale: str = "unit"
    unit: int = 60
    position_order: str = "oldest"
    mask_padded_keys: bool = True
    dropout: float = 0.2
    attention_dropout: float = 0.2
    norm_eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("hidden_size", "max_length", "num_layers", "num_heads", "max_interval"):
            check_range(name, getattr(self, name), 1)
        check_range("unit", self.unit, 1, 2**40)
        for name in ("dropout", "attention_dropout"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
        check_choice("scale", self.scale, SCALES)
        check_choice("position_order", self.position_order, POSITION_ORDERS)
        if not self.mask_padded_keys and self.position_order != "newest":
            raise ConfigError(
                "setting 'mask_padded_keys' is false, which needs position_order='newest', where "
                f"empty positions come before the events; position_order is '{self.position_order}'"
            )
