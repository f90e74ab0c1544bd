"""Settings of the backbones ``gru4rec`` and ``narm``."""

from dataclasses import dataclass

from seqzoo.parts.config import check_choice, check_range

__all__ = ["ATTENTIONS", "Gru4RecConfig", "NarmConfig"]

ATTENTIONS = ("sum", "softmax")


@dataclass
class Gru4RecConfig:
    """Settings of the backbone ``gru4rec``; the defaults are RecBole's.

    Attributes:
        hidden_size: width D of the model.
        gru_size: width G of the recurrent state.
        num_layers: number of recurrent layers.
    """

    hidden_size: int = 64
    gru_size: int = 128
    num_layers: int = 1

    def __post_init__(self) -> None:
        for name in ("hidden_size", "gru_size", "num_layers"):
            check_range(name, getattr(self, name), 1)


@dataclass
class NarmConfig(Gru4RecConfig):
    """Settings of the backbone ``narm``: those of ``gru4rec`` and of the attention.

    Attributes:
        max_length: maximum sequence length, and number of states that a session keeps.
        output_dropout: dropout probability before the output matrix.
        attention: ``sum`` weights the states by their scores, as RecBole does, so that the sum
            grows with the sequence length; ``softmax`` normalises the weights.
        chunk_size: positions that attend at a time. More take more memory; on a CPU 4 was the
            fastest, because its values fit the cache. Results depend on it only by rounding.
    """

    max_length: int = 200
    output_dropout: float = 0.5
    attention: str = "sum"
    chunk_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("max_length", self.max_length, 1)
        check_range("output_dropout", self.output_dropout, 0.0, 1.0)
        check_choice("attention", self.attention, ATTENTIONS)
        check_range("chunk_size", self.chunk_size, 1)
