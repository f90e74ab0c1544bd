"""Items by title, and why a model recommends an item: what the page at ``/`` asks for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.model.inference import inference
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.serving.service.titles import TitleIndex

__all__ = ["ItemsRequest", "ReasonsRequest", "find_items", "reasons"]


@dataclass(frozen=True)
class ItemsRequest:
    """Items that are searched by their titles, or looked up by their ids.

    Attributes:
        query: what is searched, with ``titles``.
        items: ids that are looked up.
        k: number of items.
        titles: the index that is searched; that of the model in use when the request arrived.
    """

    query: str | None = None
    items: Sequence[str] | None = None
    k: int = 10
    titles: TitleIndex | None = None


@dataclass(frozen=True)
class ReasonsRequest:
    """Why an item is recommended after a history."""

    history: Sequence[str]
    item: str
    k: int = 3


def find_items(vocabulary: Vocabulary, request: ItemsRequest) -> dict[str, Any]:
    """Items with their labels, and the ids that the model does not know."""
    unknown: list[str] = []
    if request.titles is not None:
        vocabulary = request.titles.vocabulary
        found = request.titles.search(request.query or "", request.k)
    else:
        known, unknown = vocabulary.encode(request.items or ())
        found = known.tolist()
    items = [{"item": vocabulary.item(each), "label": vocabulary.label(each)} for each in found]
    return {"items": items, "unknown": unknown}


def reasons(model: SequenceModel, request: ReasonsRequest) -> dict[str, Any]:
    """The score and rank of an item after a history, and the items of the history nearest to it.

    The rank is the one among the items that are not in the history. ``nearest`` is None for a model
    without a measure of similarity.

    Raises:
        UnknownItemError: the model does not know the item, or no item of the history.
        NotFiniteError: the item's score is NaN or infinite.
    """
    index = model.vocabulary.index(request.item)
    hidden = model.encode([list(request.history)])
    seen, _ = model.vocabulary.encode(request.history)
    score, rank = _score_and_rank(model, hidden, index, seen.tolist())
    others = [each for each in dict.fromkeys(request.history) if each != request.item]
    return {
        "label": model.vocabulary.label(index),
        "score": score,
        "rank": rank,
        "nearest": _nearest(model, request.item, others, request.k),
    }


def _score_and_rank(
    model: SequenceModel, hidden: torch.Tensor, index: int, seen: Sequence[int]
) -> tuple[float | None, int | None]:
    """The score of an item, and its rank among those not seen; None for one never recommended."""
    with inference(model):
        blocks = model.head.score_blocks(hidden.to(model.device))
        scores = torch.cat([scores for _, scores in blocks], dim=1)[0].cpu()
        own = float(scores[index])
        if math.isnan(own) or own == math.inf:
            raise NotFiniteError(f"the score of the item is {own}; the model's weights are damaged")
        if own == -math.inf:
            return None, None
        scores[[0, *(each for each in seen if each != index)]] = -torch.inf
        # Ties are ordered by item index.
        better = int((scores > own).sum()) + int((scores[:index] == own).sum())
    return own, better + 1


def _nearest(model: SequenceModel, item: str, others: list[str], k: int) -> list[Any] | None:
    if not any(each in model.vocabulary for each in others):
        return []
    most = min(k, len(model.vocabulary))
    try:
        return list(model.similar(item, most, candidates=others))
    except UsageError:  # the ids and k are valid: the head has no measure of similarity
        return None
