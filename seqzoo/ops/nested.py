"""States: tensors in tuples, lists and dicts, with other values beside them."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

__all__ = [
    "form_of",
    "leaves",
    "leaves_like",
    "nested",
]


def leaves(state: Any) -> list[Tensor]:
    """The tensors of a state, in order."""
    found: list[Tensor] = []
    _collect(state, found)
    return found


def leaves_like(form: Any, state: Any) -> list[Tensor]:
    """The tensors of a state that has a form, in order; raises ``ValueError`` if it has another."""
    found: list[Tensor] = []
    _collect_like(form, state, found)
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


def _collect_like(form: Any, state: Any, found: list[Tensor]) -> None:
    if form is Tensor and isinstance(state, Tensor):
        found.append(state)
    elif isinstance(form, dict) and isinstance(state, dict) and form.keys() == state.keys():
        for key, inner in form.items():
            _collect_like(inner, state[key], found)
    elif isinstance(form, tuple | list) and type(form) is type(state) and len(form) == len(state):
        for inner, value in zip(form, state, strict=True):
            _collect_like(inner, value, found)
    elif form is Tensor or isinstance(form, dict | tuple | list) or form != state:
        raise ValueError(f"a state with {type(state).__name__} in place of {form}")
