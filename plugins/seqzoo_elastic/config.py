"""Settings of the ELASTIC backbone."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import check_choice, check_multiple, check_range

__all__ = ["ElasticConfig"]


@dataclass
class ElasticConfig:
    """Settings of the backbone ``elastic``.

    The paper (arXiv 2408.09380) is withdrawn and its code was not released. This is a
    reconstruction, and all defaults are our choice.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of layers of dispatcher attention.
        num_heads: number of attention heads H; must divide ``hidden_size``.
        num_experts: number K of interest experts, which compress the history.
        causal: True is our causal form: all positions can be training targets and the model can
            stream. False is the quoted equations: the experts read the whole history, so that only
            the newest position can be a training target.
        imr: where the interest memory is read. ``pre``: by the history so far, for the initial
            experts; ``post``: by the output vectors, to which the result is added; ``none``: there
            is no memory.
        memory_size: number m of keys in each half; the memory has m x m slots.
        num_retrieved: number R of slots that a query reads.
        forgetting: True lets each expert give later events more weight, at a learned rate; False is
            the quoted equations, where the age of an event is known only from positions.
        dropout: dropout probability before every residual sum.
        norm_eps: epsilon of the LayerNorms.
        chunk_size: positions of a chunk in the causal form; larger chunks are fewer and take more
            memory. Results depend on it only by rounding.
    """

    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    num_experts: int = 16
    causal: bool = True
    imr: str = "pre"
    memory_size: int = 64
    num_retrieved: int = 16
    forgetting: bool = False
    dropout: float = 0.2
    norm_eps: float = 1e-12
    chunk_size: int = 16

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "num_heads", "num_experts", "chunk_size"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_multiple("hidden_size", self.hidden_size, "num_heads", self.num_heads)
        check_choice("imr", self.imr, ("pre", "post", "none"))
        if self.imr == "none":
            return
        if self.hidden_size % 2:
            raise ConfigError(
                f"setting 'hidden_size' is {self.hidden_size}; the interest memory splits it into "
                "two halves: expected an even number, or imr='none'"
            )
        # A single slot has weight one for any score, so its key would never learn. Each half
        # offers memory_size candidates.
        if not 2 <= self.num_retrieved <= self.memory_size:
            raise ConfigError(
                f"setting 'num_retrieved' is {self.num_retrieved}; expected 2 to "
                f"{self.memory_size}, which is memory_size"
            )
