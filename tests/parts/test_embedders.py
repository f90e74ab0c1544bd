import pytest
import torch
from torch import nn
from torch.nn import functional

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.parts.config import ItemEmbedderConfig, ItemPositionEmbedderConfig
from seqzoo.parts.embedders import ItemEmbedder, ItemPositionEmbedder

BATCH = SequenceBatch.from_histories([[1, 5, 5, 2], [4], [3, 9]])
KINDS = pytest.mark.parametrize("positions", [False, True])
ORDERS = pytest.mark.parametrize("order", ["after-dropout", "before-dropout", "none"])


def make(positions, **settings):
    torch.manual_seed(0)
    settings = {"hidden_size": 6, "max_length": 5, **settings}
    if positions:
        made = ItemPositionEmbedder(ItemPositionEmbedderConfig(**settings), 9)
    else:
        made = ItemEmbedder(ItemEmbedderConfig(**settings), 9)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += torch.randn_like(parameter)
    return made.double()


def pattern(values):
    angle = torch.arange(values.numel(), dtype=values.dtype).view_as(values)
    return values * (1.0 + 0.5 * torch.cos(angle))


@KINDS
@ORDERS
def test_rows_positions_dropout_and_norm(monkeypatch, positions, order):
    made = make(positions, embedding_norm=order)
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, values: pattern(values))
    expected = made.item_table[BATCH.items]
    if positions:
        expected = expected + torch.stack([made.position_table[t] for t in range(4)])

    def norm(values):
        return functional.layer_norm(values, (6,), made.norm.weight, made.norm.bias, 1e-12)

    if order == "after-dropout":
        expected = norm(pattern(expected))
    elif order == "before-dropout":
        expected = pattern(norm(expected))
    else:
        expected = pattern(expected)
        assert not hasattr(made, "norm")
    torch.testing.assert_close(made(BATCH), expected, rtol=1e-12, atol=1e-12)


@KINDS
@ORDERS
def test_event_by_event_is_the_whole_history(positions, order):
    made = make(positions, embedding_norm=order).eval()
    items = torch.tensor([[1, 5, 5, 2, 7], [4, 4, 3, 9, 1]])
    whole = made(SequenceBatch(items, torch.tensor([5, 5])))
    state = None
    for t in range(5):
        vectors, state = made.step(items[:, t], state)
        torch.testing.assert_close(vectors, whole[:, t], rtol=1e-12, atol=1e-12)


def test_usual_orders():
    assert ItemEmbedderConfig().embedding_norm == "after-dropout"
    assert ItemPositionEmbedderConfig().embedding_norm == "before-dropout"


def test_positions_end():
    made = make(True).eval()
    with pytest.raises(ConfigError, match="a history of 6 events is longer than max_length = 5"):
        made(SequenceBatch(torch.ones(1, 6, dtype=torch.int64), torch.tensor([6])))
    state = None
    for _ in range(5):
        _, state = made.step(torch.tensor([1]), state)
    with pytest.raises(ConfigError, match="event 6 of a session is beyond max_length = 5"):
        made.step(torch.tensor([1]), state)


def test_without_positions_a_history_may_have_any_length():
    made = make(False).eval()
    vectors = made(SequenceBatch(torch.ones(1, 60, dtype=torch.int64), torch.tensor([60])))
    assert torch.equal(vectors[0, 0], vectors[0, 59])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "'hidden_size' is 0; expected 1 or more"),
        ({"max_length": 0}, "'max_length' is 0"),
        ({"dropout": 1.0}, r"'dropout' is 1\.0; expected 0\.0 or more and less than 1\.0"),
        (
            {"embedding_norm": "before"},
            "'before'; did you mean 'before-dropout'",
        ),
        ({"initialisation": "zeros"}, "'zeros'; expected one of: normal, xavier"),
    ],
)
def test_wrong_settings(settings, message):
    for config in (ItemEmbedderConfig, ItemPositionEmbedderConfig):
        with pytest.raises(ConfigError, match=message):
            config(**settings)


@KINDS
def test_first_values(positions):
    """The normal draw is fixed to the byte; xavier covers the whole table with its padding row."""

    def table(**settings):
        torch.manual_seed(5)
        if positions:
            return ItemPositionEmbedder(ItemPositionEmbedderConfig(**settings), 999).item_table
        return ItemEmbedder(ItemEmbedderConfig(**settings), 999).item_table

    torch.manual_seed(5)
    expected = torch.empty(1000, 64).normal_(0.0, 0.02)
    assert torch.equal(table(), expected)
    assert torch.equal(table(initialisation="normal"), expected)
    xavier = table(initialisation="xavier").detach()
    assert float(xavier.std()) == pytest.approx((2 / (1000 + 64)) ** 0.5, rel=0.02)
    assert xavier[0].any()
