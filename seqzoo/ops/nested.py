"""States: tensors in tuples, lists and dicts, with other values beside them."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

__all__ = [
    "form_of",
    "leaves",
    "nested",
]


def leaves(state: Any) -> list[Tensor]:
    """The tensors of a state, in order."""
    found: list[Tensor] = []
    _collect(state, found)
    return found


def form_of(state: Any) -> Any:
    """The state with ``Tensor`` in place of each tensor."""
    if isinstance(state, Tensor):
        return Tensor
    if isinstance(state, dict):
        return {key: form_of(value) for key, value in state.items()}
    if isinstance(state, tuple | list):
        return type(state)([form_of(value) for value in state])
    return state


def nested(form: Any, tensors: Iterator[Any]) -> Any:
    """The state of a form with these tensors."""
    if form is Tensor:
        return next(tensors)
    if isinstance(form, dict):
        return {key: nested(value, tensors) for key, value in form.items()}
    if isinstance(form, tuple | list):
        return type(form)([nested(value, tensors) for value in form])
    return form


def _collect(state: Any, found: list[Tensor]) -> None:
    if isinstance(state, Tensor):
        found.append(state)
    elif isinstance(state, dict):
        for value in state.values():
            _collect(value, found)
    elif isinstance(state, tuple | list):
        for value in state:
            _collect(value, found)
