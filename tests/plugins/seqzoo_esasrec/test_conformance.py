"""The conformance kit, sessions, and the loss that eSASRec trains with."""

from typing import ClassVar

import pytest
import torch

import seqzoo
from seqzoo.parts.losses import SampledSoftmax
from seqzoo.testing import ArchitectureCases, check_model, check_registered, small_model


class TestConformance(ArchitectureCases):
    """Every check with small sizes."""

    architecture = "esasrec"
    settings: ClassVar = {"inner_factor": 2, "num_heads": 2}


def test_positions_from_the_newest_event():
    check_model(small_model("esasrec", position_order="newest"))


def test_everything_registered():
    failed = [outcome for outcome in check_registered("esasrec") if not outcome.ok]
    assert not failed, failed


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_session_gives_what_the_history_gives(order):
    torch.manual_seed(0)
    settings = {"hidden_size": 8, "max_length": 6, "position_order": order}
    model = seqzoo.create("esasrec", num_items=12, **settings).eval()
    session, sessions = model.session(), model.sessions()
    history = [str(item) for item in (3, 1, 4, 1, 5, 9, 2, 6)]
    for count, item in enumerate(history, start=1):
        session.observe(item)
        sessions.observe([("ann", item)])
        expected = model.encode([history[:count]])[0]
        torch.testing.assert_close(session.hidden, expected, rtol=1e-5, atol=1e-5)
        best = model.recommend(history[:count], 4)
        found = (session.recommend(4), sessions.recommend(["ann"], 4)[0])
        assert [[each.item for each in one] for one in found] == [[e.item for e in best]] * 2


def test_the_loss_is_the_published_one():
    """Own negatives for each target, collisions kept, no correction: log(1 + K) at the start."""
    model = seqzoo.create("esasrec", num_items=12, hidden_size=8)
    loss = model.head._loss
    assert isinstance(loss, SampledSoftmax)
    assert (loss.negatives, loss.shared, loss.corrected, loss.mask_target) == (
        256,
        False,
        False,
        False,
    )
    value = model.head.loss(torch.zeros(5, 8), torch.tensor([1, 2, 3, 3, 12]))
    torch.testing.assert_close(value, torch.tensor(257.0).log())
