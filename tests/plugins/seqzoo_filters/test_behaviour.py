"""Conformance, parameters, what the slots mean, and mistakes of users."""

from typing import ClassVar

import pytest
import torch

import seqzoo
from seqzoo.errors import ConfigError
from seqzoo.interfaces import SequenceBatch
from seqzoo.plugins import catalogue
from seqzoo.testing import ArchitectureCases
from seqzoo.testing.conformance import check_model
from seqzoo.testing.run import small_model

architectures = pytest.mark.parametrize("architecture", ["bsarec", "fmlp"])


class TestBSARec(ArchitectureCases):
    architecture = "bsarec"
    settings: ClassVar = {"inner_size": 24}


class TestFMLP(ArchitectureCases):
    architecture = "fmlp"
    settings: ClassVar = {"inner_size": 24}


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("bsarec", {"max_length": 13, "num_layers": 1, "num_heads": 4, "cutoff": 9}),
        ("bsarec", {"max_length": 64, "num_layers": 3, "alpha": 0.5}),
        ("bsarec", {"embedder": "item-position"}),
        ("bsarec", {"embedder": "item-features"}),
        ("fmlp", {"max_length": 13, "num_layers": 1}),
        ("fmlp", {"max_length": 64}),
        ("fmlp", {"embedder": "item", "head": "cosine-softmax"}),
    ],
)
def test_other_settings_conform_too(architecture, settings):
    check_model(small_model(architecture, inner_size=24, **settings))


def test_parameters_are_as_many_as_the_authors_count():
    """Their log of Amazon Beauty has 878,208; ours has the vector of empty slots in addition."""
    model = seqzoo.create("bsarec", num_items=12_101)
    assert model.num_parameters == 878_208 + 64
    # FMLP-Rec has complex factors in place of the attention and the scale of high frequencies.
    attention_and_scale = 4 * (64 * 64 + 64) + 128 + 64
    other = seqzoo.create("fmlp", num_items=12_101)
    expected = model.num_parameters - 2 * attention_and_scale + 2 * 26 * 64 * 2
    assert other.num_parameters == expected


def test_first_values(make):
    for architecture in ("bsarec", "fmlp"):
        model = make(architecture, hidden_size=64, max_length=200)
        for name, value in model.named_parameters():
            if name.endswith("sqrt_beta"):
                assert 0.6 < float(value.detach().std()) < 1.4
            elif name.endswith("bias"):
                assert not value.any(), name
            elif "norm" in name:
                assert torch.equal(value, torch.ones_like(value)), name
            else:
                assert 0.014 < float(value.detach().std()) < 0.026, name


@architectures
def test_claims(architecture, make):
    spec = catalogue().backbones.get(architecture)
    backbone = make(architecture).backbone
    assert not any((spec.causal, spec.streaming, spec.uses_time))
    assert not any((backbone.causal, backbone.streaming, backbone.uses_time))
    assert backbone.max_length == 20
    assert make(architecture).objective.newest_only
    with pytest.raises(NotImplementedError):
        backbone.initial_state(1)


@architectures
@torch.inference_mode()
def test_the_newest_event_changes_the_oldest_slot(architecture, make, shake):
    """The reason for causal=False: a filter is circular."""
    model = shake(make(architecture, num_layers=1)).eval()
    items = torch.tensor([[5, 1, 9, 30, 2, 17]])
    lengths = torch.tensor([6])
    before = model(SequenceBatch(items, lengths))
    changed = items.clone()
    changed[0, -1] = 3
    assert (model(SequenceBatch(changed, lengths)) - before)[0, 0].abs().max() > 1e-3


@architectures
@torch.inference_mode()
def test_the_number_of_slots_belongs_to_the_weights(architecture, make, shake):
    """More empty slots change the result; more padding of the batch does not."""
    short, long = (shake(make(architecture, max_length=size)).eval() for size in (20, 21))
    state = short.state_dict()
    grown = {
        name: torch.cat([value[:1], value]) if name.endswith("position_table") else value
        for name, value in state.items()
    }
    long.load_state_dict(grown)
    batch = SequenceBatch.from_histories([[5, 1, 9], [2]])
    assert (long.last(batch) - short.last(batch)).abs().max() > 1e-3
    wide = SequenceBatch(torch.nn.functional.pad(batch.items, (0, 9), value=7), batch.lengths)
    torch.testing.assert_close(short.last(wide), short.last(batch), rtol=0, atol=1e-12)
    torch.testing.assert_close(short(wide)[:, :1], short(batch)[:, :1], rtol=0, atol=1e-12)


@architectures
def test_a_session_re_encodes_its_window(architecture, make):
    model = make(architecture, max_length=10).eval()
    session = model.session()
    history = [f"item-{1 + (7 * t) % 30}" for t in range(14)]
    for t, item in enumerate(history, 1):
        session.observe(item)
        expected = [each.item for each in model.recommend(history[:t], k=5)]
        assert [each.item for each in session.recommend(k=5)] == expected


@architectures
def test_mixed_precision(architecture, make):
    """bfloat16 has 8 significant bits."""
    model = make(architecture).eval()
    batch = SequenceBatch.from_histories([[5, 1, 9, 30], [2], list(range(1, 21))])
    exact = model.last(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.last(batch)
        model.head.loss(mixed, torch.tensor([1, 2, 3])).backward()
    assert (mixed - exact).abs().max() < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@architectures
def test_it_learns_what_follows_what(architecture, tmp_path):
    """Every user walks along a circle of 20 items."""
    rows = [(f"u{u}", f"{(u + t) % 20}", 60 * t) for u in range(60) for t in range(12)]
    result = seqzoo.train(
        {
            "architecture": architecture,
            "model": {"hidden_size": 32, "max_length": 12, "num_layers": 1, "dropout": 0.1},
            "data": {"source": rows},
            "train": {"epochs": 30, "batch_size": 4, "lr": 0.005, "baselines": False},
        },
        tmp_path / "run",
    )
    assert result.metrics["loo-full"]["ndcg@10"] > 0.9
    best = seqzoo.load(tmp_path / "run").recommend(["3", "4", "5"], k=1)
    assert [each.item for each in best] == ["6"]


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("bsarec", {"num_heads": 3}, "hidden_size is 16, which is not a multiple of num_heads = 3"),
        ("bsarec", {"alpha": 1.5}, r"'alpha' is 1\.5; expected 0\.0 to 1\.0"),
        ("bsarec", {"cutoff": 0}, "'cutoff' is 0"),
        ("bsarec", {"attention_dropout": 1.0}, "'attention_dropout' is 1"),
        ("bsarec", {"cut": 3}, "'model.cut'; did you mean 'model.cutoff'"),
        ("fmlp", {"alpha": 0.5}, "unknown setting 'model.alpha'"),
        ("fmlp", {"max_length": 0}, "'max_length' is 0"),
        ("fmlp", {"inner_size": 0}, "'inner_size' is 0"),
        ("fmlp", {"norm_eps": -1.0}, "'norm_eps' is -1"),
    ],
)
def test_wrong_settings(make, architecture, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(architecture, **settings)


@architectures
@pytest.mark.parametrize("read", ["forward", "last"])
def test_more_events_than_slots(architecture, read, make):
    model = make(architecture)
    batch = SequenceBatch(torch.ones(1, 21, dtype=torch.int64), torch.tensor([21]))
    with pytest.raises(ConfigError, match="a history of 21 events is longer than max_length = 20"):
        getattr(model, read)(batch)
