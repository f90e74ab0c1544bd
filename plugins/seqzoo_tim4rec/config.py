"""Settings of the backbones ``ssd4rec`` and ``tim4rec``."""

from dataclasses import dataclass

from seqzoo.errors import ConfigError
from seqzoo.parts.config import check_choice, check_multiple, check_range

__all__ = ["TIME_MODES", "Ssd4RecConfig", "TiM4RecConfig"]

TIME_MODES = ("causal", "reference", "off")


@dataclass
class Ssd4RecConfig:
    """Settings of the backbone ``ssd4rec``; the defaults are the released ones for MovieLens-1M.

    Attributes:
        hidden_size: width D of the model.
        num_layers: number of SSD layers. Several layers have a residual connection around each SSD
            block, a single one has none, as in the released code.
        state_size: states N per channel.
        head_size: channels P of a head; must divide ``expand * hidden_size``.
        conv_size: taps K of the causal convolutions.
        expand: the inner width is ``expand * hidden_size``.
        chunk_size: positions of a chunk; larger chunks are fewer and take more memory. Results
            depend on it only by rounding.
        dropout: dropout probability after the SSD block and inside the feed-forward layer.
        norm_eps: epsilon of the norms, except in the feed-forward layers (1e-12, as released).
        activation: after the convolutions, ``hardswish`` or ``silu``. The released code uses SiLU
            only if the number of heads is a multiple of 8 and causal-conv1d is installed.
        conv_initialisation: ``kaiming`` (normal, zero bias) or ``torch`` (PyTorch's uniform).
        time_mode: ``off``; only ``tim4rec`` has other modes.
        backend: backend of the kernels: ``auto`` or a name; see ``seqzoo doctor``.
    """

    hidden_size: int = 64
    num_layers: int = 2
    state_size: int = 32
    head_size: int = 32
    conv_size: int = 4
    expand: int = 2
    chunk_size: int = 32
    dropout: float = 0.2
    norm_eps: float = 1e-12
    activation: str = "hardswish"
    conv_initialisation: str = "kaiming"
    time_mode: str = "off"
    backend: str = "auto"

    def __post_init__(self) -> None:
        for name in (
            "hidden_size",
            "num_layers",
            "state_size",
            "head_size",
            "conv_size",
            "expand",
            "chunk_size",
        ):
            check_range(name, getattr(self, name), 1)
        check_range("dropout", self.dropout, 0.0, 1.0)
        check_range("norm_eps", self.norm_eps, 0.0)
        check_choice("activation", self.activation, ("hardswish", "silu"))
        check_choice("conv_initialisation", self.conv_initialisation, ("kaiming", "torch"))
        check_multiple("expand * hidden_size", self.inner_size, "head_size", self.head_size)
        self._check_times()

    @property
    def inner_size(self) -> int:
        """Channels I of an SSD block."""
        return self.expand * self.hidden_size

    @property
    def num_heads(self) -> int:
        """Heads H of an SSD block."""
        return self.inner_size // self.head_size

    def _check_times(self) -> None:
        if self.time_mode != "off":
            raise ConfigError(
                f"setting 'time_mode' is '{self.time_mode}'; ssd4rec does not use timestamps, "
                "expected 'off'; use the architecture tim4rec for other modes"
            )


@dataclass
class TiM4RecConfig(Ssd4RecConfig):
    """Settings of the backbone ``tim4rec``: those of ``ssd4rec`` and of the time branch.

    Attributes:
        time_mode: ``causal`` (our variant), ``reference`` (the released code) or ``off``.
        max_length: maximum sequence length; in reference mode the weights of the time branch depend
            on it.
        time_dropout: dropout probability in the networks of the time branch.
        p2p_residual: reference mode: one gate per position instead of one per sequence.
        time_scale: causal mode: divisor of the gaps before ``log1p``, in seconds.
        time_mean: causal mode: mean of ``log1p(gap / time_scale)``; the default is MovieLens-1M's.
        time_std: causal mode: standard deviation of the same.
    """

    time_mode: str = "causal"
    max_length: int = 200
    time_dropout: float = 0.2
    p2p_residual: bool = False
    time_scale: float = 60.0
    time_mean: float = 0.42
    time_std: float = 1.31

    def _check_times(self) -> None:
        check_choice("time_mode", self.time_mode, TIME_MODES)
        check_range("max_length", self.max_length, 1)
        check_range("time_dropout", self.time_dropout, 0.0, 1.0)
        for name in ("time_scale", "time_std"):
            if getattr(self, name) <= 0.0:
                raise ConfigError(
                    f"setting '{name}' is {getattr(self, name)}; expected more than 0"
                )
        if self.p2p_residual and self.time_mode != "reference":
            raise ConfigError(
                "setting 'p2p_residual' is true, which needs time_mode='reference'; time_mode is "
                f"'{self.time_mode}'"
            )
