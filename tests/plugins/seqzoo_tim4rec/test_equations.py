"""All modes against their equations in float64, with the gradients of all parameters."""

import pytest
import torch

from seqzoo.interfaces import SequenceBatch

RAGGED = {1: [1] * 7, 2: [2, 1, 2, 1, 2, 2, 1], 31: [31, 1, 2, 8, 9, 30, 17]}
RAGGED[200] = [200, 1, 2, 31, 150, 199, 64]

modes = pytest.mark.parametrize("mode", ["off", "causal", "reference"])


def copies(module):
    return {
        name: parameter.detach().clone().requires_grad_()
        for name, parameter in module.named_parameters()
    }


def pairs(theirs, module):
    return {name: (theirs[name], ours) for name, ours in module.named_parameters()}


@modes
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [1, 2, 31, 200])
def test_model_with_gradients_of_every_parameter(
    length, batch, mode, small, shake, equations, compare, histories
):
    """All positions and `last`; in reference mode shorter batches are padded internally."""
    longest = {1: 12, 2: 12, 31: 40, 200: 200}[length]
    ours = shake(small(mode, max_length=longest, num_layers=2)).eval()
    given = histories(RAGGED[length][:batch])
    theirs = copies(ours)
    expected = equations(2, mode, longest).model(given, theirs)
    compare(
        torch.cat([expected[given.mask], given.gather_last(expected)]),
        torch.cat([ours(given)[given.mask], ours.last(given)]),
        pairs(theirs, ours),
    )


@modes
@pytest.mark.parametrize(
    ("layers", "settings"),
    [
        (1, {}),
        (3, {"p2p_residual": True}),
        (2, {"conv_size": 1}),
        (2, {"norm_eps": 1e-3}),
        (2, {"activation": "silu"}),
        (2, {"chunk_size": 1}),
    ],
)
def test_settings(layers, settings, mode, small, shake, equations, compare, histories):
    """One layer has no residual around its block; the feed-forward norm keeps its epsilon."""
    if mode == "causal":
        settings = {name: value for name, value in settings.items() if name != "p2p_residual"}
    ours = shake(small(mode, num_layers=layers, **settings)).eval()
    given = histories([20, 1, 13])
    theirs = copies(ours)
    independent = equations(layers, mode, 20)
    independent.eps = settings.get("norm_eps", independent.eps)
    if "activation" in settings:
        independent.act = torch.nn.functional.silu
    expected = independent.model(given, theirs)
    compare(expected[given.mask], ours(given)[given.mask], pairs(theirs, ours))


@modes
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_is_where_the_released_code_has_it(
    layers, mode, small, shake, equations, compare, histories, patterned_dropout
):
    """Causal mode has none on the gaps themselves, elsewhere it is where the reference has it."""
    ours = shake(small(mode, num_layers=layers))
    given = histories([20, 20])
    theirs = copies(ours)
    independent = equations(layers, mode, 20, drop=patterned_dropout)
    compare(independent.model(given, theirs), ours(given), pairs(theirs, ours))


@modes
@pytest.mark.parametrize("times", [True, False])
def test_many_histories_are_computed_in_parts(mode, times, small, shake, histories, monkeypatch):
    """Without gradients, on a CPU; the last part has fewer histories."""
    model = shake(small(mode, max_length=40, num_layers=2)).eval()
    given = histories(RAGGED[31])
    if not times:
        given = SequenceBatch(given.items, given.lengths)
    whole = model.last(given).detach()
    monkeypatch.setattr("seqzoo_tim4rec.backbone._CACHED_POSITIONS", 3 * given.items.shape[1])
    parts, take = [], SequenceBatch.take
    monkeypatch.setattr(SequenceBatch, "take", lambda *call: parts.append(take(*call)) or parts[-1])
    with torch.no_grad():
        torch.testing.assert_close(model.last(given), whole, rtol=1e-12, atol=1e-12)
    assert [len(each.items) for each in parts] == [3, 3, 1]


@pytest.mark.parametrize("mode", ["causal", "reference"])
def test_without_times_all_gaps_are_zero(mode, small, shake, equations, histories):
    ours = shake(small(mode)).eval()
    given = histories([20, 1, 13])
    without = SequenceBatch(given.items, given.lengths)
    expected = equations(2, mode, 20).model(without, copies(ours))
    torch.testing.assert_close(ours(without)[given.mask], expected[given.mask], rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", ["off", "causal"])
@torch.inference_mode()
def test_steps_are_the_equations_too(mode, small, shake, equations, histories):
    ours = shake(small(mode)).eval()
    given = histories([31, 31, 31])
    expected = equations(2, mode).model(given, copies(ours))
    state = ours.backbone.initial_state(3)
    before = torch.cat([given.timestamps[:, :1], given.timestamps[:, :-1]], dim=1)
    for t in range(31):
        vectors, _ = ours.embedder.step(given.items[:, t], None)
        elapsed = given.timestamps[:, t] - before[:, t]
        hidden, state = ours.backbone.step(vectors, state, elapsed)
        torch.testing.assert_close(hidden, expected[:, t], rtol=0, atol=1e-10)


@modes
def test_chunk_size_changes_rounding_alone(mode, small, histories):
    """In float32, with initial weights."""
    given = histories([20, 3, 13])
    results = [
        small(mode, chunk_size=size).eval()(given)[given.mask].detach() for size in (1, 7, 32)
    ]
    for other in results[1:]:
        # Vectors of size one behind two layers with two norms each: some tens of roundings.
        torch.testing.assert_close(other, results[0], rtol=0, atol=5e-6)
