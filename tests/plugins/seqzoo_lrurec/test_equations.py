"""LRURec against its equations, with published weights, in float64: results and gradients."""

from typing import ClassVar

import pytest
import torch
from seqzoo_lrurec.public_weights import from_public
from torch import Tensor

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.testing import ArchitectureCases
from tests.plugins.seqzoo_lrurec.published import Tensors, hidden_of, random_weights, scores_of

ITEMS, WIDTH = 30, 6


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, causality, padding, batches, streaming, gradients, seeds, saving."""

    architecture = "lrurec"
    settings: ClassVar = {"hidden_size": 16}


class TestConformanceOfOneBlock(ArchitectureCases):
    """The same where the top block is the only one."""

    architecture = "lrurec"
    settings: ClassVar = {"hidden_size": 16, "num_layers": 1, "expand": 1}


def imported(tensors: Tensors, **settings: object) -> seqzoo.SequenceModel:
    """A model in float64 with these weights."""
    public = from_public(tensors)
    vocabulary = Vocabulary([f"item-{index}" for index in range(1, ITEMS + 1)])
    settings = {**public.settings, "max_length": 200, **settings}
    model = seqzoo.SequenceModel.build("lrurec", settings, vocabulary).double().eval()
    model.load_state_dict(dict(public.weights))
    return model


def histories(rows: int, length: int) -> SequenceBatch:
    """Ragged; the first one is whole."""
    draw = torch.Generator().manual_seed(100 * rows + length)
    lengths = torch.randint(1, length + 1, (rows,), generator=draw)
    lengths[0] = length
    items = torch.randint(1, ITEMS + 1, (rows, length), generator=draw)
    return SequenceBatch(items.masked_fill(torch.arange(length) >= lengths[:, None], 0), lengths)


def gradients(value: Tensor, tensors: Tensors) -> Tensors:
    weights = torch.cos(torch.arange(value.numel(), dtype=value.dtype)).view_as(value)
    found = torch.autograd.grad(
        (value * weights).sum(), list(tensors.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(tensors, found, strict=True))


def compare(got: Tensor, expected: Tensor, model: seqzoo.SequenceModel, theirs: Tensors) -> None:
    """Values, and the gradients of all parameters, which are translated as the weights are."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    # PyTorch's gradient of a complex number is that of its two parts, as a complex number. That of
    # the output's conjugated weights is conjugated too, so gradients translate as weights do.
    wanted = from_public(gradients(expected, theirs)).weights
    for name, have in gradients(got, dict(model.named_parameters())).items():
        want = wanted[name]
        error = float((have - want).abs().max())
        assert error <= 1e-10 * max(1.0, float(want.abs().max())), f"{name}: off by {error}"


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 5, 31, 200])
@pytest.mark.parametrize("blocks", [1, 2])
def test_all_positions(blocks, length, rows):
    theirs = random_weights(ITEMS, WIDTH, blocks)
    model, batch = imported(theirs), histories(rows, length)
    for tensor in theirs.values():
        tensor.requires_grad_()
    expected = scores_of(batch.items, theirs, blocks)[batch.mask]
    compare(model.head(model(batch))[batch.mask], expected, model, theirs)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 5, 31, 200])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_newest_event_alone(blocks, length, rows):
    theirs = random_weights(ITEMS, WIDTH, blocks)
    model, batch = imported(theirs), histories(rows, length)
    for tensor in theirs.values():
        tensor.requires_grad_()
    expected = batch.gather_last(scores_of(batch.items, theirs, blocks))
    compare(model.head(model.last(batch)), expected, model, theirs)


@torch.inference_mode()
def test_one_event_after_another():
    theirs = random_weights(ITEMS, WIDTH, 2)
    model, batch = imported(theirs), histories(3, 60)
    batch = SequenceBatch(batch.items.clamp(min=1), torch.full((3,), 60))
    state, outputs = model.backbone.initial_state(3), []
    for t in range(60):
        vectors, _ = model.embedder.step(batch.items[:, t], None)
        before = [each.clone() for each in state]
        hidden, new = model.backbone.step(vectors, state, None)
        assert all(torch.equal(one, other) for one, other in zip(state, before, strict=True))
        outputs.append(hidden)
        state = new
    assert [tuple(each.shape) for each in state] == [(3, 2 * WIDTH, 2)] * 2
    expected = hidden_of(batch.items, theirs, 2)
    torch.testing.assert_close(torch.stack(outputs, 1), expected, rtol=1e-10, atol=1e-10)


def test_dropout_is_where_the_published_code_has_it(patterned_dropout):
    theirs = random_weights(ITEMS, WIDTH, 2)
    batch = histories(2, 11)
    batch = SequenceBatch(batch.items.clamp(min=1), torch.full((2,), 11))
    # The pattern follows the order of the values, and in the blocks time comes first.
    drop = iter([patterned_dropout] + [time_first(patterned_dropout)] * 6)
    expected = hidden_of(batch.items, theirs, 2, lambda values: next(drop)(values))
    found = imported(theirs).train()(batch)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def time_first(pattern):
    return lambda values: pattern(values.transpose(0, 1).contiguous()).transpose(0, 1)


def test_each_dropout_has_its_own_setting(make):
    block = make("lrurec", dropout=0.1, recurrent_dropout=0.3).backbone.layers[0]
    assert (block.dropout.p, block.ffn.dropout.p) == (0.3, 0.1)


def test_weights_of_the_published_code_are_imported(tmp_path):
    theirs = {
        name: tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)
        for name, tensor in random_weights(ITEMS, WIDTH, 2).items()
    }
    torch.save(theirs, tmp_path / "lrurec.pth")
    (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
    model, assumed = import_weights(
        tmp_path / "lrurec.pth", architecture="lrurec", vocabulary=tmp_path / "items.txt"
    )
    assert assumed == ("max_length",)
    batch = histories(4, 50)
    wide = {name: tensor.to(torch.promote_types(tensor.dtype, torch.float64))
            for name, tensor in theirs.items()}  # fmt: skip
    expected = batch.gather_last(scores_of(batch.items, wide, 2))
    with torch.inference_mode():
        found = model.head(model.last(batch)).double()
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_weights_that_are_not_those_of_the_published_code_are_refused():
    theirs = random_weights(ITEMS, WIDTH, 1)
    name = "model.lru_blocks.0.lru_layer."
    for changed, message in (
        ({name + "in_proj.weight": theirs[name + "in_proj.weight"].real}, "complex numbers there"),
        ({name + "params_log": theirs[name + "params_log"][:2]}, "expected 3 rows"),
        ({"embedding.token.weight": torch.ones(3)}, "expected 2 dimensions"),
    ):
        with pytest.raises(CheckpointError, match=message):
            from_public({**theirs, **changed})
    with pytest.raises(CheckpointError, match="yueqirex/LRURec"):
        from_public({"item_embedding.weight": torch.ones(3, 4)})
