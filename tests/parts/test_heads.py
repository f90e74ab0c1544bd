import copy
import math

import pytest
import torch
from torch.nn import functional

from seqzoo.errors import ConfigError

HEADS = pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tied-softmax", {}),
        ("tied-softmax", {"output_bias": True}),
        ("cosine-softmax", {"temperature": 0.1}),
        ("cosine-softmax", {"temperature": 0.1, "projection": True}),
    ],
)


@pytest.fixture
def hidden():
    return torch.randn(5, 6, generator=torch.manual_seed(3), dtype=torch.float64)


@pytest.fixture
def plain_scores(embedder, hidden):
    """Scores in loops over users and items."""

    def scores(name, made, settings):
        table = embedder.item_table.tolist()
        rows = []
        for given in hidden.tolist():
            user, row = given, []
            if settings.get("projection"):
                layer = made.projection
                user = [
                    sum(w * a for w, a in zip(line, given, strict=True)) + bias
                    for line, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
                ]
            for index, item in enumerate(table):
                value = sum(a * b for a, b in zip(user, item, strict=True))
                if name == "cosine-softmax":
                    value /= math.sqrt(sum(a * a for a in user))
                    value /= math.sqrt(sum(b * b for b in item)) * settings["temperature"]
                elif settings:
                    value += made.bias[index].item()
                row.append(value)
            rows.append(row)
        return rows

    return scores


@pytest.fixture
def biased():
    """Give a head's bias, if it has one, random values."""

    def biased(made):
        if getattr(made, "bias", None) is not None:
            with torch.no_grad():
                made.bias.normal_(generator=torch.manual_seed(5))
        return made

    return biased


@HEADS
def test_scores(head, hidden, plain_scores, biased, name, settings):
    made = biased(head(name, **settings))
    expected = torch.tensor(plain_scores(name, made, settings), dtype=torch.float64)
    torch.testing.assert_close(made(hidden), expected, rtol=1e-12, atol=1e-12)
    stacked = made(hidden[:4].view(2, 2, 6))
    torch.testing.assert_close(stacked, expected[:4].view(2, 2, 10), rtol=1e-12, atol=1e-12)


@HEADS
def test_loss_is_that_of_the_scores(head, hidden, biased, embedder, name, settings):
    made = biased(head(name, **settings))
    targets = torch.tensor([1, 9, 4, 4, 2])
    parameters = [embedder.item_table, *made.parameters()]
    expected = functional.cross_entropy(made(hidden), targets)
    wanted = torch.autograd.grad(expected, parameters)
    got = made.loss(hidden, targets)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(got, parameters), wanted, strict=True):
        assert theirs.any()
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


@HEADS
@pytest.mark.parametrize("k", [1, 4, 9])
def test_topk_is_the_sorted_catalogue(head, hidden, plain_scores, biased, name, settings, k):
    made = biased(head(name, **settings))
    with torch.inference_mode():
        scores, items = made.topk(hidden, k)
    assert scores.shape == items.shape == (5, k)
    for row, expected in enumerate(plain_scores(name, made, settings)):
        best = sorted(range(1, 10), key=lambda item: -expected[item])[:k]
        assert items[row].tolist() == best
        assert scores[row].tolist() == pytest.approx([expected[item] for item in best], abs=1e-12)


@HEADS
def test_topk_with_items_left_out(head, hidden, plain_scores, biased, name, settings):
    """Different items per row, one of them twice, and all items for the last row."""
    made = biased(head(name, **settings))
    left_out = {0: [], 1: [3], 2: [1, 2, 2, 9], 3: [5, 6, 7], 4: list(range(1, 10))}
    rows = torch.tensor([row for row, items in left_out.items() for _ in items])
    columns = torch.tensor([item for items in left_out.values() for item in items])
    with torch.inference_mode():
        scores, items = made.topk(hidden, 7, (rows, columns))
    for row, expected in enumerate(plain_scores(name, made, settings)):
        allowed = [item for item in range(1, 10) if item not in left_out[row]]
        best = sorted(allowed, key=lambda item: -expected[item])[:7]
        assert items[row, : len(best)].tolist() == best
        assert scores[row, : len(best)].isfinite().all()
        assert (scores[row, len(best) :] == -torch.inf).all()


@HEADS
@pytest.mark.parametrize("candidates", [[7], [9, 2, 5], [8, 7, 6, 5, 4, 3, 2, 1]])
def test_topk_among_candidates(head, hidden, plain_scores, biased, name, settings, candidates):
    """In any order; fewer than k are returned if there are fewer; exclusions still apply."""
    made = biased(head(name, **settings))
    exclude = (torch.tensor([0, 1, 1]), torch.tensor([7, 2, 1]))
    with torch.inference_mode():
        scores, items = made.topk(hidden, 4, exclude, torch.tensor(candidates))
    assert scores.shape == items.shape == (5, min(4, len(candidates)))
    for row, expected in enumerate(plain_scores(name, made, settings)):
        gone = exclude[1][exclude[0] == row].tolist()
        allowed = [item for item in candidates if item not in gone]
        best = sorted(allowed, key=lambda item: -expected[item])[:4]
        assert items[row, : len(best)].tolist() == best
        assert (scores[row, len(best) :] == -torch.inf).all()


@HEADS
@pytest.mark.parametrize("candidates", [None, [9, 2, 5, 3, 8]])
@pytest.mark.parametrize("size", [1, 2, 4, 10])
def test_blocks_of_items(head, hidden, biased, monkeypatch, name, settings, candidates, size):
    made = biased(head(name, **settings))
    chosen = None if candidates is None else torch.tensor(candidates)
    exclude = (torch.tensor([0, 0, 1, 4]), torch.tensor([2, 9, 5, 1]))
    with torch.inference_mode():
        scores, items = made.topk(hidden, 4, exclude, chosen)
        monkeypatch.setattr("seqzoo.parts.heads._FEWEST_ITEMS", size)
        monkeypatch.setattr("seqzoo.parts.heads._BLOCK_SCORES", 1)
        starts = [start for start, _ in made.score_blocks(hidden, chosen)]
        assert starts == list(range(0, 10 if chosen is None else 5, size))
        again, same = made.topk(hidden, 4, exclude, chosen)
    assert same.tolist() == items.tolist()
    torch.testing.assert_close(again, scores, rtol=1e-12, atol=1e-12)


def test_a_head_with_scores_of_its_own_is_never_bypassed(head, hidden):
    class Negated(type(head())):
        def forward(self, hidden):
            return -super().forward(hidden)

    made = head()
    made.__class__ = Negated
    with torch.inference_mode():
        _, items = made.topk(hidden, 3)
        expected = made(hidden).clone()
    assert items.tolist() == (1 + expected[:, 1:].topk(3).indices).tolist()


def test_padding_is_never_recommended(head, embedder, hidden):
    with torch.no_grad():
        embedder.item_table[0] = 100 * hidden[0]
    made = head()
    assert made(hidden)[0].argmax() == 0
    scores, items = made.topk(hidden, 9)
    assert sorted(items[0].tolist()) == list(range(1, 10))
    assert scores.isfinite().all()


def test_cosine_looks_at_directions_only(head, embedder, hidden):
    made = head("cosine-softmax", temperature=0.05)
    before = made(hidden)
    assert before.abs().max() <= 1 / 0.05 + 1e-9
    with torch.no_grad():
        embedder.item_table.mul_(torch.linspace(0.1, 50, 10, dtype=torch.float64)[:, None])
    torch.testing.assert_close(made(7 * hidden), before, rtol=1e-12, atol=1e-12)
    itself = made(embedder.item_table)
    torch.testing.assert_close(itself.diagonal(), torch.full((10,), 20.0, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperatures_that_cannot_be(head, temperature):
    with pytest.raises(ConfigError, match="'temperature' is"):
        head("cosine-softmax", temperature=temperature)


def test_the_table_is_the_embedders(head, embedder):
    """Neither saved nor counted twice, and still shared after a copy or a change of dtype."""
    assert list(head().parameters()) == []
    made = head(output_bias=True)
    assert list(made.state_dict()) == ["bias"]
    assert not made.bias.any()
    assert made.bias.shape == (10,)
    assert made.table is embedder.item_table
    pair = torch.nn.ModuleList([embedder, made])
    twin = copy.deepcopy(pair)
    assert twin[1].table is twin[0].item_table
    assert twin[1].table is not embedder.item_table
    pair.float()
    assert made.table.dtype == torch.float32
