"""The scan of quantised vectors against a plain sort: the same items and scores."""

import pytest
import torch

import seqzoo
from seqzoo.errors import NotFiniteError, UsageError
from seqzoo.parts.int8_index import Int8Index

HEADS = pytest.mark.parametrize(
    "settings",
    [{}, {"output_bias": True}, {"head": "cosine-softmax"}],
    ids=lambda settings: str(settings),
)


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    monkeypatch.setattr("seqzoo.parts.int8_index._BLOCK", 700)


def make(spread="even", items=5000, **settings):
    torch.manual_seed(0)
    model = seqzoo.create("sasrec", num_items=items, hidden_size=32, **settings).eval()
    with torch.no_grad():
        table = model.embedder.item_table
        if spread == "lengths":
            table.mul_(torch.logspace(-3, 2, len(table))[:, None])
        elif spread == "near":
            # All items are nearly alike, so that rounding hides the differences.
            table.copy_(table[0] + 1e-4 * torch.randn_like(table))
        elif spread == "one large":
            table[:, 5] += 100
        if getattr(model.head, "bias", None) is not None:
            model.head.bias.normal_()
    return model


def agree(model, hidden, k, exclude=None):
    with torch.inference_mode():
        scores, items = model.head.topk(hidden, k, exclude)
        found, same = Int8Index(model.head).topk(hidden, k, exclude)
        everything = model.head(hidden)
    assert found.shape == same.shape == scores.shape
    torch.testing.assert_close(found, scores, rtol=1e-5, atol=1e-5)
    # Items may change places only where their scores are equal within rounding.
    real = scores > -torch.inf
    torch.testing.assert_close(everything.gather(1, same)[real], scores[real], rtol=1e-5, atol=1e-5)
    assert all(len(set(row.tolist())) == len(row) for row in same) or not bool(real.all())
    return items, same


@HEADS
@pytest.mark.parametrize("spread", ["even", "lengths", "near", "one large"])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_same_items_and_scores(settings, spread, k):
    model = make(spread, **settings)
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(k))
    items, same = agree(model, hidden, k)
    if spread == "even":
        assert items.tolist() == same.tolist()


def test_exclusions_and_padding():
    model = make()
    with torch.no_grad():
        model.embedder.item_table[0] = 10.0
    hidden = torch.ones(2, 32)
    best = model.head.topk(hidden, 20)[1]
    exclude = (torch.tensor([0] * 10 + [1]), torch.cat([best[0, :10], best[1, 3:4]]))
    items, same = agree(model, hidden, 10, exclude)
    assert items.tolist() == same.tolist()
    assert same[0].tolist() == best[0, 10:].tolist()


def test_fewer_items_than_asked_for():
    model = make(items=12)
    exclude = (torch.zeros(9, dtype=torch.int64), torch.arange(1, 10))
    with torch.inference_mode():
        scores, items = Int8Index(model.head).topk(torch.randn(1, 32), 8, exclude)
    assert sorted(items[0, :3].tolist()) == [10, 11, 12]
    assert (scores[0, 3:] == -torch.inf).all()


def test_equal_scores_are_in_the_order_of_items():
    model = make()
    with torch.no_grad():
        model.embedder.item_table.fill_(0.5)
    with torch.inference_mode():
        items = Int8Index(model.head).topk(torch.ones(1, 32), 5)[1]
    assert items.tolist() == [[1, 2, 3, 4, 5]]


def test_a_model_with_an_index_recommends_the_same():
    model = make()
    history = [model.vocabulary.item(index) for index in (3, 7, 4)]
    plain = model.recommend(history, k=20)
    model.use_index("int8")
    assert model.index is not None
    found = model.recommend(history, k=20)
    assert [each.item for each in found] == [each.item for each in plain]
    some = [model.vocabulary.item(index) for index in range(50, 90)]
    assert len(model.recommend(history, k=20, candidates=some)) == 20
    with torch.no_grad():
        model.embedder.item_table[9] += 1
    with pytest.raises(UsageError, match=r"weights have changed.*use_index\('int8'\)"):
        model.recommend(history)
    model.use_index(None)
    assert model.recommend(history)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])
def test_users_whose_scores_are_not_finite(value):
    model = make()
    with torch.no_grad():
        model.embedder.item_table.abs_().mul_(1e3)
    model.use_index("int8")
    with pytest.raises(NotFiniteError):
        model.recommend_from(torch.full((1, 32), value), k=3)


def test_no_users():
    model = make(items=30)
    assert Int8Index(model.head).topk(torch.zeros(0, 32), 3)[0].shape == (0, 3)


def test_what_has_no_index():
    model = make(items=30)
    with pytest.raises(UsageError, match="int8"):
        model.use_index("int9")
    with torch.no_grad():
        model.embedder.item_table[9, 3] = torch.nan
    with pytest.raises(NotFiniteError, match="NaN or too large"):
        model.use_index("int8")
    model.head.__class__ = type(
        "Other", (type(model.head),), {"forward": lambda self, hidden: -hidden}
    )
    with pytest.raises(UsageError, match="Other computes its scores otherwise"):
        model.use_index("int8")
