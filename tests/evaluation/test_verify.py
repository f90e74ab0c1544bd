"""``verify`` computes scores: weights can be finite and still overflow."""

import json

import pytest
import torch

from seqzoo.cli.app import run
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.evaluation.verify import verify_folder
from seqzoo.model.sequence_model import SequenceModel

ITEMS = 300


@pytest.fixture
def model():
    torch.manual_seed(0)
    vocabulary = Vocabulary([f"film-{number}" for number in range(ITEMS)])
    settings = {"hidden_size": 16, "max_length": 10}
    return SequenceModel.build("sasrec", settings, vocabulary).eval()


def scores_of(folder):
    (check,) = [check for check in verify_folder(folder).checks if check.name == "scores"]
    return check


def test_sound_weights(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    check = scores_of(tmp_path / "mine")
    assert check.ok
    assert check.detail == "finite after 30 histories with 300 items"


@torch.no_grad()
def everything(model):
    model.embedder.item_table.fill_(3e38)


@torch.no_grad()
def one_item(model):
    model.embedder.item_table[ITEMS - 7].fill_(3e38)


@torch.no_grad()
def one_layer(model):
    for parameter in model.backbone.parameters():
        parameter.fill_(1e30)


@pytest.mark.parametrize("damage", [everything, one_item, one_layer])
def test_finite_weights_that_overflow(model, tmp_path, damage, capsys):
    damage(model)
    model.save_pretrained(tmp_path / "mine")
    check = scores_of(tmp_path / "mine")
    assert not check.ok
    assert check.detail.startswith("not finite numbers after ")
    assert "the weights are damaged or overflow" in check.detail
    assert run(["verify", str(tmp_path / "mine"), "--json"]) == 1
    (failed,) = [
        each
        for each in json.loads(capsys.readouterr().out)["checks"]
        if not each["ok"] and each["check"] in ("model", "scores")
    ]
    assert failed == {"check": "scores", "ok": False, "detail": check.detail}


def test_a_large_catalogue_is_sampled(tmp_path):
    vocabulary = Vocabulary([f"film-{number}" for number in range(30_000)])
    settings = {"hidden_size": 4, "max_length": 10}
    SequenceModel.build("gru4rec", settings, vocabulary).save_pretrained(tmp_path / "mine")
    assert scores_of(tmp_path / "mine").detail == "finite after 256 histories with 2,560 items"


def test_a_forward_pass_that_raises_is_a_failed_check(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "mine")

    def fail(self, hidden, batch):
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(type(model.backbone), "last", fail)
    check = scores_of(tmp_path / "mine")
    assert not check.ok
    assert check.detail == "the forward pass fails: RuntimeError: no such kernel"
