"""``model.similar``: items by the cosine of their vectors."""

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import NotFiniteError, UnknownItemError, UsageError
from seqzoo.model.sequence_model import SequenceModel

ITEMS = tuple(f"film-{number}" for number in range(30))


@pytest.fixture(params=["sasrec", "gru4rec"])
def model(request):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": 10}
    labels = [f"Film number {number}" for number in range(30)]
    return SequenceModel.build(request.param, settings, Vocabulary(ITEMS, labels)).eval()


def ids(recommendations):
    return [each.item for each in recommendations]


def test_the_nearest_items_by_cosine(model):
    table = model.embedder.item_table.detach().numpy().astype(np.float64)[1:]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = unit @ unit[4]
    order = [index for index in np.argsort(-cosines) if index != 4]
    found = model.similar("film-4", k=6)
    assert ids(found) == [ITEMS[index] for index in order[:6]]
    assert [each.score for each in found] == pytest.approx(cosines[order[:6]], abs=1e-6)
    assert found[0].label == f"Film number {order[0]}"
    assert isinstance(found, seqzoo.Recommendations)


def test_all_other_items(model):
    assert len(model.similar("film-4")) == 10
    assert set(ids(model.similar("film-4", k=30))) == set(ITEMS) - {"film-4"}


def test_candidates_and_exclusions(model):
    best = ids(model.similar("film-4", k=5))
    assert ids(model.similar("film-4", k=3, exclude=best[:2])) == best[2:5]
    assert ids(model.similar("film-4", k=3, exclude=[best[:2]])) == best[2:5]
    found = model.similar("film-4", candidates=["film-4", best[3], "gone", best[1]])
    assert ids(found) == [best[1], best[3]]
    assert model.similar("film-4", candidates=["film-4"]) == []
    assert model.similar("film-4", exclude=ITEMS) == []


def test_the_mode_of_a_model_in_training_stays(model):
    model.train()
    before = [module.training for module in model.modules()]
    assert model.similar("film-4") == model.similar("film-4")
    assert [module.training for module in model.modules()] == before


def test_a_vector_of_zeros_is_similar_to_nothing(model):
    with torch.no_grad():
        model.embedder.item_table[5].zero_()
    assert {each.score for each in model.similar("film-4")} == {0.0}


@pytest.mark.parametrize("value", [torch.nan, 3e38])
def test_vectors_that_are_not_finite_or_overflow(model, value):
    with torch.no_grad():
        model.embedder.item_table[5].fill_(value)
    with pytest.raises(NotFiniteError, match="cosines that are not finite"):
        model.similar("film-9")


@pytest.mark.parametrize(
    ("item", "options", "error", "message"),
    [
        ("Film 4", {}, UnknownItemError, "'Film 4' is not among the 30 items.*mean 'film-4'"),
        (4, {}, UsageError, "item ids are strings"),
        ("film-4", {"k": 0}, UsageError, "k is 0; expected 1 to 30"),
        ("film-4", {"k": 31}, UsageError, "k is 31; expected 1 to 30"),
        ("film-4", {"candidates": "film-5"}, UsageError, "candidates is a list"),
        ("film-4", {"exclude": "film-5"}, UsageError, "exclude is a list"),
        ("film-4", {"candidates": ["gone"]}, UnknownItemError, "candidates: .*'gone'"),
        (
            "film-4",
            {"exclude": ["gone"], "on_unknown": "error"},
            UnknownItemError,
            "exclude: .*'gone'",
        ),
    ],
)
def test_wrong_calls_say_what_was_expected(model, item, options, error, message):
    with pytest.raises(error, match=message):
        model.similar(item, **options)


def test_films_of_one_series_are_near_each_other():
    found = seqzoo.load("sasrec-ml1m").similar("260", k=5)
    assert {"1196", "1210"} & set(ids(found))
