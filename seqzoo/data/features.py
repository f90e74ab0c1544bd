"""Columns of events: text as codes, numbers as float32."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqzoo.errors import UsageError

__all__ = ["MOST_FEATURES", "FeatureColumn", "Values", "encoded_values", "recoded", "sizes_of"]

MOST_FEATURES = 100
"""Most feature columns that data may have; a checkpoint with more could not be read."""

Values: TypeAlias = tuple[str, ...] | None
"""The different values of a text column, code 1 first; None for a column of numbers."""


@dataclass(frozen=True, eq=False)
class FeatureColumn:
    """A column of interactions.

    Attributes:
        values: codes of text (N,), int32 with 0 for none; or numbers, float32.
        known: the different values of the text, code 1 first; None for numbers.
    """

    values: npt.NDArray[Any]
    known: Values

    def take(self, rows: npt.NDArray[np.bool_]) -> "FeatureColumn":
        """Some of the rows; codes keep their meaning."""
        return FeatureColumn(self.values[rows], self.known)


def sizes_of(features: Mapping[str, Values]) -> dict[str, int | None]:
    """For each feature the number of its codes, including code 0 for no value; None for numbers."""
    return {name: None if values is None else 1 + len(values) for name, values in features.items()}


def encoded_values(name: str, known: Values, values: Sequence[Any]) -> npt.NDArray[Any]:
    """The codes (int32) or numbers (float32) of given values (N,); unknown text has the code 0.

    Raises:
        UsageError: a value is not a number where one is expected.
    """
    if known is not None:
        codes = {value: code for code, value in enumerate(known, start=1)}
        return np.array([codes.get(str(value), 0) for value in values], dtype=np.int32)
    try:
        numbers = np.array([float(value) for value in values], dtype=np.float32)
    except (TypeError, ValueError):
        numbers = np.array([np.nan], dtype=np.float32)
    if not np.isfinite(numbers).all():
        raise UsageError(f"the feature '{name}' is a number of every event; got {values[:5]!r}")
    return numbers


def recoded(
    codes: Mapping[str, npt.NDArray[Any]],
    before: Mapping[str, Values],
    after: Mapping[str, Values],
) -> dict[str, npt.NDArray[Any]]:
    """The features that a model knows, under its codes.

    Args:
        codes: values of each feature of the data (N,).
        before: the data's values by name.
        after: the model's values by name.
    """
    found = {}
    for name, values in codes.items():
        old, new = before.get(name), after.get(name)
        if name in after and (old is None) == (new is None):
            found[name] = values
            if old is not None and old != new:
                table = np.concatenate([[0], encoded_values(name, new, old)]).astype(np.int32)
                found[name] = table[values]
    return found
