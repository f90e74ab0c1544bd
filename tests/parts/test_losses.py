"""Every registered loss against its formula in plain float64 loops, with a fixed random draw."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from seqzoo.errors import ConfigError, UnknownNameError
from seqzoo.parts import losses
from seqzoo.parts.heads import make_loss
from seqzoo.plugins import catalogue

ITEMS, WIDTH = 6, 4
TARGETS = [3, 1, 6, 3]
NAMES = ("cross-entropy", "sampled-softmax", "bce", "gbce", "bpr")

# What the generator returns, and the negatives that this gives: the losses that never draw the
# target number the other V - 1 items from 1 to V - 1 in their order.
DRAWN = [[1, 2, 3], [1, 5, 5], [1, 5, 2], [5, 4, 3]]
NEGATIVES = [[1, 2, 4], [2, 6, 6], [1, 5, 2], [6, 5, 4]]
SHARED = [3, 6, 2, 2, 5]
AUTHORS = {"balanced_start": False}


@pytest.fixture
def arguments():
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(len(TARGETS), WIDTH, generator=draw, dtype=torch.float64)
    table = torch.randn(ITEMS + 1, WIDTH, generator=draw, dtype=torch.float64)
    return hidden.requires_grad_(), table.requires_grad_(), torch.tensor(TARGETS)


@pytest.fixture(params=["all scores", "rows"])
def way(request, monkeypatch):
    """Negatives' scores out of those of all items, as for few items, or from their vectors."""
    if request.param == "rows":
        monkeypatch.setattr(losses, "_ROWS_PER_NEGATIVE", 0)
    return request.param


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


def plain_sampled_softmax(hidden, table, negatives, corrected, masked):
    """``negatives``: those of each row."""
    total = 0.0
    for row, target in enumerate(TARGETS):
        positive = torch.exp(score(hidden, table, row, target))
        # A negative is drawn with probability q = 1 / V, K times: its score is less log(K q).
        shift = math.log(len(negatives[row]) / ITEMS) if corrected else 0.0
        others = [
            torch.exp(score(hidden, table, row, item) - shift)
            for item in negatives[row]
            if item != target or not masked
        ]
        total = total - torch.log(positive / (positive + sum(others)))
    return total / len(TARGETS)


def plain_bce(hidden, table, power=1.0, offset=0.0):
    total = 0.0
    for row, target in enumerate(TARGETS):
        total = total - power * log_sigmoid(score(hidden, table, row, target) + offset)
        for item in NEGATIVES[row]:
            total = total - log_sigmoid(-score(hidden, table, row, item) - offset)
    return total / len(TARGETS)


def plain_gbce(hidden, table, calibration, balanced=False):
    """The positive's probability to the power beta, of gSASRec's equation (15).

    The mean over the positive and the negatives, as the authors' code reduces it.
    """
    count = len(NEGATIVES[0])
    alpha = count / (ITEMS - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    offset = math.log(beta / count) if balanced else 0.0
    return plain_bce(hidden, table, beta, offset) / (count + 1)


def authors_gbce(hidden, table, calibration):
    """As the authors compute it: plain BCE of a transformed positive score."""
    count = len(NEGATIVES[0])
    alpha = count / (ITEMS - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    rows = []
    for row, target in enumerate(TARGETS):
        probability = torch.sigmoid(score(hidden, table, row, target))
        scores = [torch.log(1 / (probability**-beta - 1))]
        scores += [score(hidden, table, row, item) for item in NEGATIVES[row]]
        rows.append(torch.stack(scores))
    labels = torch.zeros(len(TARGETS), 1 + count, dtype=torch.float64)
    labels[:, 0] = 1.0
    return torch.nn.functional.binary_cross_entropy_with_logits(torch.stack(rows), labels)


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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("share", ["batch", "row"])
def test_sampled_softmax(arguments, loss, script, share, corrected, masked):
    # Both hold targets: items 3 and 6 of the shared ones, 3 and 1 of the rows' own ones.
    drawn = SHARED if share == "batch" else [[3, 2, 5], [4, 1, 1], [5, 2, 2], [6, 4, 3]]
    asked = script(drawn)
    correction = "logq" if corrected else "none"
    got = loss(
        "sampled-softmax",
        negatives=len(drawn) if share == "batch" else 3,
        share=share,
        correction=correction,
        mask_target=masked,
    )(*arguments)
    assert asked == [(1, ITEMS + 1)]
    rows = [drawn] * len(TARGETS) if share == "batch" else drawn
    expected = plain_sampled_softmax(*arguments[:2], rows, corrected, masked)
    # The correction is a float32 constant.
    agree(got, expected, arguments, 1e-7 if corrected else 1e-12)


def test_sampled_softmax_shares_corrects_and_masks_by_default(arguments, loss, script):
    script(SHARED)
    got = loss("sampled-softmax", negatives=5)(*arguments)
    expected = plain_sampled_softmax(*arguments[:2], [SHARED] * len(TARGETS), True, True)
    agree(got, expected, arguments, 1e-7)


def cosine_sampled_softmax(hidden, table, negatives, temperature):
    """HSTU's loss: cosines over the temperature; a negative that is the target scores -5e4."""
    users = hidden / hidden.norm(dim=1, keepdim=True)
    items = table / table.norm(dim=1, keepdim=True)
    total = 0.0
    for row, target in enumerate(TARGETS):
        scores = [users[row] @ items[target] / temperature]
        for item in negatives[row]:
            wrong = torch.tensor(-5e4, dtype=hidden.dtype)
            scores.append(wrong if item == target else users[row] @ items[item] / temperature)
        total = total - torch.log_softmax(torch.stack(scores), 0)[0]
    return total / len(TARGETS)


@pytest.mark.usefixtures("way")
def test_hstus_loss(embedder, head, script):
    """The cosine head with negatives for each target and without correction."""
    options = {"negatives": 3, "share": "row", "correction": "none"}
    made = head("cosine-softmax", temperature=0.05, loss="sampled-softmax", loss_options=options)
    drawn = [[3, 2, 5], [4, 1, 1], [5, 2, 2], [6, 4, 3]]
    script(drawn)
    hidden = torch.randn(4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    hidden.requires_grad_()
    got = made.loss(hidden, torch.tensor(TARGETS))
    expected = cosine_sampled_softmax(hidden, embedder.item_table, drawn, 0.05)
    agree(got, expected, (hidden, embedder.item_table, None), 1e-10)


@pytest.mark.parametrize("share", ["batch", "row"])
def test_sampled_softmax_without_a_negative_that_counts(arguments, loss, script, share):
    script([3, 3] if share == "batch" else [[3, 3]] * 4)
    hidden, table, _ = arguments
    objective = loss("sampled-softmax", negatives=2, share=share)
    assert objective(hidden, table, torch.tensor([3] * 4)) == 0


def test_corrected_sampled_softmax_approaches_the_full_softmax(arguments, loss):
    """With as many negatives as memory takes the loss is nearly that over all real items."""
    hidden, table, targets = arguments
    torch.manual_seed(0)
    sampled = loss("sampled-softmax", negatives=200_000)(hidden, table, targets)
    full = torch.nn.functional.cross_entropy(hidden @ table[1:].T, targets - 1)
    # The standard error of a mean of 200,000 exponentials is far below a hundredth.
    torch.testing.assert_close(sampled, full, rtol=0.01, atol=0.0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("name", "settings", "plain"),
    [
        ("bce", {}, plain_bce),
        # Not calibrated: BCE, with the mean over the positive and three negatives.
        ("gbce", {"calibration": 0.0} | AUTHORS, lambda *tensors: plain_bce(*tensors) / 4),
        ("gbce", AUTHORS, lambda *tensors: plain_gbce(*tensors, 0.75)),
        ("gbce", AUTHORS, lambda *tensors: authors_gbce(*tensors, 0.75)),
        # Fully calibrated: the power is the sampling rate itself.
        ("gbce", {"calibration": 1.0} | AUTHORS, lambda *tensors: plain_bce(*tensors, 3 / 5) / 4),
        ("gbce", {}, lambda *tensors: plain_gbce(*tensors, 0.75, balanced=True)),
        ("bpr", {}, plain_bpr),
    ],
)
def test_losses_with_negatives_of_their_own(arguments, loss, script, name, settings, plain):
    asked = script(DRAWN)
    got = loss(name, negatives=3, **settings)(*arguments)
    assert asked == [(1, ITEMS)]
    agree(got, plain(*arguments[:2]), arguments)


def test_more_negatives_than_items_are_all_items(arguments, loss):
    """gBCE's sampling rate is at most one, where it is BCE."""
    torch.manual_seed(0)
    calibrated = loss("gbce", negatives=50, calibration=0.9, **AUTHORS)(*arguments)
    torch.manual_seed(0)
    torch.testing.assert_close(calibrated, loss("bce", negatives=50)(*arguments) / 51)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_an_untrained_model_starts_gbce_in_balance(loss, calibration):
    """All scores zero: positives and negatives pull equally hard, so no constant is better."""
    targets = torch.arange(1, 101)
    table = torch.zeros(101, 1, dtype=torch.float64)
    hidden = torch.ones(100, 1, dtype=torch.float64)
    objective = loss("gbce", negatives=20, calibration=calibration)
    values = {}
    for constant in (-0.5, 0.0, 0.5):
        shifted = (table + constant).requires_grad_()
        value = objective(hidden, shifted, targets)
        (gradient,) = torch.autograd.grad(value, shifted)
        values[constant] = value.item()
        if constant == 0.0:
            assert abs(gradient.sum().item()) < 1e-12
    assert values[0.0] < min(values[-0.5], values[0.5])


@pytest.mark.usefixtures("way")
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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [3, 20])
@pytest.mark.parametrize("settings", [{"output_bias": True}, {}])
def test_few_and_many_targets_get_the_same_vectors(embedder, head, count, settings):
    """Rows are looked up singly, or each once if more are asked for than there are."""
    name = "tied-softmax" if settings else "cosine-softmax"
    made = head(name, loss="bce", loss_options={"negatives": 2}, **settings)
    hidden = torch.randn(count, 6, generator=torch.manual_seed(1), dtype=torch.float64)
    targets = torch.arange(count) % 9 + 1
    torch.manual_seed(2)
    together = made.loss(hidden, targets)
    torch.manual_seed(2)
    drawn = torch.randint(1, 9, (count, 2))
    drawn = drawn + (drawn >= targets[:, None])
    scores = made(hidden)
    positive, negative = scores.gather(1, targets[:, None]), scores.gather(1, drawn)
    expected = -log_sigmoid(positive).mean() - log_sigmoid(-negative).sum(1).mean()
    torch.testing.assert_close(together, expected, rtol=1e-12, atol=1e-12)
    ours, theirs = (
        torch.autograd.grad(value, embedder.item_table)[0] for value in (together, expected)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


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
        ("bce", {"negatives": 0}, "'negatives' is 0; expected 1 or more"),
        ("gbce", {"calibration": 1.1}, "'calibration' is 1.1; expected 0.0 to 1.0"),
        ("gbce", {"calibration": -0.1}, "'calibration' is -0.1"),
        ("gbce", {"negatives": 0}, "'negatives' is 0"),
        ("sampled-softmax", {"negatives": 0}, "'negatives' is 0"),
        ("sampled-softmax", {"share": "user"}, "'share' is 'user'; expected one of: batch, row"),
        (
            "sampled-softmax",
            {"correction": "log"},
            "'log'; did you mean 'logq'",
        ),
        ("gbce", {"calibration": float("nan")}, "calibration' is nan"),
        ("cross-entropy", {"label_smoothing": 1.0}, "'label_smoothing' is 1.0"),
        ("cross-entropy", {"label_smoothing": -0.1}, "'label_smoothing' is -0.1"),
        ("cross-entropy", {"negatives": 3}, "unknown setting 'model.loss_options.negatives'"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_loss(name, options)
