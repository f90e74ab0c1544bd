"""Steps of a backbone by the compiled kernels: one call for all operations; see ``program.c``.

Shapes in brackets: B users, D width of the embedded event.
"""

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from seqzoo.errors import error_text
from seqzoo.ops.native.library import call
from seqzoo.ops.native.recorder import (
    CODES,
    SECONDS,
    Items,
    NotRecordableError,
    Recorder,
    Register,
    Stored,
    UnfitStateError,
    tensor_of,
)
from seqzoo.ops.nested import form_of, leaves, leaves_like, nested

__all__ = ["Program", "Write", "native_step"]

Write: TypeAlias = Callable[[Any, Any, Any], tuple[Any, Any]]

_SIZES = (
    *("users", "threads", "instructions", "states", "registers", "prepared_count", "stale"),
    *("width", "found", "result_width"),
)
_ADDRESSES = ("hidden", "items", "seconds", "result", "prepared", "copied")
_OPERANDS = ("from", "second", "third", "fourth", "to", "state", "part", "prepared")
_SLACK = 16
"""Numbers after the last register that may be read: whole vectors are."""


class _Instruction(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("code", "count", "inner", "width", *_OPERANDS)),
        ("weight", ctypes.c_uint64),
        ("bias", ctypes.c_uint64),
        ("numbers", ctypes.c_float * 4),
    )


def _arguments(instructions: int, states: int) -> type[ctypes.Structure]:
    """The structure ``program`` with what follows it in memory."""

    class Arguments(ctypes.Structure):
        _fields_ = (
            *((name, ctypes.c_int64) for name in _SIZES),
            *((name, ctypes.c_uint64) for name in _ADDRESSES),
            ("instruction", _Instruction * instructions),
            ("before", ctypes.c_uint64 * states),
            ("after", ctypes.c_uint64 * states),
        )

    return Arguments


class Program:
    """The step of a module, recorded for the kernels.

    Args:
        module: owns the weights.
        write: records the step: from the input, the state and the seconds since the previous event
            or None, to the result and the new state.
        width: D, of embedded events; None for a step that takes the indices of items.
        state: of any number of users.
        timed: whether the seconds are given.

    Raises:
        NotRecordableError: the step or a weight is not one that the kernels can take.
    """

    def __init__(
        self, module: nn.Module, write: Write, width: int | None, state: Any, timed: bool
    ) -> None:
        before = leaves(state)
        self._form = form_of(state)
        self._shapes = [tuple(tensor.shape[1:]) for tensor in before]
        recorder = Recorder()
        given = Items(recorder) if width is None else recorder.new(width)
        stored = [Stored(number, shape) for number, shape in enumerate(self._shapes)]
        try:
            result, after = write(
                given, nested(self._form, iter(stored)), SECONDS if timed else None
            )
        except NotRecordableError:
            raise
        # Parts of a plugin compute with tensors, or raise any exception.
        except Exception as error:
            raise NotRecordableError(f"the step cannot be recorded: {error_text(error)}") from error
        wanted = [Stored(each.number, each.shape, after=True) for each in stored]
        if not isinstance(result, Register) or after != nested(self._form, iter(wanted)):
            raise NotRecordableError("the step does not return a value and the new state")
        self._modules = _modules(module)
        self._dropouts = recorder.dropouts
        weights = [w for one in recorder.instructions for w in (one.weight, one.bias) if w]
        tensors = [tensor_of(weight) for weight in weights]
        # Kept, so that the memory of a weight that is replaced cannot become that of another.
        self._memory = [tensor.detach() for tensor in tensors]
        self._owners = [(own._parameters, name) for own, name in weights]
        self._addresses = [tensor.data_ptr() for tensor in tensors]
        self.width, self._result_width = width, result.size
        self._kind = _arguments(len(recorder.instructions), len(before))
        # The transposed weights, and their values when they were transposed.
        self._prepared = torch.empty(2, recorder.prepared)
        self._constant = self._filled(recorder, result, iter(self._addresses))
        call("seqzoo_prepare", ctypes.byref(self._constant))
        self.stale = False

    def is_of(self, module: nn.Module) -> bool:
        """Whether the module and its weights are still those that were recorded.

        The values of the weights may have changed: they are read where torch keeps them. ``stale``
        says that a program that is recorded again would be faster.
        """
        if self.stale or self._modules != _modules(module):
            return False
        try:
            weights: list[Any] = [own[name] for own, name in self._owners]
            return [weight.data_ptr() for weight in weights] == self._addresses
        except (KeyError, AttributeError):  # a weight has been removed
            return False

    @property
    def drops(self) -> bool:
        """Whether a dropout of the module is in training mode; the program has none."""
        return any(dropout.training for dropout in self._dropouts)

    def run(
        self, users: int, state: Any, overwrite: bool = False, **inputs: int
    ) -> tuple[Tensor, Any]:
        """One more event of each user.

        Args:
            users: B.
            state: nested as the one that was recorded.
            overwrite: write the new state into the tensors of the old one where that is possible;
                otherwise the old one is not modified.
            inputs: addresses of ``hidden`` [B, D] in float32 or ``items`` [B] in int64, and of
                ``seconds`` [B] in int64.

        Returns:
            [B, D'], and the new state.

        Raises:
            UnfitStateError: the state is not the one of this step.
            IndexError: a table has no such item.
        """
        # Kept until the call returns: a copy has no other owner.
        try:
            tensors = leaves_like(self._form, state)
        except ValueError as error:
            raise UnfitStateError(str(error)) from None
        before = self._fitting(tensors, users)
        addresses = [tensor.data_ptr() for tensor in before]
        # Two tensors of a fresh state may be the same zeros.
        if overwrite and len(set(addresses)) == len(addresses):
            after = before
        else:
            after = [torch.empty_like(tensor) for tensor in before]
        result = torch.empty(users, self._result_width)
        arguments: Any = self._kind.from_buffer_copy(self._constant)
        arguments.users, arguments.threads = users, torch.get_num_threads()
        for name, address in inputs.items():
            setattr(arguments, name, address)
        arguments.result = result.data_ptr()
        arguments.before[:] = addresses
        arguments.after[:] = [tensor.data_ptr() for tensor in after]
        call("seqzoo_program", ctypes.byref(arguments))
        if arguments.stale:
            self.stale = True
        return result, nested(self._form, iter(after))

    def _fitting(self, tensors: list[Tensor], users: int) -> list[Tensor]:
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            if tensor.shape != (users, *shape) or tensor.dtype != torch.float32:
                raise UnfitStateError(f"a state {list(tensor.shape)} in {tensor.dtype}")
        return [tensor.contiguous() for tensor in tensors]

    def _filled(
        self, recorder: Recorder, result: Register, addresses: Iterator[int]
    ) -> ctypes.Structure:
        """The arguments, but for what differs from call to call."""
        filled: Any = self._kind(
            instructions=len(recorder.instructions),
            states=len(self._shapes),
            registers=recorder.registers + _SLACK,
            prepared_count=recorder.prepared,
            prepared=self._prepared[0].data_ptr(),
            copied=self._prepared[1].data_ptr(),
            width=self.width or 0,
            found=result.offset,
            result_width=result.size,
        )
        for to, one in zip(filled.instruction, recorder.instructions, strict=True):
            to.code = CODES.index(one.code)
            for name, number in one.fields.items():
                setattr(to, name, number)
            to.weight = next(addresses) if one.weight else 0
            to.bias = next(addresses) if one.bias else 0
            to.numbers[: len(one.numbers)] = one.numbers
        return filled  # type: ignore[no-any-return]


def native_step(module: Any, hidden: Tensor, state: Any, seconds: Tensor) -> tuple[Tensor, Any]:
    """A step that is recorded for this call; ``seqzoo.ops.CompiledStep`` keeps the program."""

    def write(given: Any, state: Any, elapsed: Any) -> Any:
        return module.write_step(given.operations, given, state, elapsed)

    program = Program(module, write, hidden.shape[1], state, timed=True)
    hidden, seconds = hidden.contiguous(), seconds.contiguous()
    return program.run(len(hidden), state, hidden=hidden.data_ptr(), seconds=seconds.data_ptr())


def _modules(module: nn.Module) -> list[nn.Module]:
    """The module and everything in it: ``module.modules()`` takes longer than a step."""
    found = [module]
    for each in found:
        if each._modules:
            found.extend(child for child in each._modules.values() if child is not None)
    return found
