"""Caser against its equations in float64: loops over histories, positions and filters."""

import pytest
import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch

Parameters = dict[str, Tensor]
LENGTHS = torch.tensor([11, 1, 2, 7])
ACTIVATIONS = {
    "relu": lambda values: values * (values > 0),
    "identity": lambda values: values,
    "tanh": lambda values: (values.exp() - (-values).exp()) / (values.exp() + (-values).exp()),
    "sigmoid": lambda values: 1 / (1 + (-values).exp()),
}


def of_window(rows: list[Tensor], p: Parameters, drop) -> Tensor:
    """What the filters give for one window of W vectors, in the order of the public code."""
    window = torch.stack(rows)
    vertical = []
    for weights, bias in zip(p["conv_v.weight"], p["conv_v.bias"], strict=True):
        vertical.append(sum(weights[0, i, 0] * row for i, row in enumerate(window)) + bias)
    horizontal = []
    for height in range(1, len(window) + 1):
        name = f"conv_h.{height - 1}"
        for weights, bias in zip(p[f"{name}.weight"], p[f"{name}.bias"], strict=True):
            values = [
                ((weights[0] * window[place : place + height]).sum() + bias).relu()
                for place in range(len(window) - height + 1)
            ]
            horizontal.append(torch.stack(values).max())
    return drop(torch.cat([*vertical, torch.stack(horizontal)]))


def position(
    vectors: Tensor,
    p: Parameters,
    window: int,
    *,
    right: bool = False,
    act: str = "relu",
    user: Tensor | None = None,
    drop=lambda values: values,
) -> Tensor:
    """The vector after some events [n, D], of which the newest count: [D]."""
    rows = list(vectors[-window:])
    missing = [p["backbone.start"]] * (window - len(rows))
    rows = [*rows, *missing] if right else [*missing, *rows]
    own = {name.removeprefix("backbone.filters."): value for name, value in p.items()}
    activation = ACTIVATIONS[act]
    hidden = of_window(rows, own, drop)
    hidden = activation(p["backbone.fc1.weight"] @ hidden + p["backbone.fc1.bias"])
    if "backbone.fc2.weight" not in p:
        return hidden
    if user is not None:
        hidden = torch.cat([hidden, user])
    return activation(p["backbone.fc2.weight"] @ hidden + p["backbone.fc2.bias"])


def every_position(batch: SequenceBatch, p: Parameters, window: int, **options) -> Tensor:
    """The vectors at all real events, one history after the other."""
    rows = []
    users = batch.users if batch.users is not None else [None] * len(batch.items)
    for items, length, number in zip(batch.items, batch.lengths, users, strict=True):
        vectors = p["embedder.item_table"][items]
        user = None
        if number is not None:
            user = p["backbone.user_table"][int(number) % len(p["backbone.user_table"])]
        rows += [
            position(vectors[: t + 1], p, window, user=user, **options) for t in range(int(length))
        ]
    return torch.stack(rows)


def some_batch(width: int = 11, lengths: Tensor = LENGTHS) -> SequenceBatch:
    draw = torch.Generator().manual_seed(1)
    items = torch.randint(1, 31, (len(lengths), width), generator=draw)
    return SequenceBatch(items.masked_fill(torch.arange(width) >= lengths[:, None], 0), lengths)


def copies(module: torch.nn.Module) -> Parameters:
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def pairs(theirs: Parameters, ours: torch.nn.Module, *, without: tuple[str, ...] = ()) -> dict:
    named = {name: (theirs[name], value) for name, value in ours.named_parameters()}
    return {name: pair for name, pair in named.items() if name not in without}


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("window", [1, 2, 5, 20])
def test_scores_with_gradients_of_every_parameter(window, padding, make, shake, compare):
    """With windows shorter and longer than the histories."""
    ours = shake(make("caser", window=window, window_padding=padding, horizontal_filters=3)).eval()
    theirs, batch = copies(ours), some_batch()
    expected = every_position(batch, theirs, window, right=padding == "right")
    got = ours(batch)[batch.mask]
    # A window of one event is always full.
    named = pairs(theirs, ours, without=("backbone.start",) if window == 1 else ())
    table = theirs["embedder.item_table"]
    compare(expected @ table.T, ours.head(got), named)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("length", [1, 2, 4, 5, 6, 31])
def test_newest_event_alone(length, padding, make, shake, compare):
    ours = shake(make("caser", max_length=40, window_padding=padding)).eval()
    theirs = copies(ours)
    lengths = torch.tensor([length, 1, max(1, length - 1)])
    batch = some_batch(length, lengths)
    rows = every_position(batch, theirs, 5, right=padding == "right")
    expected = rows[lengths.cumsum(0) - 1]
    compare(expected, ours.last(batch), pairs(theirs, ours))


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("window", [1, 2, 5])
@torch.inference_mode()
def test_steps_equal_the_whole_sequence(window, padding, make, shake):
    model = shake(make("caser", window=window, window_padding=padding, max_length=40)).eval()
    items = torch.randint(1, 31, (3, 40), generator=torch.Generator().manual_seed(0))
    whole = model(SequenceBatch(items, torch.full((3,), 40)))
    state = model.backbone.initial_state(3)
    for t in range(40):
        vectors, _ = model.embedder.step(items[:, t], None)
        before = [values.clone() for values in state]
        hidden, new = model.backbone.step(vectors, state, None)
        assert all(torch.equal(one, other) for one, other in zip(state, before, strict=True))
        torch.testing.assert_close(hidden, whole[:, t], rtol=1e-11, atol=1e-11)
        state = new
    assert [tuple(values.shape) for values in state] == [(3, window - 1, 16), (3,)]


@pytest.mark.parametrize("act", ["identity", "tanh", "sigmoid"])
def test_other_activations(act, make, shake, compare):
    ours = shake(make("caser", activation=act)).eval()
    theirs, batch = copies(ours), some_batch()
    expected = every_position(batch, theirs, 5, act=act)
    compare(expected, ours(batch)[batch.mask], pairs(theirs, ours))


def test_one_layer_and_a_table_of_its_own(make, shake, compare):
    """The form of the authors: scores from the first layer, with vectors of their own."""
    ours = shake(make("caser", second_layer=False, head="untied-softmax")).eval()
    theirs, batch = copies(ours), some_batch()
    hidden = every_position(batch, theirs, 5)
    expected = hidden @ theirs["head.output_table"].T + theirs["head.bias"]
    compare(expected, ours.head(ours(batch)[batch.mask]), pairs(theirs, ours))
    targets = torch.arange(len(hidden)) % 30 + 1
    losses = expected.logsumexp(1) - expected[torch.arange(len(hidden)), targets]
    found = ours.head.loss(ours(batch)[batch.mask], targets)
    torch.testing.assert_close(found, losses.mean(), rtol=1e-11, atol=1e-11)


def test_users(make, shake, compare):
    """A user's vector goes into the second layer; numbers share the vectors by their remainder."""
    ours = shake(make("caser", user_vectors=3)).eval()
    theirs, batch = copies(ours), some_batch()
    batch = SequenceBatch(batch.items, batch.lengths, users=torch.tensor([7, 2, 3 * 2**60, 4]))
    expected = every_position(batch, theirs, 5)
    compare(expected, ours(batch)[batch.mask], pairs(theirs, ours))
    newest = batch.gather_last(ours(batch))
    torch.testing.assert_close(ours.last(batch), newest, rtol=1e-11, atol=1e-11)


def test_dropout_is_where_the_public_code_has_it(make, shake, compare, patterned_dropout):
    """On what the filters give. The embedded events have another setting, off by default."""
    ours = shake(make("caser", window=3))
    theirs = copies(ours)
    # One event, as the pattern depends on the shape.
    batch = some_batch(1, torch.tensor([1]))
    monkeyed = ours.embedder.dropout
    ours.embedder.dropout = torch.nn.Identity()
    expected = every_position(batch, theirs, 3, drop=patterned_dropout)
    compare(expected, ours(batch)[batch.mask], pairs(theirs, ours))
    assert monkeyed.p == 0.0
    assert ours.backbone.dropout.p == 0.4


@pytest.mark.parametrize("padding", ["left", "right"])
@torch.inference_mode()
def test_events_before_the_window_do_not_count(padding, make, shake):
    model = shake(make("caser", window_padding=padding)).eval()
    batch = some_batch(11, torch.tensor([11]))
    for changed, counts in ((5, False), (6, True), (10, True)):
        items = batch.items.clone()
        items[0, changed] = items[0, changed] % 30 + 1
        other = model.last(SequenceBatch(items, batch.lengths))
        assert torch.equal(other, model.last(batch)) != counts


def test_names_shapes_and_count(make):
    model = make("caser", hidden_size=64, horizontal_filters=16, vertical_filters=4)
    expected = {
        "embedder.item_table": (31, 64),
        "backbone.start": (64,),
        "backbone.filters.conv_v.weight": (4, 1, 5, 1),
        "backbone.filters.conv_v.bias": (4,),
        "backbone.fc1.weight": (64, 4 * 64 + 5 * 16),
        "backbone.fc1.bias": (64,),
        "backbone.fc2.weight": (64, 64),
        "backbone.fc2.bias": (64,),
    }
    for height in range(1, 6):
        name = f"backbone.filters.conv_h.{height - 1}"
        expected |= {f"{name}.weight": (16, 1, height, 64), f"{name}.bias": (16,)}
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == expected
    filters = (4 * 5 + 4) + (1 + 2 + 3 + 4 + 5) * 16 * 64 + 5 * 16
    layers = (336 * 64 + 64) + (64 * 64 + 64)
    assert model.num_parameters == 31 * 64 + 64 + filters + layers


def test_first_values(make):
    model = make("caser", hidden_size=64, user_vectors=100)
    for name, value in model.named_parameters():
        if "conv" in name:
            continue
        value = value.detach()
        if name.endswith("bias"):
            assert not value.any(), name
        elif name.endswith("fc1.weight"):
            assert float(value.std()) == pytest.approx((2 / (64 + 336)) ** 0.5, rel=0.05)
        elif name.endswith("fc2.weight"):
            assert float(value.std()) == pytest.approx((2 / (64 + 128)) ** 0.5, rel=0.05)
        elif name.endswith("user_table"):
            assert float(value.std()) == pytest.approx(1 / 64, rel=0.05)
