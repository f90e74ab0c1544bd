"""Search of items by their titles and ids."""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from seqzoo.data.vocabulary import Vocabulary

__all__ = ["TitleIndex", "folded"]

_EXAMINED = 2_000
"""Matches that are put in order; if more items have a word, the most popular ones."""


class TitleIndex:
    """Finds the items whose title or id has all words of a query.

    Case and accents make no difference. The titles are scanned as one long text, so the memory that
    is needed is about the size of the titles.

    Attributes:
        vocabulary: the items.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Fold the titles, the most popular items first if the counts are known."""
        count = len(vocabulary)
        self.vocabulary = vocabulary
        self._counted = vocabulary.counts is not None
        if vocabulary.counts is None:
            self._order = np.arange(1, count + 1)
        else:
            self._order = vocabulary.most_popular
        labels = vocabulary.labels or (None,) * count
        items = vocabulary.items
        self._lines = [
            f"{folded(labels[at - 1] or '')}\t{folded(items[at - 1])}"
            for at in self._order.tolist()
        ]
        self._text = "\n".join(self._lines)
        self._starts = np.cumsum([0, *(len(line) + 1 for line in self._lines)])[:-1]

    def search(self, query: str, k: int) -> list[int]:
        """The indices 1..V of the ``k`` items that fit best.

        An item comes first if its id is the query, then if its title is, then if its title begins
        with it, then if all words of the query begin words of the title. Among equal ones the more
        popular one comes first, or the shorter title where the model has no item counts. A query
        without words finds the most popular items.
        """
        wanted = folded(query)
        words = wanted.split()
        if not words:
            return [int(index) for index in self._order[:k]]
        found = []
        for row in self._rows_with(max(words, key=len)):
            line = self._lines[row]
            if all(word in line for word in words):
                length = 0 if self._counted else len(line)
                found.append((_distance(line, wanted, words), length, row))
                if len(found) == _EXAMINED:
                    break
        return [int(self._order[row]) for *_, row in sorted(found)[:k]]

    def _rows_with(self, word: str) -> Iterator[int]:
        at = self._text.find(word)
        while at >= 0:
            row = int(np.searchsorted(self._starts, at, side="right")) - 1
            yield row
            if row + 1 == len(self._lines):
                return
            at = self._text.find(word, int(self._starts[row + 1]))


def folded(text: str) -> str:
    """A text without case, accents and repeated blanks."""
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(each for each in parts if not unicodedata.combining(each))
    return " ".join(bare.casefold().split())


def _distance(line: str, wanted: str, words: Sequence[str]) -> int:
    title, _, item = line.partition("\t")
    if item == wanted:
        return 0
    if title.startswith(wanted):
        return 1 if len(title) == len(wanted) else 2
    starts = f" {title}"
    return 3 if all(f" {word}" in starts for word in words) else 4
