"""Scores that are not finite numbers are an error, never an empty or a shortened answer."""

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.model.sequence_model import SequenceModel

ITEMS = tuple(f"film-{number}" for number in range(30))
HISTORY = ["film-3", "film-7", "film-1"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": 10}
    return SequenceModel.build("sasrec", settings, Vocabulary(ITEMS)).eval()


def test_a_backbone_that_yields_nan(model):
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="2 of 2 histories"):
        model.recommend_many([HISTORY, HISTORY[:1]], k=3)


def test_one_row_of_the_item_table_that_is_nan(model):
    with torch.no_grad():
        model.embedder.item_table[20].fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="not finite numbers for 1 of 1 histories"):
        model.recommend(HISTORY, k=3)


def test_weights_that_overflow(model):
    with torch.no_grad():
        model.embedder.item_table.fill_(3e38)
    with pytest.raises(NotFiniteError, match="train again with a lower learning rate"):
        model.recommend(HISTORY, k=3)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.zeros(1, 16).numpy(), "a tensor"),
        (torch.zeros(16), r"shape \[16\]"),
        (torch.zeros(1, 15), r"expected \[B, 16\]"),
        (torch.zeros(1, 16).half(), "float16; expected"),
    ],
)
def test_vectors_of_another_kind(model, vectors, message):
    with pytest.raises(UsageError, match=message):
        model.recommend_from(vectors, k=3)


@pytest.mark.parametrize("seen", [[[-1]], [[31]], [[1.5]], [[1], [2]], "1", [3]])
def test_seen_items_outside_the_vocabulary(model, seen):
    with pytest.raises(UsageError, match="seen"):
        model.recommend_from(model.encode([HISTORY]), k=3, seen=seen)


def test_vectors_that_are_not_finite(model):
    with pytest.raises(NotFiniteError):
        model.recommend_from(torch.full((1, 16), torch.inf), k=3)
