"""Properties of the reconstruction other than its equations."""

import copy
import subprocess
import sys
import weakref

import pytest
import seqzoo_elastic.layer
import torch
from seqzoo_elastic.running import running_softmax
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.session import Session
from seqzoo.plugins import catalogue
from seqzoo.testing import ConformanceError, check_causality, check_model, example_batch

modes = pytest.mark.parametrize("causal", [True, False])
variants = pytest.mark.parametrize("imr", ["pre", "post", "none"])
# So few slots that the conformance kit's few short histories read most of them.
SMALL = {"num_experts": 4, "memory_size": 3, "num_retrieved": 3, "chunk_size": 5}


def full_batch(rows: int, length: int) -> SequenceBatch:
    return SequenceBatch(torch.zeros(rows, length, dtype=torch.int64), torch.full((rows,), length))


def events(rows: int, length: int, width: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randn(rows, length, width, generator=draw, dtype=dtype)


@modes
@variants
@pytest.mark.parametrize("forgetting", [False, True])
def test_conformance(causal, imr, forgetting, make):
    check_model(make("elastic", causal=causal, imr=imr, forgetting=forgetting, **SMALL))


@modes
@pytest.mark.parametrize("imr", ["pre", "post"])
def test_every_slot_and_key_can_learn(causal, imr, make):
    """The kit requires some gradient per parameter; the memory must have one in every row."""
    model = make("elastic", causal=causal, imr=imr, **SMALL)
    batch = example_batch(model, rows=40)
    model.head.loss(model.last(batch), batch.items[:, 0]).backward()
    memory = model.backbone.memory
    assert memory.values.grad.any(dim=1).all()
    assert memory.keys.grad.any(dim=2).all()


@variants
def test_leak_through_the_final_experts_is_caught(imr, make, monkeypatch):
    def leaking(*arguments: object, **options: object) -> tuple[Tensor, object]:
        means, state = running_softmax(*arguments, **options)
        return means[:, -1:].expand_as(means), state

    monkeypatch.setattr(seqzoo_elastic.layer, "running_softmax", leaking)
    model = make("elastic", imr=imr, **{**SMALL, "chunk_size": 20})
    with pytest.raises(ConformanceError, match="causality"):
        check_causality(model)


@variants
@pytest.mark.parametrize("forgetting", [False, True])
def test_chunks_change_nothing_but_rounding(imr, forgetting, make, shake, monkeypatch):
    exact, rough, gradients = [], [], []
    for size, segment in ((1, 1), (1, 80), (7, 1), (7, 80), (16, 32), (80, 80)):
        model = make("elastic", imr=imr, forgetting=forgetting, chunk_size=size)
        experts = 3 * segment * model.backbone.experts.numel()
        monkeypatch.setattr("seqzoo_elastic.backbone._SEGMENT_EXPERTS", experts)
        model = shake(model).eval()
        hidden = events(3, 80, dtype=torch.float64).requires_grad_()
        out = model.backbone(hidden, full_batch(3, 80))
        exact.append(out.detach())
        weights = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)
        gradients.append(torch.autograd.grad((out * weights).sum(), hidden)[0])
        with torch.inference_mode():
            rough.append(model.float().backbone(hidden.detach().float(), full_batch(3, 80)))
    for out, gradient in zip(exact, gradients, strict=True):
        torch.testing.assert_close(out, exact[0], rtol=0, atol=1e-11)
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-9)
    for out in rough:
        # Up to 80 roundings of a mean at 6e-8 each, 5e-6 in all if none cancels, times gains of
        # two layers' LayerNorms and projections, which are of size one.
        torch.testing.assert_close(out, exact[0].float(), rtol=0, atol=5e-5)


def softmax_means(scores: Tensor, values: Tensor) -> Tensor:
    """[T, K], [T, E] -> [T, K, E], in float64."""
    scores, values = scores.double(), values.double()
    means = []
    for t in range(1, len(scores) + 1):
        powers = torch.exp(scores[:t] - scores[:t].max(0).values)
        means.append((powers / powers.sum(0)).T @ values[:t])
    return torch.stack(means)


@pytest.mark.parametrize(("size", "chunk"), [(1, 1), (5, 5), (40, 40), (40, 7), (13, 4)])
@pytest.mark.parametrize(
    "scores",
    [
        1e4 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0)),
        torch.linspace(-1e30, 1e30, 40)[:, None].repeat(1, 3),
        torch.linspace(1e30, -1e30, 40)[:, None].repeat(1, 3),
        -1e4 + torch.randn(40, 3, generator=torch.Generator().manual_seed(0)),
        torch.full((40, 3), 1e38),
    ],
    ids=["wild", "rising", "falling", "all far below zero", "equal and huge"],
)
def test_running_softmax_of_scores_beyond_any_exponent(scores, size, chunk):
    values = events(1, 40, 4)
    state = (
        torch.full((1, 1, 3), torch.finfo(torch.float32).min),
        torch.zeros(1, 1, 3),
        torch.zeros(1, 1, 3, 4),
    )
    scores = scores.clone().requires_grad_()
    means = []
    for start in range(0, 40, size):
        part = slice(start, start + size)
        found, state = running_softmax(
            scores[None, part, None], values[:, part, None], state, chunk_size=chunk
        )
        means.append(found[0])
    found = torch.cat(means)
    # 40 roundings of means of size one.
    torch.testing.assert_close(found, softmax_means(scores, values[0]).float(), rtol=0, atol=5e-6)
    found.sum().backward()
    assert scores.grad.isfinite().all()


@modes
@variants
def test_very_large_logits(causal, imr, make):
    model = make("elastic", causal=causal, imr=imr, **SMALL).eval()
    with torch.no_grad():
        for name, value in model.backbone.named_parameters():
            if "query" in name or "key" in name:
                value *= 1e6
    hidden = events(2, 20).requires_grad_()
    out = model.backbone(hidden, full_batch(2, 20))
    out.square().sum().backward()
    assert out.isfinite().all()
    for name, value in model.backbone.named_parameters():
        assert value.grad.isfinite().all(), name


def test_half_precision_keeps_sums_whole(make):
    model = make("elastic").eval()
    hidden = events(2, 20)
    whole = model.backbone(hidden, full_batch(2, 20))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        half = model.backbone(hidden, full_batch(2, 20))
        _, state = model.backbone.step(hidden[:, 0], model.backbone.initial_state(2), None)
    for tensor in (*tree_leaves(state), half):
        assert tensor.dtype == torch.float32
    # bfloat16 rounds at 0.4 %; values are of size one.
    torch.testing.assert_close(half, whole, rtol=0, atol=0.1)


@modes
@variants
def test_experts_start_apart_and_stay_apart(causal, imr, make):
    model = make("elastic", causal=causal, imr=imr, hidden_size=64).eval()
    learned = model.backbone.experts
    assert learned.std(dim=1).min() >= 0.02
    batch = example_batch(model)
    after = []
    for layer in model.backbone.layers:
        layer.gather_norm.register_forward_hook(lambda module, inputs, out: after.append(out))
    with torch.inference_mode():
        model(batch)
    for experts in (learned[None], *after):
        rows = nn.functional.normalize(experts.flatten(0, -3), dim=-1)
        alike = rows @ rows.transpose(1, 2) - torch.eye(rows.shape[1])
        # Independent rows of 64: cosines of deviation 1/8; copies of one row would have 1.
        assert alike.max() < 0.7


def test_dropout_is_before_every_residual_sum(make, monkeypatch):
    """With dropout of everything only LayerNorms remain; all experts share one mask."""
    shapes = []

    def all_dropped(self: nn.Dropout, values: Tensor) -> Tensor:
        shapes.append(tuple(values.shape))
        return torch.zeros_like(values)

    model = make("elastic", imr="post", chunk_size=6)
    monkeypatch.setattr(nn.Dropout, "forward", all_dropped)
    hidden = events(2, 6)
    expected = hidden
    for _ in range(5):
        expected = nn.functional.layer_norm(expected, (16,), eps=1e-12)
    torch.testing.assert_close(model.backbone(hidden, full_batch(2, 6)), expected)
    assert shapes == [(2, 6, 1, 16)] * 6 + [(2, 6, 16)]


class Memory(TorchDispatchMode):
    """The size of the largest tensor, and the most bytes alive at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.peak = self._now = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._alive:
                    self._alive.add(storage._cdata)
                    self._now += storage.nbytes()
                    self.peak = max(self.peak, self._now)
                    self.largest = max(self.largest, storage.nbytes())
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, address: int, size: int) -> None:
        self._alive.discard(address)
        self._now -= size


@pytest.mark.parametrize(
    ("imr", "read"), [("pre", "forward"), ("pre", "last"), ("post", "forward")]
)
def test_no_expert_vectors_of_a_long_history_are_kept(imr, read, make, monkeypatch):
    """A training pass takes less memory than one tensor [B, L, K, D], and linear in L."""
    monkeypatch.setattr("seqzoo_elastic.backbone._KEPT_EXPERTS", 0)
    monkeypatch.setattr("seqzoo_elastic.backbone._SEGMENT_EXPERTS", 0)
    model = make("elastic", imr=imr, num_experts=32, memory_size=4, num_retrieved=4)
    peaks = []
    for length in (320, 640):
        hidden, batch = events(1, length), full_batch(1, length)
        with Memory() as memory:
            vectors = getattr(model.backbone, read)(hidden, batch)
            vectors.square().sum().backward()
        every = 4 * length * 32 * 16
        assert memory.largest < every / 4
        peaks.append(memory.peak)
    assert peaks[1] < every
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.parametrize("read", ["forward", "last"])
def test_what_is_kept_changes_no_bit(read, make, monkeypatch):
    model = make("elastic").train()
    hidden, batch = events(3, 30), full_batch(3, 30)
    found = []
    for kept in (0, 2**30):
        monkeypatch.setattr("seqzoo_elastic.backbone._KEPT_EXPERTS", kept)
        torch.manual_seed(0)
        model.zero_grad()
        getattr(model.backbone, read)(hidden, batch).square().sum().backward()
        found.append([value.grad.clone() for value in model.backbone.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


@variants
@torch.inference_mode()
def test_state_has_one_size_and_is_left_alone(imr, make):
    backbone = make("elastic", imr=imr).eval().backbone
    hidden = events(3, 30)
    state = backbone.initial_state(3)
    sizes = [tensor.untyped_storage().nbytes() for tensor in tree_leaves(state)]
    assert all(len(tensor) == 3 for tensor in tree_leaves(state))
    for t in range(30):
        before = copy.deepcopy(state)
        _, after = backbone.step(hidden[:, t], state, None)
        for kept, given in zip(tree_leaves(before), tree_leaves(state), strict=True):
            assert torch.equal(kept, given)
        state = after
        assert [tensor.untyped_storage().nbytes() for tensor in tree_leaves(state)] == sizes


def test_a_saved_session_continues(make, tmp_path):
    model = make("elastic")
    fresh, session = Session(model), Session(model)
    for number in range(1, 8):
        session.observe(f"item-{number}")
    session.save(tmp_path / "session")
    again = Session.restore(model, tmp_path / "session")
    for one in (session, again):
        one.observe("item-9")
    assert torch.equal(session.hidden, again.hidden)
    fresh.save(tmp_path / "fresh")
    again = Session.restore(model, tmp_path / "fresh")
    for one in (fresh, again):
        one.observe("item-9")
    assert torch.equal(fresh.hidden, again.hidden)


def test_claims_of_an_instance(make):
    running, whole = make("elastic").backbone, make("elastic", causal=False).backbone
    assert (running.causal, running.streaming, running.uses_time) == (True, True, False)
    assert (whole.causal, whole.streaming, whole.uses_time) == (False, False, False)
    with pytest.raises(NotImplementedError, match="causal=False"):
        whole.initial_state(1)
    with pytest.raises(NotImplementedError, match="causal=False"):
        whole.step(events(1, 1)[:, 0], None, None)


def test_who_lists_it_reads_that_it_is_a_reconstruction():
    spec = catalogue().architectures.get("elastic")
    assert "reconstruction of a withdrawn paper" in spec.description
    script = "import sys, seqzoo_elastic, seqzoo_elastic.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ({"num_experts": 0}, "'num_experts' is 0; expected 1 or more"),
        ({"chunk_size": 0}, "'chunk_size' is 0"),
        ({"dropout": 1.0}, r"'dropout' is 1\.0"),
        ({"imr": "both"}, "'imr' is 'both'; .* expected one of: pre, post, none"),
        ({"num_retrieved": 1}, "'num_retrieved' is 1; expected 2 to 64"),
        ({"num_retrieved": 9, "memory_size": 8}, "'num_retrieved' is 9; expected 2 to 8"),
        ({"hidden_size": 15, "num_heads": 3}, "'hidden_size' is 15; .* expected an even number"),
        ({"expert": 2}, "unknown setting 'model.expert'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("elastic", **settings)


def test_without_a_memory_its_settings_do_not_matter(make):
    model = make("elastic", imr="none", num_retrieved=1, hidden_size=15, num_heads=3)
    assert not any("memory" in name for name, _ in model.named_parameters())


def test_names_and_shapes(make):
    model = make("elastic", hidden_size=64, imr="post", num_layers=1)
    expected = {
        "experts": (16, 64),
        "memory.query.weight": (64, 64),
        "memory.norm.weight": (64,),
        "memory.norm.bias": (64,),
        "memory.keys": (2, 64, 32),
        "memory.values": (4096, 64),
        "memory_norm.weight": (64,),
        "memory_norm.bias": (64,),
        "layers.0.feed_1.weight": (256, 64),
        "layers.0.feed_1.bias": (256,),
        "layers.0.feed_2.weight": (64, 256),
        "layers.0.feed_2.bias": (64,),
    }
    for name in ("gather", "read"):
        for part in ("query", "key", "value"):
            expected[f"layers.0.{name}_{part}.weight"] = (64, 64)
    for name in ("gather", "read", "feed"):
        expected |= {f"layers.0.{name}_norm.{kind}": (64,) for kind in ("weight", "bias")}
    found = {name: tuple(value.shape) for name, value in model.backbone.state_dict().items()}
    assert found == expected


def test_first_values(make):
    backbone = make("elastic", hidden_size=64).backbone
    for name, value in backbone.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name:
            assert torch.equal(value, torch.ones_like(value))
        elif name.endswith("weight"):
            # 4,096 draws at least: the standard deviation is known to 1.1 %.
            assert 0.019 < value.std() < 0.021, name
    assert 0.9 < backbone.experts.std() < 1.1
    assert 0.12 < backbone.memory.values.std() < 0.13
    torch.testing.assert_close(backbone.memory.keys.norm(dim=-1), torch.ones(2, 64))
