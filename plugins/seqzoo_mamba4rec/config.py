"""Settings of the Mamba4Rec backbone."""

from dataclasses import dataclass

from seqzoo.parts.config import check_choice, check_range

__all__ = ["Mamba4RecConfig"]


@dataclass
class Mamba4RecConfig:
    """Settings of the backbone ``mamba4rec``; the defaults are the paper's for MovieLens-1M.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of Mamba layers. Several layers have a residual connection around each
            Mamba block, a single one has none, as in the published code.
        state_size: states N per channel.
        conv_size: taps K of the causal convolution.
        expand: the inner width is ``expand * hidden_size``.
        dropout: dropout probability after the Mamba block and inside the feed-forward layer.
        norm_eps: epsilon of the LayerNorms.
        step_initialisation: ``published`` resets weights and bias of the step size, as the
            published code does, so that all steps start near 0.69; ``mamba`` keeps Mamba's own
            initialisation, with steps between 0.001 and 0.1.
        backend: backend of the kernels: ``auto`` or a name; see ``seqzoo doctor``.
    """

    hidden_size: int = 64
    num_layers: int = 1
    state_size: int = 32
    conv_size: int = 4
    expand: int = 2
    dropout: float = 0.2
    norm_eps: float = 1e-12
    step_initialisation: str = "published"
    backend: str = "auto"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "state_size", "conv_size", "expand"):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_choice("step_initialisation", self.step_initialisation, ("published", "mamba"))
