"""Settings of the Mamba4Rec backbone."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError


@dataclass
class Mamba4RecConfig:
    """Settings of the backbone ``mamba4rec``; the defaults are the paper's for MovieLens-1M.

    Attributes:
        hidden_size: width D of the model.
        num_layers: Mamba layers. One layer has no residual around its Mamba block, more have one
            each, as in the published code.
        state_size: states N of each channel.
        conv_size: taps K of the causal convolution.
        expand: inner width is ``expand * hidden_size``.
        dropout: share dropped after the Mamba block and inside the feed-forward layer.
        norm_eps: epsilon of the LayerNorms.
        step_initialisation: ``published`` resets the step size's weights and bias as the published
            code does (every step starts near 0.69); ``mamba`` keeps Mamba's own spread of steps
            between 0.001 and 0.1.
        backend: of the kernels: ``auto``, or one by name; see ``seqzoo doctor``.
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
            if getattr(self, name) < 1:
                raise ConfigError(f"setting '{name}' is {getattr(self, name)}; expected 1 or more")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"setting 'dropout' is {self.dropout}; expected 0 up to below 1")
        if self.step_initialisation not in ("published", "mamba"):
            raise ConfigError(
                f"setting 'step_initialisation' is '{self.step_initialisation}'; "
                "expected 'published' or 'mamba'"
            )
