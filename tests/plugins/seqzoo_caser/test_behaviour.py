"""Caser as a model: the conformance kit, sessions, users, and mistakes in settings."""

from typing import ClassVar

import pytest
import torch

import seqzoo
from seqzoo.errors import ConfigError, SeqzooError, UsageError
from seqzoo.testing import ArchitectureCases


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, causality, padding, batches, streaming, gradients, seeds, saving."""

    architecture = "caser"
    settings: ClassVar = {"hidden_size": 16}


class TestRightPadding(ArchitectureCases):
    """RecBole's windows."""

    architecture = "caser"
    settings: ClassVar = {"hidden_size": 16, "window_padding": "right", "window": 7}


class TestAuthors(ArchitectureCases):
    """The form of the authors' code: one layer, and a table of its own to score with."""

    architecture = "caser"
    settings: ClassVar = {
        "hidden_size": 16,
        "second_layer": False,
        "head": "untied-softmax",
        "output_bias": True,
    }


class TestUsers(ArchitectureCases):
    """Vectors of users."""

    architecture = "caser"
    settings: ClassVar = {"hidden_size": 16, "user_vectors": 50}


@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_session_has_a_constant_state_and_forgets_what_left_the_window(padding):
    torch.manual_seed(0)
    model = seqzoo.create("caser", num_items=30, max_length=8, window_padding=padding).eval()
    history = [model.vocabulary.item(1 + (7 * t) % 30) for t in range(300)]
    session = model.session()
    sizes = set()
    for t, item in enumerate(history, 1):
        session.observe(item)
        sizes.add(session.state_bytes)
        if t in (1, 3, 5, 8, 300):
            expected = model.encode([history[:t]])[0]
            torch.testing.assert_close(session.hidden, expected, rtol=0, atol=1e-5)
            found = session.recommend(k=5, exclude_seen=False)
            wanted = model.recommend(history[:t], k=5, exclude_seen=False)
            assert [each.item for each in found] == [each.item for each in wanted]
    assert len(sizes) == 1


def test_it_learns_an_order_within_its_window(tmp_path):
    """Every item is followed by the one two places before it, plus one."""
    rows = []
    for u in range(40):
        items = [u % 11, (3 * u) % 11]
        while len(items) < 12:
            items.append((items[-2] + 1) % 11)
        rows += [(f"u{u}", f"i{item}", 60 * t) for t, item in enumerate(items)]
    recipe = {
        "architecture": "caser",
        "model": {"hidden_size": 32, "max_length": 12, "window": 3, "filter_dropout": 0.0},
        "data": {"source": rows},
        "train": {"epochs": 30, "batch_size": 4, "lr": 0.01},
    }
    result = seqzoo.train(recipe, tmp_path / "run")
    assert result.metrics["loo-full"]["hit@10"] == 1.0
    assert result.metrics["loo-full"]["ndcg@10"] > 0.9
    model = seqzoo.load(tmp_path / "run")
    assert model.recommend(["i4", "i9"], k=1, exclude_seen=False)[0].item == "i5"


def test_with_users_every_request_says_who_asks(tmp_path):
    rows = [(f"u{u}", f"i{(u * t) % 12}", 60 * t) for u in range(24) for t in range(12)]
    recipe = {
        "architecture": "caser",
        "model": {"hidden_size": 16, "user_vectors": 64},
        "data": {"source": rows},
        "train": {"epochs": 1},
    }
    seqzoo.train(recipe, tmp_path / "run")
    model = seqzoo.load(tmp_path / "run")
    with pytest.raises(UsageError, match="the model reads who the user is"):
        model.recommend(["i1", "i2"], k=3)
    one, other = model.encode([["i1", "i2"]] * 2, users=["u1", "u2"])
    assert not torch.allclose(one, other)
    session = model.session(user="u1")
    for item in ("i1", "i2"):
        session.observe(item)
    torch.testing.assert_close(session.hidden, one, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "'window' is 0"),
        ({"horizontal_filters": 0}, "'horizontal_filters' is 0"),
        ({"filter_dropout": 1.0}, r"'filter_dropout' is 1\.0"),
        ({"activation": "rellu"}, "'activation' is 'rellu'; did you mean 'relu'"),
        ({"window_padding": "both"}, "expected one of: left, right"),
        ({"user_vectors": -1}, "'user_vectors' is -1"),
        ({"user_vectors": 9, "second_layer": False}, "set second_layer=true, or user_vectors=0"),
        ({"windows": 3}, "'model.windows'; did you mean 'model.window'"),
    ],
)
def test_wrong_settings(make, settings, message):
    with pytest.raises(ConfigError, match=message):
        make("caser", **settings)


def test_the_untied_head_goes_with_other_architectures():
    torch.manual_seed(0)
    model = seqzoo.create("sasrec", num_items=9, head="untied-softmax", loss="gbce").eval()
    assert model.head.output_table.shape == (10, 64)
    assert model.config["output_bias"] is True
    best = model.recommend(["1", "2"], k=3)
    with torch.no_grad():
        scores = model.head.output_table @ model.encode([["1", "2"]])[0] + model.head.bias
    scores[[0, 1, 2]] = -torch.inf
    assert [each.item for each in best] == [str(int(i)) for i in scores.topk(3).indices]
    with pytest.raises(SeqzooError, match="unknown loss"):
        seqzoo.create("sasrec", num_items=9, head="untied-softmax", loss="softmax")
