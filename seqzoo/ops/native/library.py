"""Load the compiled kernels and call them by ctypes.

The library has one variant of each function for every set of instructions it was compiled for;
``level`` names the widest that the processor supports.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from seqzoo.ops.native.build import LIBRARY, source_fingerprint

__all__ = [
    "REMEDY",
    "Rows",
    "Shape",
    "call",
    "function",
    "inference_limits",
    "level",
    "library",
    "limits",
    "packed",
    "step_limits",
    "unexpected_shape",
    "wrong_dimensions",
]

REMEDY = "install a C compiler (gcc or clang) and run `python -m seqzoo.ops.native`"

Shape = torch.Size | tuple[int, ...]


@cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        ImportError: it was not built, was built from other source, or cannot be loaded.
    """
    if not LIBRARY.is_file():
        raise ImportError(f"{LIBRARY.name} was not built: no C compiler at installation")
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise ImportError(f"{LIBRARY.name} cannot be loaded: {error}") from error
    for name in ("seqzoo_source", "seqzoo_level"):
        getattr(loaded, name).restype = ctypes.c_char_p
    if loaded.seqzoo_source().decode() != source_fingerprint():
        raise ImportError(f"{LIBRARY.name} was built from other source; build it again")
    return loaded


@cache
def level() -> str:
    """The instructions in use: ``avx512``, ``avx2``, or ``baseline`` (SSE2 or NEON)."""
    return str(library().seqzoo_level().decode())


@cache
def function(name: str, instructions: str) -> Any:
    """A function of the library for a set of instructions."""
    return getattr(library(), f"{name}_{instructions}")


def call(name: str, *arguments: Any) -> None:
    """Call a function that returns 0, 1 where memory is missing, 2 where an index is out of range.

    Raises:
        MemoryError: there is no memory for the scratch space.
        IndexError: an index is out of range.
    """
    code = function(name, level())(*arguments)
    if code == 2:
        raise IndexError(f"{name}: an index is outside its table")
    if code:
        raise MemoryError(f"no memory for the scratch space of {name}")


def limits(*tensors: Tensor) -> str:
    """Why the kernels cannot take these tensors; empty if they can."""
    for tensor in tensors:
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            kind = str(tensor.dtype).removeprefix("torch.")
            return f"{kind}, the kernel takes float32, float16 and bfloat16"
        # A FakeTensor of torch.export, for example, has no memory to read.
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            return f"a {type(tensor).__name__}, the kernel takes plain tensors"
        if not tensor.is_cpu:
            return f"a tensor on {tensor.device}, the kernel takes tensors on the CPU"
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling():
        return "the call is being traced, the kernel only computes values"
    return ""


def inference_limits(*tensors: Tensor) -> str:
    """The same for a kernel without a backward pass."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return "gradients are wanted, the kernel has none; call it under torch.no_grad()"
    return limits(*tensors)


def step_limits(hidden: Tensor, *others: Any) -> str:
    """Why the kernels cannot run a step for events [B, D]: another dtype, autocast, or a trace."""
    if hidden.dtype != torch.float32:
        return "the compiled step takes float32"
    if torch.is_autocast_enabled("cpu"):
        return "autocast, the compiled step computes in float32"
    return limits(hidden)


def wrong_dimensions(x: Tensor, expected: int) -> str:
    """Why the number of dimensions of the input is wrong; empty if it is right."""
    found = x.dim()
    return "" if found == expected else f"x has {found} dimensions, the kernel expects {expected}"


def unexpected_shape(**shapes: tuple[Shape, Shape]) -> str:
    """Which shape differs from what is expected; empty if none. The kernels do not broadcast."""
    for name, (found, expected) in shapes.items():
        if found != expected:
            return f"{name} has shape {tuple(found)}, the kernel expects {tuple(expected)}"
    return ""


class Rows(ctypes.Structure):
    """A tensor [B, L, ...] whose innermost dimensions are contiguous."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("batch_stride", ctypes.c_int64),
        ("time_stride", ctypes.c_int64),
    )

    @classmethod
    def of(cls, tensor: Tensor) -> "Rows":
        """Describe a tensor [B, L, K] with a contiguous last dimension."""
        return cls(tensor.data_ptr(), tensor.stride(0), tensor.stride(1))


def packed(tensor: Tensor) -> Tensor:
    """A float32 tensor [B, L, K] with a contiguous last dimension, copied only where needed."""
    tensor = tensor.detach().float()
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
