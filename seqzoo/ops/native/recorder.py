"""Record the step of a backbone as instructions for ``program.c``, instead of computing it.

A value is a register: numbers of each user at an offset in the program's memory. Every operation
writes a new one. Shapes in brackets as in ``seqzoo.ops.step_operations``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqzoo.ops.native.library import limits
from seqzoo.ops.step_operations import Recorded, StepOperations, Weight

__all__ = [
    "CODES",
    "SECONDS",
    "Instruction",
    "Items",
    "NotRecordableError",
    "Recorder",
    "Register",
    "Stored",
    "UnfitStateError",
    "tensor_of",
]

CODES = (
    "embedding",
    "linear",
    "convolution",
    "scan",
    "ssd",
    "layer-norm",
    "rms-norm",
    "silu",
    "hardswish",
    "softplus",
    "sigmoid",
    "gelu",
    "add",
    "subtract",
    "multiply",
    "shift",
    "scale",
    "repeat",
    "log-gap",
    "scale-exp",
    "gru",
    "rotation",
)
"""The instructions, by their codes in ``program.h``."""
SECONDS = object()
"""Stands for the seconds since the previous event, if there are any."""
_ALIGNED = 16
"""Registers begin and end at multiples of as many numbers: the widest vector."""


class NotRecordableError(Exception):
    """A step or a weight that the compiled kernels cannot take; the message says why."""


class UnfitStateError(NotRecordableError):
    """A state that is not the one of the step."""


@dataclass(frozen=True, eq=False)
class Items(Recorded):
    """The indices of the events' items."""

    operations: "Recorder"


@dataclass(frozen=True, eq=False)
class Register(Recorded):
    """A value in a program: ``size`` numbers of each user from ``offset`` on."""

    operations: "Recorder"
    offset: int
    size: int

    def __add__(self, other: "Register") -> "Register":
        return self.operations.combined("add", self, other)

    def __sub__(self, other: "Register") -> "Register":
        return self.operations.combined("subtract", self, other)

    def __mul__(self, other: "Register") -> "Register":
        return self.operations.combined("multiply", self, other)


@dataclass(frozen=True)
class Stored:
    """One tensor of the state before or after the event: its number and its shape for a user."""

    number: int
    shape: tuple[int, ...]
    after: bool = False


@dataclass
class Instruction:
    """One instruction; the fields are those of ``program.h``."""

    code: str
    fields: dict[str, int]
    weight: Weight | None = None
    bias: Weight | None = None
    numbers: tuple[float, ...] = ()


class Recorder(StepOperations):
    """Records what a step does with its values.

    Attributes:
        instructions: so far.
        registers: numbers of each user that they need.
        prepared: numbers of all weights that are prepared.
        dropouts: modules that are left out, as in evaluation mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.instructions: list[Instruction] = []
        self.registers = self.prepared = 0
        self.dropouts: list[nn.Module] = []

    def new(self, size: int) -> Register:
        """A register that nothing has been written to."""
        found = Register(self, self.registers, size)
        self.registers += -(-size // _ALIGNED) * _ALIGNED
        return found

    def combined(self, code: str, one: Register, other: Register) -> Register:
        """The sum, difference or product of two values of the same size."""
        _same_size(code, one.size, other.size)
        return self._add(code, one.size, one, other)

    def embedding(self, items: Items, table: Weight) -> Register:
        """[B] -> [B, n]."""
        if not isinstance(items, Items):
            raise NotRecordableError("an embedding of something other than the items")
        rows, count = _shape(*table)
        return self._add("embedding", count, inner=rows, weight=table)

    def linear(self, x: Register, module: nn.Linear) -> Register:
        """A linear layer: [B, n] -> [B, m]."""
        count, inner = _shape(_known(module, nn.Linear), "weight")
        _same_size("linear", x.size, inner)
        bias = None if module.bias is None else (module, "bias")
        return self._add("linear", count, x, inner=inner, weight=(module, "weight"), bias=bias)

    def convolution(self, x: Register, tail: Stored, module: nn.Conv1d) -> tuple[Register, Stored]:
        """[B, I], [B, K - 1, I] -> [B, I], [B, K - 1, I]."""
        count, _, taps = _shape(_known(module, nn.Conv1d), "weight")
        _same_size("convolution", x.size, count)
        _same_shape(tail, (taps - 1, count))
        y = self._add(
            "convolution",
            count,
            x,
            inner=taps,
            state=tail.number,
            prepared=self._prepare(taps * count),
            weight=(module, "weight"),
            bias=(module, "bias"),
        )
        return y, Stored(tail.number, tail.shape, after=True)

    def selective_scan(
        self,
        x: Register,
        step: Register,
        write: Register,
        read: Register,
        state: Stored,
        log_rates: Weight,
    ) -> tuple[Register, Stored]:
        """[B, I], [B, I], [B, N], [B, N], [B, N, I] -> [B, I], [B, N, I]."""
        count, inner = _shape(*log_rates)
        for value, size in ((x, count), (step, count), (write, inner), (read, inner)):
            _same_size("selective_scan", value.size, size)
        _same_shape(state, (inner, count))
        y = self._add(
            "scan",
            count,
            x,
            step,
            write,
            read,
            inner=inner,
            state=state.number,
            prepared=self._prepare(inner * count),
            weight=log_rates,
        )
        return y, Stored(state.number, state.shape, after=True)

    def ssd(
        self,
        x: Register,
        step: Register,
        write: Register,
        read: Register,
        state: Stored,
        log_rates: Weight,
    ) -> tuple[Register, Stored]:
        """[B, H * P], [B, H], [B, N], [B, N], [B, H, P, N] -> [B, H * P], [B, H, P, N]."""
        (heads,) = _shape(*log_rates)
        width, inner = x.size // heads, write.size
        for value, size in ((x, heads * width), (step, heads), (read, inner)):
            _same_size("ssd", value.size, size)
        _same_shape(state, (heads, width, inner))
        y = self._add(
            "ssd",
            heads,
            x,
            step,
            write,
            read,
            size=x.size,
            inner=inner,
            width=width,
            state=state.number,
            prepared=self._prepare(heads),
            weight=log_rates,
        )
        return y, Stored(state.number, state.shape, after=True)

    def norm(self, x: Register, module: nn.LayerNorm | nn.RMSNorm) -> Register:
        """[B, n] -> [B, n]."""
        centred = isinstance(module, nn.LayerNorm)
        _known(module, nn.LayerNorm if centred else nn.RMSNorm)
        if tuple(module.normalized_shape) != (x.size,):
            raise NotRecordableError(f"a norm over {module.normalized_shape} of {x.size} numbers")
        eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
        weight, bias = (
            (module, kind) if getattr(module, kind, None) is not None else None
            for kind in ("weight", "bias")
        )
        code = "layer-norm" if centred else "rms-norm"
        return self._add(code, x.size, x, weight=weight, bias=bias, numbers=(eps,))

    def dropout(self, x: Register, module: nn.Dropout) -> Register:
        """[B, n] -> [B, n], as in evaluation mode."""
        self.dropouts.append(_known(module, nn.Dropout))
        return x

    def activation(self, x: Register, name: str) -> Register:
        """[B, n] -> [B, n]."""
        return self._add(name, x.size, x)

    def split(self, x: Register, sizes: Sequence[int]) -> Sequence[Register]:
        """[B, n] -> [B, size] each."""
        _same_size("split", x.size, sum(sizes))
        found, offset = [], x.offset
        for size in sizes:
            found.append(Register(self, offset, size))
            offset += size
        return found

    def gru(self, x: Register, state: Stored, module: nn.GRU) -> tuple[Register, Stored]:
        """[B, D], [B, layers, G] -> [B, G], [B, layers, G]."""
        _known(module, nn.GRU)
        if module.bias or module.bidirectional or module.dropout or module.proj_size:
            raise NotRecordableError("a GRU with biases, dropout, a projection or two directions")
        channels, layers = module.hidden_size, module.num_layers
        _same_shape(state, (layers, channels))
        for layer in range(layers):
            outer, inner = ((module, f"weight_{kind}_l{layer}") for kind in ("ih", "hh"))
            if _shape(*outer) != (3 * channels, x.size) or _shape(*inner) != (
                3 * channels,
                channels,
            ):
                raise NotRecordableError(f"a GRU whose layer {layer} has other shapes")
            places = (self.new(size * channels) for size in (1, 3, 3))
            x = self._add(
                "gru",
                channels,
                x,
                *places,
                inner=x.size,
                width=layers,
                part=layer,
                state=state.number,
                weight=outer,
                bias=inner,
            )
        return x, Stored(state.number, state.shape, after=True)

    def rotation(
        self, x: Register, state: Stored, log_rates: Weight, log_angles: Weight
    ) -> tuple[Register, Stored]:
        """[B, 2H], [B, H, 2] -> [B, 2H], [B, H, 2]."""
        (count,), (angles,) = _shape(*log_rates), _shape(*log_angles)
        _same_size("rotation", x.size, 2 * count)
        _same_size("rotation", angles, count)
        _same_shape(state, (count, 2))
        y = self._add(
            "rotation",
            count,
            x,
            size=x.size,
            state=state.number,
            prepared=self._prepare(2 * count),
            weight=log_rates,
            bias=log_angles,
        )
        return y, Stored(state.number, state.shape, after=True)

    def shift(self, x: Register, weight: Weight) -> Register:
        """[B, n] -> [B, n]."""
        return self._by_group("shift", x, weight)

    def scale(self, x: Register, weight: Weight, *, logarithms: bool = False) -> Register:
        """[B, n] -> [B, n]."""
        return self._by_group("scale-exp" if logarithms else "scale", x, weight)

    def repeat(self, x: Register, count: int) -> Register:
        """[B, 1] -> [B, count]."""
        _same_size("repeat", x.size, 1)
        return self._add("repeat", count, x)

    def log_gap(
        self, seconds: Any, like: Register, *, scale: float, mean: float, std: float
    ) -> Register:
        """[B] -> [B, 1]."""
        if seconds is not SECONDS and seconds is not None:
            raise NotRecordableError("log_gap of something other than the seconds")
        return self._add("log-gap", 1, numbers=(scale, mean, std))

    def _by_group(self, code: str, x: Register, weight: Weight) -> Register:
        (groups,) = _shape(*weight)
        _same_size(code, x.size, x.size // groups * groups)
        return self._add(code, x.size, x, inner=groups, weight=weight)

    def _prepare(self, numbers: int) -> int:
        offset = self.prepared
        self.prepared += numbers
        return offset

    def _add(
        self,
        code: str,
        count: int,
        *operands: Register,
        size: int | None = None,
        weight: Weight | None = None,
        bias: Weight | None = None,
        numbers: tuple[float, ...] = (),
        **fields: int,
    ) -> Register:
        """Add an instruction; the register of its result, ``size`` or ``count`` numbers."""
        inputs = dict(zip(("from", "second", "third", "fourth"), operands, strict=False))
        y = self.new(count if size is None else size)
        fields |= {name: operand.offset for name, operand in inputs.items()}
        fields |= {"count": count, "to": y.offset}
        self.instructions.append(Instruction(code, fields, weight, bias, numbers))
        return y


def tensor_of(weight: Weight) -> Tensor:
    """The tensor of a weight that the kernels can read.

    Raises:
        NotRecordableError: it is not float32 on the CPU, not contiguous, or computed from others.
    """
    module, name = weight
    tensor = module._parameters.get(name)
    if tensor is None:
        raise NotRecordableError(f"'{name}' of {type(module).__name__} is not a parameter")
    if reason := limits(tensor):
        raise NotRecordableError(reason)
    if tensor.dtype != torch.float32 or not tensor.is_contiguous():
        raise NotRecordableError(f"'{name}' of {type(module).__name__} is not contiguous float32")
    return tensor


def _shape(module: nn.Module, name: str) -> tuple[int, ...]:
    return tuple(tensor_of((module, name)).shape)


def _known(module: nn.Module, kind: type[nn.Module]) -> Any:
    """A module of exactly this type, whose call does nothing else."""
    if type(module) is not kind or module._forward_hooks or module._forward_pre_hooks:
        raise NotRecordableError(f"a {type(module).__name__} that may do more than {kind.__name__}")
    return module


def _same_size(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise NotRecordableError(f"{what} of {found} numbers, expected {expected}")


def _same_shape(state: Stored, expected: tuple[int, ...]) -> None:
    if not isinstance(state, Stored) or state.after or state.shape != expected:
        raise UnfitStateError(f"a state {state}, expected one before the event of shape {expected}")
