"""Streaming for a time of the request: what the kit demands of ``answer``, and who has none."""

import pytest
import torch
from torch import nn

import seqzoo
from seqzoo.interfaces import Backbone
from seqzoo.model.streaming import Streaming
from seqzoo.testing import ConformanceError, check_streaming, small_model

from .conftest import Rated, Waits, WaitsConfig


class Plain(Rated):
    """Reads neither features nor users."""

    def __init__(self, config, num_items):
        config.columns, config.by_user = [], False
        super().__init__(config, num_items)

    def step(self, items, state):
        return self.look_up(items), state


def decayed(seconds):
    return torch.exp(-seconds.double() / 1e6).float()[..., None]


class Fading(Backbone):
    """Sums what is left of each event when the next one, or the request, comes."""

    causal = True
    streaming = True
    uses_time = True
    uses_query_time = True

    def __init__(self, config):
        super().__init__()
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden, batch):
        waits = torch.zeros_like(batch.items)
        if batch.timestamps is not None:
            waits = batch.query_times - batch.timestamps
        return self.mix((hidden * decayed(waits)).cumsum(1))

    def initial_state(self, batch_size):
        zeros = self.mix.weight.new_zeros(batch_size, len(self.mix.weight))
        return {"past": zeros, "pending": zeros}

    def step(self, hidden, state, elapsed):
        waits = torch.zeros(len(hidden), dtype=torch.int64) if elapsed is None else elapsed
        past = state["past"] + decayed(waits) * state["pending"]
        return self.mix(past + hidden), {"past": past, "pending": hidden}

    def answer(self, state, waited):
        return self.mix(state["past"] + decayed(waited) * state["pending"])


class Remembers(Fading):
    """Keeps the time of a request."""

    def answer(self, state, waited):
        state["pending"].mul_(decayed(waited))
        return self.mix(state["past"] + state["pending"])


class Forgets(Fading):
    """Does not wait for the next event."""

    def step(self, hidden, state, elapsed):
        past = state["past"] + state["pending"]
        return self.mix(past + hidden), {"past": past, "pending": hidden}


class Late(Fading):
    """Answers for another time than that of the event."""

    def step(self, hidden, state, elapsed):
        _, state = super().step(hidden, state, elapsed)
        return self.answer(state, torch.full((len(hidden),), 10_000)), state


class NeedsTimes(Fading):
    """Takes the missing gap for a long one."""

    def step(self, hidden, state, elapsed):
        if elapsed is None:
            elapsed = torch.full((len(hidden),), 1_000_000)
        return super().step(hidden, state, elapsed)


def test_the_kit_passes_and_finds_faults(register):
    check_streaming(small_model(register(Plain, Fading)))
    for backbone, words in (
        (Remembers, "step by step differs from the whole sequence"),
        (Forgets, "step by step differs from the whole sequence"),
        (Late, "for a request at the time of the newest event"),
        (NeedsTimes, "for a request without timestamps"),
    ):
        with pytest.raises(ConformanceError, match=words):
            check_streaming(small_model(register(Plain, backbone)))


def test_a_state_without_a_bound_answers_for_any_request(register):
    """Its events are not kept: nothing can be read again."""
    model = seqzoo.create(register(Plain, Fading), num_items=9).eval()
    sessions, session = model.sessions(), model.session()
    events = [(str(1 + n % 9), 1_000_000 + 50_000 * n * n) for n in range(12)]
    for item, time in events:
        sessions.observe([("ann", item, time), ("bob", item, time + 5)])
        session.observe(item, time)
    asked = events[-1][1] + 700_000
    items, times = zip(*events, strict=True)
    (expected,) = model.recommend_many(
        [items], 9, timestamps=[times], at=[asked], exclude_seen=False
    )
    expected = pytest.approx([each.score for each in expected], abs=1e-5)
    found = session.recommend(9, at=asked, exclude_seen=False)
    assert [each.score for each in found] == expected
    both = sessions.recommend(["ann", "bob"], 9, at=[asked, asked + 5], exclude_seen=False)
    for best in both:
        assert [each.score for each in best] == expected


@pytest.mark.parametrize("parts", [(Plain, Waits), (Rated, Fading)])
def test_models_without_answers_keep_no_state(register, parts):
    """Without ``answer``, or where steps would miss features, sessions read the window again."""
    model = small_model(register(*parts))
    assert not Streaming.of(model).keeps_state(0)
    check_streaming(model)


def test_a_backbone_without_answers_says_so():
    with pytest.raises(NotImplementedError, match=r"Waits has no answer\(\)"):
        Waits(WaitsConfig()).answer(None, torch.zeros(1))
