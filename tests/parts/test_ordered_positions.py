"""The embedder whose positions count from the oldest or the newest event."""

import math

import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.streaming import Streaming
from seqzoo.parts.config import ItemOrderedPositionEmbedderConfig
from seqzoo.parts.embedders import ItemOrderedPositionEmbedder

HISTORIES = [[1, 5, 5, 2], [4], [3, 9]]
BATCH = SequenceBatch.from_histories(HISTORIES)


def make(**settings):
    torch.manual_seed(0)
    config = ItemOrderedPositionEmbedderConfig(
        **{"hidden_size": 6, "max_length": 5, "dropout": 0.1, **settings}
    )
    return ItemOrderedPositionEmbedder(config, 9).double()


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_every_event_gets_its_position(order, scale):
    made = make(position_order=order, scale_items=scale).eval()
    found = made(BATCH)
    for row, history in enumerate(HISTORIES):
        for t, item in enumerate(history):
            place = t if order == "oldest" else len(history) - 1 - t
            vector = (math.sqrt(6) if scale else 1.0) * made.item_table[item]
            expected = vector + made.position_table[place]
            torch.testing.assert_close(found[row, t], expected, rtol=1e-12, atol=1e-12)
    found[BATCH.mask].sum().backward()
    # The item vectors and the positions that are read, and nothing else.
    assert made.item_table.grad.any(1).tolist() == [i in (1, 2, 3, 4, 5, 9) for i in range(10)]
    assert made.position_table.grad.any(1).tolist() == [True] * 4 + [False]


def test_dropout_comes_last(monkeypatch):
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, values: 3 * values)
    made = make()
    expected = 3 * (made.item_table[BATCH.items] + made.position_table[:4])
    torch.testing.assert_close(made(BATCH), expected)


def test_event_by_event_is_the_whole_history():
    made = make(scale_items=True).eval()
    items = torch.tensor([[1, 5, 5, 2, 7], [4, 4, 3, 9, 1]])
    whole = made(SequenceBatch(items, torch.tensor([5, 5])))
    state = None
    for t in range(5):
        vectors, state = made.step(items[:, t], state)
        torch.testing.assert_close(vectors, whole[:, t], rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigError, match="event 6 of a session is beyond max_length = 5"):
        made.step(items[:, 0], state)
    with pytest.raises(NotImplementedError, match="position_order='newest' has no step"):
        make(position_order="newest").step(items[:, 0], None)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_sessions_of_any_backbone(order):
    """With positions from the newest event there is no state; the answers are the same."""
    torch.manual_seed(0)
    settings = {"embedder": "item-ordered-position", "position_order": order, "hidden_size": 8}
    model = seqzoo.create("sasrec", num_items=9, max_length=4, **settings).eval()
    assert Streaming.of(model).keeps_state(0) == (order == "oldest")
    session = model.session()
    history = ["1", "5", "5", "2", "7", "3"]
    for count, item in enumerate(history, start=1):
        session.observe(item)
        expected = model.encode([history[:count]])[0]
        torch.testing.assert_close(session.hidden, expected, rtol=1e-5, atol=1e-5)


def test_positions_end_and_wrong_settings():
    with pytest.raises(ConfigError, match="a history of 6 events is longer than max_length = 5"):
        make()(SequenceBatch(torch.ones(1, 6, dtype=torch.int64), torch.tensor([6])))
    with pytest.raises(ConfigError, match="'last'; did you mean 'oldest'"):
        make(position_order="last")


def test_first_values():
    made = make(hidden_size=64, max_length=200)
    assert made.position_table.std().item() == pytest.approx(math.sqrt(2 / 264), rel=0.03)
    assert not hasattr(made, "norm")
