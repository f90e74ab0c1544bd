"""The states of many users, stacked: one row of growing tensors for each user."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from seqzoo.errors import SeqzooError
from seqzoo.interfaces import State

__all__ = ["Form", "Holder", "Pool", "put_together", "take_apart"]

Form: TypeAlias = Hashable
"""A state without its numbers: how tensors are nested, their shapes after the batch, and all other
values. States of the same form can be stacked."""

_FEWEST = 8


class Holder(Protocol):
    """Whose state a row is: it knows the pool and the row."""

    pool: "Pool | None"
    row: int


def take_apart(state: State, rows: int, tensors: list[Tensor]) -> Form:
    """The form of a state; adds its tensors [rows, ...] to ``tensors``.

    Raises:
        SeqzooError: the first dimension of a tensor is not the batch.
    """
    if isinstance(state, Tensor):
        if state.shape[:1] != (rows,):
            raise SeqzooError(
                f"a state for {rows} users holds a tensor of shape {list(state.shape)}; its first "
                "dimension must be the batch: change step() or initial_state() of the model's "
                "parts (`seqzoo check` tests them)"
            )
        tensors.append(state)
        return Tensor, tuple(state.shape[1:]), state.dtype, state.device
    if isinstance(state, dict):
        return dict, tuple((key, take_apart(state[key], rows, tensors)) for key in state)
    if isinstance(state, tuple | list):
        kind = tuple if isinstance(state, tuple) else list
        return kind, tuple(take_apart(each, rows, tensors) for each in state)
    return type(state), state


def put_together(form: Any, tensors: Iterator[Tensor]) -> State:
    """The state of a form with these tensors; the reverse of ``take_apart``."""
    kind, inner, *_ = form
    if kind is Tensor:
        return next(tensors)
    if kind is dict:
        return {key: put_together(each, tensors) for key, each in inner}
    if kind is tuple or kind is list:
        return kind(put_together(each, tensors) for each in inner)
    return inner


class Pool:
    """The states of all users whose states have one form.

    The rows have no gaps: when one is removed, the last one takes its place. The tensors double
    when they are full and halve when three quarters are free.
    """

    def __init__(self, form: Form, tensors: Sequence[Tensor]) -> None:
        """An empty pool for states of ``form``, with tensors like these."""
        self.form = form
        self.holders: list[Holder] = []
        self.tensors = [each.new_empty(_FEWEST, *each.shape[1:]) for each in tensors]
        self._capacity = _FEWEST

    def __len__(self) -> int:
        return len(self.holders)

    @property
    def has_states(self) -> bool:
        """Whether its rows hold more than vectors of windows: the state of a step comes third."""
        form: Any = self.form
        return bool(form[1][2] != take_apart(None, 0, []))

    @property
    def row_bytes(self) -> int:
        """Bytes of one user's state."""
        return sum(tensor.nbytes for tensor in self.tensors) // len(self.tensors[0])

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        """The tensors of some users; views where their rows follow one another."""
        first, count = rows[0], len(rows)
        if rows[-1] - first == count - 1 and list(rows) == list(range(first, first + count)):
            return [tensor.narrow(0, first, count) for tensor in self.tensors]
        index = torch.tensor(rows, device=self.tensors[0].device)
        return [tensor.index_select(0, index) for tensor in self.tensors]

    def write(self, rows: Sequence[int], tensors: Sequence[Tensor]) -> None:
        """Replace the states of some users."""
        first, count = rows[0], len(rows)
        if rows[-1] - first == count - 1 and list(rows) == list(range(first, first + count)):
            for mine, given in zip(self.tensors, tensors, strict=True):
                rows_of_mine = mine.narrow(0, first, count)
                # A step may have written into the pool itself.
                if given.data_ptr() != rows_of_mine.data_ptr():
                    rows_of_mine.copy_(given)
            return
        index = torch.tensor(rows, device=self.tensors[0].device)
        for mine, given in zip(self.tensors, tensors, strict=True):
            mine.index_copy_(0, index, given)

    def add(self, holders: Sequence[Holder], tensors: Sequence[Tensor]) -> None:
        """Take in users with their states."""
        first = len(self.holders)
        self.holders.extend(holders)
        for row, holder in enumerate(holders, start=first):
            holder.pool, holder.row = self, row
        while self._capacity < len(self.holders):
            self._capacity *= 2
        if self._capacity > len(self.tensors[0]):
            self._resize(first)
        for mine, given in zip(self.tensors, tensors, strict=True):
            mine[first : len(self.holders)] = given

    def remove(self, rows: Sequence[int]) -> None:
        """Forget the states of some users."""
        gone = set(rows)
        left = len(self.holders) - len(gone)
        moved = [row for row in range(left, len(self.holders)) if row not in gone]
        holes = sorted(row for row in gone if row < left)
        for row, hole in zip(moved, holes, strict=True):
            self.holders[hole] = self.holders[row]
            self.holders[hole].row = hole
        if holes:
            self.write(holes, [tensor.clone() for tensor in self.read(moved)])
        del self.holders[left:]
        capacity = self._capacity
        while capacity > _FEWEST and left <= capacity // 4:
            capacity //= 2
        if capacity < self._capacity:
            self._capacity = capacity
            self._resize(left)

    def _resize(self, used: int) -> None:
        for index, tensor in enumerate(self.tensors):
            self.tensors[index] = tensor.new_empty(self._capacity, *tensor.shape[1:])
            self.tensors[index][:used] = tensor[:used]
