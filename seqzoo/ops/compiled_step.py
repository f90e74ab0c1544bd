"""A step of a module by the compiled kernels where they can run it, and by PyTorch elsewhere.

One more event of a user is microseconds of arithmetic. PyTorch, called for each small operation,
takes ten times as long; the compiled kernels run the whole step in one call.

Shapes in brackets: B users, D width of the embedded event, E width of the result.
"""

import os
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from seqzoo.ops.backends import VARIABLE, choose, compiled, in_torch, register
from seqzoo.ops.exporting import exporting
from seqzoo.ops.native.library import step_limits
from seqzoo.ops.native.program import Program, native_step
from seqzoo.ops.native.recorder import NotRecordableError, UnfitStateError
from seqzoo.ops.probe import is_large
from seqzoo.ops.step_operations import Recorded, StepOperations, Value

__all__ = [
    "CompiledStep",
    "ItemStep",
    "WritesStep",
]

Found: TypeAlias = tuple[Tensor, Any]
"""Result [B, E] and new state."""


class WritesStep(Protocol):
    """A module whose step is written with ``StepOperations``."""

    def write_step(
        self, operations: StepOperations, hidden: Value, state: Any, elapsed: Value
    ) -> tuple[Value, Any]:
        """One more event of each user.

        Args:
            operations: compute, or are recorded.
            hidden: embedded event [B, D].
            state: tensors, or registers of a program, in tuples, lists or dicts.
            elapsed: seconds since the user's previous event [B]; None without timestamps.

        Returns:
            [B, E], and the new state, nested as the one before.
        """
        ...


class _Recordings:
    """The programs of one step, recorded when they are first needed.

    They read the weights where torch keeps them. A program is recorded again where a module or a
    weight has been replaced.
    """

    def __init__(self, backend: str | None) -> None:
        self._backend = backend
        self._programs: dict[bool, Program] = {}
        self._refused = False
        self._native: dict[tuple[str | None, bool], bool] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of the module has weights of its own.
        return _Recordings, (self._backend,)

    def is_native(self, users: int) -> bool:
        """Whether the kernels are the backend, and the step has not been refused."""
        case = (os.environ.get(VARIABLE), is_large((users,)))
        if case not in self._native:
            example = torch.empty(users if case[1] else 1, 1)
            chosen = choose("step", example.device, self._backend, (example,))
            self._native[case] = chosen is native_step
        return self._native[case] and not self._refused

    def run(
        self,
        module: nn.Module,
        write: Callable[..., Any],
        width: int | None,
        users: int,
        state: Any,
        seconds: int | None,
        overwrite: bool = False,
        **inputs: int,
    ) -> Found | None:
        """Run the program; see ``Program`` and ``Program.run``.

        None where PyTorch must compute, also for embedded events if a dropout is in training mode.
        Steps on items are always in evaluation mode.
        """
        timed = seconds is not None
        try:
            program = self._programs.get(timed)
            if program is None or program.width != width or not program.is_of(module):
                program = Program(module, write, width, state, timed)
                self._programs[timed] = program
            if width is not None and program.drops:
                return None
            return program.run(users, state, overwrite, seconds=seconds or 0, **inputs)
        except UnfitStateError:  # PyTorch says what is wrong with it
            return None
        except NotRecordableError:
            self._refused = True
            return None


class CompiledStep:
    """Runs the step of a module on embedded events.

    Args:
        backend: ``auto`` or a name; see ``seqzoo.ops.backends.choose``.
    """

    def __init__(self, backend: str | None = None) -> None:
        self._operations = StepOperations(backend)
        self._recordings = _Recordings(backend)

    def __call__(
        self, module: Any, hidden: Tensor, state: Any, elapsed: Tensor | None
    ) -> tuple[Tensor, Any]:
        """One more event of each user: ``module.write_step``, whose arguments these are.

        In a program that is being recorded, the values are recorded.

        Raises:
            BackendUnavailableError: the requested backend does not work.
        """
        found: Found | None = None
        operations, recordings = self._operations, self._recordings
        if isinstance(hidden, Recorded):
            if not recordings.is_native(1):
                raise NotRecordableError("the module has another backend")
            operations = hidden.operations
        elif not (
            torch.is_grad_enabled() or exporting() or step_limits(hidden)
        ) and recordings.is_native(len(hidden)):
            found = self._run(module, hidden, state, elapsed)
        if found is None:
            found = module.write_step(operations, hidden, state, elapsed)
        return found

    def _run(self, module: Any, hidden: Tensor, state: Any, elapsed: Tensor | None) -> Found | None:
        def write(given: Any, state: Any, elapsed: Any) -> Any:
            return module.write_step(given.operations, given, state, elapsed)

        # Kept until the call returns: a copy has no other owner.
        hidden = hidden.contiguous()
        seconds = None if elapsed is None else elapsed.to(torch.int64).contiguous()
        return self._recordings.run(
            module,
            write,
            hidden.shape[1],
            len(hidden),
            state,
            None if seconds is None else seconds.data_ptr(),
            hidden=hidden.data_ptr(),
        )


class ItemStep:
    """Runs the step of a module on the indices of items, by the compiled kernels or not at all."""

    def __init__(self) -> None:
        self._recordings = _Recordings(None)

    def __call__(
        self,
        module: nn.Module,
        write: Callable[..., Any],
        weight: Tensor,
        items: Sequence[int],
        state: Any,
        elapsed: Sequence[int] | None,
        overwrite: bool,
    ) -> tuple[Tensor, Any] | None:
        """One more event of each user.

        Args:
            module: owns the weights.
            write: from items, state and seconds to result and new state; it is called to be
                recorded, and calls other steps.
            weight: any of the weights, which shows the device and the dtype.
            items: indices [B].
            state: tensors in tuples, lists or dicts.
            elapsed: seconds since the user's previous event [B]; None without timestamps.
            overwrite: whether the new state may be written into the tensors of the old one.

        Returns:
            [B, E], and the new state; None where the kernels cannot run the step.
        """
        if exporting() or step_limits(weight) or not self._recordings.is_native(len(items)):
            return None
        own = array("q", items)
        seconds = None if elapsed is None else array("q", elapsed)
        return self._recordings.run(
            module,
            write,
            None,
            len(items),
            state,
            None if seconds is None else seconds.buffer_info()[0],
            overwrite,
            items=own.buffer_info()[0],
        )


register(
    compiled("step", "seqzoo.ops.native.program:native_step", step_limits),
    in_torch("step", "seqzoo.ops.step_operations:torch_step"),
)
