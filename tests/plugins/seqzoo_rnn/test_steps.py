"""Streaming: contents of the states, that they are not modified, and NARM's maximum length."""

import pytest
import torch

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch

KINDS = pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("gru4rec", {}),
        ("gru4rec", {"num_layers": 2}),
        ("narm", {}),
        ("narm", {"num_layers": 2, "attention": "softmax"}),
    ],
)


def tensors(state):
    return [state] if isinstance(state, torch.Tensor) else list(state)


@KINDS
@torch.inference_mode()
def test_steps_are_the_whole_in_float64(make, shake, architecture, settings):
    model = shake(make(architecture, gru_size=12, **settings)).eval()
    items = torch.randint(1, 31, (3, 20), generator=torch.Generator().manual_seed(3))
    expected = model(SequenceBatch(items, torch.tensor([20, 20, 20])))
    state = model.backbone.initial_state(3)
    for t in range(20):
        vectors, _ = model.embedder.step(items[:, t], None)
        hidden, state = model.backbone.step(vectors, state, None)
        torch.testing.assert_close(hidden, expected[:, t], rtol=1e-11, atol=1e-11)


@KINDS
@torch.inference_mode()
def test_states_are_batch_first_and_never_changed(make, architecture, settings):
    model = make(architecture, gru_size=12, **settings).eval()
    layers = settings.get("num_layers", 1)
    state = model.backbone.initial_state(2)
    for t in range(8):
        shapes = [(2, layers, 12)]
        if architecture == "narm":
            shapes += [(2, t, 12), (2, t, 12)]
        assert [tuple(tensor.shape) for tensor in tensors(state)] == shapes
        before = [tensor.clone() for tensor in tensors(state)]
        vectors, _ = model.embedder.step(torch.tensor([t + 1, 30 - t]), None)
        first, new = model.backbone.step(vectors, state, torch.tensor([5, 7]))
        second, _ = model.backbone.step(vectors, state, None)
        assert torch.equal(first, second)
        for tensor, copy in zip(tensors(state), before, strict=True):
            assert torch.equal(tensor, copy)
        state = new


@torch.inference_mode()
def test_narm_keeps_no_more_states_than_it_says(make):
    model = make("narm", gru_size=12, max_length=5).eval()
    assert model.backbone.max_length == 5
    state = model.backbone.initial_state(1)
    vectors, _ = model.embedder.step(torch.tensor([1]), None)
    for _ in range(5):
        _, state = model.backbone.step(vectors, state, None)
    with pytest.raises(ConfigError, match="event 6 of a session is beyond max_length = 5"):
        model.backbone.step(vectors, state, None)


@torch.inference_mode()
def test_gru4rec_streams_without_limit(make):
    model = make("gru4rec", gru_size=12, max_length=5).eval()
    assert model.backbone.max_length is None
    state = model.backbone.initial_state(1)
    vectors, _ = model.embedder.step(torch.tensor([1]), None)
    for _ in range(50):
        hidden, state = model.backbone.step(vectors, state, None)
    assert hidden.isfinite().all()
    assert state.shape == (1, 1, 12)
