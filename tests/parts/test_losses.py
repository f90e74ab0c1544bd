"""Every registered loss against its formula in plain loops, with the random draw written down."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from seqzoo.errors import ConfigError, UnknownNameError
from seqzoo.parts.heads import make_loss
from seqzoo.plugins import catalogue

ITEMS, WIDTH = 6, 4
TARGETS = [3, 1, 6, 3]
NAMES = ("cross-entropy", "sampled-softmax", "bce", "gbce", "bpr")

# What the generator gives, and the negatives that it means: for the losses that draw for each
# target the numbers 1 .. V - 1 stand for the other V - 1 items in their order.
DRAWN = [[1, 2, 3], [1, 5, 5], [1, 5, 2], [5, 4, 3]]
NEGATIVES = [[1, 2, 4], [2, 6, 6], [1, 5, 2], [6, 5, 4]]
SHARED = [3, 6, 2, 2, 5]


@pytest.fixture
def arguments():
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(len(TARGETS), WIDTH, generator=draw, dtype=torch.float64)
    table = torch.randn(ITEMS + 1, WIDTH, generator=draw, dtype=torch.float64)
    return hidden.requires_grad_(), table.requires_grad_(), torch.tensor(TARGETS)


@pytest.fixture
def script(monkeypatch):
    """The next draw of ``torch.randint``, and the range that it was asked for."""

    def script(numbers):
        asked = []

        def randint(low: int, high: int, size: tuple[int, ...], **options: object) -> Tensor:
            asked.append((low, high))
            drawn = torch.tensor(numbers)
            assert tuple(size) == tuple(drawn.shape)
            return drawn

        monkeypatch.setattr(torch, "randint", randint)
        return asked

    return script


def score(hidden, table, row, item):
    return sum(hidden[row][d] * table[item][d] for d in range(WIDTH))


def log_sigmoid(value):
    return -torch.log(1.0 + torch.exp(-value))


def plain_cross_entropy(hidden, table, smoothing=0.0):
    total = 0.0
    for row, target in enumerate(TARGETS):
        scores = torch.stack([score(hidden, table, row, item) for item in range(ITEMS + 1)])
        logs = scores - torch.log(torch.exp(scores).sum())
        total = total - (1 - smoothing) * logs[target] - smoothing * logs.mean()
    return total / len(TARGETS)


def plain_sampled_softmax(hidden, table):
    total = 0.0
    for row, target in enumerate(TARGETS):
        positive = torch.exp(score(hidden, table, row, target))
        # A negative drawn with probability q = 1 / V, K times: its score loses log(K q).
        others = [
            torch.exp(score(hidden, table, row, item) - math.log(len(SHARED) / ITEMS))
            for item in SHARED
            if item != target
        ]
        total = total - torch.log(positive / (positive + sum(others)))
    return total / len(TARGETS)


def plain_bce(hidden, table, power=1.0):
    total = 0.0
    for row, target in enumerate(TARGETS):
        total = total - power * log_sigmoid(score(hidden, table, row, target))
        for item in NEGATIVES[row]:
            total = total - log_sigmoid(-score(hidden, table, row, item))
    return total / len(TARGETS)


def plain_gbce(hidden, table, calibration):
    """The positive's probability to the power beta, of gSASRec's equation (15)."""
    alpha = len(NEGATIVES[0]) / (ITEMS - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    return plain_bce(hidden, table, beta)


def plain_bpr(hidden, table):
    total = 0.0
    for row, target in enumerate(TARGETS):
        for item in NEGATIVES[row]:
            gap = score(hidden, table, row, target) - score(hidden, table, row, item)
            total = total - log_sigmoid(gap)
    return total / (len(TARGETS) * len(NEGATIVES[0]))


def agree(got, expected, arguments, tolerance=1e-12):
    hidden, table, _ = arguments
    assert got.shape == ()
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(
        torch.autograd.grad(got, (hidden, table)),
        torch.autograd.grad(expected, (hidden, table)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(arguments, loss, smoothing):
    got = loss("cross-entropy", label_smoothing=smoothing)(*arguments)
    agree(got, plain_cross_entropy(*arguments[:2], smoothing), arguments)


def test_sampled_softmax(arguments, loss, script):
    asked = script(SHARED)
    got = loss("sampled-softmax", negatives=5)(*arguments)
    assert asked == [(1, ITEMS + 1)]
    # The correction is a float32 constant.
    agree(got, plain_sampled_softmax(*arguments[:2]), arguments, 1e-7)


def test_sampled_softmax_without_a_negative_that_counts(arguments, loss, script):
    script([3, 3])
    hidden, table, _ = arguments
    assert loss("sampled-softmax", negatives=2)(hidden, table, torch.tensor([3] * 4)) == 0


@pytest.mark.parametrize(
    ("name", "settings", "plain"),
    [
        ("bce", {}, plain_bce),
        ("gbce", {"calibration": 0.0}, plain_bce),
        ("gbce", {"calibration": 0.75}, lambda *tensors: plain_gbce(*tensors, 0.75)),
        # Fully calibrated: the power is the sampling rate itself.
        ("gbce", {"calibration": 1.0}, lambda *tensors: plain_bce(*tensors, 3 / 5)),
        ("bpr", {}, plain_bpr),
    ],
)
def test_losses_with_negatives_of_their_own(arguments, loss, script, name, settings, plain):
    asked = script(DRAWN)
    got = loss(name, negatives=3, **settings)(*arguments)
    assert asked == [(1, ITEMS)]
    agree(got, plain(*arguments[:2]), arguments)


def test_more_negatives_than_items_are_no_more_than_all_of_them(arguments, loss):
    """gBCE's sampling rate is at most one, where it is plain BCE."""
    torch.manual_seed(0)
    calibrated = loss("gbce", negatives=50, calibration=0.9)(*arguments)
    torch.manual_seed(0)
    assert calibrated == loss("bce", negatives=50)(*arguments)


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("target", [1, 3, ITEMS])
def test_what_is_drawn_is_never_padding_or_the_target(loss, name, target):
    """One row and one negative: only the rows of target and negative get a gradient."""
    objective = loss(name, negatives=1)
    table = torch.randn(ITEMS + 1, WIDTH, generator=torch.manual_seed(1)).requires_grad_()
    hidden = torch.ones(1, WIDTH)
    found = Counter()
    torch.manual_seed(2)
    for _ in range(600):
        value = objective(hidden, table, torch.tensor([target]))
        touched = torch.autograd.grad(value, table)[0].any(1).nonzero().flatten().tolist()
        # The shared draw may hit the target: then nothing is left to tell apart.
        assert touched == [] or (target in touched and len(touched) == 2)
        assert touched or name == "sampled-softmax"
        found.update(item for item in touched if item != target)
    assert set(found) == set(range(1, ITEMS + 1)) - {target}
    # 120 expected of each (100 where the target is drawn as well), standard deviation 10.
    assert all(60 < count < 180 for count in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_better_model_has_a_lower_loss(loss, name):
    table = torch.eye(ITEMS + 1)
    targets = torch.arange(1, ITEMS + 1)
    options = {} if name == "cross-entropy" else {"negatives": 4}
    values = []
    for strength in (-5.0, 0.0, 5.0):
        torch.manual_seed(0)
        values.append(loss(name, **options)(strength * table[targets], table, targets).item())
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[2]


@pytest.mark.parametrize("name", NAMES)
def test_large_scores_stay_finite(loss, name):
    options = {} if name == "cross-entropy" else {"negatives": 4}
    table = (1e4 * torch.eye(ITEMS + 1)).requires_grad_()
    hidden = torch.eye(ITEMS + 1)[[2, 2, 5]].requires_grad_()
    value = loss(name, **options)(hidden, table, torch.tensor([2, 3, 1]))
    value.backward()
    assert value.isfinite()
    assert hidden.grad.isfinite().all()
    assert table.grad.isfinite().all()


def test_all_losses_are_here():
    assert set(NAMES) <= set(catalogue().losses.names())


def test_a_loss_by_name():
    with pytest.raises(UnknownNameError, match="did you mean 'gbce'"):
        make_loss("gbc", {})
    with pytest.raises(ConfigError, match=r"did you mean 'model\.loss_options\.negatives'"):
        make_loss("bce", {"negativs": 3})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bce", {"negatives": 0}, "'negatives' is 0; expected at least 1"),
        ("gbce", {"calibration": 1.1}, "'calibration' is 1.1"),
        ("gbce", {"calibration": -0.1}, "'calibration' is -0.1"),
        ("gbce", {"negatives": 0}, "'negatives' is 0"),
        ("gbce", {"calibration": float("nan")}, "calibration' is nan"),
        ("cross-entropy", {"label_smoothing": 1.0}, "'label_smoothing' is 1.0"),
        ("cross-entropy", {"label_smoothing": -0.1}, "'label_smoothing' is -0.1"),
        ("cross-entropy", {"negatives": 3}, "unknown setting 'model.loss_options.negatives'"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_loss(name, options)
