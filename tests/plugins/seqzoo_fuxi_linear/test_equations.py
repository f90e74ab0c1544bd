"""FuXi-Linear against its sums over pairs, in float64, and against the published code's outputs.

``published.npz`` has random weights under the published names, three histories and what the
published code gave for them on a CPU in float32.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from seqzoo_fuxi_linear.public_weights import from_public
from torch import Tensor

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.testing import ArchitectureCases
from tests.plugins.seqzoo_fuxi_linear.published import Tensors, hidden_of, random_weights
from tests.plugins.seqzoo_fuxi_linear.samples import ITEMS, histories

RECORDED = np.load(Path(__file__).with_name("published.npz"), allow_pickle=False)
HEADS = 2


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, causality, padding, batches, streaming, gradients, seeds, saving."""

    architecture = "fuxi-linear"
    settings: ClassVar = {"hidden_size": 16, "chunk_size": 5}


class TestConformanceWithPreviousTimes(ArchitectureCases):
    """The same for the answer at the newest event's time, with every option."""

    architecture = "fuxi-linear"
    settings: ClassVar = {
        "hidden_size": 16,
        "chunk_size": 5,
        "time": "previous",
        "num_periods": 4,
        "first_period": 3600.0,
        "time_skip": True,
        "learn_decay": True,
    }


def imported(tensors: Tensors, **settings: object) -> seqzoo.SequenceModel:
    """A model in float64 with these weights."""
    public = from_public(tensors)
    vocabulary = Vocabulary([f"item-{index}" for index in range(1, ITEMS + 1)])
    settings = {**public.settings, **settings}
    model = seqzoo.SequenceModel.build("fuxi-linear", settings, vocabulary).double().eval()
    model.load_state_dict(dict(public.weights))
    return model


def expected_of(batch: SequenceBatch, p: Tensors, drop=lambda values: values) -> list[Tensor]:
    """The vectors of each history [L, D]."""
    rows = zip(batch.items, batch.timestamps, batch.query_times, batch.lengths, strict=True)
    return [
        hidden_of(*(each[:length].tolist() for each in row), p, HEADS, drop)
        for *row, length in rows
    ]


def gradients(value: Tensor, tensors: Tensors) -> Tensors:
    weights = torch.cos(torch.arange(value.numel(), dtype=value.dtype)).view_as(value)
    found = torch.autograd.grad(
        (value * weights).sum(), list(tensors.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(tensors, found, strict=True))


def compare(got: Tensor, expected: Tensor, model: seqzoo.SequenceModel, theirs: Tensors) -> None:
    """Values, and the gradients of all parameters, which are renamed as the weights are."""
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    trained = {name: tensor for name, tensor in theirs.items() if tensor.requires_grad}
    wanted = from_public({**theirs, **gradients(expected, trained)}).weights
    parameters = {n: v for n, v in model.named_parameters() if not n.startswith("head.")}
    for name, have in gradients(got, parameters).items():
        want = wanted[name]
        error = float((have - want).abs().max())
        assert error <= 1e-9 * max(1.0, float(want.abs().max())), f"{name}: off by {error}"


def with_gradients(tensors: Tensors) -> Tensors:
    for tensor in tensors.values():
        if tensor.dtype == torch.float64:
            tensor.requires_grad_()
    return tensors


OPTIONS = [
    {},
    {"skip": True, "learned": True},
    {"layers": 1, "learned": True, "query": 5, "periods": 4, "ratio": 7, "first": 60, "inner": 16},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("chunk", [1, 4, 7, 64])
def test_all_positions(options, chunk):
    theirs = random_weights(ITEMS, **options)
    model, batch = imported(theirs, chunk_size=chunk), histories([17, 1, 4, 12])
    with_gradients(theirs)
    expected = torch.cat(expected_of(batch, theirs))
    compare(model(batch)[batch.mask], expected, model, theirs)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", [[1], [17, 1, 4, 12]])
def test_the_newest_event_alone(options, lengths):
    theirs = random_weights(ITEMS, **options)
    model, batch = imported(theirs, chunk_size=5), histories(lengths)
    with_gradients(theirs)
    expected = torch.stack([each[-1] for each in expected_of(batch, theirs)])
    compare(model.last(batch), expected, model, theirs)


@torch.inference_mode()
def test_without_times_all_events_are_at_once():
    theirs = random_weights(ITEMS)
    model, batch = imported(theirs), histories([9, 6])
    still = torch.zeros_like(batch.items)
    expected = expected_of(replace(batch, timestamps=still, query_times=still), theirs)
    plain = SequenceBatch(batch.items, batch.lengths)
    torch.testing.assert_close(model(plain)[batch.mask], torch.cat(expected))
    torch.testing.assert_close(model.last(plain), torch.stack([each[-1] for each in expected]))


@torch.inference_mode()
def test_the_time_of_an_event_is_used_as_that_of_its_request():
    """With ``time=previous``, and for the newest event where no time of a request is given."""
    theirs = random_weights(ITEMS)
    batch = histories([9, 6])
    expected = expected_of(replace(batch, query_times=batch.timestamps), theirs)
    previous = imported(theirs, time="previous")
    torch.testing.assert_close(previous(batch)[batch.mask], torch.cat(expected))
    following = batch.timestamps.roll(-1, 1)
    following[torch.arange(2), batch.lengths - 1] = batch.gather_last(batch.timestamps)
    expected = expected_of(replace(batch, query_times=following), theirs)
    found = imported(theirs)(replace(batch, query_times=None))
    torch.testing.assert_close(found[batch.mask], torch.cat(expected))


def test_dropout_is_where_the_published_code_has_it(patterned_dropout):
    theirs = random_weights(ITEMS)
    batch = histories([11])
    expected = expected_of(batch, theirs, patterned_dropout)
    torch.testing.assert_close(imported(theirs)(batch)[0], expected[0], rtol=1e-9, atol=1e-9)


@torch.inference_mode()
def test_the_outputs_of_the_published_code(tmp_path):
    weights = {
        name.removeprefix("w/"): torch.from_numpy(RECORDED[name])
        for name in RECORDED.files
        if name.startswith("w/")
    }
    torch.save(weights, tmp_path / "fuxi.pth")
    (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
    model, assumed = import_weights(
        tmp_path / "fuxi.pth", architecture="fuxi-linear", vocabulary=tmp_path / "items.txt"
    )
    assert assumed == ()
    assert model.config["period_ratio"] == 8
    assert model.config["first_period"] == 1024
    assert (model.config["time_skip"], model.config["learn_decay"]) == (True, True)
    items, lengths, times = (
        torch.from_numpy(RECORDED[name]) for name in ("items", "lengths", "timestamps")
    )
    # Theirs hold the time of the request after that of the newest event.
    longest = int(lengths.max())
    batch = SequenceBatch(
        items[:, :longest], lengths, times[:, :longest], times[:, 1 : longest + 1]
    )
    expected = torch.from_numpy(RECORDED["out"])[:, :longest]
    found = model(batch)
    assert float((found - expected)[batch.mask].abs().max()) < 1e-5
    newest = batch.gather_last(expected)
    assert float((model.last(batch) - newest).abs().max()) < 1e-5
