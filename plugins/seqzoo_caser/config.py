"""Settings of Caser's backbone and of its head with a table of its own."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import TiedSoftmaxConfig, check_choice, check_range

__all__ = ["ACTIVATIONS", "PADDINGS", "CaserConfig", "UntiedSoftmaxConfig"]

ACTIVATIONS = ("relu", "identity", "tanh", "sigmoid")
PADDINGS = ("left", "right")


@dataclass
class CaserConfig:
    """Settings of the backbone ``caser``.

    Attributes:
        hidden_size: width D of the model.
        window: number of newest events that a position reads, its own included; the paper's L.
        vertical_filters: number of filters over the window in each channel.
        horizontal_filters: number of filters of each height from one event to the whole window.
        filter_dropout: dropout probability of the filters' outputs.
        activation: after the linear layers: ``relu``, ``identity``, ``tanh`` or ``sigmoid``.
        second_layer: add a second linear layer after the first, as RecBole does.
        window_padding: where a window with fewer events is filled: ``left`` of them, as in the
            authors' code, or ``right``, as in RecBole.
        user_vectors: number of vectors for users, which share them by hashing; 0 for none. A model
            that has them needs the id of every user, and a new user gets the vector of others.
    """

    hidden_size: int = 64
    window: int = 5
    vertical_filters: int = 4
    horizontal_filters: int = 16
    filter_dropout: float = 0.4
    activation: str = "relu"
    second_layer: bool = True
    window_padding: str = "left"
    user_vectors: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "window", "vertical_filters", "horizontal_filters"):
            check_range(name, getattr(self, name), 1)
        check_range("filter_dropout", self.filter_dropout, 0.0, 1.0)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("window_padding", self.window_padding, PADDINGS)
        check_range("user_vectors", self.user_vectors, 0)
        if self.user_vectors and not self.second_layer:
            raise ConfigError(
                f"setting 'user_vectors' is {self.user_vectors}, and 'second_layer' is False; the "
                "second layer reads the user's vector: set second_layer=true, or user_vectors=0"
            )


@dataclass
class UntiedSoftmaxConfig(TiedSoftmaxConfig):
    """Settings of the head ``untied-softmax``: those of ``tied-softmax``."""

    output_bias: bool = True
