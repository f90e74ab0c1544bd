"""Settings of the HSTU backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import check_choice, check_multiple, check_range

__all__ = ["TIME_MODES", "HstuConfig"]

TIME_MODES = ("next", "previous", "none")


@dataclass
class HstuConfig:
    """Settings of the backbone ``hstu``.

    Attributes:
        hidden_size: width D of the model.
        max_length: maximum sequence length L; each layer has a weight for every distance below it.
        num_layers: number of layers.
        num_heads: number of heads H.
        query_size: width of queries and keys, all heads together; a multiple of ``num_heads``.
        value_size: width of values, all heads together; a multiple of ``num_heads``.
        dropout: dropout probability before the output projections.
        divisor: N, by which attention weights are divided, for histories of any length. 0 means
            ``max_length``, as in RecTools; the published code has ``max_length + 11``.
        time_mode: the time with which the age of an event is measured: ``next`` is the time of the
            event that is predicted, or of the request, as published; ``previous`` is the time of
            the position's own event; ``none`` leaves times out.
        affine_norm: LayerNorms with learned scale and shift, as in RecTools.
        norm_eps: epsilon of the LayerNorms.
    """

    hidden_size: int = 64
    max_length: int = 200
    num_layers: int = 2
    num_heads: int = 1
    query_size: int = 64
    value_size: int = 64
    dropout: float = 0.2
    divisor: int = 0
    time_mode: str = "next"
    affine_norm: bool = False
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "max_length",
            "num_layers",
            "num_heads",
            "query_size",
            "value_size",
        ):
            check_range(name, getattr(self, name), 1)
        for name in ("query_size", "value_size"):
            check_multiple(name, getattr(self, name), "num_heads", self.num_heads)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("divisor", self.divisor, 0)
        check_choice("time_mode", self.time_mode, TIME_MODES)
        check_range("norm_eps", self.norm_eps, 0.0)
