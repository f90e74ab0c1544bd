"""Turn the features of items into codes and numbers that an embedder can learn from.

Text becomes its words and their character n-grams, a category itself; each of these is hashed to
one of a fixed number of codes (as fastText does with n-grams, arXiv:1607.04606). So no list of
words has to be kept, and the words of a new item have codes that are known already.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from seqzoo.data.item_table import FeatureColumn

__all__ = ["Int64s", "codes_of", "words_and_ngrams"]

Int64s = npt.NDArray[np.int64]

_WORD = re.compile(r"\w+")
_LONGEST_TEXT = 2000
"""Characters of a text that are read."""


def words_and_ngrams(text: str, sizes: Iterable[int]) -> set[str]:
    """The words of a text in lower case, and the n-grams of each between ``<`` and ``>``."""
    found: set[str] = set()
    lengths = list(sizes)
    for word in _WORD.findall(text[:_LONGEST_TEXT].casefold()):
        marked = f"<{word}>"
        found.add(marked)
        for n in lengths:
            found.update(marked[at : at + n] for at in range(len(marked) - n + 1))
    return found


def codes_of(
    columns: "Sequence[FeatureColumn]", buckets: int, sizes: Sequence[int]
) -> tuple[Int64s, npt.NDArray[np.float32], Int64s]:
    """The codes of all text and categories of V items.

    Args:
        columns: columns of the kinds ``text``, ``category`` and ``categories``.
        buckets: number of codes.
        sizes: the lengths n of the n-grams; none for words only.

    Returns:
        Codes (C,), the weight of each (C,), and the position of the first code of each item index
        0 to V (V + 1,); padding, index 0, has none. The weights of n codes of a column are one over
        the square root of n, so that the sum of their vectors has the size of one.
    """
    count = len(columns[0]) if columns else 0
    codes: list[int] = []
    weights: list[float] = []
    starts = [0] * (count + 1)
    known: dict[tuple[int, str], int] = {}
    for item in range(count):
        starts[item + 1] = len(codes)
        for number, column in enumerate(columns):
            value = column.values[item]
            parts: Iterable[str]
            if column.kind == "text":
                parts = words_and_ngrams(str(value), sizes)
            elif column.kind == "categories":
                parts = set(value)
            else:
                parts = [str(value)] if value else []
            own = sorted({_hashed(known, number, column.name, part, buckets) for part in parts})
            if own:
                codes += own
                weights += [len(own) ** -0.5] * len(own)
    return (
        np.asarray(codes, dtype=np.int64),
        np.asarray(weights, dtype=np.float32),
        np.asarray(starts, dtype=np.int64),
    )


def _hashed(
    known: dict[tuple[int, str], int], number: int, name: str, part: str, buckets: int
) -> int:
    """The code of a part of a column's value; the same in every process and version."""
    code = known.get((number, part))
    if code is None:
        code = known[number, part] = zlib.crc32(f"{name}\0{part}".encode()) % buckets
    return code
